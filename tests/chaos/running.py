"""Many batches, one cloud for many of them; what fails is played again and made shorter on a cloud of its own."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.playing import Breach, Outcome, Stage
from tests.chaos.reducing import Tries, reduce
from tests.chaos.stories import Story, draw
from tests.chaos.telling import tell_all
from tests.system.cloud import Cloud

Say = Callable[[str], object]
_ENOUGH_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Settings:
    at_once: int = 10
    cloud_every: int = 120
    repeat: int = 3
    tries: int = 40


@dataclass(frozen=True, slots=True)
class Failure:
    """What broke, and the shortest stories with which it was seen to break again."""

    seeds: tuple[int, ...]
    breaches: tuple[Breach, ...]
    stories: tuple[Story, ...]
    seen_again: bool

    def told(self) -> list[str]:
        lines = [f"Seeds {self.seeds[0]} to {self.seeds[-1]}, played at once, broke:"]
        lines += [
            f"  - {each.sentence}" + (f"  (story {each.story})" if each.story else "") for each in self.breaches[:12]
        ]
        if self.seen_again:
            lines.append("The shortest that broke the same way:")
        else:
            lines.append(
                "Played again it did not break: threads and processes cannot be replayed exactly. What was told:"
            )
        return [*lines, tell_all(self.stories)]


class Run:
    """Owns the clouds. One at a time for the histories; another, as long as it takes, to look into a failure."""

    def __init__(self, folder: Path, settings: Settings, *, say: Say) -> None:
        self._folder = folder
        self._settings = settings
        self._say = say
        self._clouds: list[Cloud] = []
        self._stage: Stage | None = None
        self._told = 0
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_cloud()

    def play(self, seeds: Iterable[int], *, progress: Callable[[Counter[str], int], object]) -> list[Failure]:
        """Every history of these seeds; ends early where one failure follows the other."""
        failures: list[Failure] = []
        every = list(seeds)
        for start in range(0, len(every), self._settings.at_once):
            stories = [draw(seed) for seed in every[start : start + self._settings.at_once]]
            outcome = self._on_stage(stories)
            self.counts.update(outcome.counts)
            for name, seconds in outcome.seconds.items():
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            if outcome.breaches:
                for breach in outcome.breaches[:5]:
                    self._say(f"story {breach.story}: {breach.sentence}")
                failures.append(self._look_into(stories, outcome))
            progress(self.counts, len(failures))
            if len(failures) == _ENOUGH_FAILURES:
                break
        return failures

    def _on_stage(self, stories: Sequence[Story]) -> Outcome:
        if self._stage is None or self._told >= self._settings.cloud_every:
            self._end_cloud()
            cloud = Cloud(self._folder / f"cloud-{len(self._clouds) + 1}")
            cloud.folder.mkdir()
            self._clouds.append(cloud)
            self._stage, self._told = Stage(cloud.start().with_room()), 0
            self._stage.warm_up()
        self._told += len(stories)
        return self._stage.play(stories)

    def _end_cloud(self) -> None:
        self._stage = None
        if self._clouds:
            with suppress(ProcessLookupError):
                self._clouds[-1].stop()

    # Looking into a failure ------------------------------------------------------------------------------

    def _look_into(self, stories: Sequence[Story], outcome: Outcome) -> Failure:
        """First the story that the breach is about alone, then all of them; then without this and without that."""
        seeds = tuple(story.seed for story in stories)
        kinds = {kind_of(breach.sentence) for breach in outcome.breaches}
        blamed = [story for story in stories if story.seed in {breach.story for breach in outcome.breaches}]
        tries = Tries[Story](lambda few: self._breaks(few, kinds), left=self._settings.tries)
        failing: Sequence[Story] | None = None
        for candidate in [few for few in (blamed, list(stories)) if few]:
            if tries(candidate):
                failing = candidate
                break
        if failing is None:
            return Failure(seeds, tuple(outcome.breaches), tuple(blamed or stories), seen_again=False)
        failing = reduce(failing, tries)
        shortest = self._shorten(failing, kinds, tries.left)
        return Failure(seeds, tuple(outcome.breaches), tuple(shortest), seen_again=True)

    def _shorten(self, stories: Sequence[Story], kinds: set[str], tries_left: int) -> list[Story]:
        parts = [(index, part) for index, story in enumerate(stories) for part in story.parts()]

        def of(kept: Sequence[tuple[int, tuple[str, int]]]) -> list[Story]:
            return [
                story.with_only([part for place, part in kept if place == index]) for index, story in enumerate(stories)
            ]

        tries = Tries[tuple[int, tuple[str, int]]](lambda kept: self._breaks(of(kept), kinds), left=tries_left)
        return of(reduce(parts, tries))

    def _breaks(self, stories: Sequence[Story], kinds: set[str]) -> bool:
        """Whether any of a few plays breaks in one of these ways."""
        for _ in range(self._settings.repeat):
            outcome = self._on_stage(stories)
            if kinds & {kind_of(breach.sentence) for breach in outcome.breaches}:
                self._say(f"still breaks with {sum(len(story.parts()) for story in stories)} parts")
                return True
        return False


def kind_of(sentence: str) -> str:
    """A finding without the names and numbers that differ from play to play."""
    plain = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b", "ID", sentence)
    plain = re.sub(r"\b[0-9A-HJKMNP-TV-Z]{10}\b|\b[0-9A-Z]{17}\b|\bS[0-9]+[A-C]-[0-9a-f]{8}\b", "NAME", plain)
    return re.sub(r"[0-9]+", "N", plain)[:160]
