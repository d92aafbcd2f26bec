import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import shared
from shared.edge.problems import (
    STATUSES,
    ContentTooLarge,
    MethodNotAllowed,
    Unreadable,
    UnsupportedMediaType,
    internal,
    problem,
    status_of,
    title_of,
    type_of,
)
from shared.kernel.errors import (
    Conflict,
    Declined,
    Field,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    ShopError,
    Stale,
    Unauthenticated,
    Unavailable,
)
from shared.kernel.idempotency import InFlight, KeyReused, LeaseLost


class OutOfTea(Conflict):
    sentence = "There is no tea left."


def every_error() -> list[type[ShopError]]:
    for module in pkgutil.walk_packages(shared.__path__, "shared."):
        importlib.import_module(module.name)
    return sorted(set(subclasses_of(ShopError)), key=lambda error: error.__qualname__)


def subclasses_of(error: type[ShopError]) -> Iterator[type[ShopError]]:
    for subclass in error.__subclasses__():
        if subclass.__module__.startswith("shared."):
            yield subclass
            yield from subclasses_of(subclass)


def test_every_error_of_the_house_has_a_status() -> None:
    without = []
    for error in every_error():
        try:
            status_of(error)
        except LookupError:
            without.append(error.__qualname__)

    assert without == []


def test_no_two_errors_share_a_type() -> None:
    types = [type_of(error) for error in every_error()]

    assert sorted(types) == sorted(set(types))


def test_every_error_has_a_sentence_of_its_own_or_of_its_category() -> None:
    assert [error.__qualname__ for error in every_error() if error.sentence == ShopError.sentence] == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unreadable, 400),
        (Unauthenticated, 401),
        (Declined, 402),
        (Forbidden, 403),
        (NotFound, 404),
        (MethodNotAllowed, 405),
        (Conflict, 409),
        (InFlight, 409),
        (OutOfTea, 409),
        (Stale, 412),
        (ContentTooLarge, 413),
        (UnsupportedMediaType, 415),
        (Invalid, 422),
        (KeyReused, 422),
        (RateLimited, 429),
        (Unavailable, 503),
        (LeaseLost, 503),
    ],
)
def test_a_category_has_its_status(error: type[ShopError], status: int) -> None:
    assert status_of(error) == status


def test_a_subclass_stands_before_its_base_in_the_table() -> None:
    categories = list(STATUSES)

    for index, category in enumerate(categories):
        assert not any(issubclass(later, category) for later in categories[index + 1 :]), category


def test_an_error_without_a_category_is_a_mistake_of_ours() -> None:
    class Homeless(ShopError):
        pass

    with pytest.raises(LookupError, match="Homeless belongs to no category"):
        status_of(Homeless)


def test_a_class_name_becomes_the_type_and_the_title() -> None:
    assert type_of(OutOfTea) == "https://vitrine.example/problems/out-of-tea"
    assert title_of(OutOfTea) == "Out of tea"


def test_what_an_error_carries_are_members_and_never_replace_the_standard_ones() -> None:
    found = problem(OutOfTea(lines=[{"sku": "EARL-GREY", "wanted": 2, "available": 0}], status=200, type="mine"))

    assert found.document == {
        "type": "https://vitrine.example/problems/out-of-tea",
        "title": "Out of tea",
        "status": 409,
        "detail": "There is no tea left.",
        "lines": [{"sku": "EARL-GREY", "wanted": 2, "available": 0}],
    }
    assert found.headers == {}


def test_bad_fields_are_named_by_json_pointer() -> None:
    found = problem(Invalid([Field("/lines/0/sku", "is not known"), Field("", "is empty")]))

    assert found.document["errors"] == [
        {"pointer": "/lines/0/sku", "detail": "is not known"},
        {"pointer": "", "detail": "is empty"},
    ]


def test_bad_parameters_are_named() -> None:
    found = problem(Unreadable(parameters={"limit": "must be a number"}))

    assert (found.status, found.document["errors"]) == (400, [{"parameter": "limit", "detail": "must be a number"}])


@pytest.mark.parametrize(
    ("error", "seconds"), [(RateLimited(retry_after_s=90), "90"), (Unavailable(), "2"), (InFlight(), "2")]
)
def test_who_must_wait_is_told_how_long(error: ShopError, seconds: str) -> None:
    assert problem(error).headers["Retry-After"] == seconds


def test_who_must_sign_in_is_told_how() -> None:
    assert problem(Unauthenticated()).headers == {"WWW-Authenticate": "Bearer"}


def test_the_unforeseen_says_nothing_but_its_trace() -> None:
    assert internal("0af7651916cd43dd8448eb211c80319c").document == {
        "type": "https://vitrine.example/problems/internal",
        "title": "Internal",
        "status": 500,
        "detail": "Something went wrong on our side.",
        "trace": "0af7651916cd43dd8448eb211c80319c",
    }
