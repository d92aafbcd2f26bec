"""What staff say of searches counts in the next one: pins, what is not found, synonyms; and pages still add up."""

from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest

from shared.kernel.errors import Invalid
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.query_rules import SearchRules
from shared.persistence.search import CatalogueReader
from shared.persistence.synonyms import Synonyms
from shared.search.listing import Continuation, Search, Sort, Total
from shared.search.merchandising import (
    Rule,
    RuleStale,
    RuleTaken,
    Synonym,
    SynonymStale,
    SynonymTaken,
    UnknownRule,
    UnknownSynonym,
)
from shared.search.texts import clean
from shared.settings import DatabaseSettings
from tests.search.test_budgets import CountingDatabase
from tests.search.test_projection import Shop
from tools.scratch_database import ScratchServer


class MerchandisedShop(Shop):
    """Staff's side as the role of inventory, the shopper's as that of search."""

    def __init__(self, postgres: ScratchServer) -> None:
        super().__init__(postgres)
        settings = DatabaseSettings("url", 1, postgres.login(self.address, "search").url)
        self.searching = CountingDatabase(
            connector(settings, application="test", planning=BY_INDEXES), size=1, clock=self.clock
        )
        self.reader = CatalogueReader(self.searching)
        settings = DatabaseSettings("url", 1, postgres.login(self.address, "inventory").url)
        self.staff = Database(connector(settings, application="test"), size=1, clock=self.clock)
        self.rules = SearchRules(self.staff, self.clock)
        self.synonyms = Synonyms(self.staff, self.clock)

    def stock_up(self, *names: str) -> list[UUID]:
        """Products whose slugs are their names; the first is the most popular."""
        ids = [self.add(name, popularity=1 << (len(names) - n)) for n, name in enumerate(names)]
        self.projection.project(ids)
        return ids

    def rule(self, query: str, *, pinned: Sequence[str] = (), buried: Sequence[str] = ()) -> Rule:
        return self.rules.create(uuid4(), query, pinned=pinned, buried=buried, actor="staff:1")

    def synonym(self, term: str, *synonyms: str, one_way: bool = False) -> Synonym:
        return self.synonyms.create(uuid4(), term=term, synonyms=synonyms, one_way=one_way, actor="staff:1")

    def find(self, search: str | Search, *, limit: int = 100) -> list[str]:
        """All pages, each of `limit`."""
        asked = Search(text=search) if isinstance(search, str) else search
        found: list[str] = []
        following: Continuation | None = None
        while True:
            page = self.reader.list_products(asked, limit=limit, following=following)
            found += [item.slug for item in page.items]
            following = page.next
            if following is None:
                return found
            assert len(page.items) == limit

    def audited(self) -> list[list[object]]:
        return self.run("select actor, action, subject, detail from audit_log order by at, action")

    def close(self) -> None:
        self.searching.close()
        self.staff.close()
        super().close()


@pytest.fixture
def shop(postgres: ScratchServer) -> Iterator[MerchandisedShop]:
    made = MerchandisedShop(postgres)
    yield made
    made.close()
    postgres.drop(made.address)


def test_the_pinned_come_first_in_their_order_whether_they_have_the_words_or_not(shop: MerchandisedShop) -> None:
    shop.stock_up("red lamp", "blue lamp", "green lamp", "torch")

    shop.rule("lamp", pinned=["torch", "green lamp"])

    assert shop.find("lamp") == ["torch", "green lamp", "red lamp", "blue lamp"]
    assert shop.reader.list_products(Search(text="lamp"), limit=10).total == Total(4, exact=True)
    # Other texts, and the catalogue without one, are as they were.
    assert shop.find("lamps") == shop.find(Search(text="lamps")) == ["red lamp", "blue lamp", "green lamp"]
    assert shop.find("") == ["red lamp", "blue lamp", "green lamp", "torch"]


