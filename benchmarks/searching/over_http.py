"""The search function as the cloud starts it, asked over one kept connection."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.searching.questions import Question
from benchmarks.searching.shops import Shop
from benchmarks.searching.timing import Unanswered
from benchmarks.stage import Effort, Stage


class Storefront:
    """Asks one after another, each time for the whole answer."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, question: Question) -> object:
        """Raises Unanswered where the answer is anything but 200."""
        try:
            self._connection.request("GET", question.path)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the server has closed it: the next question opens another
            raise Unanswered from None
        if answer.status != 200:
            raise Unanswered
        return body

    def close(self) -> None:
        self._connection.close()


@contextmanager
def storefront(shop: Shop, folder: Path) -> Iterator[Storefront]:
    with Stage(folder, Effort()) as stage:
        login = shop.login(stage.table.deployment("search").database_role)
        with stage.function("search", database=login) as function:
            function.answer(b"GET /v1/health/search HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            asking = Storefront(function.port)
            yield asking
            asking.close()
