"""The tree of categories: read, and changed by staff, a subtree with all its paths in one transaction.

Whoever changes it takes the turn of the imports (catalog_turn), then the subtree's categories by path,
then its products by id: nobody adds to it, edits its products or moves another one into it meanwhile.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.products import products_changed
from shared.catalog.slugs import numbered, slug_of
from shared.catalog.tree import (
    CategoryTaken,
    CategoryTooLarge,
    KeptCategory,
    Place,
    Placing,
    UnknownCategory,
    check_parent,
)
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.persistence import audit
from shared.persistence.catalog_refresh import REFRESH_PRODUCTS
from shared.persistence.catalog_turn import take_turn
from shared.persistence.database import Database, Transaction

# Their words are made anew in the same transaction: a few hundred a second, and nobody else changes the catalogue.
MOST_PRODUCTS = 5_000
_BATCH = 500

_COLUMNS = """c.id, c.path, c.name, c.position,
    (select count(*)::int from products p where p.category_id = c.id) as products"""
_GET = f"select {_COLUMNS} from categories c where c.id = :id::uuid"
_LIST = f"select {_COLUMNS} from categories c where c.path > :after::text order by c.path limit :limit::int"

_LOCK_SUBTREE = """
select id, path from categories where path = :path::text or starts_with(path, :path::text || '/')
order by path for update
"""
_BY_PATH = "select id from categories where path = :path::text"
_TWIN = """
select path from categories
where parent_id is not distinct from :parent_id::uuid and lower(name) = lower(:name::text) and id <> :id::uuid
"""
_TAKEN = "select path from categories where path = :path::text and id <> :id::uuid"

_KEEP_OLD_PATHS = """
insert into category_history (path, category_id)
select path, id from categories where path = :path::text or starts_with(path, :path::text || '/') order by path
on conflict (path) do update set category_id = excluded.category_id
"""
_FORGET_NEW_PATHS = """
delete from category_history h
where (h.path = :path::text or starts_with(h.path, :path::text || '/'))
    and exists (select from categories c where c.path = h.path)
"""

_MOVE = """
update categories set
    path = :new::text || substr(path, length(:old::text) + 1),
    parent_id = case when id = :id::uuid then :parent_id::uuid else parent_id end,
    slug = case when id = :id::uuid then :slug::text else slug end,
    name = case when id = :id::uuid then :name::text else name end,
    position = case when id = :id::uuid then :position::int else position end
where path = :old::text or starts_with(path, :old::text || '/')
"""

_PRODUCTS_OF = """
select id from products where category_id = any(:ids::uuid[]) order by id limit :limit::int for update
"""


class Categories:
    """Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_categories(self, *, after: str, limit: int) -> list[KeptCategory]:
        """By path (C collation), those behind `after`."""
        return [KeptCategory(**row) for row in self._database.call(_LIST, after=after, limit=limit)]

    def place(self, category_id: UUID, placing: Placing, *, actor: str) -> KeptCategory:
        """The category with its subtree where `placing` wants it; its old paths lead there.

        Raises UnknownCategory, CategoryTaken, CategoryTooLarge, Invalid where it would be below itself or too deep.
        """

        def in_one_step(tx: Transaction) -> KeptCategory:
            take_turn(tx)
            before = _get(tx, category_id)
            was = Place(before.name, before.parent_path, before.position)
            wanted, now = placing(was), self._clock.now()
            if wanted == was:
                return before
            products = _Move(tx, before, wanted, now).carry_out()
            after = _get(tx, category_id)
            audit.append(tx, _entry(before, after, products, now, actor))
            return after

        return self._database.step(in_one_step)


class _Move:
    """One category in its transaction, from where it is to where it is wanted."""

    def __init__(self, tx: Transaction, before: KeptCategory, wanted: Place, now: datetime) -> None:
        self._tx = tx
        self._before = before
        self._wanted = wanted
        self._now = now

    def carry_out(self) -> int:
        """How many products are described by other words now."""
        tx, before, wanted = self._tx, self._before, self._wanted
        subtree = tx.rows(_LOCK_SUBTREE, path=before.path)
        levels = max(row["path"].count("/") for row in subtree) - before.path.count("/") + 1
        check_parent(before.path, wanted.parent_path, levels=levels)
        parent_id = self._parent_id()
        twin = tx.find(_TWIN, parent_id=parent_id, name=wanted.name, id=before.id)
        if twin is not None:
            raise CategoryTaken(path=twin["path"])
        slug, path = self._free_path()
        if path != before.path:
            tx.rows(_KEEP_OLD_PATHS, path=before.path)
        tx.rows(
            _MOVE,
            id=before.id,
            old=before.path,
            new=path,
            parent_id=parent_id,
            slug=slug,
            name=wanted.name,
            position=wanted.position,
        )
        if path == before.path and wanted.name == before.name:
            return 0
        tx.rows(_FORGET_NEW_PATHS, path=path)
        return self._tell_products([row["id"] for row in subtree])

    def _parent_id(self) -> UUID | None:
        if self._wanted.parent_path is None:
            return None
        found = self._tx.find(_BY_PATH, path=self._wanted.parent_path)
        if found is None:
            raise Invalid([Field("/parent", "is no category of this shop")])
        parent_id: UUID = found["id"]
        return parent_id

    def _free_path(self) -> tuple[str, str]:
        """Slug and path: the slug that it has while its name stays, else the name's; numbered where that is taken."""
        before, wanted = self._before, self._wanted
        slug = before.path.rpartition("/")[2]
        if wanted.name != before.name:
            slug = slug_of(wanted.name, fallback="category")
        prefix = f"{wanted.parent_path}/" if wanted.parent_path else ""
        number = 1
        while self._tx.find(_TAKEN, path=prefix + numbered(slug, number), id=before.id):
            number += 1
        return numbered(slug, number), prefix + numbered(slug, number)

    def _tell_products(self, category_ids: Sequence[UUID]) -> int:
        found = self._tx.rows(_PRODUCTS_OF, ids=list(category_ids), limit=MOST_PRODUCTS + 1)
        if len(found) > MOST_PRODUCTS:
            raise CategoryTooLarge(most=MOST_PRODUCTS)
        ids = [row["id"] for row in found]
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            self._tx.rows(REFRESH_PRODUCTS, ids=batch, now=self._now)
            self._tx.emit(products_changed(batch))
        return len(ids)


def _get(tx: Transaction, category_id: UUID) -> KeptCategory:
    row = tx.find(_GET, id=category_id)
    if row is None:
        raise UnknownCategory
    return KeptCategory(**row)


def _entry(before: KeptCategory, after: KeptCategory, products: int, now: datetime, actor: str) -> Entry:
    told = {
        name: {"was": getattr(before, name), "now": getattr(after, name)}
        for name in ("path", "name", "position")
        if getattr(before, name) != getattr(after, name)
    }
    return Entry(now, actor, "category.changed", f"category:{before.id}", {**told, "products": products})
