"""What staff send and see of searches: rules of texts, and synonyms."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from shared.edge.parsing import Body, View
from shared.kernel.clock import iso
from shared.search.merchandising import MOST_BURIED, MOST_PINNED, MOST_SYNONYMS, Rule, Synonym

Query = Annotated[str, Meta(min_length=1, max_length=200)]
Slug = Annotated[str, Meta(min_length=1, max_length=200)]
Pinned = Annotated[tuple[Slug, ...], Meta(max_length=MOST_PINNED)]
Buried = Annotated[tuple[Slug, ...], Meta(max_length=MOST_BURIED)]
Word = Annotated[str, Meta(min_length=1, max_length=60)]
Words = Annotated[tuple[Word, ...], Meta(min_length=1, max_length=MOST_SYNONYMS)]


class RuleBody(Body, frozen=True, kw_only=True):
    """Products by slug: those that come first for this text, in this order, and those that it does not find."""

    query: Query
    pinned: Pinned = ()
    buried: Buried = ()


class RuleChangeBody(Body, frozen=True, kw_only=True):
    """What changes; what is left out stays."""

    pinned: Pinned | UnsetType = UNSET
    buried: Buried | UnsetType = UNSET


class RuledProductView(View, frozen=True, kw_only=True):
    slug: str
    name: str


class RuleView(View, frozen=True, kw_only=True):
    """`query` is the text without case and accents; products that are gone are left out."""

    id: str
    query: str
    pinned: list[RuledProductView]
    buried: list[RuledProductView]
    version: int
    created_at: str
    updated_at: str


class RulesPage(View, frozen=True, kw_only=True):
    items: list[RuleView]
    next_cursor: str | None


class SynonymBody(Body, frozen=True, kw_only=True):
    """Whoever looks for one of the words finds the others' products; `one_way`: only who looks for the term. All of
    them together are 60 words at most, fewer where they are long."""

    term: Word
    synonyms: Words
    one_way: bool = False


class SynonymChangeBody(Body, frozen=True, kw_only=True):
    """What changes; what is left out stays."""

    term: Word | UnsetType = UNSET
    synonyms: Words | UnsetType = UNSET
    one_way: bool | UnsetType = UNSET


class SynonymView(View, frozen=True, kw_only=True):
    id: str
    term: str
    synonyms: list[str]
    one_way: bool
    version: int
    created_at: str
    updated_at: str


class SynonymsPage(View, frozen=True, kw_only=True):
    items: list[SynonymView]
    next_cursor: str | None


def rule_view(rule: Rule) -> RuleView:
    return RuleView(
        id=str(rule.id),
        query=rule.query,
        pinned=[RuledProductView(slug=each.slug, name=each.name) for each in rule.pinned],
        buried=[RuledProductView(slug=each.slug, name=each.name) for each in rule.buried],
        version=rule.version,
        created_at=iso(rule.created_at),
        updated_at=iso(rule.updated_at),
    )


def synonym_view(synonym: Synonym) -> SynonymView:
    return SynonymView(
        id=str(synonym.id),
        term=synonym.term,
        synonyms=list(synonym.synonyms),
        one_way=synonym.one_way,
        version=synonym.version,
        created_at=iso(synonym.created_at),
        updated_at=iso(synonym.updated_at),
    )
