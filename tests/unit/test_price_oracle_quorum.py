"""What feeds say together: agreement counted against the feeds configured, median, width, age, quote and sequencer.

INV-16: an accepted index has a quorum of the feeds configured within ``outlier`` of the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from python_ref import price_oracle as model
from python_ref.constants import (
    MAX_PRICE,
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    STATE_SETTLEMENT,
    WAD,
)
from python_ref.mocks import FEED_NORMAL, FEED_REVERT, FEED_SHORT
from python_ref.oracle_words import Prices
from python_ref.price_oracle import CACHE_S
from tests.unit.oracle_bench import DEVIATION, GOVERNOR, MAJOR, PLAIN, QUOTE, STRANGER, ZERO, Bench, M

W18 = (18, 18, 18)


def raw(answers: Sequence[int | None], **options: object) -> Bench:
    """Feeds of 18 decimals that answer exactly that; None does not answer."""
    bench = Bench([18] * len(answers), **options)  # type: ignore[arg-type]
    for place, answer in enumerate(answers):
        if answer is None:
            bench.mode(FEED_REVERT, place)
        else:
            bench.set(place, "set_answer", answer)
    return bench


# ---- first price -----------------------------------------------------------------------------------------


def test_first_price__seeds_every_average() -> None:
    bench = Bench()
    p = bench.prices()
    low, high = 1_994 * WAD, 2_006 * WAD
    assert p == Prices(2_000 * WAD, 2_000 * WAD, low, high, low, high, STATE_LIVE)
    assert bench.story == [(STATE_FROZEN, STATE_LIVE, model.CAUSE_FIRST)]
    told = {"market": M, "index": 2_000 * WAD, "mark": 2_000 * WAD, "low": low, "high": high, "state": STATE_LIVE}
    assert bench.named("PricePoked") == [told]
    stored = bench.book()
    assert (stored.fast, stored.ref, stored.slots, stored.clock) == (2_000 * WAD, 2_000 * WAD, 1, 0)


def test_first_price__of_too_few_feeds_is_degraded_at_once() -> None:
    bench = raw((2_000, 2_000, None))
    assert bench.prices().state == STATE_DEGRADED
    assert bench.story == [(STATE_FROZEN, STATE_DEGRADED, model.CAUSE_FIRST)]


@pytest.mark.parametrize("book", [0, M, 15, QUOTE, 31, 32, 2**256 - 1])
def test_book_without_feeds__is_frozen_at_zero_and_leaves_no_trace(book: int) -> None:
    bench = Bench(configured=False)
    for function in (bench.prices, bench.poke, bench.peek):
        assert function(book) == Prices(0, 0, 0, 0, 0, 0, STATE_FROZEN)
    assert bench.events == []
    assert bench.call("twap", book, 60).value == 0
    assert bench.chain.dump(bench.oracle) == {0: int(GOVERNOR, 16)}


# ---- any subset of feeds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 7])
def test_subset_of_feeds_down__counts_against_the_configured(n: int) -> None:
    bench = Bench([18] * n)
    bench.poke()
    quorum = n // 2 + 1
    prices = [2_000 * WAD + k * WAD for k in range(n)]
    for down in product((False, True), repeat=n):
        mark, story = bench.twin.snapshot(), len(bench.story)
        bench.advance(CACHE_S + 1)
        for place, gone in enumerate(down):
            bench.set(place, "set_answer", prices[place])
            if gone:
                bench.mode(FEED_REVERT, place)
        p = bench.prices()
        up = [price for price, gone in zip(prices, down, strict=True) if not gone]
        middles = up[(len(up) - 1) // 2 : len(up) // 2 + 1]
        if len(up) < quorum:
            assert (p.state, p.index) == (STATE_FROZEN, 2_000 * WAD)
            assert bench.story[story:] == [(STATE_LIVE, STATE_FROZEN, model.CAUSE_QUORUM)]
        else:
            assert p.state == (STATE_LIVE if len(up) > quorum or len(up) == n else STATE_DEGRADED)
            assert p.index == sum(middles) // len(middles)
        bench.twin.revert(mark)


# 200 bps of the median 10_000 are 200
DISPERSION: list[tuple[tuple[int | None, ...], int, int]] = [
    ((9_800, 10_000, 10_200), STATE_LIVE, 10_000),
    ((9_799, 10_000, 10_200), STATE_DEGRADED, 10_000),
    ((9_800, 10_000, 10_201), STATE_DEGRADED, 10_000),
    ((1, 10_000, 10_000), STATE_DEGRADED, 10_000),
    ((10_000, 10_000, 10**20), STATE_DEGRADED, 10_000),
    ((9_799, 10_000, 10_201), STATE_FROZEN, 0),
    ((9_800, None, 10_200), STATE_DEGRADED, 10_000),
    ((9_799, None, 10_200), STATE_FROZEN, 0),  # mean 9,999: 201 above it is too far
    ((9_799, None, 10_201), STATE_FROZEN, 0),
    ((10_000, None, 10_001), STATE_DEGRADED, 10_000),  # floor of the mean
    ((1, None, 2), STATE_FROZEN, 0),
    ((1, 1, 1), STATE_LIVE, 1),
    ((9_700, 9_800, 10_000, 10_200, 10_300), STATE_DEGRADED, 10_000),
    ((9_700, 9_800, 10_000, 10_200, 10_200), STATE_LIVE, 10_000),
    ((9_700, 9_799, 10_000, 10_200, 10_300), STATE_FROZEN, 0),
    ((9_800, 9_900, None, 10_000, 10_100), STATE_LIVE, 9_950),
    ((9_500, 9_900, None, 10_100, 10_500), STATE_FROZEN, 0),
    ((9_900, 10_000, None, None, 10_100), STATE_DEGRADED, 10_000),
    ((9_900, 10_000, 10_098, 10_000, 1, 2, 3), STATE_DEGRADED, 9_900),
    ((9_900, 10_000, 10_099, 10_000, 1, 2, 3), STATE_FROZEN, 0),
    ((9_900, 10_000, 10_100, 10_000, 9_950, 2, 3), STATE_LIVE, 9_950),
    ((10_000, 10_000, 10_000, 20_000, 20_000, 20_000, 15_000), STATE_FROZEN, 0),
    ((10_000, 10_000, 10_000, None, 20_000, 20_000, 20_000), STATE_FROZEN, 0),
    ((10_000, 10_001, 10_002, None, None, None, 10_005), STATE_DEGRADED, 10_001),
]


@pytest.mark.parametrize(("answers", "state", "index"), DISPERSION)
def test_dispersion(answers: tuple[int | None, ...], state: int, index: int) -> None:
    for turn in range(len(answers)):
        p = raw(answers[turn:] + answers[:turn]).prices()
        assert (p.state, p.index) == (state, index)


@pytest.mark.parametrize("n", [3, 5, 7])
def test_minority__of_liars_never_moves_the_index_beyond_the_honest(n: int) -> None:
    """With n − q feeds corrupt, and others silenced by the attacker, the index stays by an honest one or is gone."""
    quorum = n // 2 + 1
    honest = [1_000_000 + 1_000 * k for k in range(n)]
    for lie in (1, 980_001, 1_020_000, 10**9):
        for silent in range(n + 1):
            answers: list[int | None] = [*[lie] * (n - quorum), *honest[: n - (n - quorum)]]
            for place in range(n - 1, max(n - 1 - silent, n - quorum - 1), -1):
                answers[place] = None
            p = raw(answers).prices()
            live = [a for a in answers[n - quorum :] if a is not None]
            near = any(abs(p.index - a) * 10_000 <= 200 * p.index for a in live)
            assert p.state == STATE_FROZEN or near, (lie, answers, p)
            assert len(live) + (n - quorum) >= quorum or p.state == STATE_FROZEN


# ---- width, age --------------------------------------------------------------------------------------------


def test_interval__low_rounds_down_and_high_up() -> None:
    p = raw((10_001,) * 3).prices()
    assert (p.low, p.high) == (9_970, 10_032)


@pytest.mark.parametrize("deviations", [(5, 30, 100), (100, 5, 30), (30, 100, 5)])
@pytest.mark.parametrize(("silent", "width"), [(None, 30), (5, 100), (30, 100), (100, 30)])
def test_width__is_the_quorum_smallest_deviation_of_those_that_agree(
    deviations: tuple[int, ...], silent: int | None, width: int
) -> None:
    bench = Bench(configured=False)
    feeds = [replace(feed, deviation=bps) for feed, bps in zip(bench.feeds[M], deviations, strict=True)]
    assert bench.configure(feeds=feeds) is None
    if silent is not None:
        bench.mode(FEED_REVERT, deviations.index(silent))
    bench.poke()
    assert bench.book().width == width


def test_interval__of_the_highest_price_fits() -> None:
    bench = raw((MAX_PRICE - 1,) * 3, deviation=1_000)
    p = bench.prices()
    assert (p.state, p.low) == (STATE_LIVE, (MAX_PRICE - 1) * 9 // 10)
    assert p.high == -(-(MAX_PRICE - 1) * 11 // 10)


def aged(ages: Sequence[int], heartbeat: int = 600, **options: int) -> Bench:
    """Feeds whose last rounds are that old."""
    bench = Bench([18] * len(ages), price=10**6, heartbeat=heartbeat, **options)  # type: ignore[arg-type]
    now = bench.chain.now
    for place, age in enumerate(ages):
        bench.set(place, "set_round", 7, 10**6, now - age, now - age, 7)
    return bench


@pytest.mark.parametrize(
    ("ages", "state", "width"),
    [
        ((0, 0, 0), STATE_LIVE, 30),
        ((0, 660, 3_600), STATE_LIVE, 30),  # the quorum youngest is the second
        ((0, 661, 661), STATE_DEGRADED, 30),
        ((669, 0, 669), STATE_DEGRADED, 30),
        ((0, 670, 670), STATE_DEGRADED, 31),
        ((0, 3_360, 3_360), STATE_DEGRADED, 300),  # (3360 − 660)/10 = 270
        ((0, 3_370, 3_370), STATE_FROZEN, 0),
        ((0, 660, 3_601), STATE_DEGRADED, 30),  # a feed less
        ((660, 3_601, 3_601), STATE_FROZEN, 0),
        ((0, 0, 660, 3_600, 3_600), STATE_LIVE, 30),
        ((0, 0, 661, 661, 661), STATE_DEGRADED, 30),
        ((0, 0, 0, 660, 3_600, 3_600, 3_600), STATE_LIVE, 30),
        ((0, 0, 0, 700, 700, 700, 700), STATE_DEGRADED, 34),
    ],
)
def test_age__is_the_quorum_youngest(ages: tuple[int, ...], state: int, width: int) -> None:
    bench = aged(ages)
    assert bench.prices().state == state
    assert bench.book().width == width


def test_age__greatest_heartbeat_of_those_that_agree_counts() -> None:
    bench = aged((0, 700, 700))
    feeds = [replace(feed, heartbeat=h) for feed, h in zip(bench.feeds[M], (640, 10, 10), strict=True)]
    assert bench.configure(feeds=feeds) is None
    assert bench.prices().state == STATE_LIVE
    bench.mode(FEED_REVERT, 0)
    assert bench.step(1).state == STATE_DEGRADED
    assert bench.book().width == DEVIATION + (701 - 70) // 10


def test_age__limit_is_of_the_age_and_not_of_a_wide_feed() -> None:
    """A feed that stands for more than 3 % keeps its width, until age adds to it."""
    assert aged((0, 669, 669), deviation=900).prices().state == STATE_DEGRADED
    assert aged((0, 670, 670), deviation=900).prices().state == STATE_FROZEN
    assert aged((0, 669, 669), deviation=300).prices().state == STATE_DEGRADED
    assert aged((0, 670, 670), deviation=300).prices().state == STATE_FROZEN


def test_age__of_a_stamp_ahead_of_the_clock_is_none() -> None:
    bench = aged((-15, -15, -15), heartbeat=1)
    assert bench.prices().state == STATE_LIVE
    assert bench.step(61).state == STATE_LIVE


# ---- cache -------------------------------------------------------------------------------------------------


def test_cache__is_read_to_its_last_second() -> None:
    bench = Bench()
    bench.prices()
    bench.answer(2_030 * WAD)
    bench.advance(CACHE_S)
    assert bench.prices().index == 2_000 * WAD
    assert bench.events == []
    bench.advance(1)
    assert bench.prices().index == 2_030 * WAD
    assert len(bench.named("PricePoked")) == 1


def test_cache__that_was_never_written_is_old_even_when_the_clock_is_young() -> None:
    bench = Bench(now=CACHE_S)
    assert bench.prices().state == STATE_LIVE


def test_poke__in_the_same_second_is_the_cache() -> None:
    bench = Bench()
    bench.poke()
    bench.answer(2_030 * WAD)
    assert bench.poke().index == 2_000 * WAD
    assert bench.events == []
    assert bench.step(1).index == 2_030 * WAD


# ---- quote -------------------------------------------------------------------------------------------------


def quoted(quote: int = WAD, rules: model.Rules = PLAIN, **options: int) -> Bench:
    """A market in a collateral that is worth ``quote`` (WAD)."""
    bench = Bench(rules=replace(rules, quote=QUOTE), configured=False, **options)  # type: ignore[arg-type]
    bench.add(QUOTE, (8, 8, 8), quote, PLAIN)
    assert bench.configure() is None
    return bench


@pytest.mark.parametrize(
    ("quote", "index"), [(WAD, 2_000), (WAD // 2, 4_000), (2 * WAD, 1_000), (8 * WAD // 10, 2_500)]
)
def test_quote__divides_the_median(quote: int, index: int) -> None:
    bench = quoted(quote)
    p = bench.prices()
    assert (p.state, p.index) == (STATE_LIVE, index * WAD)
    assert bench.book().width == 60, "both widths"
    assert [fields["market"] for fields in bench.named("PricePoked")] == [QUOTE, M], "one poke serves both"


def test_quote__division_truncates() -> None:
    bench = quoted(3 * WAD)
    assert bench.prices().index == 2_000 * WAD // 3


def test_quote__poke_reads_it_only_when_its_cache_is_old() -> None:
    bench = quoted()
    bench.poke()
    bench.answer(99 * WAD // 100, book=QUOTE)
    bench.step(CACHE_S)
    assert bench.book().index == 2_000 * WAD
    p = bench.step(1)
    assert p.index == 2_000 * WAD * 100 // 99


def test_quote__width_is_at_most_a_tenth() -> None:
    bench = quoted(deviation=900)
    bench.prices()
    assert bench.book().width == 1_000


def test_quote__degraded_makes_the_market_degraded() -> None:
    bench = quoted()
    bench.poke()
    bench.mode(FEED_REVERT, 0, book=QUOTE)
    assert bench.step(13).state == STATE_DEGRADED
    assert bench.story[-2:] == [
        (STATE_LIVE, STATE_DEGRADED, model.CAUSE_FEW),
        (STATE_LIVE, STATE_DEGRADED, model.CAUSE_QUOTE),
    ]
    bench.mode(FEED_NORMAL, 0, book=QUOTE)
    assert bench.step(13).state == STATE_LIVE


def test_quote__frozen_freezes_the_market_and_recovery_degrades_it() -> None:
    bench = quoted(rules=replace(PLAIN, calm=60, grace=60))
    bench.rules[QUOTE] = replace(PLAIN, grace=300)
    assert bench.configure(QUOTE) is None
    assert bench.poke().state == STATE_LIVE
    bench.mode(FEED_REVERT, 0, 1, book=QUOTE)
    assert bench.step(13).state == STATE_FROZEN
    assert bench.story[-1] == (STATE_LIVE, STATE_FROZEN, model.CAUSE_QUOTE)
    bench.mode(FEED_NORMAL, 0, 1, book=QUOTE)
    # the quote has no calm to wait for; the market waits for its own
    bench.step(13)
    assert (bench.state(QUOTE), bench.state()) == (STATE_RECOVERY, STATE_FROZEN)
    bench.step(60)
    assert (bench.state(QUOTE), bench.state()) == (STATE_RECOVERY, STATE_RECOVERY)
    bench.step(60)
    assert (bench.state(QUOTE), bench.state()) == (STATE_RECOVERY, STATE_DEGRADED)


@pytest.mark.parametrize("settled", [False, True])
def test_quote__without_a_price_or_settled_is_blindness(settled: bool) -> None:
    bench = quoted()
    if settled:
        bench.poke()
        assert bench.reason("settle", QUOTE) is None
        assert bench.state(QUOTE) == STATE_SETTLEMENT
    else:
        bench.mode(FEED_SHORT, book=QUOTE)
    p = bench.step(13)
    assert p.state == STATE_FROZEN
    assert p.index == (2_000 * WAD if settled else 0)


def test_quote__that_prices_the_market_out_of_range_is_no_price() -> None:
    bench = Bench(W18, rules=replace(PLAIN, quote=QUOTE), price=10**24, configured=False)
    bench.add(QUOTE, W18, 10**15, PLAIN)
    assert bench.configure() is None
    assert bench.prices().state == STATE_FROZEN  # 1e24 · 1e18 / 1e15 = 1e27
    bench.answer(10**17, book=QUOTE)
    assert bench.step(13).index == 10**25
    bench.answer(10**25 // 2, book=QUOTE)
    bench.answer(1, book=M)
    assert bench.step(13).state == STATE_FROZEN, "floor of 1e18 / 5e24 is no price"


# ---- sequencer ---------------------------------------------------------------------------------------------


def on_l2(rules: model.Rules = PLAIN) -> tuple[Bench, str]:
    """A LIVE market on a chain whose uptime feed says that all is well since long ago; and that feed's name."""
    bench = Bench(rules=rules)
    feed = bench.feed(0)
    name = bench.contracts[feed.source].name
    bench.twin.call(name, "set_round", STRANGER, 1, 0, bench.chain.now - 10**6, bench.chain.now - 10**6, 1)
    bench.poke()
    assert bench.reason("set_sequencer", feed.source) is None
    assert bench.step(1).state == STATE_LIVE
    return bench, name


