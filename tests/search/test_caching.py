"""What a browser and a CDN may keep of the catalogue, and how they ask whether it is still so (RFC 9110, 9111)."""

import hashlib

import pytest
from flask.testing import FlaskClient

from local.database import Address

# Path, and how long its answer may be kept.
KEPT_FOR_S = {
    "/v1/products": 10,
    "/v1/products?q=lamp": 10,
    "/v1/products/plain-tee": 10,
    "/v1/suggestions?q=la": 10,
    "/v1/facets": 10,
    "/v1/categories/home": 10,
    "/v1/categories": 60,
}
every_answer = pytest.mark.parametrize("path", KEPT_FOR_S)


@every_answer
def test_an_answer_says_how_long_everybody_may_keep_it_and_by_what_it_is_known(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.headers["ETag"] == f'W/"{hashlib.sha256(answer.data).hexdigest()[:20]}"'
    assert answer.headers["Cache-Control"] == f"public, max-age={KEPT_FOR_S[path]}"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    # It is the same for all: with a cookie of its own or another Vary than Accept-Encoding Cloud CDN would not keep it.
    assert [name for name in ("Vary", "Set-Cookie", "Expires", "Pragma") if name in answer.headers] == []


@every_answer
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asking", ["{tag}", "{strong}", '"other", {tag}', '"a,b" , {tag} ,"c"', "*"])
def test_what_a_caller_has_is_not_sent_again(client: FlaskClient, path: str, method: str, asking: str) -> None:
    first = client.get(path)
    tag = first.headers["ETag"]
    asked = asking.format(tag=tag, strong=tag.removeprefix("W/"))

    again = client.open(path, method=method, headers={"If-None-Match": asked})

    assert (again.status_code, again.data) == (304, b"")
    assert {name: again.headers.get(name) for name in ("ETag", "Cache-Control", "Content-Type")} == {
        "ETag": tag,
        "Cache-Control": first.headers["Cache-Control"],
        "Content-Type": None,
    }


@pytest.mark.parametrize("asked", ['W/"of another page"', '"a,*,b"', '"', "W/", "", '""', "\xe9", "x" * 8000])
def test_another_tag_is_not_this_one(client: FlaskClient, asked: str) -> None:
    first = client.get("/v1/products/plain-tee")

    answer = client.get("/v1/products/plain-tee", headers={"If-None-Match": asked})

    assert (answer.status_code, answer.data) == (200, first.data)


@every_answer
def test_head_says_all_that_get_says_but_the_content(client: FlaskClient, path: str) -> None:
    got, head = client.get(path), client.head(path)

    assert (head.status_code, head.data) == (200, b"")
    assert dict(head.headers) == dict(got.headers)


def test_what_has_changed_is_sent_again_under_another_tag(client: FlaskClient, catalogue_database: Address) -> None:
    first = client.get("/v1/products/plain-tee")
    connection = catalogue_database.connect()
    try:
        connection.run("update variants set price_minor = 1699 where sku = 'TEE-M'")

        answer = client.get("/v1/products/plain-tee", headers={"If-None-Match": first.headers["ETag"]})
    finally:
        connection.run("update variants set price_minor = 1700 where sku = 'TEE-M'")
        connection.close()

    assert (answer.status_code, answer.get_json()["price"]["amount_minor"]) == (200, 1699)
    assert answer.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/products/no-such-product", 404), ("/v1/products?limit=0", 400), ("/v1/nothing", 404)]
)
def test_a_refusal_is_kept_by_nobody(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path, headers={"If-None-Match": "*"})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store")
    assert "ETag" not in answer.headers
