import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.local.conftest import is_alive, wait_for

if TYPE_CHECKING:
    from tests.local.conftest import RunningCloud


def test_a_call_reaches_its_function_as_it_was_sent(cloud: "RunningCloud") -> None:
    target = "/v1/echo/a%2Fb//c/?q=%C3%A9+%00&empty="

    answer = cloud.call(target, "PUT", b"\x00\xff raw", {"X-Odd": "caf\xe9", "Accept-Encoding": "br"})

    assert answer.status == 200
    assert answer.json["method"] == "PUT"
    assert answer.json["uri"] == target
    assert answer.json["body"] == "\x00\xff raw"
    assert answer.json["headers"]["accept-encoding"] == "br"
    assert answer.json["headers"]["host"] == urlsplit(cloud.url).netloc
    assert "user-agent" not in answer.json["headers"]


def test_the_last_but_one_forwarded_address_is_the_clients_whatever_it_says(cloud: "RunningCloud") -> None:
    plain = cloud.call("/v1/echo").json["headers"]["x-forwarded-for"]
    forged = cloud.call("/v1/echo", headers={"X-Forwarded-For": "198.51.100.7, 192.0.2.1"}).json["headers"]

    assert plain == "127.0.0.1,127.0.0.1"
    assert forged["x-forwarded-for"] == "198.51.100.7, 192.0.2.1,127.0.0.1,127.0.0.1"


def test_a_trace_is_passed_on_and_made_where_there_is_none(cloud: "RunningCloud") -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    passed = cloud.call("/v1/echo", headers={"traceparent": parent}).json["headers"]
    made = cloud.call("/v1/echo").json["headers"]

    assert passed["traceparent"] == parent
    assert passed["x-cloud-trace-context"] == "4bf92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1"
    version, trace, span, flags = made["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert made["x-cloud-trace-context"].startswith(f"{trace}/")


def test_an_answer_comes_back_as_it_was_given(cloud: "RunningCloud") -> None:
    answer = cloud.call("/v1/echo/odd")

    assert answer.status == 418
    assert answer.body == b"\x1f\x8b not really gzip"
    assert answer.header("Content-Encoding") == "gzip"
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]


def test_a_redirection_is_the_callers_to_follow(cloud: "RunningCloud") -> None:
    answer = cloud.call("/v1/echo/elsewhere")

    assert (answer.status, answer.header("Location")) == (303, "http://127.0.0.1:9/nowhere")


def test_paths_of_nobody_and_of_jobs_are_not_found(cloud: "RunningCloud") -> None:
    for path in ("/v1/echoes", "/v1", "/jobs/worker/hourly", "/jobs", "//v1/echo", "/v1/Echo"):
        answer = cloud.call(path, "POST", b"{}")

        assert (path, answer.status) == (path, 404)
        assert answer.header("Content-Type") == "application/problem+json"
        assert answer.json == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "Nothing is served under this path.",
        }


def test_the_root_leads_to_the_page_that_says_what_runs_where(cloud: "RunningCloud") -> None:
    assert (cloud.call("/").status, cloud.call("/").header("Location")) == (302, "/_local/")

    page = cloud.call("/_local/")

    assert page.status == 200
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert b"Vitrine" in page.body


def test_a_function_has_its_time_and_then_the_caller_gets_504(cloud: "RunningCloud") -> None:
    answer = cloud.call("/v1/echo/sleep?s=4")

    assert answer.status == 504
    assert answer.header("Content-Type") == "application/problem+json"


def test_more_than_32_mib_is_refused_declared_or_not(cloud: "RunningCloud") -> None:
    limit = 32 * 1024 * 1024

    assert cloud.call("/v1/echo", "POST", b"x" * limit).json["size"] == limit
    assert cloud.call("/v1/echo", "POST", b"x" * (limit + 1)).status == 413
    assert _post_in_chunks(cloud.url, limit + 1).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /v1/echo/\xff HTTP/1.1",
        b"BREW /v1/echo HTTP/1.1",
        b"GET /v1/echo?" + b"a" * 40000 + b" HTTP/1.1",
        b"GET /v1/echo HTTP/1.1\r\nX A: b",
        b"GET /v1/echo HTTP/1.1\r\nX-A: a\x01b",
        b"POST /v1/echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ],
    ids=["byte", "method", "long", "name", "value", "smuggling"],
)
def test_what_is_no_http_is_a_problem_of_the_caller(cloud: "RunningCloud", request_head: bytes) -> None:
    answer = _send(cloud.url, request_head + b"\r\nHost: x\r\n\r\n")

    assert answer.split(b" ")[1] == b"400"
    assert b"Content-Type: application/problem+json\r\n" in answer


