"""The five states: every arrow of SPEC §14.5 with each of its causes, the waits between, and the end of a market."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import pytest

from python_ref import price_oracle as model
from python_ref.constants import (
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    STATE_SETTLEMENT,
    WAD,
)
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from python_ref.price_oracle import CAUSE_FIRST, CAUSE_SETTLED, RESEED_S
from scripts.chain.artifacts import CONTRACTS
from scripts.rules import STATES
from tests.unit.oracle_bench import GOVERNOR, MAJOR, PLAIN, QUOTE, STRANGER, Bench, M

PRICE = 2_000 * WAD
UP = 2_200 * WAD


class Stage:
    """A market that can suffer everything: in a quote, on a chain with a sequencer. Five feeds."""

    def __init__(self, few: bool = False) -> None:
        self.bench = Bench([18] * 5, replace(MAJOR, quote=QUOTE), configured=False)
        self.bench.add(QUOTE, (8, 8, 8), WAD, PLAIN)
        assert self.bench.configure() is None
        self.sequencer = self.bench.contracts[self.bench.feed(0).source].name
        self.uptime(0)
        if few:
            self.bench.mode(FEED_REVERT, 0, 1)

    def uptime(self, down: int) -> None:
        """What the sequencer's feed says since long ago."""
        assert self.bench.twin.call(self.sequencer, "set_round", STRANGER, 1, down, 1, 1, 1).ok

    def go(self, seconds: int, price: int = PRICE) -> int:
        """Steps of twelve seconds with new rounds of all; the state."""
        for _ in range(-(-seconds // 12)):
            self.bench.advance(12)
            self.bench.answer(WAD, book=QUOTE)
            self.bench.answer(price)
            self.bench.poke()
        return self.bench.state()

    def watch(self) -> None:
        """Only now look at the sequencer: a chain without a poke cannot know whether it was down."""
        feed = self.bench.twin.address(self.sequencer)
        assert self.bench.reason("set_sequencer", feed) is None


def live() -> Stage:
    stage = Stage()
    stage.go(12)
    stage.watch()
    stage.go(600)
    assert stage.bench.state() == STATE_LIVE
    return stage


def degraded() -> Stage:
    stage = live()
    few(stage)
    assert stage.bench.state() == STATE_DEGRADED
    return stage


def frozen() -> Stage:
    stage = live()
    quorum(stage)
    assert stage.bench.state() == STATE_FROZEN
    return stage


def recovery() -> Stage:
    stage = frozen()
    stage.bench.mode(FEED_NORMAL)
    assert stage.go(72) == STATE_RECOVERY
    return stage


STARTS: dict[int, Callable[[], Stage]] = {
    STATE_LIVE: live,
    STATE_DEGRADED: degraded,
    STATE_FROZEN: frozen,
    STATE_RECOVERY: recovery,
}


# ---- what happens to it ------------------------------------------------------------------------------------


def first(stage: Stage) -> None:
    stage.go(1)


def few(stage: Stage) -> None:
    stage.bench.mode(FEED_REVERT, 0, 1)
    stage.go(1)


def soft(stage: Stage) -> None:
    stage.go(1, UP)


def old(stage: Stage) -> None:
    feeds = [replace(feed, heartbeat=30) for feed in stage.bench.feeds[M]]
    assert stage.bench.configure(feeds=feeds) is None
    stage.bench.advance(91)
    stage.bench.answer(WAD, book=QUOTE)
    stage.bench.poke()


def doubtful_quote(stage: Stage) -> None:
    stage.bench.mode(FEED_REVERT, 0, book=QUOTE)
    stage.go(24)


def quorum(stage: Stage) -> None:
    stage.bench.mode(FEED_REVERT, 0, 1, 2)
    stage.go(1)


def sequencer(stage: Stage) -> None:
    stage.uptime(1)
    stage.go(1)


def frozen_quote(stage: Stage) -> None:
    stage.bench.mode(FEED_REVERT, book=QUOTE)
    stage.go(24)


def trip(stage: Stage) -> None:
    stage.go(1, PRICE * 12 // 10)


def calm(stage: Stage) -> None:
    stage.bench.mode(FEED_NORMAL)
    stage.go(72)


def confirmed(stage: Stage) -> None:
    stage.bench.mode(FEED_NORMAL)
    stage.go(312, PRICE * 12 // 10)


def grace(stage: Stage) -> None:
    stage.go(600)


def hold(stage: Stage) -> None:
    stage.bench.mode(FEED_NORMAL)
    stage.go(132)


def settled(stage: Stage) -> None:
    assert stage.bench.reason("settle", M) is None


def timed_out(stage: Stage) -> None:
    stage.bench.advance(14_401)
    assert stage.bench.reason("settle", M, sender=STRANGER) is None


ARROWS: list[tuple[int | None, int, int, Callable[[Stage], None]]] = [
    (None, STATE_LIVE, model.CAUSE_FIRST, first),
    (STATE_LIVE, STATE_DEGRADED, model.CAUSE_FEW, few),
    (STATE_LIVE, STATE_DEGRADED, model.CAUSE_SOFT, soft),
    (STATE_LIVE, STATE_DEGRADED, model.CAUSE_OLD, old),
    (STATE_LIVE, STATE_DEGRADED, model.CAUSE_QUOTE, doubtful_quote),
    (STATE_DEGRADED, STATE_LIVE, model.CAUSE_HOLD, hold),
    *(
        (state, STATE_FROZEN, cause, event)
        for state, (cause, event) in product(
            (STATE_LIVE, STATE_DEGRADED, STATE_RECOVERY),
            (
                (model.CAUSE_QUORUM, quorum),
                (model.CAUSE_SEQUENCER, sequencer),
                (model.CAUSE_QUOTE, frozen_quote),
                (model.CAUSE_TRIP, trip),
            ),
        )
    ),
    (STATE_FROZEN, STATE_RECOVERY, model.CAUSE_CALM, calm),
    (STATE_FROZEN, STATE_RECOVERY, model.CAUSE_CONFIRMED, confirmed),
    (STATE_RECOVERY, STATE_DEGRADED, model.CAUSE_GRACE, grace),
    (STATE_FROZEN, STATE_SETTLEMENT, model.CAUSE_SETTLED, timed_out),
    *((state, STATE_SETTLEMENT, model.CAUSE_SETTLED, settled) for state in STARTS),
]


@pytest.mark.parametrize(
    ("before", "after", "cause", "event"),
    ARROWS,
    ids=[f"{'-' if b is None else STATES[b]}-{STATES[a]}-{e.__name__}" for b, a, _, e in ARROWS],
)
def test_arrow(before: int | None, after: int, cause: int, event: Callable[[Stage], None]) -> None:
    stage = Stage() if before is None else STARTS[before]()
    bench = stage.bench
    begin = len(bench.story)
    event(stage)
    found = [change for change in bench.story[begin:] if change[1] == after and change[2] == cause]
    assert (STATE_FROZEN if before is None else before, after, cause) in found
    assert bench.state() == after
    assert bench.book().since <= bench.chain.now


def test_first__with_too_few_is_degraded() -> None:
    stage = Stage(few=True)
    first(stage)
    assert stage.bench.story[-1] == (STATE_FROZEN, STATE_DEGRADED, CAUSE_FIRST)


def specified() -> Iterator[tuple[int | None, int]]:
    """Arrows of the table of SPEC §14.5."""
    text = (CONTRACTS / "SPEC.md").read_text()
    table = text[text.index("### 14.5") : text.index("### 14.6")]
    for froms, tos in re.findall(r"^\| ([A-Z, –]+) \| ([A-Z, ]+) \|", table, re.MULTILINE):
        for a, b in product(froms.split(", "), tos.split(", ")):
            yield (None if a == "–" else STATES.index(a)), STATES.index(b)


def test_arrows__cover_the_specification_and_every_cause() -> None:
    wanted = set(specified())
    assert len(wanted) == 10
    tried = {(before, after) for before, after, _, _ in ARROWS} | {(None, STATE_DEGRADED)}
    assert wanted <= tried
    # the governor may end a market from any state
    assert tried - wanted == {(state, STATE_SETTLEMENT) for state in STARTS if state != STATE_FROZEN}
    causes = {value for name, value in vars(model).items() if name.startswith("CAUSE_")}
    assert {cause for _, _, cause, _ in ARROWS} == causes == set(range(1, 14))


# ---- waits -------------------------------------------------------------------------------------------------


def test_hold__starts_anew_with_every_doubt() -> None:
    bench = Bench(rules=replace(PLAIN, hold=120))
    bench.poke()
    bench.mode(FEED_REVERT, 0)
    bench.step(1)
    bench.mode(FEED_NORMAL, 0)
    bench.step(1)
    assert (bench.state(), bench.book().clear_at) == (STATE_DEGRADED, bench.chain.now)
    bench.step(119)
    assert bench.state() == STATE_DEGRADED
    bench.mode(FEED_REVERT, 0)
    bench.step(1)
    assert bench.book().clear_at == 0
    bench.mode(FEED_NORMAL, 0)
    bench.step(1)
    assert bench.step(119).state == STATE_DEGRADED
    assert bench.step(1).state == STATE_LIVE


def test_grace__doubts_do_not_count_in_recovery_and_hold_follows_it() -> None:
    stage = recovery()
    few(stage)
    assert stage.bench.state() == STATE_RECOVERY
    assert stage.go(588) == STATE_DEGRADED
    stage.bench.mode(FEED_NORMAL)
    stage.go(120)
    assert stage.bench.state() == STATE_DEGRADED
    assert stage.go(12) == STATE_LIVE


def test_few__is_one_feed_less_than_could_be_lost() -> None:
    """LIVE can lose one more feed and still has a quorum; of three only all are enough."""
    for n, needed in ((3, 3), (5, 4), (7, 5)):
        bench = Bench([18] * n)
        bench.poke()
        for alive in range(n, n // 2, -1):
            bench.mode(FEED_NORMAL)
            if alive < n:
                bench.mode(FEED_REVERT, *range(alive, n))
            assert (bench.step(1).state == STATE_LIVE) == (alive >= needed)


@pytest.mark.parametrize(("price", "doubtful"), [(2_100, False), (1_900, False), (2_101, True), (1_899, True)])
def test_soft__is_measured_from_ref(price: int, doubtful: bool) -> None:
    bench = Bench(rules=replace(PLAIN, soft=500, tau_ref=2**16 - 1))
    bench.poke()
    assert (bench.step(1, price * WAD).state == STATE_DEGRADED) == doubtful


# ---- the end of a market -------------------------------------------------------------------------------------


def freezable(seconds: int = 0, **rules: int) -> Bench:
    """A market that lived so long, half of it at 2,000 and half at 2,100, and then lost its feeds."""
    bench = Bench((18, 18, 18), replace(PLAIN, **{"freeze": 3_600, "calm": 60, "grace": 60} | rules))
    bench.poke()
    if seconds:
        bench.run(seconds // 2, 2_000 * WAD, every=seconds // 20)
        bench.answer(2_100 * WAD)
        bench.run(seconds // 2, 2_100 * WAD, every=seconds // 20)
    bench.mode(FEED_REVERT)
    assert bench.step(1).state == STATE_FROZEN
    return bench


def test_settle__anyone_only_after_the_freeze_limit() -> None:
    bench = freezable(600)
    bench.advance(3_600)
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: not settleable"
    bench.advance(1)
    assert bench.reason("settle", M, sender=STRANGER) is None
    assert [name for name, _ in bench.events] == ["PricePoked", "StateChanged", "MarketSettled"]
    assert bench.named("MarketSettled") == [{"market": M, "price": bench.book().index}]
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: settled"
    assert bench.reason("settle", M) == "oracle: settled"


def test_settle__limit_counts_from_the_poke_that_saw_it() -> None:
    bench = Bench(rules=replace(PLAIN, freeze=3_600))
    bench.poke()
    bench.mode(FEED_REVERT)
    bench.advance(100_000)
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: not settleable"
    bench.poke()
    bench.advance(3_601)
    assert bench.reason("settle", M, sender=STRANGER) is None


def test_settle__freeze_of_zero_leaves_it_to_the_governor() -> None:
    bench = freezable(freeze=0)
    bench.advance(10**9)
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: not settleable"
    assert bench.reason("settle", M) is None


def test_settle__refuses_a_market_that_is_back() -> None:
    bench = freezable()
    bench.advance(3_601)
    bench.poke()
    bench.heal(2_000 * WAD)
    bench.step(1, 2_000 * WAD)
    bench.advance(60)
    bench.answer(2_000 * WAD)
    # the poke in it thaws the market, and is undone with it
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: not settleable"
    assert bench.state() == STATE_FROZEN
    assert bench.poke().state == STATE_RECOVERY
    assert bench.reason("settle", M, sender=STRANGER) == "oracle: not settleable"


@pytest.mark.parametrize("book", [0, 31, 32, 2**256 - 1])
def test_settle__refuses_a_book_without_a_price(book: int) -> None:
    bench = Bench()
    assert bench.reason("settle", book) == "oracle: no price"


def test_settle__price_is_the_mean_of_the_last_half_hour_that_had_one() -> None:
    bench = Bench((18, 18, 18), PLAIN)
    bench.poke()
    bench.run(2_400, 2_000 * WAD, every=60)
    bench.run(900, 2_100 * WAD, every=60)
    bench.mode(FEED_REVERT)
    # the second in which it is seen to be gone still had a price; the day after has no weight
    bench.step(60)
    bench.step(86_400)
    assert bench.reason("settle", M) is None
    reach = bench.book().clock
    assert reach == 2_400 + 900 + 60
    # 2,100 since the first step of its run: 840 seconds and 60
    assert bench.book().index == 2_050 * WAD


def test_settle__of_a_younger_market_is_the_mean_of_its_life() -> None:
    bench = freezable(600)
    assert bench.reason("settle", M) is None
    stored = bench.book()
    assert 0 < stored.clock < RESEED_S
    assert stored.index == stored.cum // stored.clock
    assert 2_000 * WAD < stored.index < 2_100 * WAD


def test_settle__of_a_market_of_this_second_is_its_index() -> None:
    bench = Bench()
    bench.poke()
    assert bench.reason("settle", M) is None
    assert bench.poke().index == 2_000 * WAD


def test_settle__is_final() -> None:
    bench = freezable(600)
    assert bench.reason("settle", M) is None
    final = bench.peek()
    assert final.index == final.mark == final.low == final.high == final.credit_low == final.credit_high
    assert final.state == STATE_SETTLEMENT
    bench.mode(FEED_NORMAL)
    for seconds in (1, 13, 86_400):
        assert bench.step(seconds, 5_000 * WAD) == final
        assert bench.events == []
        assert bench.prices() == bench.peek() == final
    assert bench.configure() == "oracle: not live"
    spare = bench.feed(18, 3)
    assert bench.reason("replace_feed", M, 0, spare.as_tuple()) == "oracle: not replaceable"


def test_settle__one_market_leaves_the_others_alone() -> None:
    bench = Bench()
    bench.add(5, (8, 8, 8), 7 * WAD, PLAIN)
    bench.poke()
    bench.poke(5)
    assert bench.reason("settle", M) is None
    bench.answer(8 * WAD, book=5)
    assert bench.step(1, book=5).index == 8 * WAD
    assert (bench.state(M), bench.state(5)) == (STATE_SETTLEMENT, STATE_LIVE)


def test_settle__tells_the_state_that_it_left() -> None:
    for before, start in STARTS.items():
        bench = start().bench
        assert bench.reason("settle", M, sender=GOVERNOR) is None
        told = {"market": M, "before": before, "after": STATE_SETTLEMENT, "cause": CAUSE_SETTLED}
        assert bench.named("StateChanged")[-1] == told
