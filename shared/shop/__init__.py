"""What the merchant sets: currency, tax table, shipping options, holds, and whether orders are taken at all."""
