"""What a history is, and drawing one from its seed. Pure: the same seed gives the same story on every machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Step:
    """One deed of one actor, after a pause; `cart` is the number of the cart that it is about."""

    deed: str
    cart: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What befalls the whole cloud, `after_ms` after the history's actors have begun their `moment`th step."""

    kind: Literal["kill", "stop", "fault", "pin", "clock"]
    moment: int
    after_ms: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Goods:
    """A SKU by its letter, how many there are, and the unit price in minor units."""

    letter: str
    on_hand: int
    price_minor: int


@dataclass(frozen=True, slots=True)
class Voucher:
    """Its terms as staff give them, limits included; whoever has a cart of the story may use it."""

    terms: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    seed: int
    goods: tuple[Goods, ...]
    carts: tuple[Mapping[str, int], ...]
    scripts: tuple[tuple[str, tuple[Step, ...]], ...]
    disturbances: tuple[Disturbance, ...]
    voucher: Voucher | None = None

    @property
    def length(self) -> int:
        return sum(len(steps) for _actor, steps in self.scripts)

    def parts(self) -> list[tuple[str, int]]:
        """What can be left out, one by one: a disturbance, or a step of an actor."""
        found = [("disturbance", index) for index in range(len(self.disturbances))]
        return found + [(actor, index) for actor, steps in self.scripts for index in range(len(steps))]

    def with_only(self, parts: Sequence[tuple[str, int]]) -> "Story":
        """The same story without all other parts."""
        kept = set(parts)
        scripts = (
            (actor, tuple(step for index, step in enumerate(steps) if (actor, index) in kept))
            for actor, steps in self.scripts
        )
        return replace(
            self,
            scripts=tuple((actor, steps) for actor, steps in scripts if steps),
            disturbances=tuple(each for index, each in enumerate(self.disturbances) if ("disturbance", index) in kept),
        )


def draw(seed: int) -> Story:
    """The story of a seed."""
    random = Random(f"vitrine chaos {seed}")
    letters = "ABC"[: random.choice((1, 1, 2, 3))]
    goods = tuple(
        Goods(letter, random.choice((0, 1, 2, 3, 3, 4, 6, 8)), random.choice((100, 999, 1000, 4995)))
        for letter in letters
    )
    if all(each.on_hand == 0 for each in goods):
        goods = (replace(goods[0], on_hand=1), *goods[1:])
    carts = tuple(_cart(random, letters) for _ in range(random.choice((2, 2, 3, 3, 4))))
    vouchers = Random(f"vitrine chaos vouchers {seed}")
    voucher = _voucher(vouchers)
    scripts = []
    for number in range(1, len(carts) + 1):
        steps = tuple(_buyer(random, number, letters))
        scripts.append((f"buyer {number}", tuple(_with_voucher(vouchers, number, steps)) if voucher else steps))
    if staff := tuple(_staff(random, letters)):
        scripts.append(("staff", staff))
    if desk := tuple(_desk(random, len(carts))):
        scripts.append(("desk", desk))
    if paypal := tuple(_paypal(random, len(carts))):
        scripts.append(("PayPal", paypal))
    length = sum(len(steps) for _actor, steps in scripts)
    return Story(seed, goods, carts, tuple(scripts), tuple(_disturbances(random, length, len(carts))), voucher)


def _cart(random: Random, letters: str) -> Mapping[str, int]:
    wanted = random.sample(letters, random.randint(1, len(letters)))
    return {letter: random.choice((1, 1, 1, 2)) for letter in sorted(wanted)}


def _step(random: Random, deed: str, cart: int | None = None, **detail: Any) -> Step:
    return Step(deed, cart, detail, random.choice((0, 0, 0, 5, 20, 60)))


def _manner(random: Random) -> str:
    """How a buyer's browser, or a network, treats a call that changes something."""
    return random.choices(("once", "patiently", "twin", "rivals", "reloads", "abandoned"), (15, 48, 14, 8, 10, 5))[0]


# Buyers -----------------------------------------------------------------------------------------------


def _buyer(random: Random, cart: int, letters: str) -> Iterator[Step]:
    yield _step(random, "fill", cart)
    if random.random() < 0.25:
        yield _step(random, "search", cart, letter=random.choice(letters))
    if random.random() < 0.2:
        yield _edit(random, cart, letters)
    for _round in range(random.choice((1, 1, 1, 2))):
        yield _step(random, "place", cart, manner=_manner(random))
        if random.random() < 0.2:
            yield _edit(random, cart, letters)
            yield _step(random, "place", cart, manner=_manner(random))
        yield from _pay(random, cart)
        if random.random() < 0.3:
            yield _step(random, "retry payment", cart, manner=_manner(random))
            yield from _pay(random, cart)
    if random.random() < 0.25:
        yield _step(random, "cancel", cart, manner=_manner(random))
    if random.random() < 0.2:
        yield _step(random, "place", cart, manner=_manner(random))
    if random.random() < 0.3:
        yield _step(random, "look", cart)


