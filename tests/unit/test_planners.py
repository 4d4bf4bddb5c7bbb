"""Cases that a mutation run found missing, single contracts: planner, queue and modules asked directly, at every edge.

The mutants that these tests notice would otherwise survive; see ``scripts/mutants``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from python_ref import constants as c
from python_ref.liquidation_engine import STEPS, LiquidationEngine
from python_ref.policies import BandQueue, Side
from python_ref.words import Band, Cell, Market, Position, Risk
from python_ref.world import World
from scripts.chain import account, make_chain
from scripts.system import RISK, WAD
from scripts.twin import Twin
from tests.harness import module_twin

CALLER = account(1)


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """The planner and the queue, which hold nothing."""
    with make_chain() as chain:
        made = Twin(chain, World())
        made.bind(LiquidationEngine(), "LiquidationEngine", chain.deploy("LiquidationEngine", sender=CALLER))
        made.bind(BandQueue(), "BandQueue", chain.deploy("BandQueue", sender=CALLER))
        yield made


def plan(twin: Twin, **asked: int) -> int:
    """What the planner takes, chain and model compared."""
    known = {
        "size": 10 * WAD,
        "kind_price": 100 * WAD,
        "price": 99 * WAD,
        "e_kind": 5 * WAD * WAD,
        "m_other": 0,
        "risk_word": RISK.pack(),
        "claim_index": c.INDEX_ONE,
        "min_size": 0,
    }
    assert set(asked) <= set(known)
    return int(twin.view("LiquidationEngine", "plan", *(known | asked).values()))


def test_plan__agrees_at_the_equity_where_the_answer_changes(twin: Twin) -> None:
    """For each part, the equity from which it is enough, and one value unit to both sides."""
    r = Random(1)
    for risk in (RISK, replace(RISK, depth=1), replace(RISK, depth=5_000_000), replace(RISK, maintenance=1)):
        for _ in range(12):
            size, kind = r.randrange(1, 10 ** r.randrange(2, 24)), r.randrange(1, 10 ** r.randrange(2, 22))
            price = max(1, kind + r.choice((-1, 0, 1)) * (kind * r.randrange(1, 20) // 1_000 + r.randrange(2)))
            asked = {"size": size, "kind_price": kind, "price": price, "risk_word": risk.pack()}
            asked["m_other"] = r.choice((0, 1, r.randrange(10**30)))
            asked["claim_index"] = r.choice((c.INDEX_ONE, c.INDEX_ONE * 7 // 10 + 3, c.MIN_CLAIM_INDEX))
            low, high = 0, 10**50
            first = plan(twin, **asked, e_kind=high)
            last = plan(twin, **asked, e_kind=low)
            assert first <= last
            # the least equity with which fewer than all must go
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if plan(twin, **asked, e_kind=middle) < last else (middle, high)
            for step in (-1, 0, 1, 2):
                plan(twin, **asked, e_kind=max(0, high + step))
            # and those of other parts
            for _ in range(6):
                plan(twin, **asked, e_kind=r.randrange(2 * high + 2))


def test_plan__rest_of_exactly_the_least_size_stays(twin: Twin) -> None:
    known = {"price": 100 * WAD, "e_kind": 9 * WAD * WAD}
    taken = plan(twin, **known)
    rest = 10 * WAD - taken
    assert 0 < taken < 10 * WAD
    assert plan(twin, **known, min_size=rest) == taken
    assert plan(twin, **known, min_size=rest + 1) == 10 * WAD
    assert plan(twin, **known, min_size=rest - 1) == taken


def test_plan__part_is_rounded_up_to_the_next_step(twin: Twin) -> None:
    for size in (1, 2, STEPS - 1, STEPS, STEPS + 1, 3 * STEPS + 7, 10**12 + 1):
        for equity in (0, 1, size, size * 50 * WAD // 100, size * WAD // 10):
            plan(twin, size=size, e_kind=equity)


def test_plan__no_gap_loses_nothing(twin: Twin) -> None:
    for price in (100 * WAD - 1, 100 * WAD, 100 * WAD + 1):
        for equity in (0, 1, WAD * WAD, 9 * WAD * WAD, 10 * WAD * WAD, 12 * WAD * WAD):
            plan(twin, price=price, e_kind=equity)


def test_plan__target_and_maintenance_of_every_kind(twin: Twin) -> None:
    for risk in (Risk(1, 1, 0, 0, 0, 0, 0, c.PPM, 0, 0), replace(RISK, target=c.PPM), replace(RISK, target=2**24 - 1)):
        for size in (1, 999_999, 1_000_000, 1_000_001, 10**18):
            for equity in range(0, 6):
                plan(twin, size=size, kind_price=1, price=1, e_kind=equity, risk_word=risk.pack(), m_other=1)


@pytest.mark.parametrize("size", [3 * STEPS + 7, 10**9 + 9, 10**18 + 1])
def test_plan__part_of_a_wei_more_than_whole_steps(twin: Twin, size: int) -> None:
    """At the middle where size · middle leaves a rest of one the part is the next wei."""
    middle = pow(size, -1, STEPS)
    part = -(-size * middle // STEPS)
    assert size * middle % STEPS == 1
    risk = replace(RISK, target=c.PPM)
    need = (size - part) * 100 * WAD * risk.maintenance // c.PPM
    for equity in (need - 1, need, need + 1):
        known = {"size": size, "price": 100 * WAD, "risk_word": risk.pack(), "e_kind": equity}
        assert (plan(twin, **known) == part) == (equity >= need)


def test_plan__need_of_one_unit_and_none(twin: Twin) -> None:
    """What needs a millionth of a unit needs one; what is worth nothing needs none, and all may be lost of it."""
    risk = replace(RISK, maintenance=1, target=2**24 - 1).pack()
    assert plan(twin, size=25, kind_price=1, price=1, e_kind=0, risk_word=risk) == 25
    assert plan(twin, size=2, kind_price=0, price=1, e_kind=1) == 1


def ask(twin: Twin, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """What the queue answers, chain and model compared."""
    answer: tuple[tuple[int, ...], tuple[int, ...], int] = twin.view("BandQueue", "plan", side)
    return answer


def test_queue__tells_full_bitmaps_from_the_next_band(twin: Twin) -> None:
    """The highest of so many ones, and of one more than them."""
    for count in range(1, 256):
        full = (1 << count) - 1
        for bitmap, first in ((full, count - 1), (full + 1, count)):
            assert ask(twin, Side(0, True, WAD, WAD, bitmap, c.RANK_LEVERAGE, 255))[0][0] == first


BITMAPS = (0, 1, 2, 3, 1 << 255, (1 << 255) | 1, 2**256 - 1, 0b1011 << 100, sum(1 << (8 * k) for k in range(32)))
LIMITS = (0, 1, 2, 100, 101, 102, 103, 127, 128, 254, 255)


@pytest.mark.parametrize("rank", [c.RANK_SINGLE, c.RANK_PROFIT, c.RANK_LEVERAGE])
@pytest.mark.parametrize("is_long", [False, True])
def test_queue__agrees_for_every_limit_and_bitmap(twin: Twin, rank: int, is_long: bool) -> None:
    for bitmap in BITMAPS:
        for limit in LIMITS:
            bands, caps, eligible = ask(twin, Side(0, is_long, WAD, WAD, bitmap, rank, limit))
            assert len(bands) == len(caps) <= 8
            assert all(bitmap >> band & 1 for band in bands)
            assert eligible in (0, len(bands))


def test_queue__finds_every_single_band(twin: Twin) -> None:
    for band in range(256):
        for is_long in (False, True):
            side = Side(0, is_long, WAD, WAD, 1 << band, c.RANK_LEVERAGE, 128)
            assert ask(twin, side)[0] == (band,)
        both = Side(0, True, WAD, WAD, (1 << band) | 1, c.RANK_LEVERAGE, 255)
        assert ask(twin, both)[0] == ((band, 0) if band else (0,))


# ---- modules


ACCOUNT, MARKET, BAND = b"\x01" * 32, 3, 77


@pytest.fixture
def harness() -> Iterator[Twin]:
    """The modules behind plain functions, and their model."""
    with module_twin() as made:
        yield made


def test_division__of_next_to_nothing(harness: Twin) -> None:
    for function in ("floor_div", "ceil_div"):
        for n in range(-3, 4):
            for d in (1, 2, 3):
                harness.view("ClearingHouse", function, n, d)


@pytest.mark.parametrize("octave_bits", [0, 1, 3, 6])
def test_log2_band__around_every_power_of_two(harness: Twin, octave_bits: int) -> None:
    """The quotient by the anchor lies on a power, or one to either side of it; so does its upper half."""
    for k in range(129):
        for power in range(max(0, (1 << k) - 1), (1 << k) + 2):
            # (price << 127) // anchor is `power`, and then 2**128 · power
            pairs = [((1 << 86) - 1, ((1 << 86) - 1 << 127) // power)] if power else [(1, 1 << 128)]
            pairs += [(2 * power, 1)] if k < 128 else []
            for price, anchor in pairs:
                harness.view("ClearingHouse", "log2_band", price, anchor, octave_bits)
    harness.view("ClearingHouse", "log2_band", 1, 1 << 127, octave_bits)
    harness.view("ClearingHouse", "log2_band", (1 << 128) - 1, 1 << 127, octave_bits)


def test_requirement__index_of_one_and_a_bit_less(harness: Twin) -> None:
    """What a division by one more or one less than 1e36 would change."""
    for index in (c.INDEX_ONE - 1, c.INDEX_ONE):
        for depth in (1, 2, 3):
            for notional in (WAD, 2 * WAD, 3 * WAD, 7 * WAD + 1, WAD * WAD):
                harness.view("ClearingHouse", "requirement", 25_000, depth, notional, index)


@pytest.mark.parametrize("size", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("total", [0, 1, 2, WAD])
def test_price_share__of_a_wei(harness: Twin, size: int, total: int) -> None:
    for equity in (-WAD - 1, -1, 0, 1, WAD + 1):
        harness.view("ClearingHouse", "price_share", equity, total, total, size)


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize("more", [0, 1, 2])
def test_deleverage__around_the_least_factor(harness: Twin, is_long: bool, more: int) -> None:
    """A factor of 1e27 is kept and one less is not; the band is so large that a wei of it is one of its factor."""
    call = harness.call
    call("ClearingHouse", "put_market", CALLER, MARKET, Market(0, 0, 0, 0, 0, 0, c.MIN_A, 5))
    state = Band(c.MIN_A + more, c.MIN_A, 1, 0)
    call("ClearingHouse", "put_band", CALLER, MARKET, is_long, BAND, state, Cell(0, 0, True))
    for size in (1, 2, 3):
        mark = harness.snapshot()
        assert call("ClearingHouse", "deleverage", CALLER, MARKET, is_long, BAND, size, 0).ok
        band = harness.model("ClearingHouse").load_band(MARKET, is_long, BAND)
        kept, rest = divmod((c.MIN_A + more) * (c.MIN_A - size), c.MIN_A)
        assert band.scale == (kept + (rest > 0 and not is_long) < c.MIN_A)
        harness.revert(mark)


def test_read_leg__beyond_the_last_scale_of_a_gone_epoch(harness: Twin) -> None:
    """The last scale is 255: what follows it in storage is of another epoch."""
    for epoch in (0, 1, 2):
        for scale in (254, 255):
            harness.call("ClearingHouse", "put_cell", CALLER, MARKET, True, BAND, epoch, scale, Cell(10**30, 0, True))
        for other in (0, 1, 2, 3):
            harness.call("ClearingHouse", "put_cell", CALLER, MARKET, True, BAND, other, 0, Cell(10**40, 0, True))
        basis = Position(c.MIN_A, 10**30, epoch, 254, 0, 9, BAND, True)
        harness.call("ClearingHouse", "put_position", CALLER, ACCOUNT, MARKET, basis)
        state = Band(c.ONE_A, 10**20, 3, 0)
        harness.call("ClearingHouse", "put_band", CALLER, MARKET, True, BAND, state, Cell(0, 0, True))
        harness.view("ClearingHouse", "read_leg", ACCOUNT, MARKET, 3)


def test_c_now__funding_of_one_unit(harness: Twin) -> None:
    for a in (c.MIN_A, c.ONE_A - 1, c.ONE_A):
        for funding in (-2, -1, 0, 1, 2):
            for is_long in (False, True):
                for up in (False, True):
                    harness.view("ClearingHouse", "c_now", Cell(5, 0, True), a, funding, is_long, up)


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("scale", [0, c.WORN_SCALE - 1, c.WORN_SCALE, 255])
@pytest.mark.parametrize("size", [1, 2, c.DUST_SIZE - 1, c.DUST_SIZE, c.DUST_SIZE + 1, 10**18])
def test_place__of_any_size_on_any(harness: Twin, is_long: bool, scale: int, size: int) -> None:
    """The same size again, a wei more, a wei less, the other side, and none; in fresh bands and in worn ones."""
    sign = 1 if is_long else -1
    call = harness.call
    call("ClearingHouse", "put_market", CALLER, MARKET, Market(0, 0, 0, 0, 0, 0, 2 * size, 5))
    for side in (False, True):
        state = Band(c.ONE_A, 2 * size, 1, scale)
        call("ClearingHouse", "put_band", CALLER, MARKET, side, BAND, state, Cell(0, 0, True))
    basis = Position(c.ONE_A, size, 1, scale, 0, 9, BAND, is_long)
    call("ClearingHouse", "put_position", CALLER, ACCOUNT, MARKET, basis)
    for target in (size, size + 1, size - 1, size + 2, -1, 0, 1, -size):
        for band in (BAND, BAND + 1):
            mark = harness.snapshot()
            call("ClearingHouse", "place", CALLER, ACCOUNT, MARKET, sign * target, 9, band)
            harness.revert(mark)


@pytest.mark.parametrize("cash", [10**30, -1])
def test_read_leg__at_the_last_scales(harness: Twin, cash: int) -> None:
    """However many scales lie behind; a negative cash index is felt eight scales on by its rounding."""
    for first in range(244, 256, 2):
        for live in range(first, 256):
            for is_long in (False, True):
                mark = harness.snapshot()
                basis = Position(c.MIN_A, 10**30, 1, first, 0, 9, BAND, is_long)
                harness.call("ClearingHouse", "put_position", CALLER, ACCOUNT, MARKET, basis)
                for scale in range(first, live + 1):
                    cell = Cell(cash, 0, True)
                    harness.call("ClearingHouse", "put_cell", CALLER, MARKET, is_long, BAND, 1, scale, cell)
                state = Band(c.ONE_A, 10**20, 1, live)
                harness.call("ClearingHouse", "put_band", CALLER, MARKET, is_long, BAND, state, Cell(cash, 0, True))
                harness.view("ClearingHouse", "read_leg", ACCOUNT, MARKET, 3)
                harness.revert(mark)