@pytest.mark.parametrize("typed", ["crème lamp", "Creme  LAMP", " creme\tlamp"])
def test_a_rule_is_of_the_text_without_case_accents_and_more_spaces(shop: MerchandisedShop, typed: str) -> None:
    shop.stock_up("creme lamp", "torch")

    rule = shop.rule("Crème Lamp", pinned=["torch"])

    assert rule.query == "creme lamp"
    assert shop.find(clean(typed)) == ["torch", "creme lamp"]
    assert shop.find("lamp creme") == ["creme lamp"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_no_page_repeats_what_was_pinned_and_none_leaves_anything_out(shop: MerchandisedShop, limit: int) -> None:
    names = [f"lamp {number}" for number in range(9)]
    shop.stock_up(*names, "torch")

    shop.rule("lamp", pinned=["lamp 7", "torch", "lamp 3"], buried=["lamp 0"])

    found = shop.find("lamp", limit=limit)
    assert found[:3] == ["lamp 7", "torch", "lamp 3"]
    assert sorted(found) == sorted({*names, "torch"} - {"lamp 0"})
    assert found == shop.find("lamp")


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NEWEST, Sort.POPULARITY])
def test_another_order_is_the_shoppers_and_holds_the_same_products(shop: MerchandisedShop, sort: Sort) -> None:
    ids = [shop.add(name, price_minor=price) for name, price in (("red lamp", 300), ("blue lamp", 100), ("torch", 200))]
    shop.projection.project(ids)
    shop.rule("lamp", pinned=["torch"])

    found = shop.find(Search(text="lamp", sort=sort), limit=1)

    assert sorted(found) == ["blue lamp", "red lamp", "torch"]
    if sort is Sort.PRICE_ASC:
        assert found == ["blue lamp", "torch", "red lamp"]
    if sort is Sort.PRICE_DESC:
        assert found == ["red lamp", "torch", "blue lamp"]


def test_a_filter_is_the_shoppers_and_the_pinned_obey_it(shop: MerchandisedShop) -> None:
    lamp, torch = shop.add("lamp", price_minor=500), shop.add("torch", price_minor=2000, on_hand=0)
    shop.projection.project([lamp, torch])
    shop.rule("lamp", pinned=["torch"])

    assert shop.find(Search(text="lamp", price_max=1000)) == ["lamp"]
    assert shop.find(Search(text="lamp", in_stock=True)) == ["lamp"]
    assert shop.find(Search(text="lamp", price_min=1000)) == ["torch"]
    page = shop.reader.list_products(Search(text="lamp", in_stock=True), limit=10)
    assert page.total == Total(1, exact=True)


def test_what_is_buried_is_not_found_by_the_text_and_is_by_others(shop: MerchandisedShop) -> None:
    shop.stock_up("red lamp", "blue lamp")

    shop.rule("lamp", buried=["red lamp"])

    assert shop.find("lamp") == ["blue lamp"]
    assert shop.find(Search(text="lamp", sort=Sort.PRICE_ASC)) == ["blue lamp"]
    assert shop.reader.list_products(Search(text="lamp"), limit=10).total == Total(1, exact=True)
    assert shop.reader.facets(Search(text="lamp")).total == Total(1, exact=True)
    assert shop.find("red lamp") == ["red lamp", "blue lamp"]
    assert shop.find("") == ["red lamp", "blue lamp"]


def test_facets_count_what_the_list_shows(shop: MerchandisedShop) -> None:
    ids = [shop.add(name, price_minor=price) for name, price in (("red lamp", 300), ("blue lamp", 100), ("torch", 200))]
    shop.projection.project(ids)
    shop.rule("lamp", pinned=["torch", "red lamp"], buried=["blue lamp"])
    shop.rule("gift", pinned=["torch"])

    facets, gifts = shop.reader.facets(Search(text="lamp")), shop.reader.facets(Search(text="gift"))

    assert (facets.total, facets.price_min_minor, facets.price_max_minor) == (Total(2, exact=True), 200, 300)
    assert (gifts.total, gifts.price_min_minor) == (Total(1, exact=True), 200)


def test_a_text_that_nothing_has_finds_what_is_pinned_to_it(shop: MerchandisedShop) -> None:
    shop.stock_up("red lamp", "torch", "gifted")
    shop.rule("for dad", pinned=["torch", "red lamp"])
    shop.rule("lampp", pinned=["torch"])

    assert shop.find("for dad", limit=1) == ["torch", "red lamp"]
    # Staff knew how it is spelt: nobody corrects it.
    assert shop.find("lampp") == ["torch"]
    page = shop.reader.list_products(Search(text="lampp"), limit=10)
    assert (page.corrected, page.total) == (None, Total(1, exact=True))


