"""A picture's way from the back office to a product, and everything that may befall it on the way."""

import threading
import urllib.request
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.kernel.errors import Unavailable
from shared.kernel.storage import StoredObject
from shared.media.media import LEASE, MOST_ATTEMPTS, MOST_BYTES, Rendered, with_picture
from tests.local.google_cloud import Server, status_of
from tests.media.conftest import MEDIA_URL, Studio, png
from tests.support.conftest import problem_of


def path_of(media: Any) -> str:
    """Its largest picture as a product keeps it."""
    return str(media["image_url"]).removeprefix(f"{MEDIA_URL}/")


def test_a_picture_is_announced_sent_finished_and_shown_by_its_product(studio: Studio, storage: Server) -> None:
    product, content = studio.product(), png(width=700)

    media = studio.announce(content, product_id=product["id"], filename="shoe.png")
    assert (media["state"], media["upload"]["method"], media["image_url"], media["urls"]) == (
        "waiting",
        "PUT",
        None,
        {},
    )
    assert media["upload"]["headers"] == {
        "Content-Type": "image/png",
        "x-goog-content-length-range": f"{len(content)},{len(content)}",
        "x-goog-if-generation-match": "0",
    }
    assert studio.send(media, content) == 200
    assert (studio.finish(media)["state"], studio.finish(media)["state"]) == ("processing", "processing")
    assert (studio.tasks(media), studio.told(product)) == (1, 1)  # the import's
    ready = studio.process(media)

    assert (ready["state"], ready["attached"], ready["width"], ready["height"]) == ("ready", True, 700, 350)
    assert list(ready["urls"]) == ["320", "640", "700"]
    assert ready["image_url"] == ready["urls"]["700"]
    assert "upload" not in ready
    after = studio.look(product)
    assert (after["image_urls"], after["version"]) == ([path_of(ready)], product["version"] + 1)
    assert studio.told(product) == 2
    [entry] = studio.ask(
        "select actor, action, detail from audit_log where subject = :subject::text",
        subject=f"product:{product['id']}",
    )
    assert (entry["actor"], entry["action"]) == (studio.desk.actor, "product.changed")
    assert entry["detail"] == {"image_urls": {"was": [], "now": [path_of(ready)]}, "media_id": media["id"]}
    assert studio.raw(media) is None
    for width in (320, 640, 700):
        url = ready["urls"][str(width)].replace(MEDIA_URL, f"http://{storage.address}/media")
        status, headers, _ = status_of(urllib.request.Request(url))
        assert (status, headers["Content-Type"]) == (200, "image/webp")
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert studio.process(media) == ready
    assert studio.look(product)["version"] == product["version"] + 1


def test_the_address_to_send_to_is_in_the_answer_each_time_and_kept_nowhere(studio: Studio) -> None:
    body, key = {"content_type": "image/png", "bytes": 3}, str(uuid4())
    session = {"Authorization": f"Bearer {studio.desk.token('products:write')}"}

    first, again = (studio.desk.call("POST", "/v1/admin/media", body, key=key, headers=session) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json()["id"] == again.get_json()["id"]
    assert studio.send(again.get_json(), b"abc") == 200
    assert studio.send(first.get_json(), b"abd") == 412
    [kept] = studio.ask("select answer_body as body from idempotency_keys where key = :key::text", key=key)
    assert "X-Goog-Signature" not in str(kept["body"])
    assert "upload" not in studio.get(first.get_json())


def test_what_has_not_come_is_not_finished(studio: Studio) -> None:
    media = studio.announce(png())

    answer = studio.desk.call("POST", f"/v1/admin/media/{media['id']}/finish")

    assert problem_of(answer) == (409, "not-uploaded")
    assert (studio.get(media)["state"], studio.tasks(media)) == ("waiting", 0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"content_type": "image/svg+xml", "bytes": 3}, "/content_type"),
        ({"content_type": "image/png", "bytes": MOST_BYTES + 1}, "/bytes"),
        ({"content_type": "image/png", "bytes": 0}, "/bytes"),
        ({"content_type": "image/png", "bytes": 3, "product_id": str(uuid4())}, "/product_id"),
    ],
)
def test_what_cannot_become_a_picture_of_a_product_is_not_announced(
    studio: Studio, body: dict[str, object], pointer: str
) -> None:
    answer = studio.desk.call("POST", "/v1/admin/media", body)

    assert (problem_of(answer)[0], [each["pointer"] for each in answer.get_json()["errors"]]) == (422, [pointer])


