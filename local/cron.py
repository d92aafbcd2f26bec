"""Cron lines as Cloud Scheduler reads them, in UTC."""

import calendar
from datetime import UTC, datetime, timedelta

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


class Cron:
    """A line of five fields with *, a-b, a,b and /n. Raises ValueError for anything else."""

    def __init__(self, line: str) -> None:
        parts = line.split()
        if len(parts) != len(_FIELDS):
            raise ValueError(f"a cron line has five fields: {line!r}")
        self._line = line
        minutes, hours, days, months, weekdays = (
            _parse(part, low, high, name) for part, (name, low, high) in zip(parts, _FIELDS, strict=True)
        )
        self._minutes, self._hours, self._days, self._months = minutes, hours, days, months
        self._weekdays = frozenset(day % 7 for day in weekdays)  # 0 and 7 are Sunday
        # Where both are given, either is enough (crontab(5)).
        self._any_day = parts[2].startswith("*") or parts[4].startswith("*")

    def next_after(self, epoch_s: float) -> float:
        """The first due time later than `epoch_s`. Raises ValueError where there is none in five years."""
        moment = datetime.fromtimestamp(epoch_s, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        horizon = moment + timedelta(days=5 * 366)
        while moment < horizon:
            if moment.month not in self._months:
                last = calendar.monthrange(moment.year, moment.month)[1]
                moment = moment.replace(day=last, hour=0, minute=0) + timedelta(days=1)
            elif not self._on_day(moment):
                moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
            elif moment.hour not in self._hours:
                moment = moment.replace(minute=0) + timedelta(hours=1)
            elif moment.minute not in self._minutes:
                moment += timedelta(minutes=1)
            else:
                return moment.timestamp()
        raise ValueError(f"never due: {self._line!r}")

    def _on_day(self, moment: datetime) -> bool:
        by_date, by_weekday = moment.day in self._days, moment.isoweekday() % 7 in self._weekdays
        return by_date and by_weekday if self._any_day else by_date or by_weekday


def _parse(field: str, low: int, high: int, name: str) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        try:
            start = low if span == "*" else int(first)
            end = high if span == "*" or (step and not last) else int(last or first)
            stride = int(step or 1)
        except ValueError:
            raise ValueError(f"{name}: {field!r}") from None
        if not low <= start <= end <= high or stride < 1:
            raise ValueError(f"{name}: {field!r}")
        values.update(range(start, end + 1, stride))
    return frozenset(values)