def test_a_text_that_is_spelt_right_has_the_rule_of_what_was_meant(shop: MerchandisedShop) -> None:
    shop.stock_up("green lantern", "torch")
    shop.rule("lantern", pinned=["torch"])

    page = shop.reader.list_products(Search(text="lantren"), limit=1)
    rest = shop.reader.list_products(Search(text="lantren"), limit=1, following=page.next)

    assert (page.corrected, page.items[0].slug, page.total) == ("lantern", "torch", Total(2, exact=True))
    assert [item.slug for item in rest.items] == ["green lantern"]


@pytest.mark.parametrize("others", [[], ["red lamp shade"]])
@pytest.mark.parametrize("pinned", [True, False])
def test_what_is_pinned_or_buried_opens_no_weaker_way(
    shop: MerchandisedShop, *, pinned: bool, others: list[str]
) -> None:
    lamps = ["red lamp", "lamp of red glass"]
    shop.stock_up(*lamps, *others, "redlampshade", "red dress", "green lamp")
    shop.rule("red lamp", **{"pinned" if pinned else "buried": lamps})

    left = [*lamps, *others] if pinned else others
    page = shop.reader.list_products(Search(text="red lamp"), limit=10)
    facets = shop.reader.facets(Search(text="red lamp"))

    assert ([item.slug for item in page.items], page.corrected) == (left, None)
    assert page.total == facets.total == Total(len(left), exact=True)
    assert shop.find("redlamp") == ["redlampshade"]


def test_a_total_counts_the_pinned_once_and_the_buried_never(shop: MerchandisedShop) -> None:
    names = [f"lamp {number}" for number in range(9)]
    shop.stock_up(*names, "torch")
    shop.rule("lamp", pinned=["torch", "lamp 3"], buried=["lamp 0", "lamp 5"])

    for search in (Search(text="lamp"), Search(text="lamp", in_stock=True)):
        assert shop.reader.list_products(search, limit=3).total == Total(8, exact=True)
        assert len(shop.find(search, limit=3)) == 8


def test_what_is_buried_is_not_suggested_where_its_text_is_typed(shop: MerchandisedShop) -> None:
    shop.stock_up("lamp red", "lamp blue")
    shop.rule("lamp", buried=["lamp red"])

    suggested = {typed: [each.key for each in shop.reader.suggest(typed, limit=8)] for typed in ("Lamp", "lam")}

    assert suggested == {"Lamp": ["lamp blue"], "lam": ["lamp red", "lamp blue"]}


def test_what_is_gone_or_not_published_is_pinned_in_vain(shop: MerchandisedShop) -> None:
    _, torch, bulb = shop.stock_up("lamp", "torch", "bulb")
    rule = shop.rule("lamp", pinned=["torch", "bulb"])

    shop.unpublish(torch)
    shop.run("delete from variants where sku = 'BULB'")
    shop.delete(bulb)
    shop.projection.project([torch, bulb])

    assert shop.find("lamp") == ["lamp"]
    assert [each.slug for each in shop.rules.get(rule.id).pinned] == ["torch"]


def test_a_change_counts_in_the_next_search_and_on_the_next_page(shop: MerchandisedShop) -> None:
    shop.stock_up("red lamp", "blue lamp", "torch")
    before = shop.find("lamp")

    rule = shop.rule("lamp", pinned=["torch"])
    created = shop.find("lamp")
    page = shop.reader.list_products(Search(text="lamp"), limit=1)
    changed = shop.rules.change(rule.id, pinned=["blue lamp"], buried=None, actor="staff:1", if_match=1)
    after = shop.find("lamp")
    shop.rules.delete(rule.id, actor="staff:1")
    rest = shop.reader.list_products(Search(text="lamp"), limit=10, following=page.next)

    assert (before, created, after) == (
        ["red lamp", "blue lamp"],
        ["torch", "red lamp", "blue lamp"],
        ["blue lamp", "red lamp"],
    )
    assert (changed.version, shop.find("lamp")) == (2, ["red lamp", "blue lamp"])
    assert [item.slug for item in rest.items] == ["red lamp", "blue lamp"]


