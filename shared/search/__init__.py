"""Searching the catalogue: queries, pages, facets."""