@pytest.mark.parametrize(
    ("words", "blind"),
    [
        ((1, 0, 1, 0, 0), False),
        ((1, 1, 1, 0, 0), True),  # down
        ((1, -1, 1, 0, 0), True),
        ((0, 0, 0, 0, 0), True),  # not initialised
        ((2**200, 0, 1, 2**200, 2**200), False),  # dirt in words of no interest
        ((1, 0, 2**256 - 1, 0, 0), True),
    ],
)
def test_sequencer__answers(words: tuple[int, ...], blind: bool) -> None:
    bench, name = on_l2()
    assert bench.twin.call(name, "set_round", STRANGER, *words).ok
    assert bench.step(1).state == (STATE_FROZEN if blind else STATE_LIVE)
    assert not blind or bench.story[-1] == (STATE_LIVE, STATE_FROZEN, model.CAUSE_SEQUENCER)


@pytest.mark.parametrize("mode", range(1, 8))
def test_sequencer__that_does_not_answer_is_down(mode: int) -> None:
    bench, name = on_l2()
    assert bench.twin.call(name, "set_mode", STRANGER, mode).ok
    assert bench.step(1).state == STATE_FROZEN
    # 20 kB of zeros are up, but since when is unknown
    assert bench.story[-1][2] == model.CAUSE_SEQUENCER