def test_each_of_the_words_finds_the_others_products_in_all_forms(shop: MerchandisedShop) -> None:
    shop.stock_up("red sofa", "blue couch", "green settee", "table")
    before = shop.find("settees")

    shop.synonym("sofa", "Couches", "settee")

    assert before == ["green settee"]
    for typed in ("sofa", "couch", "SETTEES"):
        assert sorted(shop.find(typed)) == ["blue couch", "green settee", "red sofa"]
        assert shop.find(typed, limit=1) == shop.find(typed)
    assert shop.find("couch")[0] == "blue couch"
    assert shop.find("blue sofa") == ["blue couch"]
    assert shop.reader.facets(Search(text="sofa")).total == Total(3, exact=True)


def test_one_way_widens_the_term_alone(shop: MerchandisedShop) -> None:
    shop.stock_up("television", "flat screen", "flat iron", "screen door")

    shop.synonym("tv", "television", "flat screen", one_way=True)

    assert sorted(shop.find("tv")) == ["flat screen", "television"]
    assert shop.find("television") == ["television"]
    assert shop.find(Search(text="flat screen", correct=False)) == ["flat screen"]


def test_several_words_are_widened_together_and_nothing_twice(shop: MerchandisedShop) -> None:
    shop.stock_up("mobile phone", "handset", "mobile home", "receiver")
    shop.synonym("mobile phone", "handset")
    shop.synonym("handsets cord", "receiver", one_way=True)

    assert sorted(shop.find("mobile phone")) == ["handset", "mobile phone"]
    assert sorted(shop.find("handset")) == ["handset", "mobile phone"]
    assert shop.find("mobile") == ["mobile phone", "mobile home"]
    assert shop.find("handset cord") == ["receiver"]


def test_the_words_before_one_that_goes_on_are_widened(shop: MerchandisedShop) -> None:
    shop.stock_up("couch cover", "sofa bed", "sofa table")
    shop.synonym("sofa", "couch")

    assert shop.find("sofa cov") == ["couch cover"]
    assert sorted(shop.find("couch ta")) == ["sofa table"]


def test_any_of_the_words_is_any_of_what_means_the_same(shop: MerchandisedShop) -> None:
    shop.stock_up("couch", "pillow", "chair")
    shop.synonym("sofa", "couch")

    assert sorted(shop.find("sofa zzzz pillow")) == ["couch", "pillow"]


def test_a_word_that_the_catalogue_does_not_have_is_not_corrected_where_it_has_synonyms(
    shop: MerchandisedShop,
) -> None:
    shop.stock_up("red coach", "blue coach", "green coach", "old coach", "fast coach", "sofa")
    shop.synonym("couch", "sofa")

    page = shop.reader.list_products(Search(text="couch"), limit=10)

    assert ([item.slug for item in page.items], page.corrected) == (["sofa"], None)


def test_pins_and_synonyms_of_one_text_go_together(shop: MerchandisedShop) -> None:
    shop.stock_up("red sofa", "blue couch", "torch", "old couch")
    shop.synonym("sofa", "couch")
    shop.rule("sofa", pinned=["torch", "blue couch"], buried=["old couch"])

    assert shop.find("sofa", limit=1) == ["torch", "blue couch", "red sofa"]
    assert sorted(shop.find("couch")) == ["blue couch", "old couch", "red sofa"]


def test_a_changed_entry_widens_its_new_words_alone(shop: MerchandisedShop) -> None:
    shop.stock_up("sofa", "couch", "settee")
    made = shop.synonym("sofa", "couch")

    changed = shop.synonyms.change(
        made.id, term=None, synonyms=["settee"], one_way=True, actor="staff:1", if_match=None
    )
    found = {typed: sorted(shop.find(typed)) for typed in ("sofa", "couch", "settee")}
    shop.synonyms.delete(made.id, actor="staff:1")

    assert (changed.version, changed.synonyms, changed.one_way) == (2, ["settee"], True)
    assert found == {"sofa": ["settee", "sofa"], "couch": ["couch"], "settee": ["settee"]}
    assert shop.find("sofa") == ["sofa"]
    assert shop.run("select from synonym_rewrites") == []


