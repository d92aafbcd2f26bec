"""Products, variants, brands, categories and what an import makes of a file."""
