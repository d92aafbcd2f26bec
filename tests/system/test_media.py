"""A picture from the back office to the shopper, over HTTP, with nothing but what the answers say."""

import http.client
import io
import struct
import zlib
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from PIL import Image

from tests.system.cloud import Answer, Cloud

PROBLEMS = "https://vitrine.example/problems/"


def photo(width: int, height: int) -> bytes:
    """A PNG that stands on its side by its EXIF, and says where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0110] = "SECRET-CAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(file, "PNG", exif=exif)
    return file.getvalue()


def bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(60_000), 9)) + chunk(b"IEND", b"")


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def send(upload: Any, body: bytes, **headers: str) -> tuple[int, str]:
    answer = ask(upload["url"], upload["method"], body, {**upload["headers"], **headers})
    return answer.status, answer.raw.decode().partition("<Code>")[2].partition("</Code>")[0]


def test_staff_send_a_picture_and_shoppers_see_it(cloud: Cloud) -> None:
    staff, sku, content = cloud.staff(), cloud.make_stock("SHOE", 3), photo(800, 1500)
    cloud.settle()

    def call(method: str, path: str, body: Any = None) -> Answer:
        return cloud.patiently(method, path, body, headers=staff)

    def announce(content: bytes, **more: Any) -> Any:
        answer = call("POST", "/v1/admin/media", {"content_type": "image/png", "bytes": len(content), **more})
        assert answer.status == 201, answer.raw.decode()
        return answer.json

    [product] = call("GET", f"/v1/admin/products?sku={sku}").json["items"]
    media = announce(content, product_id=product["id"], filename="shoe.png")
    upload = media["upload"]
    last = "0" if upload["url"][-1] != "0" else "1"

    # Refused before a byte is kept: a changed signature, another type, another length; and what was not sent at all.
    assert send(upload | {"url": upload["url"][:-1] + last}, content) == (403, "SignatureDoesNotMatch")
    assert send(upload, content, **{"Content-Type": "text/html"}) == (403, "SignatureDoesNotMatch")
    assert send(upload, content + b"x") == (400, "EntityTooLarge")
    assert call("POST", f"/v1/admin/media/{media['id']}/finish").status == 409
    # A private object: nobody reads what was sent, with the address to send to or without.
    assert send(upload, content) == (200, "")
    assert send(upload, content) == (412, "PreconditionFailed")
    assert ask(upload["url"]).status == 403
    assert ask(upload["url"].partition("?")[0]).status == 403

    assert call("POST", f"/v1/admin/media/{media['id']}/finish").json["state"] == "processing"
    others = {name: announce(body) for name, body in (("text", b"not a picture"), ("bomb", bomb()))}
    for name, body in (("text", b"not a picture"), ("bomb", bomb())):
        assert send(others[name]["upload"], body) == (200, "")
        assert call("POST", f"/v1/admin/media/{others[name]['id']}/finish").status == 202
    cloud.settle()

    ready = call("GET", f"/v1/admin/media/{media['id']}").json
    assert (ready["state"], ready["attached"], ready["width"], ready["height"]) == ("ready", True, 1500, 800)
    assert list(ready["urls"]) == ["320", "640", "1280"]
    for width, url in ready["urls"].items():
        picture = ask(url)
        made = Image.open(io.BytesIO(picture.raw))
        assert (picture.status, picture.headers["content-type"], made.format) == (200, "image/webp", "WEBP")
        assert picture.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert made.size == (int(width), round(int(width) * 800 / 1500))
        assert dict(made.getexif()) == {}
        assert b"SECRET" not in picture.raw
    page = cloud.call("GET", f"/v1/products/{product['slug']}").json
    assert (page["image_url"], page["images"]) == (ready["image_url"], [ready["image_url"]])
    [listed] = cloud.call("GET", f"/v1/products?q={sku}").json["items"]
    assert listed["image_url"] == ready["image_url"]
    log = call("GET", f"/v1/admin/audit-log?subject=product:{product['id']}").json["items"]
    assert log[0]["action"] == "product.changed"

    refused = {name: call("GET", f"/v1/admin/media/{each['id']}").json for name, each in others.items()}
    assert {name: (each["state"], each["reason"]) for name, each in refused.items()} == {
        "text": ("refused", "not_a_picture"),
        "bomb": ("refused", "too_many_pixels"),
    }
    too_long = {"content_type": "image/png", "bytes": 99_000_000}
    wrong = {"content_type": "image/svg+xml", "bytes": 10}
    for refusable in (too_long, wrong, {"content_type": "image/png", "bytes": 1, "product_id": str(uuid4())}):
        answer = call("POST", "/v1/admin/media", refusable)
        assert (answer.status, answer.json["type"]) == (422, f"{PROBLEMS}invalid")
