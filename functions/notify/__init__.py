"""Events become e-mail; the outbox relay."""
