"""The shop's settings: one row, changed as a whole by staff, every change in the audit log."""

from collections.abc import Callable

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.persistence import audit
from shared.persistence.database import Database, Transaction, as_json
from shared.shop import settings as shop_values
from shared.shop.settings import SettingsStale, ShopSettings


class SettingsOfShop:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self) -> ShopSettings:
        row = self._database.call("select value, version from shop_settings where id = 'shop'")[0]
        return shop_values.from_json(row["value"], row["version"])

    def change(
        self, changed: Callable[[ShopSettings], ShopSettings], *, actor: str, if_match: int | None
    ) -> ShopSettings:
        """The settings after `changed`. Raises what it raises, and SettingsStale where `if_match` is an older
        version.
        """

        def in_one_step(tx: Transaction) -> ShopSettings:
            row = tx.one("select value, version from shop_settings where id = 'shop' for update")
            before = shop_values.from_json(row["value"], row["version"])
            if if_match is not None and if_match != before.version:
                raise SettingsStale(version=before.version)
            after = changed(before)
            if after == before:
                return before
            now = self._clock.now()
            written = tx.one(
                """
                update shop_settings set value = :value::jsonb, version = version + 1, updated_at = :now::timestamptz,
                    updated_by = :actor::text
                where id = 'shop' returning value, version
                """,
                value=as_json(shop_values.to_json(after)),
                now=now,
                actor=actor,
            )
            was, became = shop_values.to_json(before), shop_values.to_json(after)
            names = sorted(name for name in became if was[name] != became[name])
            detail = {name: {"was": was[name], "now": became[name]} for name in names}
            audit.append(tx, Entry(now, actor, "settings.changed", "shop", detail))
            return shop_values.from_json(written["value"], written["version"])

        return self._database.step(in_one_step)
