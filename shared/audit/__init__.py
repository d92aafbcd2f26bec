"""The log of what staff did."""
