"""Customers, staff, guests: who calls and what they may do."""
