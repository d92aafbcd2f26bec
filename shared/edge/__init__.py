"""The HTTP and push edge: parsing, problems, tokens, idempotency."""
