"""The gateway to Cloud Storage against the local server, and what IAM is asked to sign."""

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.auth import credentials as google_credentials
from google.cloud.storage._signing import generate_signed_url_v4
from google.oauth2 import service_account

from local.google.storage import write_account
from local.ports import find_free_port
from shared.gateways.signing import KeyFile, OwnAccount, sign_url
from shared.gateways.storage import Bucket
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.storage import ObjectGone, SignedUpload, StoredObject, unguessable_name
from tests.local.google_cloud import Server, status_of

AT = datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--public-bucket", "media", "--private-bucket", "uploads")
    server = Server("local.google.storage", tmp_path_factory.mktemp("storage"), None, *flags)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def uploads(server: Server) -> Iterator[Bucket]:
    yield from opened("uploads", server)


@pytest.fixture
def media(server: Server) -> Iterator[Bucket]:
    yield from opened("media", server)


def opened(name: str, server: Server) -> Iterator[Bucket]:
    signer = KeyFile(str(server.folder / "service-account.json"))
    bucket = Bucket(name, project="p", signer=signer, emulator_url=f"http://{server.address}")
    yield bucket
    bucket.close()


@pytest.fixture
def name() -> str:
    return unguessable_name("test")


def send(upload: SignedUpload, body: bytes, **other: str) -> tuple[int, str]:
    headers = {**upload.headers, **{name.replace("_", "-"): text for name, text in other.items()}}
    request = urllib.request.Request(upload.url, data=body, method=upload.method, headers=headers)
    status, _, answer = status_of(request)
    return status, answer.decode().partition("<Code>")[2].partition("</Code>")[0]


def sign(bucket: Bucket, name: str, server: Server) -> SignedUpload:
    at = datetime.fromtimestamp(server.clock.now(), UTC)
    return bucket.sign_upload(name, content_type="image/png", most_bytes=10, at=at, ttl_s=300)


def test_a_signed_upload_is_taken_once_and_then_it_is_there(server: Server, uploads: Bucket, name: str) -> None:
    upload = sign(uploads, name, server)

    assert uploads.find(name, within_s=5) is None
    assert send(upload, b"first") == (200, "")
    assert send(upload, b"second") == (412, "PreconditionFailed")
    found = uploads.find(name, within_s=5)

    assert found is not None
    assert found == StoredObject(name, found.generation, 5, "image/png")
    assert uploads.read(name, generation=found.generation, within_s=5) == b"first"


