"""SQL: what features need of the database, as their protocols say."""
