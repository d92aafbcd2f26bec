"""Prices, taxes and totals."""
