"""Cloud Storage on one laptop: the real client, what a signed URL allows, and every refusal."""

import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import Any
from uuid import uuid4

import google.cloud.storage as storage
import pytest
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from local.google.storage import write_account
from tests.local.google_cloud import Server, status_of


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--public-bucket", "media", "--private-bucket", "papers")
    server = Server("local.google.storage", tmp_path_factory.mktemp("storage"), None, *flags)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running: Server) -> Server:
    return running


@pytest.fixture
def client(server: Server) -> Iterator[storage.Client]:
    client = make_client(server)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    return f"pictures/lämp {uuid4().hex}.txt"


def make_client(server: Server) -> storage.Client:
    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call] # google-auth types no functions without arguments
    options = {"api_endpoint": f"http://{server.address}"}
    return storage.Client(project="p", credentials=nobody, client_options=options)


def read_account(folder: Path) -> service_account.Credentials:
    file = folder / "service-account.json"
    read = service_account.Credentials.from_service_account_file
    account: service_account.Credentials = read(file)  # type: ignore[no-untyped-call] # as above
    return account


class Signing:
    """URLs as a function makes them, with the client's own code and the key of the state folder."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.credentials = read_account(server.folder)

    def url(self, name: str, *, method: str, bucket: str = "media", **more: Any) -> str:
        client = make_client(self._server)
        url: str = (
            client.bucket(bucket)
            .blob(name)
            .generate_signed_url(
                version="v4",
                method=method,
                credentials=more.pop("credentials", self.credentials),
                api_access_endpoint=f"http://{self._server.address}",
                expiration=more.pop("expiration", timedelta(minutes=15)),
                **more,
            )
        )
        client.close()
        return url


@pytest.fixture
def signing(server: Server) -> Signing:
    return Signing(server)


def ask(
    url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Message, bytes]:
    return status_of(urllib.request.Request(url, data=body, method=method, headers=dict(headers or {})))


def refusal(url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None) -> str:
    """Status and code of what must not go through."""
    status, _, answer = ask(url, method, body, headers)
    assert status >= 400
    return f"{status} {answer.decode().partition('<Code>')[2].partition('</Code>')[0]}"


def keep(client: storage.Client, name: str, content: bytes = b"old", bucket: str = "media") -> storage.Blob:
    blob = client.bucket(bucket).blob(name)
    blob.upload_from_string(content, content_type="text/plain")
    return blob


# --- what goes through


def test_the_real_client_uploads_reads_lists_and_deletes(client: storage.Client, name: str) -> None:
    blob = keep(client, name, b"hello")

    assert blob.download_as_bytes() == b"hello"
    assert [each.name for each in client.list_blobs("media", prefix=name)] == [name]
    assert client.bucket("media").get_blob(name).content_type == "text/plain"
    blob.delete()
    assert client.bucket("media").get_blob(name) is None


def test_an_upload_in_parts_arrives_whole(client: storage.Client, name: str) -> None:
    blob = client.bucket("papers").blob(name, chunk_size=256 * 1024)
    content = bytes(range(256)) * 3000

    with blob.open("wb") as file:
        file.write(content)

    assert client.bucket("papers").blob(name).download_as_bytes() == content


def test_everyone_reads_objects_of_a_public_bucket_and_may_cache_them(
    server: Server, client: storage.Client, name: str
) -> None:
    blob = keep(client, name, b"picture")

    status, headers, body = ask(blob.public_url)

    assert blob.public_url.startswith(f"http://{server.address}/media/pictures/")
    assert (status, body, headers["Content-Type"]) == (200, b"picture", "text/plain")
    assert headers["Cache-Control"] == "public, max-age=3600"


def test_an_objects_own_cache_control_counts(client: storage.Client, name: str) -> None:
    blob = client.bucket("media").blob(name)
    blob.cache_control = "public, max-age=31536000, immutable"
    blob.upload_from_string(b"picture")

    assert ask(blob.public_url)[1]["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_signed_put_writes_and_a_signed_get_reads(client: storage.Client, signing: Signing, name: str) -> None:
    put = signing.url(
        name,
        method="PUT",
        bucket="papers",
        content_type="text/plain",
        headers={"x-goog-content-length-range": "1,10", "Cache-Control": "private"},
    )
    headers = {"Content-Type": "text/plain", "x-goog-content-length-range": "1,10", "Cache-Control": "private"}

    written = ask(put, "PUT", b"hello", headers)
    status, answer, body = ask(signing.url(name, method="GET", bucket="papers"))

    assert written[0] == 200
    assert (status, body, answer["Content-Type"], answer["Cache-Control"]) == (200, b"hello", "text/plain", "private")


def test_objects_survive_a_kill(server: Server, client: storage.Client, signing: Signing, name: str) -> None:
    keep(client, name, b"kept", bucket="papers")
    url = signing.url(name, method="GET", bucket="papers")

    server.kill()
    server.start()

    status, headers, body = ask(url)
    assert (status, body, headers["Content-Type"]) == (200, b"kept", "text/plain")


# --- what does not


def test_a_private_object_is_not_read_without_a_signature(server: Server, client: storage.Client, name: str) -> None:
    blob = keep(client, name, bucket="papers")

    assert refusal(blob.public_url) == "403 AccessDenied"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_written_without_a_signature(client: storage.Client, name: str, method: str) -> None:
    blob = keep(client, name)

    assert refusal(blob.public_url, method, b"new") == "403 AccessDenied"
    assert blob.download_as_bytes() == b"old"


@pytest.mark.parametrize("path", ["/", "/media", "/media/", "/_internal/reseed"])
def test_buckets_are_not_listed_and_nothing_else_is_served(server: Server, path: str) -> None:
    assert refusal(f"http://{server.address}{path}") == "403 AccessDenied"


def test_a_signature_that_was_changed_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT")
    last = "0" if url[-1] != "0" else "1"

    assert refusal(url[:-1] + last, "PUT", b"new") == "403 SignatureDoesNotMatch"
    assert refusal(url[:-1] + "x", "PUT", b"new") == "403 SignatureDoesNotMatch"


def test_a_signature_for_another_object_is_refused(client: storage.Client, signing: Signing, name: str) -> None:
    blob = keep(client, name)
    url = signing.url("other.txt", method="PUT")

    changed = f"{blob.public_url}?{url.partition('?')[2]}"

    assert refusal(changed, "PUT", b"new") == "403 SignatureDoesNotMatch"
    assert blob.download_as_bytes() == b"old"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_a_signature_for_another_method_is_refused(
    client: storage.Client, signing: Signing, name: str, method: str
) -> None:
    blob = keep(client, name)

    assert refusal(signing.url(name, method="GET"), method).startswith("403")
    assert blob.download_as_bytes() == b"old"


def test_a_signature_of_another_key_is_refused(signing: Signing, name: str, tmp_path: Path) -> None:
    write_account(tmp_path)
    foreign = read_account(tmp_path)

    assert foreign.service_account_email == signing.credentials.service_account_email
    assert refusal(signing.url(name, method="PUT", credentials=foreign), "PUT", b"x") == "403 SignatureDoesNotMatch"


def test_another_account_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT").replace("storage%40", "somebody%40")

    assert refusal(url, "PUT", b"x") == "403 AccessDenied"


def test_an_expired_url_is_refused_by_the_clock(
    server: Server, client: storage.Client, signing: Signing, name: str
) -> None:
    blob = keep(client, name)
    url = signing.url(name, method="GET", expiration=timedelta(minutes=5))
    before = ask(url)[0]

    server.clock.advance(301)

    assert (before, refusal(url)) == (200, "400 ExpiredToken")
    assert blob.download_as_bytes() == b"old"


def test_a_longer_life_than_was_signed_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT", expiration=timedelta(minutes=5))

    assert refusal(url.replace("X-Goog-Expires=300", "X-Goog-Expires=3000"), "PUT", b"x") == "403 SignatureDoesNotMatch"


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "soon"])
def test_a_life_outside_the_limits_is_refused(signing: Signing, name: str, expires: str) -> None:
    url = signing.url(name, method="PUT", expiration=timedelta(minutes=5))

    changed = url.replace("X-Goog-Expires=300", f"X-Goog-Expires={expires}")

    assert refusal(changed, "PUT", b"x") == "400 AuthorizationQueryParametersError"


def test_a_url_signed_in_the_future_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT")
    date = url.partition("X-Goog-Date=")[2][:8]

    assert refusal(url.replace(date, f"{int(date[:4]) + 1}{date[4:]}"), "PUT", b"x") == "403 RequestTimeTooSkewed"


@pytest.mark.parametrize("parameter", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_url_without_one_of_its_parameters_is_refused(signing: Signing, name: str, parameter: str) -> None:
    path, _, query = signing.url(name, method="GET").partition("?")

    rest = "&".join(part for part in query.split("&") if not part.startswith(f"X-Goog-{parameter}="))

    assert refusal(f"{path}?{rest}") == "400 AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("GOOG4-RSA-SHA256", "GOOG4-HMAC-SHA256"),
        ("goog4_request", "aws4_request"),
        ("%2Fstorage%2F", "%2Fpubsub%2F"),
        ("SignedHeaders=host", "SignedHeaders=date"),
        ("Date=2", "Date=x"),
    ],
)
def test_a_url_of_another_form_is_refused(signing: Signing, name: str, part: str, other: str) -> None:
    url = signing.url(name, method="GET")

    assert part in url
    assert refusal(url.replace(part, other)) == "400 AuthorizationQueryParametersError"


def test_another_content_type_than_the_signed_one_is_refused(
    client: storage.Client, signing: Signing, name: str
) -> None:
    url = signing.url(name, method="PUT", content_type="image/png")

    assert refusal(url, "PUT", b"<script>", {"Content-Type": "text/html"}) == "403 SignatureDoesNotMatch"
    assert refusal(url, "PUT", b"<script>", {"Content-Type": ""}) == "403 SignatureDoesNotMatch"
    assert client.bucket("media").get_blob(name) is None


@pytest.mark.parametrize(
    ("body", "code"), [(b"x" * 11, "400 EntityTooLarge"), (b"x", "400 EntityTooSmall"), (b"", "400 EntityTooSmall")]
)
def test_a_body_outside_the_signed_range_is_refused(
    client: storage.Client, signing: Signing, name: str, body: bytes, code: str
) -> None:
    ranged = {"x-goog-content-length-range": "2,10"}
    url = signing.url(name, method="PUT", headers=ranged)

    assert refusal(url, "PUT", body, ranged) == code
    assert client.bucket("media").get_blob(name) is None


def test_a_body_without_a_length_is_refused_where_a_range_was_signed(signing: Signing, name: str) -> None:
    ranged = {"x-goog-content-length-range": "2,10"}
    url = signing.url(name, method="PUT", headers=ranged)
    request = urllib.request.Request(url, data=iter([b"hello"]), method="PUT", headers=ranged)

    status, _, body = status_of(request)

    assert (status, b"MissingContentLength" in body) == (411, True)


def test_another_range_than_the_signed_one_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT", headers={"x-goog-content-length-range": "2,10"})

    assert refusal(url, "PUT", b"x" * 99, {"x-goog-content-length-range": "2,100"}) == "403 SignatureDoesNotMatch"
    assert refusal(url, "PUT", b"x" * 99) == "403 SignatureDoesNotMatch"


@pytest.mark.parametrize("wanted", ["10,2", "a,b", "5"])
def test_a_range_that_is_none_is_refused(signing: Signing, name: str, wanted: str) -> None:
    url = signing.url(name, method="PUT", headers={"x-goog-content-length-range": wanted})

    assert refusal(url, "PUT", b"hello", {"x-goog-content-length-range": wanted}) == "400 InvalidArgument"


def test_a_google_header_that_was_not_signed_is_refused(signing: Signing, name: str) -> None:
    url = signing.url(name, method="PUT")

    assert refusal(url, "PUT", b"hello", {"x-goog-meta-owner": "me"}) == "403 AccessDenied"
