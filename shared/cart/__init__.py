"""Carts and their lines, prices and problems."""
