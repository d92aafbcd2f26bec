"""Settings: what the environment says, read at first use."""
