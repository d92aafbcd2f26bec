"""Carts in SQL. Every change locks the cart, and makes a new version of it only if something is different
afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.cart import carts
from shared.cart.carts import MAX_LINES, Cart, CartFull, CartNotFound, CartVersionStale, UnknownItem
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.persistence.database import Database, Row, Transaction, as_json
from shared.pricing import vouchers
from shared.pricing.vouchers import UnknownVoucher, Voucher, fold_code
from shared.shop import settings as shop_values
from shared.shop.settings import ShopSettings

_READ = """
select cart_json_v2(:id::text, :now::timestamptz) as cart,
    (select value from shop_settings where id = 'shop') as settings,
    cart_voucher_v1(:id::text, null, null) as voucher
"""


@dataclass(frozen=True, slots=True)
class CartOfShop:
    """A cart, the settings that say what it costs, and its voucher, None also where that is gone; `at` that moment."""

    cart: Cart
    shop: ShopSettings
    voucher: Voucher | None
    at: datetime


class Carts:
    """Raises CartNotFound, and CartVersionStale where `if_match` is not the cart's version."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, cart_id: str) -> CartOfShop:
        return self._cart_of_shop(self._database.call(_READ, id=cart_id, now=self._clock.now())[0])

    def create(
        self,
        cart_id: str,
        *,
        email: str | None = None,
        address: Mapping[str, Any] | None = None,
        answering: Answering[CartOfShop] | None = None,
    ) -> CartOfShop:
        """A new empty cart in the shop's currency; the id is the caller's secret and made before."""

        def in_one_step(tx: Transaction) -> CartOfShop:
            tx.rows(
                """
                insert into carts (id, currency, email, shipping_address, created_at, updated_at)
                select :id::text, value ->> 'currency', :email::text, :address::jsonb, :now::timestamptz,
                    :now::timestamptz
                from shop_settings where id = 'shop'
                on conflict (id) do nothing
                """,
                id=cart_id,
                email=email,
                address=None if address is None else as_json(address),
                now=self._clock.now(),
            )
            return tx.answer(answering, self._cart_of_shop(tx.one(_READ, id=cart_id, now=self._clock.now())))

        return self._database.step(in_one_step)

    def set_line(self, cart_id: str, sku: str, quantity: int, *, if_match: int | None = None) -> CartOfShop:
        """So many units of a SKU, at the price of now, which the buyer agrees to. Raises UnknownItem, CartFull."""

        def change(tx: Transaction) -> bool:
            item = tx.find(
                """
                select v.price_minor, p.name from variants v join products p on p.id = v.product_id
                where v.sku = :sku::text and v.active and p.published_at <= :now::timestamptz
                """,
                sku=sku,
                now=self._clock.now(),
            )
            if item is None:
                raise UnknownItem
            others = tx.one(
                "select count(*)::int as lines from cart_lines where cart_id = :id::text and sku <> :sku::text",
                id=cart_id,
                sku=sku,
            )
            if others["lines"] >= MAX_LINES:
                raise CartFull([Field("", CartFull.sentence)])
            written = tx.rows(
                """
                insert into cart_lines as l (cart_id, sku, quantity, seen_price_minor, name, added_at)
                values (:id::text, :sku::text, :quantity::int, :price::bigint, :name::text, :now::timestamptz)
                on conflict (cart_id, sku) do update
                    set quantity = excluded.quantity, seen_price_minor = excluded.seen_price_minor, name = excluded.name
                    where (l.quantity, l.seen_price_minor) <> (excluded.quantity, excluded.seen_price_minor)
                returning sku
                """,
                id=cart_id,
                sku=sku,
                quantity=quantity,
                price=item["price_minor"],
                name=item["name"],
                now=self._clock.now(),
            )
            return bool(written)

        return self._change(cart_id, if_match, change)

    def remove_line(self, cart_id: str, sku: str, *, if_match: int | None = None) -> CartOfShop:
        """Removing what is not there is done already."""

        def change(tx: Transaction) -> bool:
            return bool(
                tx.rows(
                    "delete from cart_lines where cart_id = :id::text and sku = :sku::text returning sku",
                    id=cart_id,
                    sku=sku,
                )
            )

        return self._change(cart_id, if_match, change)

    def set_buyer(
        self, cart_id: str, *, email: str | None, address: Mapping[str, Any] | None, if_match: int | None = None
    ) -> CartOfShop:
        """E-mail and shipping address; None leaves what is there."""

        def change(tx: Transaction) -> bool:
            return bool(
                tx.rows(
                    """
                    update carts set email = coalesce(:email::text, email),
                        shipping_address = coalesce(:address::jsonb, shipping_address)
                    where id = :id::text and (email is distinct from coalesce(:email::text, email)
                        or shipping_address is distinct from coalesce(:address::jsonb, shipping_address))
                    returning id
                    """,
                    id=cart_id,
                    email=email,
                    address=None if address is None else as_json(address),
                )
            )

        return self._change(cart_id, if_match, change)

    def set_shipping_option(self, cart_id: str, option_id: str, *, if_match: int | None = None) -> CartOfShop:
        """Raises Invalid where the shop has no such option."""

        def change(tx: Transaction) -> bool:
            settings = tx.one("select value from shop_settings where id = 'shop'")["value"]
            if shop_values.from_json(settings).find_shipping_option(option_id) is None:
                raise Invalid([Field("/id", "There is no such shipping option.")])
            return bool(
                tx.rows(
                    """
                    update carts set shipping_option = :option::text
                    where id = :id::text and shipping_option is distinct from :option::text returning id
                    """,
                    id=cart_id,
                    option=option_id,
                )
            )

        return self._change(cart_id, if_match, change)

    def set_voucher(self, cart_id: str, code: str, *, if_match: int | None = None) -> CartOfShop:
        """A voucher goes into the cart also while it does not apply: more goods may help. Raises UnknownVoucher."""

        def change(tx: Transaction) -> bool:
            known = tx.find("select code from vouchers where code = :code::text and active", code=fold_code(code))
            if known is None:
                raise UnknownVoucher
            return self._write_voucher(tx, cart_id, known["code"])

        return self._change(cart_id, if_match, change)

    def remove_voucher(self, cart_id: str, *, if_match: int | None = None) -> CartOfShop:
        """Removing what is not there is done already."""
        return self._change(cart_id, if_match, lambda tx: self._write_voucher(tx, cart_id, None))

    def _write_voucher(self, tx: Transaction, cart_id: str, code: str | None) -> bool:
        return bool(
            tx.rows(
                """
                update carts set voucher_code = :code::text
                where id = :id::text and voucher_code is distinct from :code::text returning id
                """,
                id=cart_id,
                code=code,
            )
        )

    def _change(self, cart_id: str, if_match: int | None, change: Callable[[Transaction], bool]) -> CartOfShop:
        def in_one_step(tx: Transaction) -> CartOfShop:
            locked = tx.find("select version from carts where id = :id::text for update", id=cart_id)
            if locked is None:
                raise CartNotFound
            if if_match is not None and if_match != locked["version"]:
                raise CartVersionStale(version=locked["version"])
            if change(tx):
                tx.rows(
                    "update carts set version = version + 1, updated_at = :now::timestamptz where id = :id::text",
                    id=cart_id,
                    now=self._clock.now(),
                )
            return self._cart_of_shop(tx.one(_READ, id=cart_id, now=self._clock.now()))

        return self._database.step(in_one_step)

    def _cart_of_shop(self, row: Row) -> CartOfShop:
        if row["cart"] is None:
            raise CartNotFound
        voucher = vouchers.from_json(row["voucher"]) if row["voucher"] else None
        shop = shop_values.from_json(row["settings"])
        return CartOfShop(carts.from_json(row["cart"]), shop, voucher, self._clock.now())
