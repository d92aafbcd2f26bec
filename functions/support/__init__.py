"""Returns, for buyers; the desk, for staff: orders, refunds, returns, what waits to be looked at."""
