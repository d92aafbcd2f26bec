"""The story-teller itself: a seed is a story, a story can be told and cut, and cutting finds what matters."""

from collections.abc import Sequence

from tests.chaos.reducing import Tries, reduce
from tests.chaos.running import kind_of
from tests.chaos.stories import draw
from tests.chaos.telling import tell


def test_a_seed_is_one_story_and_another_seed_another() -> None:
    assert draw(7) == draw(7)
    assert len({"\n".join(tell(draw(seed))) for seed in range(200)}) == 200


def test_two_hundred_stories_have_every_kind_of_deed_and_misfortune() -> None:
    stories = [draw(seed) for seed in range(200)]
    deeds = {step.deed for story in stories for _actor, steps in story.scripts for step in steps}
    struck = {each.kind for story in stories for each in story.disturbances}
    targets = {each.detail["target"] for story in stories for each in story.disturbances if each.kind == "fault"}

    assert deeds >= {
        "fill", "search", "edit", "place", "approve", "leave PayPal", "return", "retry payment", "cancel", "look",
        "adjust", "count", "close", "hold minutes", "price", "end pending", "refund in the dashboard", "reverse",
        "open a dispute", "resolve the dispute", "second capture", "approve late", "take the approval back",
        "foreign capture", "forge", "deliver again", "tamper", "ship", "draft and cancel a parcel", "refund",
        "cancel what is paid", "hold back", "let go on", "send back", "decide the return", "apply again",
        "enter the voucher", "take the voucher out",
    }  # fmt: skip
    assert struck == {"kill", "stop", "fault", "pin", "clock"}
    assert targets == {
        "paypal", "sendgrid", "pubsub-publish", "pubsub-push", "tasks-create", "tasks-push", "webhooks",
    }  # fmt: skip


def test_every_part_of_a_story_can_be_told_and_left_out() -> None:
    story = draw(2)
    parts = story.parts()
    told = tell(story)

    assert len(parts) == len(story.disturbances) + story.length
    assert story.with_only(parts) == story
    assert len(tell(story.with_only(parts[1:]))) == len(told) - 1
    assert story.with_only([]).scripts == ()


def test_reducing_finds_the_two_parts_that_matter_among_forty() -> None:
    asked: list[int] = []

    def fails(parts: Sequence[int]) -> bool:
        asked.append(len(parts))
        return {7, 31} <= set(parts)

    assert reduce(range(40), Tries(fails, left=200)) == [7, 31]
    assert len(asked) < 60


def test_reducing_ends_when_its_tries_are_used_up() -> None:
    tries = Tries[int](lambda parts: 3 in parts, left=2)

    assert reduce(range(8), tries) == [0, 1, 2, 3]
    assert tries.left == 0


def test_a_finding_is_the_same_kind_in_every_play() -> None:
    first = "order ZQ3PP92P7K (paid): PayPal keeps 1706 of 8XB52178LW4470309 for us"
    second = "order 0123456789 (paid): PayPal keeps 99 of 2GG279541U471931P for us"

    assert kind_of(first) == kind_of(second)
    assert kind_of(first) != kind_of("order ZQ3PP92P7K: paid without a capture")
