"""What a document says. Pure: an order, the settings of the moment, and what was credited before.

Every sum of an invoice is the frozen order's. A credit note's amount is spread over what its order still has to be
credited by largest remainder, so no line is credited beyond itself and the last credit note leaves nothing; the tax of
each line is its share by cumulative rounding (half-up), so the credit notes of an order that went back whole sum to its
invoice line by line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from shared.documents.documents import Content, Line, Party, TaxPart
from shared.documents.owing import Owed
from shared.kernel.money import Money, charge_step_minor
from shared.orders.order import Order, OrderLine
from shared.shop.settings import ShopSettings


def compose_invoice(order: Order, *, shop: ShopSettings) -> Content:
    """The invoice of an order that was paid.

    Rates are the order's; of an older one that has none they are of the moment, and where those do not give the frozen
    tax, the rate that the tax amounts to is named.
    """
    assert order.paid_at is not None
    every = tuple(_line(line, order, shop) for line in order.lines)
    if order.shipping_minor:
        every = (*every, _shipping(order, shop))
    return Content(
        kind="invoice",
        order_number=order.number,
        placed_at=order.placed_at,
        paid_at=order.paid_at,
        currency=order.currency,
        locale=shop.locale,
        prices_include_tax=order.prices_include_tax,
        seller=Party(
            shop.invoicing.seller_name or shop.name, shop.invoicing.seller_address, shop.invoicing.seller_tax_id
        ),
        buyer=_buyer(order.shipping_address),
        lines=every,
        taxes=_taxes(every),
        subtotal_minor=order.subtotal_minor,
        discount_minor=order.discount_minor,
        shipping_minor=order.shipping_minor,
        tax_minor=order.tax_minor,
        total_minor=order.total_minor,
        footer=shop.invoicing.footer,
    )


def compose_credit_note(
    owed: Owed,
    *,
    invoice: Content,
    invoice_number: str,
    before: Sequence[Content],
    shop: ShopSettings,
    named: Mapping[str, int] | None = None,
    units: Mapping[str, int] | None = None,
    reason: str,
) -> Content:
    """The credit note of a refund; `before` are the order's earlier ones.

    `named` is what the refund was asked for, gross minor units by SKU ("" is shipping), `units` how many of them: those
    lines are credited first, and what is left of the amount is spread over all.
    """
    gone = {_key(line): 0 for line in invoice.lines}
    for note in before:
        for line in note.lines:
            gone[_key(line)] += line.gross_minor
    left = [line.gross_minor - gone[_key(line)] for line in invoice.lines]
    asked = [(named or {}).get(_key(line), 0) for line in invoice.lines]
    shares = _shares(owed.amount_minor, left, asked, step_minor=_step(invoice))
    every = tuple(
        _credit(line, gone[_key(line)], share, quantity=(units or {}).get(_key(line)), step_minor=_step(invoice))
        for line, share in zip(invoice.lines, shares, strict=True)
        if share > 0
    )
    shown = [(line.sku, line.gross_minor if invoice.prices_include_tax else line.net_minor) for line in every]
    return replace(
        invoice,
        kind="credit_note",
        locale=shop.locale,
        lines=every,
        taxes=_taxes(every),
        subtotal_minor=sum(minor for sku, minor in shown if sku is not None),
        discount_minor=0,
        shipping_minor=sum(minor for sku, minor in shown if sku is None),
        tax_minor=sum(line.tax_minor for line in every),
        total_minor=sum(line.gross_minor for line in every),
        invoice_number=invoice_number,
        refund_id=owed.refund_id,
        reason=reason,
        footer=shop.invoicing.footer,
    )


# An invoice's lines -------------------------------------------------------------------------------


def _line(line: OrderLine, order: Order, shop: ShopSettings) -> Line:
    paid = line.total_minor - line.discount_minor
    net, gross = _net_and_gross(paid, line.tax_minor, order)
    options = ", ".join(f"{name}: {value}" for name, value in line.options.items())
    return Line(
        sku=line.sku,
        name=f"{line.name} ({options})" if options else line.name,
        rate=_rate(line.tax_rate, net, line.tax_minor, line.tax_class, order, shop),
        net_minor=net,
        tax_minor=line.tax_minor,
        gross_minor=gross,
        quantity=line.quantity,
        unit_price_minor=line.unit_price_minor,
        discount_minor=line.discount_minor,
    )


def _shipping(order: Order, shop: ShopSettings) -> Line:
    """What of the order's sums is no line's: shipping, less what a voucher takes off it."""
    discount = order.discount_minor - sum(line.discount_minor for line in order.lines)
    tax = order.tax_minor - sum(line.tax_minor for line in order.lines)
    net, gross = _net_and_gross(order.shipping_minor - discount, tax, order)
    return Line(
        sku=None,
        name=str(order.shipping_option["name"]),
        rate=_rate(order.shipping_tax_rate, net, tax, shop.shipping_tax_class, order, shop),
        net_minor=net,
        tax_minor=tax,
        gross_minor=gross,
        quantity=1,
        unit_price_minor=order.shipping_minor,
        discount_minor=discount,
    )


def _net_and_gross(paid_minor: int, tax_minor: int, order: Order) -> tuple[int, int]:
    return (paid_minor - tax_minor, paid_minor) if order.prices_include_tax else (paid_minor, paid_minor + tax_minor)


def _rate(frozen: str | None, net_minor: int, tax_minor: int, tax_class: str, order: Order, shop: ShopSettings) -> str:
    if frozen is not None:
        return f"{Decimal(frozen).normalize():f}"
    # An order from before its rates were frozen with it.
    to = order.shipping_address
    rate = shop.tax_rate(to["country"], to["region"], tax_class)
    if not net_minor or abs(net_minor * rate - tax_minor) <= charge_step_minor(order.currency):
        return f"{rate.normalize():f}"
    # Staff have changed the rates since the order was placed.
    return f"{(Decimal(tax_minor) / net_minor).quantize(Decimal('0.0001'), ROUND_HALF_UP).normalize():f}"


def _buyer(address: Mapping[str, str]) -> Party:
    city = " ".join(part for part in (address["city"], address["region"], address["postal_code"]) if part)
    lines = (address["line1"], address["line2"], city, address["country"])
    return Party(address["name"], tuple(line for line in lines if line))


# What a credit note takes of them -----------------------------------------------------------------


def _key(line: Line) -> str:
    """An order has each SKU once; shipping is the line without."""
    return line.sku or ""


def _shares(amount_minor: int, left: Sequence[int], asked: Sequence[int], *, step_minor: int) -> list[int]:
    """Gross minor units by line: what was asked for as far as it goes, then by largest remainder over what is left."""
    shares = []
    rest = amount_minor
    for wanted, there in zip(asked, left, strict=True):
        shares.append(min(wanted, there, rest))
        rest -= shares[-1]
    open_ = [there - share for there, share in zip(left, shares, strict=True)]
    if rest % step_minor or any(minor % step_minor for minor in open_):
        step_minor = 1
    if rest:
        spread = Money(rest // step_minor, "XXX").allocate([minor // step_minor for minor in open_])
        shares = [share + part.minor * step_minor for share, part in zip(shares, spread, strict=True)]
    return shares


def _credit(line: Line, gone_minor: int, share_minor: int, *, quantity: int | None, step_minor: int) -> Line:
    def tax_of(gross_minor: int) -> int:
        exact = Decimal(line.tax_minor * gross_minor) / (line.gross_minor * step_minor)
        return int(exact.quantize(Decimal(1), ROUND_HALF_UP)) * step_minor

    tax = tax_of(gone_minor + share_minor) - tax_of(gone_minor)
    return replace(
        line,
        net_minor=share_minor - tax,
        tax_minor=tax,
        gross_minor=share_minor,
        quantity=quantity,
        unit_price_minor=None,
        discount_minor=0,
    )


def _step(invoice: Content) -> int:
    step = charge_step_minor(invoice.currency)
    return 1 if any(line.gross_minor % step or line.tax_minor % step for line in invoice.lines) else step


def _taxes(lines: Sequence[Line]) -> tuple[TaxPart, ...]:
    rates = sorted({line.rate for line in lines}, key=Decimal)
    return tuple(
        TaxPart(
            rate,
            sum(line.net_minor for line in lines if line.rate == rate),
            sum(line.tax_minor for line in lines if line.rate == rate),
            sum(line.gross_minor for line in lines if line.rate == rate),
        )
        for rate in rates
    )
