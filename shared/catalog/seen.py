"""What a file has named so far: its SKUs, and the products that one of its lines describes.

It lies in a temporary database that SQLite moves to disk when it grows. What each batch has named is kept with the
batch as one text, so that another process, reading those texts once, knows the same.
"""

import json
from collections.abc import Iterable, Mapping


class Seen:
    """`names` are the texts of the batches before, in any order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        # Whoever only looks at imports comes by here too, and needs none of it.
        import sqlite3

        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode = off")
        self._database.execute("pragma synchronous = off")
        self._database.execute("create table skus (name text primary key, line integer) without rowid")
        self._database.execute("create table products (name text primary key, line integer) without rowid")
        self._database.execute("begin")
        self._skus: dict[str, int] = {}
        self._products: dict[str, int] = {}
        for text in names:
            both, skus, products = json.loads(text)
            self._restore("skus", both, skus)
            self._restore("products", both, products)

    def claim_sku(self, sku: str, line: int) -> int | None:
        """None for the first line with this SKU, else that line's number."""
        earlier = self._claim("skus", sku, line)
        if earlier is None:
            self._skus[sku] = line
        return earlier

    def claim(self, group_key: str, line: int) -> bool:
        """Whether this line is the one that describes the product; it may ask again."""
        earlier = self._claim("products", group_key, line)
        if earlier is None:
            self._products[group_key] = line
        return earlier in (None, line)

    def named(self) -> str:
        """What was claimed since `kept`, as a text. Most lines are a product of their own: those are there once."""
        both = {name: line for name, line in self._skus.items() if self._products.get(name) == line}
        rest = [{name: line for name, line in of.items() if name not in both} for of in (self._skus, self._products)]
        return json.dumps([both, *rest], separators=(",", ":"))

    def kept(self) -> None:
        """What was named lies with its batch."""
        self._skus.clear()
        self._products.clear()

    def close(self) -> None:
        self._database.close()

    def _claim(self, table: str, name: str, line: int) -> int | None:
        made = self._database.execute(f"insert or ignore into {table} values (?, ?)", (name, line))
        if made.rowcount == 1:
            return None
        earlier: tuple[int] = self._database.execute(f"select line from {table} where name = ?", (name,)).fetchone()
        return earlier[0]

    def _restore(self, table: str, *named: Mapping[str, int]) -> None:
        for lines in named:
            self._database.executemany(f"insert into {table} values (?, ?)", lines.items())