@pytest.mark.parametrize(("search", "statements"), [(Search(text="lamp"), 1), (Search(text="zzzz"), 3), (Search(), 1)])
def test_a_text_of_which_staff_say_nothing_costs_what_it_did(
    shop: MerchandisedShop, search: Search, statements: int
) -> None:
    shop.stock_up("lamp 1", "lamp 2", "lamp 3", "lamp 4", "torch")
    shop.rule("torch", pinned=["lamp 1"])
    shop.synonym("torch", "flashlight")
    shop.reader.list_products(search, limit=2)
    shop.searching.statements = 0

    page = shop.reader.list_products(search, limit=2)
    first = shop.searching.statements
    if page.next:
        shop.reader.list_products(search, limit=2, following=page.next)

    assert (first, shop.searching.statements) == (statements, statements + bool(page.next))


def test_a_text_of_which_staff_say_something_costs_one_statement_more_a_page(shop: MerchandisedShop) -> None:
    shop.stock_up("lamp 1", "lamp 2", "lamp 3", "lamp 4", "torch")
    shop.rule("lamp", pinned=["torch"])
    shop.searching.statements = 0

    page = shop.reader.list_products(Search(text="lamp"), limit=2)
    first = shop.searching.statements
    shop.reader.list_products(Search(text="lamp"), limit=2, following=page.next)

    assert (first, shop.searching.statements) == (3, 5)


@pytest.mark.parametrize("text", ["'", "a'b", "\\", "x:*", "a & b | !c", "' | 'lamp", "%s", "lamp %L", "-", "e-mail"])
def test_no_text_is_query_language_where_words_are_widened(shop: MerchandisedShop, text: str) -> None:
    shop.stock_up("lamp", "torch")
    shop.synonym("lamp", "torch")

    assert sorted(shop.find(f"{text} zzz lamp")) in (["lamp", "torch"], [])
    assert shop.find(text) is not None


def test_words_that_contain_each_other_are_widened_by_the_longest(shop: MerchandisedShop) -> None:
    shop.stock_up("hot dog", "sausage", "dog", "puppy", "hot puppy")
    shop.synonym("hot dog", "sausage", one_way=True)
    shop.synonym("dog", "puppy", one_way=True)

    assert sorted(shop.find("hot dog")) == ["hot dog", "sausage"]
    assert sorted(shop.find("dog")) == ["dog", "hot dog", "hot puppy", "puppy"]


# What staff may write -------------------------------------------------------------------------------------------------


def test_a_text_has_one_rule(shop: MerchandisedShop) -> None:
    shop.stock_up("lamp", "torch")
    shop.rule("Lámp", pinned=["torch"])

    with pytest.raises(RuleTaken) as refused:
        shop.rule("LAMP ", buried=["lamp"])

    assert refused.value.data == {"query": "lamp"}
    assert shop.find("lamp") == ["torch", "lamp"]


