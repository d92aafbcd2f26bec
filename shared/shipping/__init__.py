"""Shipping methods, labels and tracking."""
