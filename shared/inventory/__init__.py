"""Stock: levels, holds, allocations, movements."""
