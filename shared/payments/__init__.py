"""Payments: attempts, facts, the ledger and its sums."""
