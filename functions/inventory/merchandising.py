"""What searches find first, what they do not find, and words that mean the same.

Search reads both when it looks for a text, so a change counts at once; answers that were given before are kept by
caches for ten seconds.
"""

from msgspec import UNSET

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.merchandising_views import (
    RuleBody,
    RuleChangeBody,
    RulesPage,
    RuleView,
    SynonymBody,
    SynonymChangeBody,
    SynonymsPage,
    SynonymView,
    rule_view,
    synonym_view,
)
from shared.edge.paging import PageQuery, cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.persistence.query_rules import SearchRules
from shared.persistence.synonyms import Synonyms
from shared.search.merchandising import (
    RuleStale,
    RuleTaken,
    SynonymStale,
    SynonymTaken,
    UnknownRule,
    UnknownSynonym,
)

routes = Routes()


@first_use
def rules() -> SearchRules:
    return SearchRules(parts.database(), parts.clock)


@first_use
def synonyms() -> Synonyms:
    return Synonyms(parts.database(), parts.clock)


@routes.get("/v1/admin/search-rules", query=PageQuery, answers={200: RulesPage}, permission="search:read")
def list_rules(call: Call[None]) -> Reply:
    """Every rule, the newest first."""
    listed = rules().list_rules(before=read_moment_cursor(call), limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda rule: (rule.created_at, rule.id))
    return Reply(200, RulesPage(items=[rule_view(rule) for rule in listed], next_cursor=cursor))


@routes.post(
    "/v1/admin/search-rules",
    body=RuleBody,
    answers={201: RuleView},
    errors=[RuleTaken, Invalid],
    permission="search:write",
)
def create_rule(call: Call[RuleBody]) -> Reply:
    """Pin products to the top of a text's list, or have the text not find them."""
    body, answering = call.body, call.answering(201, rule_view)
    rules().create(new_id(), body.query, pinned=body.pinned, buried=body.buried, actor=call.actor, answering=answering)
    return Reply(201)


@routes.get("/v1/admin/search-rules/<rule_id>", answers={200: RuleView}, errors=[UnknownRule], permission="search:read")
def get_rule(call: Call[None]) -> Reply:
    """One rule."""
    rule = rules().get(call.uuid("rule_id"))
    return Reply(200, rule_view(rule), {"ETag": f'"{rule.version}"'})


@routes.patch(
    "/v1/admin/search-rules/<rule_id>",
    body=RuleChangeBody,
    answers={200: RuleView},
    errors=[UnknownRule, RuleStale, Invalid],
    permission="search:write",
    if_match="optional",
)
def change_rule(call: Call[RuleChangeBody]) -> Reply:
    """Pin and bury other products; If-Match names the version that is meant."""
    body = call.body
    rule = rules().change(
        call.uuid("rule_id"),
        pinned=None if body.pinned is UNSET else body.pinned,
        buried=None if body.buried is UNSET else body.buried,
        actor=call.actor,
        if_match=call.if_match,
    )
    return Reply(200, rule_view(rule), {"ETag": f'"{rule.version}"'})


@routes.delete("/v1/admin/search-rules/<rule_id>", answers={204: None}, errors=[UnknownRule], permission="search:write")
def delete_rule(call: Call[None]) -> Reply:
    """The text finds what it finds by itself again."""
    rules().delete(call.uuid("rule_id"), actor=call.actor)
    return Reply(204)


@routes.get("/v1/admin/synonyms", query=PageQuery, answers={200: SynonymsPage}, permission="search:read")
def list_synonyms(call: Call[None]) -> Reply:
    """Every entry, the newest first."""
    listed = synonyms().list_synonyms(before=read_moment_cursor(call), limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda synonym: (synonym.created_at, synonym.id))
    return Reply(200, SynonymsPage(items=[synonym_view(synonym) for synonym in listed], next_cursor=cursor))


@routes.post(
    "/v1/admin/synonyms",
    body=SynonymBody,
    answers={201: SynonymView},
    errors=[SynonymTaken, Invalid],
    permission="search:write",
)
def create_synonyms(call: Call[SynonymBody]) -> Reply:
    """Words that find each other's products, or a term that finds those of its synonyms."""
    body, answering = call.body, call.answering(201, synonym_view)
    synonyms().create(
        new_id(),
        term=body.term,
        synonyms=body.synonyms,
        one_way=body.one_way,
        actor=call.actor,
        answering=answering,
    )
    return Reply(201)


@routes.get(
    "/v1/admin/synonyms/<synonym_id>", answers={200: SynonymView}, errors=[UnknownSynonym], permission="search:read"
)
def get_synonyms(call: Call[None]) -> Reply:
    """One entry."""
    synonym = synonyms().get(call.uuid("synonym_id"))
    return Reply(200, synonym_view(synonym), {"ETag": f'"{synonym.version}"'})


@routes.patch(
    "/v1/admin/synonyms/<synonym_id>",
    body=SynonymChangeBody,
    answers={200: SynonymView},
    errors=[UnknownSynonym, SynonymStale, SynonymTaken, Invalid],
    permission="search:write",
    if_match="optional",
)
def change_synonyms(call: Call[SynonymChangeBody]) -> Reply:
    """Other words; If-Match names the version that is meant."""
    body = call.body
    synonym = synonyms().change(
        call.uuid("synonym_id"),
        term=None if body.term is UNSET else body.term,
        synonyms=None if body.synonyms is UNSET else body.synonyms,
        one_way=None if body.one_way is UNSET else body.one_way,
        actor=call.actor,
        if_match=call.if_match,
    )
    return Reply(200, synonym_view(synonym), {"ETag": f'"{synonym.version}"'})


@routes.delete(
    "/v1/admin/synonyms/<synonym_id>", answers={204: None}, errors=[UnknownSynonym], permission="search:write"
)
def delete_synonyms(call: Call[None]) -> Reply:
    """Each of the words finds its own products alone again."""
    synonyms().delete(call.uuid("synonym_id"), actor=call.actor)
    return Reply(204)