def _edit(random: Random, cart: int, letters: str) -> Step:
    kind = random.choice(("quantity", "quantity", "remove", "shipping", "address"))
    if kind in ("quantity", "remove"):
        quantity = random.choice((1, 2, 3)) if kind == "quantity" else 0
        return _step(random, "edit", cart, kind=kind, letter=random.choice(letters), quantity=quantity)
    if kind == "shipping":
        return _step(random, "edit", cart, kind=kind, option=random.choice(("standard", "express")))
    return _step(random, "edit", cart, kind=kind, region=random.choice(("CA", "NY", "WA")))


def _pay(random: Random, cart: int) -> Iterator[Step]:
    ways = ("completed", "declined", "pending", "denied", "leave", "nothing")
    way = random.choices(ways, (58, 10, 12, 6, 7, 7))[0]
    if way == "leave":
        yield _step(random, "leave PayPal", cart)
        if random.random() < 0.6:
            yield _step(random, "cancel", cart, manner=_manner(random))
        return
    if way != "nothing":
        yield _step(random, "approve", cart, ending=way)
    if random.random() < 0.85:
        yield _step(random, "return", cart, manner=_manner(random))


def _voucher(random: Random) -> Voucher | None:
    """In every third story one that is nearly used up from the beginning, so that buyers race for it."""
    if random.random() < 0.65:
        return None
    terms: dict[str, Any] = dict(
        random.choice(
            (
                {"kind": "percent", "percent": "25"},
                {"kind": "percent", "percent": "100"},
                {"kind": "amount", "amount_minor": 333},
                {"kind": "amount", "amount_minor": 100000},
                {"kind": "free_shipping"},
            )
        )
    )
    terms["total_limit"] = random.choice((1, 1, 2, None))
    terms["per_customer_limit"] = random.choice((1, None))
    return Voucher({name: value for name, value in terms.items() if value is not None})


def _with_voucher(random: Random, cart: int, steps: Sequence[Step]) -> Iterator[Step]:
    """The buyer enters the code before some of the times that the cart is placed, or takes it out again."""
    for step in steps:
        if step.deed == "place" and random.random() < 0.6:
            yield _step(random, "enter the voucher", cart)
        elif step.deed == "place" and random.random() < 0.1:
            yield _step(random, "take the voucher out", cart)
        yield step


# Staff, and PayPal by itself --------------------------------------------------------------------------


def _staff(random: Random, letters: str) -> Iterator[Step]:
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        deed = random.choices(("adjust", "count", "close", "hold minutes", "price"), (40, 25, 10, 10, 15))[0]
        letter = random.choice(letters)
        if deed == "adjust":
            delta = random.choice((-2, -1, 1, 2, 3))
            yield _step(random, deed, letter=letter, delta=delta, manner=_manner(random))
        elif deed == "count":
            yield _step(random, deed, letter=letter, counted=random.choice((0, 1, 2, 4)), manner=_manner(random))
        elif deed == "close":
            yield _step(random, deed, for_ms=random.choice((50, 200)))
        elif deed == "hold minutes":
            yield _step(random, deed, minutes=random.choice((5, 15, 15, 30)))
        else:
            yield _step(random, deed, letter=letter, price_minor=random.choice((500, 999, 1000, 2500)))


_AT_THE_DESK = {
    "ship": 22,
    "draft and cancel a parcel": 6,
    "refund": 22,
    "cancel what is paid": 16,
    "hold back": 6,
    "let go on": 8,
    "apply again": 8,
    "send back": 12,
}


def _desk(random: Random, carts: int) -> Iterator[Step]:
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        deed = random.choices(list(_AT_THE_DESK), list(_AT_THE_DESK.values()))[0]
        cart = random.randint(1, carts)
        units = random.choice(("all", "all", "one"))
        if deed == "send back":
            yield _step(random, "ship", cart, units="all", delivered=True, manner="patiently")
            yield _step(random, deed, cart, units=units, manner=_manner(random))
            how = random.choice(("receive", "receive", "receive", "reject"))
            yield _step(random, "decide the return", cart, how=how, restock=random.random() < 0.7, manner="patiently")
        elif deed == "ship":
            delivered = random.random() < 0.5
            yield _step(random, deed, cart, units=units, delivered=delivered, manner=_manner(random))
        elif deed == "refund":
            part = random.choice(("lines", "lines", "lines", "shipping", "amount"))
            restock = random.random() < 0.5
            yield _step(random, deed, cart, part=part, units=units, restock=restock, manner=_manner(random))
        elif deed == "cancel what is paid":
            yield _step(random, deed, cart, by=random.choice(("staff", "buyer")), manner=_manner(random))
        elif deed == "apply again":
            yield _step(random, deed, events=random.choice((1, 2, 4)))
        else:
            yield _step(random, deed, cart, units=units, manner=_manner(random))


_AT_PAYPAL = {
    "end pending": 14,
    "refund in the dashboard": 12,
    "reverse": 8,
    "open a dispute": 10,
    "resolve the dispute": 8,
    "second capture": 10,
    "approve late": 6,
    "take the approval back": 5,
    "foreign capture": 5,
    "forge": 10,
    "deliver again": 12,
    "tamper": 5,
}


