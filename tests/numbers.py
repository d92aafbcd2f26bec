"""How much is tried: small numbers in `make test`, large ones in `make prove`."""

import os

PROVE = os.environ.get("PROVE") == "1"

KILLS = 50 if PROVE else 5
HISTORIES = 25 if PROVE else 5
SCHEMATHESIS_EXAMPLES = 100 if PROVE else 5  # of each operation
# Fuzzing tries what nobody thinks of, valid and not; coverage every bound and every wrong type of every field.
SCHEMATHESIS_PHASES = "coverage,fuzzing" if PROVE else "fuzzing"
PROPERTY_EXAMPLES = 500 if PROVE else 15
DEADLOCK_ROUNDS = 200
CHANGES_IN_SEARCH = 10_000 if PROVE else 200
ALL_ARCHIVES = PROVE
