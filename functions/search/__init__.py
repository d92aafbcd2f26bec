"""Product search, suggestions, facets, product and category pages."""
