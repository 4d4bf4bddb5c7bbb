"""Averages weigh the time that a price was in force: decay, fast, ref, basis, the mark's speed, the ring."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref.constants import PPM, STATE_DEGRADED, STATE_FROZEN, STATE_LIVE, WAD
from python_ref.fixed_math import decay
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from python_ref.oracle_words import Book
from python_ref.price_oracle import MAX_BASIS_PPM, SLOT_S, SLOTS
from scripts.chain import account, compile_source, make_chain
from tests.unit.oracle_bench import GOVERNOR, MAJOR, PLAIN, REPORTER, STRANGER, Bench, M

W18 = (18, 18, 18)
TAU_FAST, TAU_REF = 60, 900
SMOOTH = replace(PLAIN, tau_fast=TAU_FAST, tau_ref=TAU_REF)
"""Averages on, everything else off."""


# ---- exp(−Δ/τ) ---------------------------------------------------------------------------------------------

HARNESS = """
# pragma version 0.4.3
from contracts.modules import fixed_math

@view
@external
def decay(elapsed: uint256, tau: uint256) -> uint256:
    return fixed_math._decay(elapsed, tau)
"""

ELAPSED = st.one_of(st.integers(0, 100), st.integers(0, 200_000), st.integers(0, 2**40 - 1))
TAU = st.one_of(st.sampled_from((1, 60, 150, 900)), st.integers(1, 2**16 - 1))


def exact(elapsed: int, tau: int) -> Decimal:
    """exp(−elapsed/tau)·1e18 to sixty digits."""
    with localcontext() as context:
        context.prec = 60
        return (Decimal(-elapsed) / tau).exp() * WAD


@given(ELAPSED, TAU)
def test_decay__is_at_most_two_units_below_the_true_value(elapsed: int, tau: int) -> None:
    error = exact(elapsed, tau) - decay(elapsed, tau)
    assert 0 <= error <= 2 or elapsed == 0
    assert decay(0, tau) == WAD


@given(ELAPSED, TAU)
def test_decay__falls_with_time_and_rises_with_tau(elapsed: int, tau: int) -> None:
    assert decay(elapsed + 1, tau) <= decay(elapsed, tau) <= decay(elapsed, tau + 1)


@given(st.integers(0, 10_000), st.integers(0, 10_000), TAU)
def test_decay__of_a_sum_is_the_product(a: int, b: int, tau: int) -> None:
    """Two factors are each 2e-18 too low at most and truncation takes one more unit."""
    whole, parts = decay(a + b, tau), decay(a, tau) * decay(b, tau) // WAD
    assert -5 <= parts - whole <= 2


def test_decay__contract_and_model_are_one() -> None:
    chain, rng = make_chain("revm"), Random(4)
    harness = chain.deploy(compile_source("Decay", HARNESS), sender=GOVERNOR)
    taus = (1, 60, 150, 900, 2**16 - 1)
    cases = [(e, tau) for tau in taus for e in (0, 1, tau - 1, tau, 45 * tau - 1, 45 * tau, 2**40 - 1)]
    cases += [(rng.randrange(50 * tau), tau) for tau in taus for _ in range(40)]
    for elapsed, tau in cases:
        assert chain.view(harness, "decay", elapsed, tau) == decay(elapsed, tau), (elapsed, tau)


# ---- weight --------------------------------------------------------------------------------------------------


def test_averages__weigh_the_price_that_was_in_force() -> None:
    bench = Bench(rules=SMOOTH)
    bench.poke()
    bench.step(100, 2_900 * WAD)
    after = bench.book()
    assert (after.index, after.fast, after.ref) == (2_900 * WAD, 2_000 * WAD, 2_000 * WAD), "2,000 until now"
    bench.step(90, 1_000 * WAD)
    after = bench.book()
    for average, tau in ((after.fast, TAU_FAST), (after.ref, TAU_REF)):
        weight = decay(90, tau)
        assert average == (2_900 * WAD * (WAD - weight) + 2_000 * WAD * weight) // WAD
    assert after.index == 1_000 * WAD


@pytest.mark.parametrize("spike", [1, 1_990, 2_010, 10**7])
def test_averages__sample_of_the_same_second_has_no_weight(spike: int) -> None:
    """Whatever is answered for less than a second leaves no trace in any average, in the ring or in the mark."""
    bench = Bench(W18, replace(SMOOTH, speed=20, step=500), price=2_000)
    bench.poke()
    bench.advance(30)
    mark = bench.twin.snapshot()
    books = []
    for answers in ((2_000,), (spike, 2_000)):
        # a quiet poke first or after: only one can happen in a second
        for answer in answers:
            bench.answer(answer)
        bench.poke()
        bench.answer(spike)
        bench.poke()
        books.append(bench.book())
        bench.twin.revert(mark)
        mark = bench.twin.snapshot()
    assert books[0] == books[1]
    # and of the poke's own sample nothing but the index shows
    bench.answer(spike)
    bench.poke()
    after = bench.book()
    assert (after.fast, after.ref, after.cum) == (books[0].fast, books[0].ref, books[0].cum)
    assert after.index == spike
    bench.twin.revert(mark)


@given(st.lists(st.integers(1, 700), min_size=2, max_size=25), st.sampled_from((1_500, 1_999, 2_001, 3_000)))
def test_averages__do_not_depend_on_how_often_somebody_pokes(parts: list[int], level: int) -> None:
    """Any partition of an interval at one price ends at the same averages but for its truncations.

    Each poke truncates once and its weight is 2e-18 of the distance too low at most: one unit and 2e-18·|x − average|.
    """
    ends = []
    for steps in ([sum(parts)], parts):
        bench = Bench(rules=SMOOTH)
        bench.poke()
        bench.step(1, level * WAD)
        for seconds in steps:
            bench.answer(level * WAD)
            bench.step(seconds)
        ends.append(bench.book())
    whole, parted = ends
    bound = (len(parts) + 1) * (1 + 3 * 1_500)
    for name in ("fast", "ref"):
        assert abs(getattr(whole, name) - getattr(parted, name)) <= bound
    assert (whole.cum, whole.clock) == (parted.cum, parted.clock)


@given(st.lists(st.integers(1, 400), min_size=2, max_size=12))
def test_basis__does_not_depend_on_how_often_somebody_pokes(parts: list[int]) -> None:
    ends = []
    for steps in ([sum(parts)], parts):
        bench = with_reporter()
        tell(bench, 2_010)
        for seconds in steps:
            bench.answer(2_000 * WAD)
            bench.step(seconds)
        ends.append(bench.book().basis)
    # one ppm per truncation; one that is near stands still a little earlier
    assert abs(ends[0] - ends[1]) <= len(parts)


# ---- ref is slow -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [True, False])
def test_ref__drifts_by_no_more_than_the_clamp_over_tau(up: bool) -> None:
    """10 % of clamp over 900 s: a price that is held by a majority doubles ref after 1.7 hours, not before."""
    rules = replace(SMOOTH, clamp=1_000)
    bench = Bench(rules=rules)
    bench.poke()
    level = 10**6 if up else 1
    bench.step(1, level * WAD)
    seconds, before = 0, bench.book().ref
    while (bench.book().ref < 2 * 2_000 * WAD) if up else (bench.book().ref > 2_000 * WAD // 2):
        bench.answer(level * WAD)
        bench.step(12)
        after = bench.book().ref
        # exp(−x) > 1 − x, so that a step weighs less than 12/900
        assert abs(after - before) * TAU_REF * 10 <= before * 12 + TAU_REF * 10
        seconds, before = seconds + 12, after
    assert 1.7 * 3_600 <= seconds <= (1.8 if up else 1.95) * 3_600


def test_ref__clamp_counts_from_ref_and_truncates() -> None:
    bench = Bench(W18, replace(SMOOTH, clamp=1_000), price=1_009)
    bench.poke()
    bench.step(1, 10**9)
    bench.step(40_500)  # all its weight
    assert bench.book().ref == 1_009 * 11 // 10


def test_ref__edges_of_credit_reach_to_it() -> None:
    bench = Bench(rules=SMOOTH)
    bench.poke()
    p = bench.step(1, 2_900 * WAD)
    assert (p.credit_low, p.credit_high) == (2_000 * WAD, p.high)
    assert p.low > p.credit_low
    p = bench.run(12_000, 2_900 * WAD, every=600)
    assert (p.credit_low, p.credit_high) == (p.low, p.high)
    p = bench.step(12, 2_000 * WAD)
    assert p.credit_low == p.low
    assert 2_899 * WAD < p.credit_high <= 2_900 * WAD


def test_fast__is_an_edge_only_outside_of_live() -> None:
    bench = Bench(rules=SMOOTH)
    bench.poke()
    p = bench.step(10, 2_900 * WAD)
    assert (p.state, p.low) == (STATE_LIVE, 2_900 * WAD * 9_970 // 10_000)
    bench.mode(FEED_REVERT, 0)
    p = bench.step(1, 2_900 * WAD, 1, 2)
    stored = bench.book()
    assert p.state == STATE_DEGRADED
    assert p.low == stored.fast * 9_970 // 10_000 < 2_050 * WAD
    assert p.high == 2_900 * WAD * 10_030 // 10_000


# ---- reseed ------------------------------------------------------------------------------------------------------


def moved(seconds: int, **rules: int) -> Bench:
    """A market that fell 10 % at once and stays there."""
    bench = Bench(rules=replace(SMOOTH, soft=500, **rules))
    bench.poke()
    # a ring that reaches back half an hour
    bench.run(1_800 + SLOT_S, 2_000 * WAD)
    bench.run(seconds, 1_800 * WAD)
    return bench


def test_reseed__after_half_an_hour_of_soft_alone() -> None:
    bench = moved(12, tau_ref=36_000)
    assert bench.state() == STATE_DEGRADED
    since = bench.book().soft_at
    assert since == bench.chain.now
    bench.run(1_788, 1_800 * WAD)
    assert bench.book().ref > 1_980 * WAD
    bench.run(12, 1_800 * WAD)
    # all of the last 1,800 seconds at 1,800 but for the slot's reach
    assert 1_800 * WAD <= bench.book().ref <= 1_807 * WAD
    assert bench.state() == STATE_LIVE, "hold is off"


def test_reseed__starts_anew_when_another_doubt_comes_between() -> None:
    bench = moved(1_200, tau_ref=36_000)
    bench.mode(FEED_REVERT, 0)
    bench.step(12, 1_800 * WAD, 1, 2)
    assert bench.book().soft_at == 0
    bench.heal(1_800 * WAD, 0)
    bench.run(1_800, 1_800 * WAD)
    assert bench.book().ref > 1_950 * WAD
    bench.run(24, 1_800 * WAD)
    assert bench.book().ref < 1_810 * WAD


def test_reseed__not_while_the_index_is_far_from_fast() -> None:
    bench = moved(1_788, tau_ref=36_000)
    bench.step(12, 1_700 * WAD)
    assert bench.book().soft_at != 0
    assert bench.book().fast > 1_790 * WAD
    assert bench.book().ref > 1_950 * WAD
    bench.run(120, 1_700 * WAD)
    assert bench.book().ref < 1_850 * WAD


# ---- the mark ------------------------------------------------------------------------------------------------------


def test_mark__moves_by_speed_and_no_more_than_a_step() -> None:
    bench = Bench(W18, replace(PLAIN, speed=20, step=500), price=10**6)
    bench.poke()
    for seconds, room in ((1, 20), (7, 140), (25, 500), (26, 500), (3_000, 500)):
        for level, sign in ((10**9, 1), (1, -1)):
            bench.answer(level)
            before = bench.book().mark
            snapshot = bench.twin.snapshot()
            p = bench.step(seconds)
            assert p.mark == before * (10_000 + sign * room) // 10_000
            assert p.index == level
            assert p.low <= min(p.mark, p.index)
            assert p.high >= max(p.mark, p.index)
            bench.twin.revert(snapshot)


def test_mark__follows_at_once_without_a_speed() -> None:
    bench = Bench()
    bench.poke()
    p = bench.step(1, 7_000 * WAD)
    assert (p.index, p.mark) == (7_000 * WAD, 7_000 * WAD)


def test_mark__has_no_room_for_the_time_of_a_freeze() -> None:
    """After a freeze a step is measured from the last poke, frozen or not."""
    bench = Bench(rules=replace(PLAIN, speed=20, step=500))
    bench.poke()
    bench.mode(FEED_REVERT)
    bench.step(1_000)
    bench.heal(1_000 * WAD)
    p = bench.step(1)
    assert (p.index, p.mark) == (1_000 * WAD, 2_000 * WAD * 9_980 // 10_000)


# ---- the basis -----------------------------------------------------------------------------------------------------


def with_reporter() -> Bench:
    """A LIVE market at 2,000 with somebody who tells fills."""
    bench = Bench()
    assert bench.reason("set_reporter", REPORTER) is None
    bench.poke()
    return bench


def tell(bench: Bench, price: int) -> None:
    """A fill at ``price`` (whole money)."""
    assert bench.reason("report", M, price * WAD, sender=REPORTER) is None


@pytest.mark.parametrize(
    ("price", "sample"),
    [
        (2_000 * WAD, 0),
        (2_010 * WAD, 5_000),
        (1_990 * WAD, -5_000),
        (2_020 * WAD, MAX_BASIS_PPM),
        (2_021 * WAD, MAX_BASIS_PPM),
        (10**40, MAX_BASIS_PPM),
        (0, -MAX_BASIS_PPM),
        (2_000 * WAD + 1, 0),
        (2_000 * WAD - 1, 0),
        (2_000 * WAD - 2 * 10**15 + 1, 0),
        (2_000 * WAD - 2 * 10**15, -1),
    ],
)
def test_report__stores_the_premium_in_ppm(price: int, sample: int) -> None:
    bench = with_reporter()
    assert bench.reason("report", M, price, sender=REPORTER) is None
    assert bench.book().sample == sample
    assert (bench.book().basis, bench.poke().mark) == (0, 2_000 * WAD)


def test_report__refused_from_strangers_and_ignored_without_a_price() -> None:
    bench = Bench()
    assert bench.reason("report", M, 1, sender=account(0)) == "oracle: not reporter"
    assert bench.reason("set_reporter", REPORTER, sender=STRANGER) == "oracle: not governor"
    assert bench.reason("set_reporter", REPORTER) is None
    assert bench.events == [("ReporterSet", {"reporter": REPORTER})]
    assert bench.reason("report", M, 1, sender=GOVERNOR) == "oracle: not reporter"
    assert bench.reason("report", M, 1, sender=REPORTER) is None
    assert bench.book() == Book()


@pytest.mark.parametrize("fill", [1, 1_990, 2_010, 10**6])
def test_basis__told_now_has_no_weight_now_and_a_per_cent_at_most_ever(fill: int) -> None:
    bench = with_reporter()
    tell(bench, fill)
    assert bench.poke().mark == 2_000 * WAD
    far = 0
    for _ in range(200):
        p = bench.step(12, 2_000 * WAD)
        tell(bench, fill)
        assert p.index == 2_000 * WAD, "fills never move the index"
        distance = abs(p.mark - p.index)
        assert far <= distance <= p.index // 100
        assert (p.mark - p.index) * (fill - 2_000) >= 0
        far = distance
    # the premium but for the truncation that makes it stand still
    expected = min(abs(fill - 2_000) * PPM // 2_000, MAX_BASIS_PPM)
    assert expected - 15 <= far * PPM // (2_000 * WAD) <= expected


def test_basis__last_fill_of_a_second_replaces_the_others() -> None:
    bench = with_reporter()
    for price in (1_000, 3_000, 2_004):
        tell(bench, price)
    bench.step(150, 2_000 * WAD)
    weight = decay(150, 150)
    assert bench.book().basis == 2_000 * (WAD - weight) // WAD


def test_basis__of_a_negative_sample_truncates_toward_zero() -> None:
    bench = with_reporter()
    tell(bench, 1_996)
    bench.step(150, 2_000 * WAD)
    weight = decay(150, 150)
    assert bench.book().basis == -(2_000 * (WAD - weight) // WAD)


# ---- the ring ------------------------------------------------------------------------------------------------------


def test_twap__never_falls_back_to_spot() -> None:
    bench = Bench()

    def twap(window: int) -> int:
        return int(bench.twin.view("PriceOracle", "twap", M, window))

    assert twap(0) == twap(1) == 0, "nothing yet"
    bench.poke()
    assert twap(0) == twap(1) == 0, "a price, but no time"
    bench.step(59, 2_060 * WAD)
    assert twap(59) == 2_000 * WAD
    assert twap(60) == 0
    bench.step(1, 2_060 * WAD)
    assert twap(60) == (2_000 * 59 + 2_060) * WAD // 60
    assert twap(61) == 0
    assert twap(2**256 - 1) == 0


def test_twap__youngest_slot_that_is_old_enough() -> None:
    bench = Bench(W18, price=10**6)
    bench.poke()
    begin, truth, slots = bench.chain.now, [], [0]
    rng = Random(7)
    for _ in range(400):
        seconds, price = rng.choice((1, 5, 12, 61, 200)), rng.randrange(995_000, 1_005_000)
        truth += [bench.book().index] * seconds
        bench.answer(price)
        bench.step(seconds)
        clock = bench.chain.now - begin
        if clock - slots[-1] >= SLOT_S:
            slots.append(clock)
        for window in (1, 60, 300, 1_800):
            found = [slot for slot in slots[-SLOTS:] if clock - slot >= window]
            expected = sum(truth[found[-1] :]) // (clock - found[-1]) if found else 0
            assert bench.model.twap(STRANGER, M, window) == expected, (clock, window)
    assert bench.book().slots == len(slots) > 2 * SLOTS, "the ring went round"
    for window in (1, 300, 3_600):
        bench.twin.view("PriceOracle", "twap", M, window)
    bench.twin.check_all()


def test_ring__a_slot_needs_a_minute_of_clock() -> None:
    bench = Bench()
    bench.poke()
    for seconds, slots in ((59, 1), (1, 2), (59, 2), (61, 3), (600, 4)):
        bench.answer(2_000 * WAD)
        bench.step(seconds)
        assert bench.book().slots == slots


def test_clock__stands_still_without_a_price() -> None:
    bench = Bench(rules=SMOOTH)
    bench.poke()
    bench.step(100, 2_900 * WAD)
    bench.mode(FEED_REVERT)
    bench.step(50)
    before = bench.book()
    assert (before.state, before.clock, before.paused) == (STATE_FROZEN, 150, 0), "priced until it was seen to be gone"
    for paused in (1_000, 2_000, 3_000):
        p = bench.step(1_000)
        after = bench.book()
        assert (p.paused, after.paused) == (paused, paused)
        for name in ("index", "mark", "fast", "ref", "cum", "clock", "slots", "basis", "width"):
            assert getattr(after, name) == getattr(before, name), name
    bench.mode(FEED_NORMAL)
    bench.answer(2_900 * WAD)
    p = bench.step(7)
    assert p.state != STATE_FROZEN
    assert (p.paused, bench.book().clock) == (3_007, 150)
    bench.step(10, 2_900 * WAD)
    assert (bench.book().paused, bench.book().clock) == (3_007, 160)


def test_paused__saturates() -> None:
    bench = Bench(rules=MAJOR)
    bench.poke()
    bench.mode(FEED_REVERT)
    bench.step(1)
    bench.step(2**28 - 2)
    assert bench.book().paused == 2**28 - 2
    assert bench.step(2**30).paused == 2**28 - 1
    assert bench.peek().paused == 2**28 - 1
