"""Google's part of the local cloud: Pub/Sub, Cloud Tasks and Cloud Storage as production's own clients know them."""
