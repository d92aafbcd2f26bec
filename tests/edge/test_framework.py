"""The edge inside functions-framework, in this process and as gunicorn serves it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import functions_framework
import pytest
from flask.testing import FlaskClient

ROOT = Path(__file__).resolve().parent.parent.parent
TOY = Path(__file__).parent / "toy" / "main.py"


@pytest.fixture
def client() -> FlaskClient:
    app = functions_framework.create_app("toy", str(TOY), "http")  # type: ignore[no-untyped-call]
    client: FlaskClient = app.test_client()
    return client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/robots.txt", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "http://localhost//v1/words/x", 404),
        ("GET", "http://localhost", 404),
        ("GET", "/v1//words/x", 404),
        ("GET", "/", 404),
        ("GET", "/v1/crash", 500),
        ("DELETE", "/v1/echo", 405),
        ("GET", "/v1/words/%00", 400),
    ],
)
def test_the_framework_says_no_word_of_html_either(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)

    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert b"<" not in response.data
    assert b"secret" not in response.data


def test_the_framework_passes_calls_on(client: FlaskClient) -> None:
    assert client.post("/v1/echo", json={"word": "hello"}).get_json() == {"word": "hello"}
    assert client.get("/v1/words/%C3%A9t%C3%A9").get_json() == {"word": "été"}
    assert client.head("/v1/words/x").status_code == 200


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The toy as the cloud runs it: functions-framework's own gunicorn."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "functions_framework",
        "--target",
        "toy",
        "--source",
        str(TOY),
        "--port",
        str(port),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "THREADS": "2"}
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "functions-framework ended"
                assert time.monotonic() < until, "functions-framework did not answer"
                time.sleep(0.05)  # until the port is open
        yield port
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def exchange(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str | None, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/words/%ff", 400),
        ("/v1/words/%00", 400),
        ("//v1/words/x", 404),
        ("//v1//words", 404),
        ("/v1/words/x?q=%ff", 400),
        ("/robots.txt", 404),
    ],
)
def test_unreadable_addresses_are_refused_on_the_wire(port: int, path: str, status: int) -> None:
    assert exchange(port, "GET", path)[:2] == (status, "application/problem+json")


def test_a_body_of_20_megabytes_is_refused_politely(port: int) -> None:
    status, content_type, _ = exchange(port, "POST", "/v1/echo", b"x" * 20_000_000, Content_Type="application/json")

    assert (status, content_type) == (413, "application/problem+json")


def test_a_chunked_body_is_read_and_limited_too(port: int) -> None:
    def chunks(total: int) -> Iterator[bytes]:
        yield b'{"word": "'
        for _ in range(total // 1000):
            yield b"x" * 1000
        yield b'"}'

    def post(total: int) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(
                "POST", "/v1/echo", chunks(total), {"Content-Type": "application/json"}, encode_chunked=True
            )
            return connection.getresponse().status
        finally:
            connection.close()

    assert post(5_000) == 200
    assert post(2_000_000) == 413


def test_head_and_health_are_answered_on_the_wire(port: int) -> None:
    assert exchange(port, "HEAD", "/v1/words/x") == (200, "application/json", b"")
    assert exchange(port, "GET", "/v1/health/toy") == (200, "application/json", b'{"status":"ok"}')
