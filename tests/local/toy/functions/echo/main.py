"""Says what it was sent, and misbehaves on request."""

import os
import time
from typing import Any

import flask

if os.path.exists(os.path.join(os.environ["HOME"], "broken")):
    raise RuntimeError("broken on request")

api = flask.Flask(__name__)


@api.route("/v1/echo", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
@api.route("/v1/echo/<path:rest>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
def say(rest: str) -> Any:
    request = flask.request
    return {
        "pid": os.getpid(),
        "method": request.method,
        "uri": request.environ["RAW_URI"],
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "size": len(request.get_data()),
        "body": request.get_data()[:200].decode("latin-1"),
        "time": time.time(),
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("VITRINE", "QUEUE", "DATABASE", "TOKEN"))
        },
    }


@api.route("/v1/echo/sleep")
def sleep() -> Any:
    time.sleep(float(flask.request.args["s"]))
    return {"slept": True}


@api.route("/v1/echo/database")
def database() -> Any:
    from urllib.parse import urlsplit

    import pg8000.native

    url = urlsplit(os.environ["DATABASE_URL"])
    connection = pg8000.native.Connection(
        url.username,
        host=url.hostname,
        port=url.port,
        password=url.password,
        database=url.path[1:],
        ssl_context=False,
    )
    try:
        return {"user": connection.run("select current_user")[0][0]}
    finally:
        connection.close()


@api.route("/v1/echo/odd")
def odd() -> Any:
    answer = flask.Response(b"\x1f\x8b not really gzip", status=418)
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


@api.route("/v1/echo/elsewhere")
def elsewhere() -> Any:
    return flask.redirect("http://127.0.0.1:9/nowhere", 303)


@api.route("/v1/echo/die")
def die() -> Any:
    os.killpg(os.getpgid(0), 9)


def echo(request: flask.Request) -> flask.Flask:
    return api
