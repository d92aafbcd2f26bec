"""Carts, checkout, capture, a buyer's orders; payment jobs."""