def test_of_many_that_send_at_once_one_is_heard(server: Server, uploads: Bucket, name: str) -> None:
    upload = sign(uploads, name, server)
    together, answers = threading.Barrier(4), list[tuple[int, str]]()

    def run(body: bytes) -> None:
        together.wait()
        answers.append(send(upload, body))

    threads = [threading.Thread(target=run, args=(b"%d" % number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [(200, ""), *[(412, "PreconditionFailed")] * 3]


@pytest.mark.parametrize(
    ("body", "other", "refused"),
    [
        (b"x" * 11, {}, (400, "EntityTooLarge")),
        (b"", {}, (400, "EntityTooSmall")),
        (b"x", {"content_type": "text/html"}, (403, "SignatureDoesNotMatch")),
        (b"x", {"x_goog_content_length_range": "1,9999"}, (403, "SignatureDoesNotMatch")),
        (b"x", {"x_goog_if_generation_match": "1"}, (403, "SignatureDoesNotMatch")),
        (b"x", {"x_goog_acl": "public-read"}, (403, "AccessDenied")),
    ],
)
def test_what_was_not_signed_is_refused(
    server: Server, uploads: Bucket, name: str, body: bytes, other: dict[str, str], refused: tuple[int, str]
) -> None:
    assert send(sign(uploads, name, server), body, **{k.title(): v for k, v in other.items()}) == refused
    assert uploads.find(name, within_s=5) is None


def test_a_browser_is_told_that_it_may_send(server: Server, uploads: Bucket, name: str) -> None:
    upload = sign(uploads, name, server)
    asked = {
        "Origin": "http://127.0.0.1:8080",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-goog-content-length-range,x-goog-if-generation-match",
    }

    status, headers, _ = status_of(urllib.request.Request(upload.url, method="OPTIONS", headers=asked))

    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    assert {each.strip().lower() for each in headers["Access-Control-Allow-Headers"].split(",")} >= {
        "content-type",
        "x-goog-content-length-range",
        "x-goog-if-generation-match",
    }


def test_an_object_is_read_in_parts_and_never_another_generation(server: Server, uploads: Bucket, name: str) -> None:
    assert send(sign(uploads, name, server), b"0123456789") == (200, "")
    found = uploads.find(name, within_s=5)
    assert found is not None

    def read(**limits: Any) -> bytes:
        return uploads.read(name, generation=found.generation, within_s=5, **limits)

    assert (read(start=2, most_bytes=3), read(start=8, most_bytes=9), read(start=10, most_bytes=1)) == (
        b"234",
        b"89",
        b"",
    )
    uploads.delete(name, within_s=5)
    assert send(sign(uploads, name, server), b"another") == (200, "")
    with pytest.raises(ObjectGone):
        read()
    uploads.delete(name, within_s=5)
    uploads.delete(name, within_s=5)
    with pytest.raises(ObjectGone):
        read()


def test_a_public_object_is_written_once_and_says_how_long_it_may_be_kept(
    server: Server, media: Bucket, name: str
) -> None:
    def write(content: bytes) -> bool:
        return media.write(
            name,
            content,
            content_type="image/webp",
            cache_control="public, max-age=31536000, immutable",
            within_s=5,
        )

    assert [write(b"picture"), write(b"other")] == [True, False]
    status, headers, body = status_of(urllib.request.Request(f"http://{server.address}/media/{name}"))
    assert (status, body, headers["Content-Type"]) == (200, b"picture", "image/webp")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_storage_that_is_away_is_unavailable() -> None:
    bucket = Bucket("b", project="p", signer=KeyFile("/none"), emulator_url=f"http://127.0.0.1:{find_free_port()}")

    for ask in (
        lambda: bucket.find("x", within_s=0.2),
        lambda: bucket.read("x", generation=1, within_s=0.2),
        lambda: bucket.write("x", b"x", content_type="a/b", cache_control="", within_s=0.2),
        lambda: bucket.delete("x", within_s=0.2),
    ):
        with pytest.raises(Unavailable):
            ask()
    bucket.close()


def test_a_url_is_signed_to_the_byte_as_googles_own_client_does(tmp_path: Path) -> None:
    write_account(tmp_path)
    file = tmp_path / "service-account.json"
    account = service_account.Credentials.from_service_account_file(file)  # type: ignore[no-untyped-call] # google-auth types no such functions
    headers = {"Content-Type": "image/png", "x-goog-content-length-range": "1,10", "X-Goog-If-Generation-Match": " 0 "}

    ours = sign_url(
        KeyFile(str(file)),
        method="PUT",
        base_url="https://storage.googleapis.com",
        path="/b/näme of/~it.png",
        headers=headers,
        at=AT,
        ttl_s=300,
        within_s=1,
    )

    theirs = generate_signed_url_v4(
        account,
        resource="/b/n%C3%A4me%20of/~it.png",
        expiration=300,
        api_access_endpoint="https://storage.googleapis.com",
        method="PUT",
        headers=headers,
        _request_timestamp="20260301T235958Z",
    )
    assert ours == theirs


class Iam:
    """Signs what comes; `statuses` first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.statuses: list[int] = []
        iam = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                iam.asked.append((self.path, self.headers["Authorization"], base64.b64decode(body["payload"])))
                content = json.dumps({"signedBlob": base64.b64encode(b"\x01\xff").decode()}).encode()
                self.send_response(iam.statuses.pop(0) if iam.statuses else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def iam() -> Iterator[Iam]:
    made = Iam()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Machine(google_credentials.Credentials):
    """The account of a machine: it knows its name once it has a token."""

    service_account_email = "default"

    def refresh(self, request: Any) -> None:
        self.token = "token-1"
        self.service_account_email = "vitrine-inventory@p.iam.gserviceaccount.com"


def machine() -> Machine:
    return Machine()  # type: ignore[no-untyped-call] # google-auth types no such functions


def test_a_function_signs_as_its_own_account_and_has_no_key(iam: Iam) -> None:
    account = OwnAccount(iam_url=iam.url, account=machine)

    url = sign_url(
        account, method="PUT", base_url="https://s.example", path="/b/o", headers={}, at=AT, ttl_s=60, within_s=5
    )
    account.close()

    ((path, authorization, text),) = iam.asked
    assert path == "/v1/projects/-/serviceAccounts/vitrine-inventory@p.iam.gserviceaccount.com:signBlob"
    assert authorization == "Bearer token-1"
    assert text.decode().split("\n")[:3] == [
        "GOOG4-RSA-SHA256",
        "20260301T235958Z",
        "20260301/auto/storage/goog4_request",
    ]
    assert "X-Goog-Credential=vitrine-inventory%40p.iam.gserviceaccount.com%2F20260301%2Fauto%2Fstorage" in url
    assert url.endswith("&X-Goog-Signature=01ff")


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (429, Unavailable), (403, Declined)])
def test_an_iam_that_does_not_sign_is_told_apart_from_one_that_will_not(
    iam: Iam, status: int, error: type[Exception]
) -> None:
    account = OwnAccount(iam_url=iam.url, account=machine)
    iam.statuses = [status]

    with pytest.raises(error):
        account.sign(b"text", within_s=5)
    account.close()
