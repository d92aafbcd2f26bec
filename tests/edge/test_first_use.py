import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.kernel.first_use import first_use


def test_sixteen_requests_at_once_make_one_pool() -> None:
    made: list[int] = []
    start = threading.Barrier(16)
    inside = threading.Event()

    @first_use
    def settings() -> str:
        return "settings"

    @first_use
    def pool() -> object:
        made.append(1)
        inside.wait(0.2)  # give every other thread the time to come in as well
        assert settings() == "settings"
        return object()

    def ask(_: int) -> object:
        start.wait(10)
        return pool()

    with ThreadPoolExecutor(16) as threads:
        pools = list(threads.map(ask, range(16)))

    assert len(made) == 1
    assert len({id(each) for each in pools}) == 1


def test_what_failed_is_tried_again() -> None:
    attempts: list[int] = []

    @first_use
    def database() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("DATABASE_URL is missing")
        return "database"

    with pytest.raises(ValueError, match="DATABASE_URL is missing"):
        database()

    assert database() == database() == "database"
    assert len(attempts) == 2
