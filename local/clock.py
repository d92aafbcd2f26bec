"""The clock that every local process shares: real time plus an offset that lies in a file and only grows."""

import fcntl
import os
import time
from pathlib import Path

# function_process.py replaces time.time in its own process; the clock must go on reading the real one.
_real_time = time.time


class Clock:
    """Local time of one state folder. The file holds the offset in seconds as text; no file means no offset."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._offset_s = 0.0

    def now(self) -> float:
        """Epoch seconds, shifted."""
        return _real_time() + self.offset_s()

    def offset_s(self) -> float:
        """The offset as it is now: one stat a call, and a read only after a change, so it is cheap enough for a
        process that asks the time thousands of times a second and takes effect there at once."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return self._offset_s
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._offset_s = float(self.path.read_text() or 0)
            self._seen = seen
        return self._offset_s

    def advance(self, seconds: float) -> float:
        """Move everyone's time forward; returns the new offset. Raises ValueError for a step backwards."""
        if not 0 <= seconds < 1e10:
            raise ValueError("the clock only goes forward")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self.path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            offset_s = self.offset_s() + seconds
            fresh = Path(f"{self.path}.new")
            fresh.write_text(f"{offset_s:.6f}")
            os.replace(fresh, self.path)
        return offset_s
