"""Orders: placing, capturing, settling, expiring; one flow a module."""
