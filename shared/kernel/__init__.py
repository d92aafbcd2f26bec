"""Money, ids, clock, errors, messages: the standard library only."""
