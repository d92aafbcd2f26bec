"""What the Makefile runs: the environment, the locks, the schema file, the archives."""