@pytest.mark.parametrize(
    ("query", "pinned", "buried", "pointers"),
    [
        ("%&!", ["lamp"], [], ["/query"]),
        ("lamp", [], [], [""]),
        ("lamp", ["lamp", "torch", "lamp"], [], ["/pinned/2"]),
        ("lamp", ["lamp"], ["torch", "lamp"], ["/buried/1"]),
        ("lamp", ["lamp", "nothing"], ["none"], ["/pinned/1", "/buried/0"]),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_fields(
    shop: MerchandisedShop, query: str, pinned: list[str], buried: list[str], pointers: list[str]
) -> None:
    shop.stock_up("lamp", "torch")

    with pytest.raises(Invalid) as refused:
        shop.rule(query, pinned=pinned, buried=buried)

    assert [field.pointer for field in refused.value.fields] == pointers
    assert (shop.run("select from query_rules"), shop.audited()) == ([], [])


@pytest.mark.parametrize(
    ("term", "synonyms", "pointers"),
    [
        ("the", ["a lamp"], ["/term"]),
        ("lamp", ["torch", "of"], ["/synonyms/1"]),
        ("lamp", ["Lamps", "lamp"], ["/synonyms"]),
        ("lamp", ["!", "手机"], ["/synonyms/0", "/synonyms/1"]),
    ],
)
def test_synonyms_that_make_no_sense_are_refused_by_their_fields(
    shop: MerchandisedShop, term: str, synonyms: list[str], pointers: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        shop.synonym(term, *synonyms)

    assert [field.pointer for field in refused.value.fields] == pointers
    assert (shop.run("select from synonyms"), shop.audited()) == ([], [])


def test_a_word_is_widened_by_one_entry(shop: MerchandisedShop) -> None:
    shop.stock_up("sofa", "couch", "bed")
    shop.synonym("sofa", "couch")

    with pytest.raises(SynonymTaken) as refused:
        shop.synonym("beds", "bed linen", "Couches", "sofas")
    shop.synonym("bed", "couch", one_way=True)

    assert refused.value.data == {"words": ["Couches", "sofas"]}
    assert sorted(shop.find("bed")) == ["bed", "couch"]
    assert sorted(shop.find("couch")) == ["couch", "sofa"]


def test_every_change_is_in_the_audit_log(shop: MerchandisedShop) -> None:
    shop.stock_up("lamp", "torch")
    rule = shop.rule("lamp", pinned=["torch"])
    shop.rules.change(rule.id, pinned=["torch"], buried=None, actor="staff:2", if_match=1)
    shop.rules.change(rule.id, pinned=[], buried=["torch"], actor="staff:2", if_match=1)
    shop.rules.delete(rule.id, actor="staff:3")
    made = shop.synonym("sofa", "couch")
    shop.synonyms.change(made.id, term=None, synonyms=None, one_way=True, actor="staff:2", if_match=None)
    shop.synonyms.delete(made.id, actor="staff:3")

    subject, synonyms = f"search-rule:{rule.id}", f"synonyms:{made.id}"
    assert sorted(shop.audited(), key=str) == sorted(
        [
            ["staff:1", "search_rule.created", subject, {"query": "lamp", "pinned": ["torch"], "buried": []}],
            ["staff:2", "search_rule.changed", subject,
             {"query": "lamp", "pinned": {"was": ["torch"], "now": []}, "buried": {"was": [], "now": ["torch"]}}],
            ["staff:3", "search_rule.deleted", subject, {"query": "lamp", "pinned": [], "buried": ["torch"]}],
            ["staff:1", "synonyms.created", synonyms, {"term": "sofa", "synonyms": ["couch"], "one_way": False}],
            ["staff:2", "synonyms.changed", synonyms, {"one_way": {"was": False, "now": True}}],
            ["staff:3", "synonyms.deleted", synonyms, {"term": "sofa", "synonyms": ["couch"], "one_way": True}],
        ],
        key=str,
    )  # fmt: skip


def test_a_change_that_says_nothing_of_a_list_leaves_it_whatever_became_of_its_products(shop: MerchandisedShop) -> None:
    lamp, torch, bulb = shop.stock_up("lamp", "torch", "bulb")
    rule = shop.rule("lamp", pinned=["torch"])
    both = shop.rule("light", pinned=["torch"], buried=["bulb"])
    shop.run("delete from variants where sku = 'TORCH'")
    shop.delete(torch)
    shop.rename(bulb, "bulbs")
    shop.run("update products set slug = 'bulbs' where slug = 'bulb'")

    same = shop.rules.change(rule.id, pinned=None, buried=None, actor="staff:1", if_match=1)
    with pytest.raises(RuleStale):
        shop.rules.change(rule.id, pinned=None, buried=None, actor="staff:1", if_match=2)
    changed = shop.rules.change(both.id, pinned=None, buried=["lamp"], actor="staff:1", if_match=None)

    assert (same.version, same.pinned, changed.version) == (1, [], 2)
    assert [each.slug for each in changed.buried] == ["lamp"]
    assert shop.run("select pinned, buried from query_rules where query = 'light'") == [[[torch], [lamp]]]
    assert [row[1] for row in shop.audited()].count("search_rule.changed") == 1


def test_an_older_version_is_stale_and_what_is_gone_unknown(shop: MerchandisedShop) -> None:
    shop.stock_up("lamp", "torch")
    rule, made = shop.rule("lamp", pinned=["torch"]), shop.synonym("sofa", "couch")

    with pytest.raises(RuleStale):
        shop.rules.change(rule.id, pinned=["lamp"], buried=None, actor="staff:1", if_match=2)
    with pytest.raises(SynonymStale):
        shop.synonyms.change(made.id, term="bed", synonyms=None, one_way=None, actor="staff:1", if_match=2)
    with pytest.raises(UnknownRule):
        shop.rules.delete(made.id, actor="staff:1")
    with pytest.raises(UnknownSynonym):
        shop.synonyms.get(rule.id)

    assert shop.rules.get(rule.id).version == shop.synonyms.get(made.id).version == 1
    assert shop.find("lamp") == ["torch", "lamp"]
