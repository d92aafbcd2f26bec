"""A function as small as it can be, to see what functions-framework makes of the edge."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import Body, View
from shared.edge.services import Services
from shared.settings import PlatformSettings

PLATFORM = PlatformSettings("toy", "local", "vitrine-local", 60, "http://127.0.0.1:8080", "")


class Echo(Body, frozen=True):
    word: str


class EchoView(View, frozen=True):
    word: str


api = Api("toy", services=Services(platform=lambda: PLATFORM, ping=lambda: None))


@api.post("/v1/echo", body=Echo, answers={200: EchoView}, idempotent=False)
def echo(call: Call[Echo]) -> Reply:
    """Say it again."""
    return Reply(200, EchoView(word=call.body.word))


@api.get("/v1/words/<word>", answers={200: EchoView})
def word(call: Call[None]) -> Reply:
    """A word from the path."""
    return Reply(200, EchoView(word=call.path["word"]))


@api.get("/v1/crash", answers={204: None})
def crash(call: Call[None]) -> Reply:
    """Fail in a way that nobody foresaw."""
    raise RuntimeError("the secret text")


def toy(request: Request) -> Response:
    return api.serve(request)