def test_who_may_not_write_products_sends_no_picture_and_nobody_sees_another(studio: Studio) -> None:
    body = {"content_type": "image/png", "bytes": 3}
    call, somewhere = studio.desk.call, f"/v1/admin/media/{uuid4()}"

    assert call("POST", "/v1/admin/media", body, permissions=("products:read",)).status_code == 403
    assert studio.desk.client.post("/v1/admin/media", json=body, headers={"Idempotency-Key": "k"}).status_code == 401
    assert call("POST", f"{somewhere}/finish", permissions=("products:read",)).status_code == 403
    assert problem_of(call("GET", somewhere)) == (404, "unknown-media")
    assert problem_of(call("POST", f"{somewhere}/finish")) == (404, "unknown-media")


def test_the_list_has_the_newest_first_in_pages_and_by_what_is_asked(studio: Studio) -> None:
    product = studio.product()
    media = [studio.announce(png(), product_id=product["id"])["id"] for _ in range(3)]

    path = f"/v1/admin/media?product_id={product['id']}"
    page = studio.desk.get(f"{path}&limit=2")
    rest = studio.desk.get(f"{path}&limit=2&cursor={page['next_cursor']}")

    assert [each["id"] for each in page["items"] + rest["items"]] == media[::-1]
    assert studio.desk.get(f"{path}&state=ready")["items"] == []
    assert studio.desk.call("GET", "/v1/admin/media?state=lost").status_code == 400


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"a text that is called shoe.png", "not_a_picture"), (png()[:-60], "damaged")],
    ids=["text", "cut off"],
)
def test_what_is_no_picture_is_refused_and_deleted_and_its_product_stays_as_it_was(
    studio: Studio, content: bytes, reason: str
) -> None:
    product = studio.product()
    media = studio.sent(content, product_id=product["id"], filename="shoe.png")

    refused = studio.process(media)

    assert (refused["state"], refused["reason"], refused["urls"], refused["attached"]) == (
        "refused",
        reason,
        {},
        False,
    )
    assert studio.look(product) == product
    assert studio.raw(media) is None


def test_pictures_of_one_product_stand_as_they_were_sent_whichever_is_ready_first(studio: Studio) -> None:
    product = studio.product(image_url="https://x.example/old.jpg")
    media = [studio.sent(png(colour), product_id=product["id"]) for colour in ((9, 9, 9), (99, 9, 9), (9, 9, 199))]

    ready = {n: path_of(studio.process(media[n])) for n in (2, 0, 1)}

    assert studio.look(product)["image_urls"] == ["https://x.example/old.jpg", ready[0], ready[1], ready[2]]


def test_a_picture_joins_those_that_are_there() -> None:
    assert with_picture(["a", "c"], "b", later=["c"]) == ("a", "b", "c")
    assert with_picture(["a"], "b", later=["c"]) == ("a", "b")
    assert with_picture([], "b", later=[]) == ("b",)
    assert with_picture(["b", "a"], "b", later=["a"]) == ("b", "a")


def test_staff_put_a_ready_picture_where_they_like(studio: Studio) -> None:
    product, media = studio.product(), studio.sent(png((1, 2, 3)))
    ready = studio.process(media)
    assert (ready["attached"], studio.look(product)["image_urls"]) == (False, [])

    urls = [ready["image_url"], "https://x.example/old.jpg"]
    answer = studio.desk.call("PATCH", f"/v1/admin/products/{product['id']}", {"image_urls": urls})

    assert answer.status_code == 200
    assert studio.look(product)["image_urls"] == [path_of(ready), "https://x.example/old.jpg"]


def test_a_product_with_no_room_left_or_gone_shows_nothing_and_the_picture_is_ready_all_the_same(
    studio: Studio,
) -> None:
    full = studio.product(image_url=" ".join(f"https://x.example/{n}.jpg" for n in range(50)))
    crowded, orphan = (studio.sent(png((5, 5, 5)), product_id=full["id"]) for _ in range(2))
    studio.ask("update media set product_id = :gone::uuid where id = :id::uuid", gone=uuid4(), id=orphan["id"])

    for media in (crowded, orphan):
        ready = studio.process(media)
        assert (ready["state"], ready["attached"], len(ready["urls"])) == ("ready", False, 2)
    assert studio.look(full) == full


