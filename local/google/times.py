"""Times that Pub/Sub and Cloud Tasks treat alike."""

from datetime import UTC, datetime

# "Now" for what has just failed: settling asks again and again, and would use up every attempt while an endpoint that
# was killed is still coming back.
REST_S = 0.5


def timestamp(epoch_s: float) -> str:
    """As Google writes times in JSON: 2021-02-05T04:06:14.109Z."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