def test_sequencer__restart_since_the_last_poke_freezes_then_calm_then_grace() -> None:
    bench, name = on_l2(MAJOR)
    bench.run(120, 2_000 * WAD)
    bench.advance(600)
    bench.answer(2_000 * WAD)
    # it was down in between: nobody could poke, nobody could defend himself
    restarted = bench.chain.now - 5
    assert bench.twin.call(name, "set_round", STRANGER, 2, 0, restarted, restarted, 2).ok
    assert bench.poke().state == STATE_FROZEN
    assert bench.story[-1] == (STATE_LIVE, STATE_FROZEN, model.CAUSE_SEQUENCER)
    story = len(bench.story)
    bench.run(60, 2_000 * WAD)
    assert bench.state() == STATE_FROZEN
    assert bench.run(12, 2_000 * WAD).state == STATE_RECOVERY
    bench.run(588, 2_000 * WAD)
    assert bench.state() == STATE_RECOVERY
    assert bench.run(12, 2_000 * WAD).state == STATE_DEGRADED
    bench.run(108, 2_000 * WAD)
    assert bench.state() == STATE_DEGRADED
    assert bench.run(12, 2_000 * WAD).state == STATE_LIVE
    assert [cause for _, _, cause in bench.story[story:]] == [model.CAUSE_CALM, model.CAUSE_GRACE, model.CAUSE_HOLD]


