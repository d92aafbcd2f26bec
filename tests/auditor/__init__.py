"""Checks the shop from outside: database, PayPal's ledger and inbox, sharing no code with the functions."""
