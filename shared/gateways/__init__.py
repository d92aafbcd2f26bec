"""Vendors and Google, one module each."""