def test_who_asks_before_it_sends_is_told_to_go_on_or_that_it_is_too_much(cloud: "RunningCloud") -> None:
    head = b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: "

    good = _send(cloud.url, head + b"5\r\n\r\nhello")
    large = _send(cloud.url, head + b"99999999\r\n\r\n")

    assert good.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert large.startswith(b"HTTP/1.1 413 ")


def test_headers_of_one_connection_stay_there(cloud: "RunningCloud") -> None:
    sent = {"Connection": "X-Mine", "X-Mine": "1", "TE": "trailers", "Proxy-Authorization": "Basic x", "X-Yours": "2"}

    seen = cloud.call("/v1/echo", headers=sent).json["headers"]

    assert seen["x-yours"] == "2"
    assert {"x-mine", "te", "proxy-authorization"} & seen.keys() == set()


def _send(url: str, raw: bytes) -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(raw)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def _post_in_chunks(url: str, size: int) -> bytes:
    parts = urlsplit(url)
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 65536):
            connection.sendall(chunk)
        connection.sendall(b"1\r\nx\r\n0\r\n\r\n")
        return connection.recv(100)


def test_a_killed_function_is_back_for_the_next_call(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")
    before = cloud.processes()["echo"]
    os.killpg(before["pgid"], signal.SIGKILL)

    answer = cloud.call("/v1/echo", "POST", b"once")

    after = cloud.processes()["echo"]
    assert (answer.status, answer.json.get("body"), answer.body) == (200, "once", answer.body)
    assert after["pid"] != before["pid"]
    assert after["url"] == before["url"]
    assert after["restarts"] == before["restarts"] + 1


def test_a_killed_function_comes_back_without_being_called(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")
    before = cloud.processes()["echo"]["pid"]

    os.killpg(before, signal.SIGKILL)

    wait_for(lambda: cloud.processes()["echo"]["pid"] not in (None, before))
    assert cloud.call("/v1/echo").status == 200


def test_a_master_killed_alone_takes_its_worker_along(cloud: "RunningCloud") -> None:
    worker = cloud.call("/v1/echo").json["pid"]
    master = cloud.processes()["echo"]["pid"]
    assert worker != master

    os.kill(master, signal.SIGKILL)

    wait_for(lambda: not is_alive(worker))
    assert cloud.call("/v1/echo").status == 200


def test_a_function_that_dies_in_a_call_is_not_asked_twice(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")
    before = cloud.processes()["echo"]["restarts"]

    assert cloud.call("/v1/echo/die").status == 503
    assert cloud.call("/v1/echo").status == 200
    assert cloud.processes()["echo"]["restarts"] == before + 1


def test_first_calls_at_once_start_one_process(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")
    before = cloud.processes()["echo"]
    os.killpg(before["pgid"], signal.SIGKILL)
    answers: list[Any] = []

    threads = [threading.Thread(target=lambda: answers.append(cloud.call("/v1/echo"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status for answer in answers] == [200] * 8
    assert len({answer.json["pid"] for answer in answers}) == 1
    assert cloud.processes()["echo"]["restarts"] == before["restarts"] + 1


def test_a_function_that_does_not_start_gives_503_and_the_reason(cloud: "RunningCloud") -> None:
    cloud.call("/v1/echo")
    os.kill(cloud.processes()["echo"]["pid"], signal.SIGTERM)
    wait_for(lambda: cloud.processes()["echo"]["pid"] is None)

    (cloud.folder / "broken").touch()
    try:
        answer = cloud.call("/v1/echo")
    finally:
        (cloud.folder / "broken").unlink()

    assert answer.status == 503
    assert "broken on request" in answer.json["detail"]
    assert cloud.call("/v1/echo").status == 200


def test_a_function_sees_its_own_secrets_and_a_login_of_its_own_role(cloud: "RunningCloud") -> None:
    seen = cloud.call("/v1/echo").json["environment"]

    assert seen["VITRINE_DEPLOYMENT"] == "echo"
    assert seen["QUEUE_URL_ERRANDS"] == cloud.about["fronts"]["worker"]
    assert "TOKEN_KEYS" in seen
    assert "vitrine_local_echo" in seen["DATABASE_URL"]
    assert cloud.call("/v1/echo/database").json == {"user": "vitrine_local_echo"}
