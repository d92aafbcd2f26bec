"""Addresses of products: chosen by name, the old one kept as one that leads to the new.

Whoever writes products has the turn at the catalogue (catalog_turn): nobody else takes a slug meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.catalog.slugs import product_slugs
from shared.persistence.database import Transaction

# A slug that once led to another product keeps doing so: it is taken as well.
_TAKEN = """
select slug, id as product_id from products where slug = any(:slugs::text[])
union all
select slug, product_id from slug_history where slug = any(:slugs::text[])
"""

_FORGET = "delete from slug_history where slug = any(:slugs::text[])"

_KEEP = """
insert into slug_history (slug, product_id)
select slug, product_id from unnest(:slugs::text[], :ids::uuid[]) as h (slug, product_id) order by slug
on conflict (slug) do update set product_id = excluded.product_id
"""


@dataclass(frozen=True, slots=True)
class Named:
    """A product that is new, and has no slug yet, or whose name has changed."""

    product_id: UUID
    slug: str
    name: str
    group_key: str


def choose_slugs(tx: Transaction, named: Sequence[Named]) -> dict[UUID, str]:
    """The slugs of those that need another; what they leave behind leads to them from now on."""
    wanted = {each.product_id: product_slugs(each.name, each.group_key) for each in named}
    # A name that changes within its slug, or whose slug had a suffix, keeps its address.
    moving = [each for each in named if each.slug not in wanted[each.product_id]]
    if not moving:
        return {}
    slugs = sorted({slug for each in moving for slug in wanted[each.product_id]})
    owners = {row["slug"]: row["product_id"] for row in tx.rows(_TAKEN, slugs=slugs)}
    chosen: dict[UUID, str] = {}
    taken_back = []
    for each in moving:
        own = each.product_id
        slug = next(slug for slug in wanted[own] if owners.get(slug, own) == own)
        if slug in owners:
            taken_back.append(slug)
        owners[slug] = own
        chosen[own] = slug
    if taken_back:
        tx.rows(_FORGET, slugs=taken_back)
    left = {each.slug: each.product_id for each in moving if each.slug}
    if left:
        tx.rows(_KEEP, slugs=list(left), ids=list(left.values()))
    return chosen