def test_two_that_process_at_once_make_one_picture_and_one_change(studio: Studio) -> None:
    product = studio.product()
    media = studio.sent(png((7, 7, 7)), product_id=product["id"])
    together, failures = threading.Barrier(2), list[BaseException]()

    def run() -> None:
        try:
            together.wait()
            studio.process(media)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert studio.get(media)["state"] == "ready"
    assert studio.look(product)["version"] == product["version"] + 1


def test_one_that_was_killed_is_taken_up_when_its_lease_is_over_and_what_it_says_later_does_not_count(
    studio: Studio,
) -> None:
    product = studio.product()
    media = studio.sent(png((8, 8, 8)), product_id=product["id"])
    frozen = studio.rows.claim(UUID(media["id"]))
    assert frozen is not None

    studio.sweep()
    assert studio.get(media)["state"] == "processing"
    studio.clock.advance(seconds=LEASE.total_seconds() + 1)
    studio.sweep()

    ready = studio.get(media)
    assert (ready["state"], ready["attached"]) == ("ready", True)
    assert (
        studio.rows.complete(frozen, Rendered(1, 1, "image/webp", "webp", []), {"1": "pictures/other/1.webp"}) is False
    )
    assert studio.rows.refuse(frozen, "damaged") is False
    assert studio.get(media) == ready
    assert studio.look(product)["version"] == product["version"] + 1


def test_a_file_that_ends_its_process_each_time_is_given_up(studio: Studio) -> None:
    media = studio.sent(png())
    for _ in range(MOST_ATTEMPTS):
        assert studio.rows.claim(UUID(media["id"])) is not None
        studio.clock.advance(seconds=LEASE.total_seconds() + 1)

    refused = studio.process(media)

    assert (refused["state"], refused["reason"]) == ("refused", "damaged")


class Away:
    """A bucket whose storage does not answer."""

    def find(self, name: str, **_: object) -> StoredObject | None:
        raise Unavailable

    def read(self, name: str, **_: object) -> bytes:
        raise Unavailable

    def delete(self, name: str, **_: object) -> None:
        raise Unavailable


def test_a_storage_that_is_away_costs_time_and_nothing_else(studio: Studio) -> None:
    media = studio.sent(png((6, 6, 6)))

    for _ in range(MOST_ATTEMPTS + 2):
        with pytest.raises(Unavailable):
            studio.process(media, uploads=Away())
        studio.clock.advance(minutes=1)
    studio.sweep()

    assert studio.get(media)["state"] == "ready"


def test_what_was_replaced_since_it_was_finished_is_not_read(studio: Studio) -> None:
    media = studio.sent(png())
    [row] = studio.ask("select object_name from media where id = :id::uuid", id=media["id"])
    studio.uploads.delete(row["object_name"], within_s=5)
    assert studio.send(media, png()) == 200

    refused = studio.process(media)

    assert (refused["state"], refused["reason"]) == ("refused", "gone")


def test_what_nobody_finishes_expires_and_is_deleted_and_forgotten(studio: Studio) -> None:
    media, content = studio.announce(png()), png()
    assert studio.send(media, content) == 200

    studio.clock.advance(hours=1)
    studio.sweep()
    assert (studio.get(media)["state"], studio.raw(media) is None) == ("waiting", False)
    studio.clock.advance(minutes=16)
    studio.sweep()

    assert (studio.get(media)["state"], studio.raw(media)) == ("expired", None)
    assert problem_of(studio.desk.call("POST", f"/v1/admin/media/{media['id']}/finish")) == (409, "upload-expired")
    studio.clock.advance(days=30, seconds=1)
    studio.sweep()
    assert studio.desk.call("GET", f"/v1/admin/media/{media['id']}").status_code == 404


def test_what_is_sent_again_to_where_a_file_was_deleted_is_deleted_too(studio: Studio) -> None:
    content = png((3, 3, 3))
    media = studio.sent(content)
    assert studio.process(media)["state"] == "ready"
    assert studio.send(media, content) == 200

    studio.clock.advance(minutes=15, seconds=1)
    studio.sweep()

    assert studio.raw(media) is None
    assert studio.get(media)["state"] == "ready"
