"""What must be true, area by area."""