def _paypal(random: Random, carts: int) -> Iterator[Step]:
    for _ in range(random.choice((0, 1, 1, 2, 3, 4))):
        deed = random.choices(list(_AT_PAYPAL), list(_AT_PAYPAL.values()))[0]
        cart = random.randint(1, carts)
        if deed == "end pending":
            yield _step(random, deed, cart, ending=random.choice(("completed", "completed", "denied")))
        elif deed == "refund in the dashboard":
            yield _step(random, deed, cart, part=random.choice(("all", "some")))
        elif deed == "resolve the dispute":
            yield _step(random, deed, cart, outcome=random.choice(("won", "lost")))
        elif deed == "forge":
            event_types = ("PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "CHECKOUT.ORDER.APPROVED")
            yield _step(random, deed, cart, event_type=random.choice(event_types))
        elif deed == "second capture":
            other_amount = random.random() < 0.3
            yield _step(random, deed, cart, late=random.random() < 0.7, other_amount=other_amount)
        elif deed == "deliver again":
            yield _step(random, deed, cart, times=random.choice((1, 2, 3)))
        else:
            yield _step(random, deed, cart)


# Misfortune -------------------------------------------------------------------------------------------

_VICTIMS = {
    "checkout": 22,
    "payment-jobs": 18,
    "webhooks": 14,
    "notify": 12,
    "inventory": 4,
    "desk": 6,
    "support": 2,
    "search": 2,
    "paypal": 8,
    "sendgrid": 5,
    "pubsub": 6,
    "tasks": 6,
    "postgres": 5,
}
# What each server can suffer, and under which path.
_FAULTS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("paypal", "/v2/checkout/orders", ("lose", "delay", "error", "timeout_after_effect", "repeat")),
    ("paypal", "/v2/checkout/orders/", ("lose", "delay", "error", "timeout_after_effect", "repeat")),
    ("paypal", "/v2/payments/captures/", ("lose", "delay", "error", "timeout_after_effect", "repeat")),
    ("paypal", "/v1/oauth2", ("lose", "error")),
    ("sendgrid", "/v3/mail/send", ("lose", "delay", "error", "timeout_after_effect")),
    ("pubsub-publish", "", ("lose", "delay", "error", "timeout_after_effect", "repeat")),
    ("pubsub-push", "", ("lose", "delay", "error", "timeout_after_effect", "repeat", "reorder")),
    ("tasks-create", "", ("lose", "delay", "error", "timeout_after_effect", "repeat")),
    ("tasks-push", "", ("lose", "delay", "error", "timeout_after_effect", "repeat", "reorder")),
    ("webhooks", "/v1/webhooks/paypal", ("lose", "delay", "error", "timeout_after_effect", "repeat", "reorder")),
    ("webhooks", "/v1/webhooks/paypal/CHECKOUT.ORDER.APPROVED", ("lose",)),
    ("webhooks", "/v1/webhooks/sendgrid", ("lose", "delay", "error", "timeout_after_effect", "repeat", "reorder")),
)
_PINS = ("open", "capture", "mail")
_JUMPS_S = (5, 61, 61, 76, 76, 130, 320, 620, 620, 910, 1860, 7300)


def _disturbances(random: Random, length: int, carts: int) -> Iterator[Disturbance]:
    def moment() -> int:
        return random.randint(1, max(length - 1, 1))

    for _ in range(random.choices((0, 1, 2), (35, 45, 20))[0]):
        victim = random.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
        yield Disturbance("kill", moment(), random.randint(0, 120), {"who": victim})
    if random.random() < 0.25:
        victim = random.choices(list(_VICTIMS), list(_VICTIMS.values()))[0]
        for_ms = random.choice((100, 400, 1500))
        yield Disturbance("stop", moment(), random.randint(0, 120), {"who": victim, "for_ms": for_ms})
    if random.random() < 0.2:
        detail = {"call": random.choice(_PINS), "cart": random.randint(1, carts)}
        yield Disturbance("pin", moment(), 0, detail)
    for _ in range(random.choices((0, 1, 2, 3), (25, 35, 25, 15))[0]):
        yield Disturbance("fault", moment(), 0, _fault(random))
    if random.random() < 0.2:
        jump = {"advance_s": random.choice(_JUMPS_S)}
        yield Disturbance("clock", moment(), random.randint(0, 120), jump)


def _fault(random: Random) -> dict[str, Any]:
    target, path, faults = random.choice(_FAULTS)
    asked: dict[str, Any] = {"target": target, "fault": random.choice(faults), "path": path}
    if asked["fault"] in ("delay", "reorder", "timeout_after_effect"):
        asked["delay_s"] = random.choice((0.1, 0.4, 1.0))
    if random.random() < 0.2:
        return asked | {"probability": random.choice((0.2, 0.5, 1.0)), "seed": random.randint(0, 9999)}
    return asked | {"count": random.choice((1, 1, 2, 3)), "after": random.choice((0, 0, 1, 2))}
