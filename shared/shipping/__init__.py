"""Shipping: parcels on their way to buyers, and how far each of them has come."""
