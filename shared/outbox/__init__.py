"""Events that leave a transaction, and the record of those that came in."""
