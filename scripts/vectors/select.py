"""Which operations become vectors: for everything that was ever seen to happen, the shortest way there that is found.

What an operation shows are its *features*: its function with its outcome, with each event, and for the ClearingHouse
with all its events together. A feature that a fresh set-up shows at once needs no way; for the others a walk is cut
down as long as its last operation still shows the feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.vectors.domain import Mark, Told
from scripts.vectors.play import Operation, Stage
from scripts.vectors.sources import Story

Say = Callable[[str, int, int | None], None]


ANYWHERE = {
    "PriceOracle.PricePoked",
    "PriceOracle.FeedFailed",
    "PriceOracle.FeedRecovered",
    "ClearingHouse.FundingAccrued",
    "ClearingHouse.LateFolded",
    "ClearingHouse.Exposed",
    "ClearingHouse.PositionChanged",
}
"""Events that any call may bring along, because time has passed or somebody was touched: once is enough."""


def features(operation: Operation, told: Told) -> set[str]:
    """What one operation shows."""
    contract = "MockFeed" if operation["to"].startswith("MockFeed") else operation["to"]
    function = f"{contract}.{operation['call'].partition('(')[0]}"
    if told.reason is not None:
        return {f"{function}: {told.reason or 'no reason'}"}
    events = {f"{event.contract}.{event.name}" for event in told.events}
    shown = {f"{function}: ok"} | {f"event {event}" for event in events & ANYWHERE}
    events -= ANYWHERE
    shown |= {f"{function} > {event}" for event in events}
    if contract == "ClearingHouse" and len(events) > 1:
        shown.add(f"{function} > {' + '.join(sorted(events))}")
    return shown


@dataclass
class Cut:
    """Operations that are left of a story, and what they show that no other vector does."""

    name: str
    setup: str
    operations: list[Operation]
    orders: Mapping[str, Mapping[str, Any]]
    covers: list[str]


TRIES, LONG = 4, 25
"""Stories that are cut down for one feature, as long as what is left is longer than that."""


@dataclass
class _Found:
    """Where a story first shows a feature."""

    feature: str
    story: Story
    at: int


def select(stories: Iterable[Story], stages: Mapping[str, Stage], known: set[str], say: Say) -> list[Cut]:
    """Vectors that together show everything that the stories show, but for what is ``known`` already."""
    found = _search(stories, stages, known)
    first = {feature: places[0] for feature, places in found.items()}
    cuts = list(_at_once(first, stages))
    covered = known | {feature for cut in cuts for feature in cut.covers}
    # Late ones first: on the way to them most of the others happen.
    rest = sorted((f for f in first.values() if f.feature not in covered), key=lambda f: (-f.at, f.feature))
    for done, one in enumerate(rest):
        say("cutting down", done, len(rest))
        if one.feature not in covered:
            story, operations = _shortest(found[one.feature], stages)
            shown = shown_by(stages[story.setup], operations, story.orders)
            orders = _used(operations, story.orders)
            cuts.append(Cut(one.feature, story.setup, operations, orders, sorted(shown - covered)))
            covered |= shown
    return cuts


def _search(stories: Iterable[Story], stages: Mapping[str, Stage], known: set[str]) -> dict[str, list[_Found]]:
    """Every feature that is new, and in which stories it is shown after how many operations, the fewest first."""
    found: dict[str, list[_Found]] = {}
    for story in stories:
        told = stages[story.setup].run(story.operations, story.orders)
        seen = set(known)
        for at, (operation, one) in enumerate(zip(story.operations, told, strict=True)):
            for feature in sorted(features(operation, one) - seen):
                found.setdefault(feature, []).append(_Found(feature, story, at))
                seen.add(feature)
    return {feature: sorted(places, key=lambda place: place.at) for feature, places in found.items()}


def _shortest(places: Sequence[_Found], stages: Mapping[str, Stage]) -> tuple[Story, list[Operation]]:
    """The shortest of what is left of a few stories."""
    best: tuple[Story, list[Operation]] | None = None
    for place in places[:TRIES]:
        story = place.story
        operations = shorten(stages[story.setup], story.operations[: place.at + 1], story.orders, place.feature)
        if best is None or len(operations) < len(best[1]):
            best = story, operations
        if len(best[1]) <= LONG:
            break
    assert best is not None
    return best


def shown_by(stage: Stage, operations: Sequence[Operation], orders: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Features of a sequence."""
    told = stage.run(operations, orders)
    return {feature for o, t in zip(operations, told, strict=True) for feature in features(o, t)}


def _at_once(found: Mapping[str, _Found], stages: Mapping[str, Stage]) -> Iterable[Cut]:
    """One vector a set-up of all that it refuses at once: refusals change nothing, so they go together."""
    refused: dict[str, Cut] = {}
    for one in found.values():
        stage = stages[one.story.setup]
        operation = {**one.story.operations[one.at], "at": stage.setup["time"]}
        (told,) = stage.run([operation], one.story.orders)
        if told.reason is None or one.feature not in features(operation, told):
            continue
        used = _used([operation], one.story.orders)
        name = f"refused at once, {one.story.setup}"
        cut = refused.setdefault(one.story.setup, Cut(name, one.story.setup, [], {}, []))
        # Orders of two stories may share a name.
        fresh = {old: f"order {len(cut.orders) + i}" for i, old in enumerate(used)}
        cut.operations.append(_renamed(operation, fresh))
        cut.orders = {**cut.orders, **{fresh[old]: order for old, order in used.items()}}
        cut.covers.append(one.feature)
    return refused.values()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A written value with orders under other names."""
    if isinstance(value, dict):
        return {
            k: names.get(v, v) if k in ("order", "signature") and isinstance(v, str) else _renamed(v, names)
            for k, v in value.items()
        }
    return [_renamed(one, names) for one in value] if isinstance(value, list) else value


def _used(operations: Sequence[Operation], orders: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The orders that operations refer to."""
    names: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            names.update(v for k, v in value.items() if k in ("order", "signature") and isinstance(v, str))
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(one)

    for operation in operations:
        look(operation["args"])
    return {name: orders[name] for name in orders if name in names}


def shorten(
    stage: Stage, operations: Sequence[Operation], orders: Mapping[str, Mapping[str, Any]], feature: str
) -> list[Operation]:
    """The operations without those that the last one does not need to show ``feature``: ever smaller pieces are
    left out, from the end to the beginning, until no single one can be."""
    domain, kept = stage.domain, list(operations)
    stage.begin(orders)
    marks: list[Mark] = []

    def play(rest: Sequence[Operation]) -> tuple[list[Mark], bool]:
        """A mark before each of the operations, and whether the last one shows the feature."""
        passed, told = [], None
        for operation in rest:
            passed.append(domain.mark())
            told = domain.call(operation)
        return passed, told is not None and feature in features(rest[-1], told)

    marks, _ = play(kept)
    size = max(1, (len(kept) - 1) // 2)
    while True:
        removed = False
        end = len(kept) - 1
        while end > 0:
            begin = max(0, end - size)
            domain.reset(marks[begin])  # what comes before the piece need not be played again
            passed, shows = play(kept[end:])
            if shows:
                kept, marks, removed = kept[:begin] + kept[end:], marks[:begin] + passed, True
            end = begin
        if size > 1:
            size = size // 2
        elif not removed:
            return kept
