"""The demo catalogue: 2,000 made-up products with pictures, the same on every machine."""
