"""Brands and categories of an import: found by their names, or made.

Imports take turns (shared.persistence.catalog_turn), so nobody else makes the same one meanwhile.
"""

from collections.abc import Collection, Iterable
from uuid import UUID

from shared.catalog.slugs import numbered, slug_of
from shared.kernel.ids import new_id
from shared.persistence.database import Transaction

# Names from the top of the tree down to each category.
CATEGORY_NAMES = """
with recursive trail as (
    select id as leaf, parent_id, name, 0 as height from categories where id = any(:ids::uuid[])
    union all
    select t.leaf, c.parent_id, c.name, t.height + 1 from trail t join categories c on c.id = t.parent_id
)
select leaf, array_agg(name order by height desc) as names from trail group by leaf
"""

# What a name is by lower(), which is what the unique index compares.
_KNOWN_BRANDS = """
select wanted, b.id, b.name from unnest(:names::text[]) as w (wanted) join brands b on lower(b.name) = lower(wanted)
"""

_TAKEN_BRAND_SLUGS = "select slug from brands where slug = any(:slugs::text[])"

_ADD_BRANDS = """
insert into brands (id, slug, name)
select id, slug, name from unnest(:ids::uuid[], :slugs::text[], :names::text[]) as b (id, slug, name)
on conflict do nothing
"""

_CHILD_CATEGORIES = """
select w.parent_id, w.wanted, c.id, c.name, c.path
from unnest(:parent_ids::uuid[], :names::text[]) as w (parent_id, wanted)
join categories c on c.parent_id is not distinct from w.parent_id and lower(c.name) = lower(w.wanted)
"""

_TAKEN_PATHS = "select path from categories where path = any(:paths::text[])"

_ADD_CATEGORY = """
insert into categories (id, parent_id, slug, path, name, position)
select :id::uuid, :parent_id::uuid, :slug::text, :path::text, :name::text,
    (select coalesce(max(position) + 1, 0) from categories where parent_id is not distinct from :parent_id::uuid)
"""


def brand_ids(tx: Transaction, names: Iterable[str]) -> dict[str, UUID]:
    """The brands by these names, made where they are missing and written as the first name is."""
    wanted = [name for name in dict.fromkeys(names) if name]
    known = {row["wanted"]: row["id"] for row in tx.rows(_KNOWN_BRANDS, names=wanted)} if wanted else {}
    missing = list({name.lower(): name for name in reversed(wanted) if name not in known}.values())
    if not missing:
        return known
    slugs: list[str] = []
    for name in missing:
        slugs.append(_free_slug(tx, slug_of(name, fallback="brand"), _TAKEN_BRAND_SLUGS, also=slugs))
    tx.rows(_ADD_BRANDS, ids=[new_id() for _ in missing], slugs=slugs, names=missing)
    return {row["wanted"]: row["id"] for row in tx.rows(_KNOWN_BRANDS, names=wanted)}


def _free_slug(tx: Transaction, slug: str, taken_by: str, *, also: Collection[str]) -> str:
    number = 1
    while True:
        candidates = [numbered(slug, number + step) for step in range(20)]
        taken = {row["slug"] for row in tx.rows(taken_by, slugs=candidates)} | set(also)
        free = next((candidate for candidate in candidates if candidate not in taken), None)
        if free is not None:
            return free
        number += len(candidates)


def category_ids(tx: Transaction, paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], UUID]:
    """The categories by their names from the top, made where they are missing: level by level."""
    paths = [path for path in dict.fromkeys(paths) if path]
    found: dict[tuple[str, ...], tuple[UUID, str]] = {}
    depth = 1
    while wanted := list(dict.fromkeys(path[:depth] for path in paths if len(path) >= depth)):
        parents = [found[path[:-1]][0] if depth > 1 else None for path in wanted]
        rows = tx.rows(_CHILD_CATEGORIES, parent_ids=parents, names=[path[-1] for path in wanted])
        known = {(row["parent_id"], row["wanted"]): (row["id"], row["path"]) for row in rows}
        for path, parent_id in zip(wanted, parents, strict=True):
            child = known.get((parent_id, path[-1]))
            if child is None:
                child = _add_category(tx, path[-1], found.get(path[:-1]))
            found[path] = child
        depth += 1
    return {path: found[path][0] for path in paths}


def _add_category(tx: Transaction, name: str, parent: tuple[UUID, str] | None) -> tuple[UUID, str]:
    # Two spellings of one name in one batch: the second finds what the first has made.
    parent_id = parent[0] if parent else None
    rows = tx.rows(_CHILD_CATEGORIES, parent_ids=[parent_id], names=[name])
    if rows:
        return rows[0]["id"], rows[0]["path"]
    slug, prefix = slug_of(name, fallback="category"), f"{parent[1]}/" if parent else ""
    number = 1
    while tx.rows(_TAKEN_PATHS, paths=[prefix + numbered(slug, number)]):
        number += 1
    made, path = new_id(), prefix + numbered(slug, number)
    tx.rows(_ADD_CATEGORY, id=made, parent_id=parent_id, slug=numbered(slug, number), path=path, name=name)
    return made, path
