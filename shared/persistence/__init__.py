"""SQL: one small pool of prepared connections, and a module of statements per subject."""
