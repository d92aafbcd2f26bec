"""`make demo`: one purchase against the running shop, told step by step. It knows the shop by its HTTP alone."""