def test_sequencer__restart_at_the_second_of_the_last_poke_is_known() -> None:
    bench, name = on_l2()
    now = bench.chain.now
    assert bench.twin.call(name, "set_round", STRANGER, 2, 0, now, now, 2).ok
    assert bench.step(1).state == STATE_LIVE
    assert bench.twin.call(name, "set_round", STRANGER, 3, 0, now + 2, now + 2, 3).ok
    assert bench.step(1).state == STATE_FROZEN


def test_sequencer__first_poke_ever_missed_no_restart() -> None:
    bench = Bench()
    feed = bench.feed(0)
    name = bench.contracts[feed.source].name
    assert bench.twin.call(name, "set_round", STRANGER, 1, 1, 1, 1, 1).ok
    assert bench.reason("set_sequencer", feed.source) is None
    assert bench.poke() == Prices(0, 0, 0, 0, 0, 0, STATE_FROZEN), "down is down"
    bench.advance(1)
    now = bench.chain.now
    assert bench.twin.call(name, "set_round", STRANGER, 2, 0, now, now, 2).ok
    assert bench.poke().state == STATE_FROZEN, "restarted since"
    assert bench.step(1).state == STATE_LIVE
    fresh = Bench()
    feed = fresh.feed(0)
    assert fresh.twin.call(fresh.contracts[feed.source].name, "set_round", STRANGER, 1, 0, 1, 1, 1).ok
    assert fresh.reason("set_sequencer", feed.source) is None
    assert fresh.poke().state == STATE_LIVE


def test_set_sequencer__refuses_strangers_and_no_code() -> None:
    bench = Bench()
    feed = bench.feed(0).source
    assert bench.reason("set_sequencer", feed, sender=STRANGER) == "oracle: not governor"
    assert bench.reason("set_sequencer", STRANGER) == "oracle: feed is no contract"
    assert bench.reason("set_sequencer", feed) is None
    assert bench.events == [("SequencerSet", {"feed": feed})]
    assert bench.poke().state == STATE_FROZEN
    assert bench.reason("set_sequencer", ZERO) is None
    assert bench.step(1).state == STATE_LIVE
