"""Times that Pub/Sub and Cloud Tasks treat alike."""

from datetime import UTC, datetime

# "Now" for what has just failed: settling asks again and again, and would use up every attempt while an endpoint that
# was killed is still coming back.
REST_S = 0.5
# Pub/Sub's rest doubles with every failure, as its backoff does, up to this: ten attempts take a quarter of a minute,
# longer than a function and its database need to come back. A task that is given up is woken by a sweep; a message
# that is given up waits for a person.
LONGEST_REST_S = 2.0


def timestamp(epoch_s: float) -> str:
    """As Google writes times in JSON: 2021-02-05T04:06:14.109Z."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
