"""The breaker: what trips it, and the ways out. Back by itself, confirmed by new rounds, or never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_ref import price_oracle as model
from python_ref.constants import (
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    WAD,
)
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from tests.unit.oracle_bench import MAJOR, PLAIN, Bench

W18 = (18, 18, 18)
GATE = replace(PLAIN, jump=1_500, calm=60, grace=600)
P = 10**6


def gated(price: int = P, n: int = 3, **rules: int) -> Bench:
    """A market with a jump gate of 15 % and nothing else that could stop it, just poked."""
    bench = Bench([18] * n, replace(GATE, **rules), price=price)
    bench.poke()
    return bench


def tripped(to: int, n: int = 3, **rules: int) -> Bench:
    """The same, one second after the feeds jumped."""
    bench = gated(n=n, **rules)
    assert bench.step(1, to).state == STATE_FROZEN
    return bench


# ---- trip ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "trips"),
    [
        (P, False),
        (1_150_199, False),  # J and one second: 1,501 bps, truncated
        (1_150_200, True),
        (868_886, True),  # 1,509 bps of itself
        (869_490, False),  # 1,500.99
        (869_489, False),
        (869_413, True),  # 1,502.01
        (2 * P, True),
        (P // 2, True),
        (1, True),
        (10**24, True),
    ],
)
def test_trip__jump_is_measured_from_the_smaller(price: int, trips: bool) -> None:
    bench = gated()
    p = bench.step(1, price)
    assert (p.state == STATE_FROZEN) == trips
    assert p.index == (P if trips else price)
    assert bench.book().pending == (price if trips else 0)
    assert not trips or bench.story[-1] == (STATE_LIVE, STATE_FROZEN, model.CAUSE_TRIP)


@pytest.mark.parametrize(("more", "less", "jump"), [(2 * P, P // 2, 10_000), (P * 8 // 5, P * 5 // 8, 6_000)])
def test_trip__is_symmetric(more: int, less: int, jump: int) -> None:
    for price in (more, less):
        assert gated(jump=jump).step(1, price).state == STATE_LIVE
        assert gated(jump=jump - 1).step(1, price).state == STATE_FROZEN


GROWTH = [(1, 1_501), (100, 1_600), (3_499, 4_999), (3_500, 5_000), (3_600, 5_000)]


@pytest.mark.parametrize(("seconds", "allowed"), GROWTH)
def test_trip__gate_grows_a_bp_each_second_to_half(seconds: int, allowed: int) -> None:
    for jump, trips in ((allowed, False), (allowed + 1, True)):
        bench = gated()
        p = bench.step(seconds, P + P * jump // 10_000)
        assert (p.state == STATE_FROZEN) == trips


def test_trip__gate_wider_than_half_does_not_shrink() -> None:
    for jump, trips in ((6_000, False), (6_001, True)):
        bench = gated(jump=6_000)
        assert (bench.step(3_600, P + P * jump // 10_000).state == STATE_FROZEN) == trips


def test_trip__gate_counts_from_the_last_accepted_price() -> None:
    bench = gated()
    for _ in range(10):
        assert bench.step(12, P).state == STATE_LIVE
    assert bench.step(12, P + P * 1_512 // 10_000).state == STATE_LIVE
    bench = gated()
    bench.run(120, P)
    assert bench.step(12, P + P * 1_513 // 10_000).state == STATE_FROZEN


def test_trip__off_lets_everything_through() -> None:
    bench = gated(jump=0)
    assert bench.step(1, 10**9 * P).index == 10**9 * P


def test_trip__many_small_steps_are_no_jump() -> None:
    """A real collapse comes as many rounds."""
    bench, price = gated(), P
    while price > P // 10:
        price = price * 10_000 // 11_500
        p = bench.step(12, price)
        assert (p.index, p.state) == (price, STATE_LIVE)


def test_trip__keeps_every_price_until_it_is_over() -> None:
    bench = Bench(rules=replace(MAJOR, soft=0))
    bench.poke()
    before = bench.run(240, 2_050 * WAD)
    words = bench.book()
    p = bench.step(12, 1_000 * WAD)
    assert p.state == STATE_FROZEN
    for name in ("index", "mark"):
        assert getattr(p, name) == getattr(before, name)
    # what was in force until now still has its weight; from now on nothing has
    frozen = bench.book()
    assert frozen.cum == words.cum + words.index * 12
    for _ in range(5):
        bench.step(12, 1_000 * WAD)
        after = bench.book()
        assert (after.cum, after.fast, after.ref, after.mark) == (frozen.cum, frozen.fast, frozen.ref, frozen.mark)


# ---- revert: back by itself --------------------------------------------------------------------------------


def test_revert__wick_leads_to_recovery_at_the_old_level() -> None:
    bench = tripped(2 * P)
    assert bench.step(12, P).state == STATE_FROZEN
    assert (bench.book().pending, bench.book().clear_at) == (0, bench.chain.now)
    assert bench.run(48, P).state == STATE_FROZEN
    assert bench.step(11, P).state == STATE_FROZEN
    p = bench.step(1, P)
    assert (p.state, p.index) == (STATE_RECOVERY, P)
    assert bench.story[-1] == (STATE_FROZEN, STATE_RECOVERY, model.CAUSE_CALM)


def test_revert__another_wick_starts_the_calm_anew() -> None:
    bench = tripped(2 * P)
    bench.step(1, P)
    bench.step(59, 2 * P)
    assert (bench.state(), bench.book().clear_at) == (STATE_FROZEN, 0)
    bench.step(1, P)
    assert bench.step(59, P).state == STATE_FROZEN
    assert bench.step(1, P).state == STATE_RECOVERY


def test_revert__blindness_starts_the_calm_anew() -> None:
    bench = tripped(2 * P)
    bench.step(1, P)
    bench.mode(FEED_REVERT, 0, 1)
    bench.step(30)
    assert bench.book().clear_at == 0
    bench.heal(P, 0, 1)
    bench.step(30)
    assert bench.step(59, P).state == STATE_FROZEN
    assert bench.step(1, P).state == STATE_RECOVERY


def test_revert__without_a_calm_is_at_once() -> None:
    bench = tripped(2 * P, calm=0)
    assert bench.step(1, P).state == STATE_RECOVERY


# ---- confirm: a new level ------------------------------------------------------------------------------------

# 5,000 bps up, and the same distance down; the gate must not grow to it, so hold it by the wait
NEAR = (1_499_999, 666_667)
FAR = (1_501_000, 1_999_999, 2 * P, 666_200, P // 2)


def confirm(bench: Bench, price: int, seconds: int, every: int) -> int:
    """Poke with new rounds for so long; seconds until RECOVERY, or −1."""
    for passed in range(every, seconds + 1, every):
        if bench.step(every, price).state == STATE_RECOVERY:
            return passed
    return -1


@pytest.mark.parametrize("price", NEAR)
def test_confirm__near_jump_takes_five_minutes(price: int) -> None:
    bench = tripped(price)
    assert confirm(bench, price, 1_000, 20) == 300
    assert bench.story[-1] == (STATE_FROZEN, STATE_RECOVERY, model.CAUSE_CONFIRMED)
    after = bench.book()
    assert (after.index, after.pending, after.pending_at) == (price, 0, 0)


@pytest.mark.parametrize("price", FAR)
def test_confirm__far_jump_takes_fifteen(price: int) -> None:
    bench = tripped(price)
    assert confirm(bench, price, 2_000, 20) == 900
    assert bench.book().index == price


@pytest.mark.parametrize("price", [2_000_100, 499_974, 10 * P, P // 10, 1, 10**24])
def test_confirm__more_than_twice_never(price: int) -> None:
    """No such step of a listed market was ever genuine."""
    bench = tripped(price)
    assert confirm(bench, price, 20_000, 500) == -1
    assert (bench.state(), bench.book().index) == (STATE_FROZEN, P)
    assert bench.step(1, P).state == STATE_FROZEN
    assert bench.step(60, P).state == STATE_RECOVERY


def test_confirm__needs_two_new_rounds_of_each_of_a_quorum() -> None:
    price = NEAR[0]
    bench = tripped(price)
    # time alone is nothing, and neither is one feed's diligence
    for _ in range(40):
        bench.step(20, price, 0)
    assert bench.state() == STATE_FROZEN
    assert [bench.seen(i).rounds for i in range(3)] == [2, 0, 0]
    bench.step(20, price, 1)
    assert bench.state() == STATE_FROZEN
    assert bench.step(20, price, 1).state == STATE_RECOVERY


def test_confirm__counts_rounds_against_the_configured() -> None:
    price = NEAR[0]
    bench = tripped(price, n=5)
    for _ in range(20):
        bench.step(20, price, 0, 1)
    assert bench.state() == STATE_FROZEN, "two of five"
    bench.step(20, price, 4)
    assert bench.step(20, price, 4).state == STATE_RECOVERY


def test_confirm__round_of_a_feed_that_disagrees_does_not_count() -> None:
    price = NEAR[0]
    bench = tripped(price, n=5)
    for _ in range(20):
        bench.answer(price, 0, 1)
        bench.step(20, P, 4)
    assert bench.state() == STATE_FROZEN
    assert [bench.seen(i).rounds for i in range(5)] == [2, 2, 0, 0, 0]


@pytest.mark.parametrize(("soft", "near", "far"), [(0, 1_574_998, 1_575_000), (100, 1_514_998, 1_515_000)])
def test_confirm__pending_price_that_moves_starts_anew(soft: int, near: int, far: int) -> None:
    """Within ``soft`` of the pending price, 5 % if off, it is the same level."""
    for price, restarts in ((near, False), (far, True)):
        bench = tripped(NEAR[0], soft=soft)
        began = bench.book().pending_at
        bench.run(40, NEAR[0], every=20)
        bench.step(20, price)
        after = bench.book()
        assert (after.pending, after.pending_at) == ((price, bench.chain.now) if restarts else (NEAR[0], began))
        assert [bench.seen(i).rounds for i in range(3)] == [0 if restarts else 2] * 3


def test_confirm__blindness_forgets_the_pending_price() -> None:
    bench = tripped(NEAR[0])
    bench.run(200, NEAR[0], every=20)
    bench.mode(FEED_REVERT, 0, 1)
    bench.step(1)
    assert (bench.book().pending, bench.book().pending_at) == (0, 0)
    bench.mode(FEED_NORMAL, 0, 1)
    bench.step(19, NEAR[0])
    assert bench.book().pending == NEAR[0]
    assert confirm(bench, NEAR[0], 1_000, 20) == 300


def test_confirm__distance_is_from_the_old_index_and_gate_may_grow_to_it() -> None:
    """Waiting is a way of agreeing, too: the gate itself opens to 50 % in an hour, and then it takes calm alone."""
    bench = tripped(1_300_000)
    bench.step(1_498, 1_300_000, 0)
    assert bench.book().pending != 0
    bench.step(1, 1_300_000, 0)
    assert bench.book().pending == 0, "1,500 + 1,500 seconds"
    bench.step(60, 1_300_000, 0)
    assert bench.story[-1] == (STATE_FROZEN, STATE_RECOVERY, model.CAUSE_CALM)
    assert bench.book().index == 1_300_000


def test_confirm__pending_price_stands_in_for_the_index_in_a_quarantine() -> None:
    price = NEAR[0]
    bench = tripped(price)
    for number in range(4):
        bench.advance(10)
        round_id = 1 << 64 | number
        bench.set(0, "set_round", round_id, price, bench.chain.now, bench.chain.now, round_id)
        bench.answer(price, 1, 2)
        bench.poke()
    assert bench.seen(0).quarantine == 0, "three rounds within the outlier band of what is pending"
    assert bench.state() == STATE_FROZEN
    bench.step(10, price, 1, 2)
    assert bench.codes() == [0, 0, 0]


# ---- both ways out end in RECOVERY, where a jump is a relapse ---------------------------------------------


def test_relapse__recovery_freezes_again_and_its_clock_restarts() -> None:
    bench = tripped(2 * P)
    bench.step(1, P)
    bench.step(60, P)
    assert bench.run(588, P).state == STATE_RECOVERY
    assert bench.step(5, 2 * P).state == STATE_FROZEN
    assert bench.story[-1] == (STATE_RECOVERY, STATE_FROZEN, model.CAUSE_TRIP)
    bench.step(1, P)
    assert bench.step(60, P).state == STATE_RECOVERY
    assert bench.run(588, P).state == STATE_RECOVERY
    assert bench.run(12, P).state == STATE_LIVE
    assert [state for _, state, _ in bench.story[-2:]] == [STATE_RECOVERY, STATE_LIVE], "hold is off"


def test_degraded__trips_too() -> None:
    bench = gated()
    bench.mode(FEED_REVERT, 0)
    assert bench.step(1, P, 1, 2).state == STATE_DEGRADED
    assert bench.step(1, 2 * P, 1, 2).state == STATE_FROZEN
    assert bench.story[-1] == (STATE_DEGRADED, STATE_FROZEN, model.CAUSE_TRIP)


def test_first_price__cannot_trip() -> None:
    bench = Bench(W18, GATE, price=10**20)
    assert bench.poke().state == STATE_LIVE
