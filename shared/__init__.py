"""The domain package: what the functions share; the layers are drawn in pyproject.toml."""
