"""Bands (SPEC §4) on states that no ledger would reach: contract against model, and against exact rationals."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import constants as c
from python_ref.bands import Leg
from python_ref.words import Account, Band, Cell, Market, Position
from scripts.twin import Twin
from tests.harness import CALLER, ask, module_twin

ACCOUNT = bytes.fromhex("aa" * 20) + bytes(12)
OTHER = bytes.fromhex("bb" * 20) + bytes(12)
MARKET, BAND = 3, 140


@pytest.fixture(scope="module")
def shared() -> Iterator[Twin]:
    """The harness and its model."""
    with module_twin() as made:
        yield made


def put(twin: Twin, function: str, *args: object) -> None:
    """Write on both sides."""
    outcome = twin.call("ClearingHouse", function, CALLER, *args)
    assert outcome.ok, outcome.reason


def read(twin: Twin, account: bytes, funding: int) -> Leg:
    """A leg, as both read it."""
    return Leg(*twin.view("ClearingHouse", "read_leg", account, MARKET, funding))


def band_of(twin: Twin, is_long: bool) -> Band:
    """The band as the model has it; the twin has compared its word."""
    return twin.model("ClearingHouse").load_band(MARKET, is_long, BAND)  # type: ignore[no-any-return]


def cell_of(twin: Twin, is_long: bool, epoch: int, scale: int) -> Cell:
    """A cell."""
    return twin.model("ClearingHouse").load_cell(MARKET, is_long, BAND, epoch, scale)  # type: ignore[no-any-return]


def market_of(twin: Twin) -> Market:
    """The market's words."""
    return twin.model("ClearingHouse").load_market_words(MARKET)  # type: ignore[no-any-return]


a_values = st.one_of(st.integers(c.MIN_A, c.ONE_A), st.sampled_from([c.MIN_A, c.MIN_A + 1, c.ONE_A - 1, c.ONE_A]))
sizes = st.one_of(st.integers(1, 2**104 - 1), st.integers(1, 10**7), st.sampled_from([1, 10**18, 2**104 - 1]))
cash = st.one_of(st.integers(-(2**120), 2**120), st.integers(-1_000, 1_000))
funding_values = st.one_of(st.integers(-(2**70), 2**70), st.just(0))


# ---- pure parts ------------------------------------------------------------------------------------


@given(cash, funding_values, a_values, funding_values, st.booleans(), st.booleans())
def test_c_now__folds_funding_toward_its_side(
    shared: Twin, value: int, mark: int, a: int, funding: int, is_long: bool, up: bool
) -> None:
    now = shared.view("ClearingHouse", "c_now", Cell(value, mark, True), a, funding, is_long, up)
    exact = value + Fraction(a * (mark - funding if is_long else funding - mark), c.WAD)
    assert now == (ceil(exact) if up else floor(exact))


@pytest.mark.parametrize("rank", range(3))
@pytest.mark.parametrize("is_long", [True, False])
def test_is_riskier__strict_order(shared: Twin, rank: int, is_long: bool) -> None:
    """PROFIT: a long's lowest entry goes first; LEVERAGE: a long's highest bankruptcy price does."""

    def riskier(band: int, than: int) -> bool:
        return shared.view("ClearingHouse", "is_riskier", rank, is_long, band, than)  # type: ignore[no-any-return]

    assert not riskier(7, 7)
    assert riskier(8, 7) == ((rank == c.RANK_LEVERAGE) == is_long)
    assert riskier(7, 8) != riskier(8, 7)


# ---- reading ---------------------------------------------------------------------------------------


@given(a_values, a_values, sizes, cash, cash, funding_values, funding_values, st.integers(0, 10), st.booleans())
def test_read_leg__across_scales_and_epochs(
    shared: Twin, a0: int, a: int, q0: int, c0: int, c1: int, mark: int, funding: int, behind: int, is_long: bool
) -> None:
    """Size and cash at any distance of scales, against SPEC §4.1 in rationals."""
    mark_ = shared.snapshot()
    try:
        first = 4
        put(shared, "put_position", ACCOUNT, MARKET, Position(a0, q0, 9, first, c0, 0, BAND, is_long))
        cells = {}
        for j in range(behind + 1):
            cells[j] = Cell(c1 + j * 17, mark, True)
            put(shared, "put_cell", MARKET, is_long, BAND, 9, first + j, cells[j])
        put(shared, "put_band", MARKET, is_long, BAND, Band(a, 1, 9, first + behind), cells[behind])
        answer = ask(shared, "read_leg", ACCOUNT, MARKET, funding)
        if answer is None:
            return  # an intermediate product that no ledger reaches
        leg = Leg(*answer)
        exact = Fraction(q0 * a, a0 * c.SCALE_STEP**behind)
        if behind > c.SCALE_SPAN:
            size = 0 if is_long else 1
        elif is_long:
            size = floor(exact)
        else:
            size = ceil(exact)
        assert leg.size == (size if is_long else -size)
        total = -c0
        for j in range(min(behind, c.SCALE_SPAN) + 1):
            now = cells[j].c
            if j == behind:
                now += floor(Fraction(a * (mark - funding if is_long else funding - mark), c.WAD))
            total += floor(Fraction(now, c.SCALE_STEP**j))
        assert leg.pending == floor(Fraction(q0 * total, a0))
    finally:
        shared.revert(mark_)


@given(a_values, sizes, cash, cash, st.booleans())
def test_read_leg__wiped(shared: Twin, a0: int, q0: int, c0: int, c1: int, is_long: bool) -> None:
    """The band is an epoch further: no size, and cash of the cells of the old epoch up to the first empty one."""
    mark = shared.snapshot()
    try:
        put(shared, "put_position", ACCOUNT, MARKET, Position(a0, q0, 9, 4, c0, 0, BAND, is_long))
        put(shared, "put_cell", MARKET, is_long, BAND, 9, 4, Cell(c1, 0, True))
        put(shared, "put_cell", MARKET, is_long, BAND, 9, 6, Cell(10**30, 0, True))  # beyond a gap
        put(shared, "put_band", MARKET, is_long, BAND, Band(c.ONE_A, 5, 10, 0), Cell(7, 0, True))
        leg = read(shared, ACCOUNT, 10**20)
        assert leg == Leg(0, floor(Fraction(q0 * (c1 - c0), a0)), 0, BAND)
    finally:
        shared.revert(mark)


def test_read_leg__nothing_there(shared: Twin) -> None:
    assert read(shared, OTHER, 5) == Leg()


# ---- deleveraging ----------------------------------------------------------------------------------


@given(a_values, sizes, st.data(), cash, cash, funding_values, funding_values, st.booleans())
def test_deleverage__one_band(
    shared: Twin,
    a: int,
    oi: int,
    data: st.DataObject,
    quote: int,
    value: int,
    mark: int,
    funding: int,
    is_long: bool,
) -> None:
    """What is left, what is paid and where ``A`` goes, against SPEC §4.3 in rationals, wipes and bumps included."""
    size = data.draw(st.one_of(st.integers(1, oi), st.sampled_from(sorted({1, max(1, oi - 1), oi}))))
    kept = shared.snapshot()
    try:
        start = Market(funding=funding, oi=2**104 - 1, residue=0)
        if not is_long:
            size = min(size, 2**47)  # a closed short comes out of the residue, which holds 48 bits
            start.residue = 2**48 - 1
        else:
            size = min(size, 2**48 - 1)
        put(shared, "put_market", MARKET, start)
        put(shared, "put_band", MARKET, is_long, BAND, Band(a, oi, 3, 0), Cell(value, mark, True))
        q0 = min(oi, 2**100)
        put(shared, "put_position", ACCOUNT, MARKET, Position(a, q0, 3, 0, value, 0, BAND, is_long))
        before = read(shared, ACCOUNT, funding)
        outcome = shared.call("ClearingHouse", "deleverage", CALLER, MARKET, is_long, BAND, size, quote)
        if not outcome.ok:
            assert outcome.reason == ""
            return
        state, m = band_of(shared, is_long), market_of(shared)
        inherited = quote if is_long else -quote
        assert m.pot == inherited
        assert state.oi == oi - size
        old = cell_of(shared, is_long, 3, 0)
        folded = value + floor(Fraction(a * (mark - funding if is_long else funding - mark), c.WAD))
        assert old.c == folded + floor(Fraction(a * inherited, oi))
        if state.oi == 0:
            assert (state.epoch, state.scale, state.a) == (4, 0, c.ONE_A)
            assert shared.model("ClearingHouse").load_bitmap(MARKET, is_long) >> BAND & 1 == 0
        else:
            exact = Fraction(a * (oi - size), oi) * c.SCALE_STEP**state.scale
            assert state.a == (floor(exact) if is_long else ceil(exact))
            assert c.MIN_A <= state.a <= c.ONE_A
            if state.scale:
                assert exact / c.SCALE_STEP < c.MIN_A, "no bump without need"
                assert cell_of(shared, is_long, 3, state.scale) == Cell(0, funding, True)
        after = read(shared, ACCOUNT, funding)
        # the position's share of size and cash, rounded against it
        share = Fraction(q0 * (oi - size), oi)
        if is_long:
            assert share - 1 - Fraction(q0, c.MIN_A) <= after.size <= share
        else:
            assert share <= -after.size <= share + 1 + Fraction(q0, c.MIN_A)
        gained = Fraction(q0 * inherited, oi)
        slack = 2 + Fraction(2 * q0, a)
        assert gained - slack <= after.pending - before.pending <= gained + slack
    finally:
        shared.revert(kept)


MOST = c.MAX_PRICE // c.WAD
"""Money per wei of size at the highest price: what a wei can bring into the cash index, which has 160 bits."""
cuts_of_a_band = st.lists(st.tuples(st.integers(1, 10**6), st.integers(-MOST, MOST)), min_size=1, max_size=12)


@given(cuts_of_a_band, st.booleans())
def test_deleverage__many_times_loses_to_the_house_only(
    shared: Twin, cuts: list[tuple[int, int]], is_long: bool
) -> None:
    """Two holders through a series of cuts: together they never own more, owe less, or get more cash than there is."""
    kept = shared.snapshot()
    try:
        total = 10**14  # so that the residue's 48 bits hold a whole side
        put(shared, "put_market", MARKET, Market(oi=total, residue=0 if is_long else total))
        put(shared, "put_band", MARKET, is_long, BAND, Band(c.ONE_A, total, 0, 0), Cell(0, 0, True))
        for who, part in ((ACCOUNT, total // 3), (OTHER, total - total // 3)):
            put(shared, "put_position", who, MARKET, Position(c.ONE_A, part, 0, 0, 0, 1, BAND, is_long))
        paid = 0
        for millionth, price in cuts:
            left = band_of(shared, is_long).oi
            if left == 0:
                break
            size = max(1, left * millionth // 10**6)
            quote = size * price
            put(shared, "deleverage", MARKET, is_long, BAND, size, quote)
            paid += quote if is_long else -quote
        legs = [read(shared, who, 0) for who in (ACCOUNT, OTHER)]
        held, oi = sum(abs(leg.size) for leg in legs), band_of(shared, is_long).oi
        assert held <= oi if is_long else held >= oi
        assert abs(held - oi) <= 2 * len(cuts)
        assert market_of(shared).pot == paid
        pending = sum(leg.pending for leg in legs)
        assert pending <= paid
        assert paid - pending <= 4 * len(cuts), "rounding, not money"
    finally:
        shared.revert(kept)


# ---- entering and leaving --------------------------------------------------------------------------


def test_place__opens_grows_shrinks_closes(shared: Twin) -> None:
    """A pair of positions through all moves keeps the identity of open interest and the bitmaps."""
    kept = shared.snapshot()
    try:
        model = shared.model("ClearingHouse")
        small = 10**12  # a trade writes its words once; this test writes after each side, into 48 bits of residue
        put(shared, "place", OTHER, MARKET, -10 * small, 1, BAND)
        put(shared, "place", ACCOUNT, MARKET, 10 * small, 1, BAND)
        assert market_of(shared) == Market(oi=10 * small)
        assert band_of(shared, True) == Band(c.ONE_A, 10 * small, 0, 0)
        assert cell_of(shared, True, 0, 0) == Cell(0, 0, True)
        assert model.load_bitmap(MARKET, True) == model.load_bitmap(MARKET, False) == 1 << BAND
        put(shared, "place", OTHER, MARKET, -12 * small, 2, BAND)
        put(shared, "place", ACCOUNT, MARKET, 12 * small, 2, BAND + 1)  # moves whole to another band
        assert band_of(shared, True).oi == 0
        assert model.load_bitmap(MARKET, True) == 1 << BAND + 1
        assert read(shared, ACCOUNT, 0) == Leg(12 * small, 0, 2, BAND + 1)
        put(shared, "place", ACCOUNT, MARKET, 5 * small, 2, BAND + 1)
        put(shared, "place", OTHER, MARKET, -5 * small, 2, BAND)
        assert market_of(shared) == Market(oi=5 * small)
        put(shared, "place", ACCOUNT, MARKET, 0, 0, 0)
        put(shared, "place", OTHER, MARKET, 0, 0, 0)
        assert market_of(shared) == Market()
        assert model.load_bitmap(MARKET, True) == model.load_bitmap(MARKET, False) == 0
        assert model.load_account_word(ACCOUNT) == Account()
        assert model.load_position(ACCOUNT, MARKET) == Position()
    finally:
        shared.revert(kept)


@pytest.mark.parametrize("left", [0, 1, c.DUST_SIZE, c.DUST_SIZE + 1])
def test_place__dust_of_a_long_band_goes_to_the_residue(shared: Twin, left: int) -> None:
    """What a leaver leaves behind in a long band, up to 1e6 wei, is the house's; more stays open interest."""
    kept = shared.snapshot()
    try:
        size = 10**12
        put(shared, "place", OTHER, MARKET, -size, 1, BAND)
        put(shared, "place", ACCOUNT, MARKET, size, 1, BAND)
        put(shared, "put_position", ACCOUNT, MARKET, Position(c.ONE_A, size - left, 0, 0, 0, 1, BAND, True))
        put(shared, "place", ACCOUNT, MARKET, 0, 0, 0)
        dust = left <= c.DUST_SIZE
        assert band_of(shared, True).oi == (0 if dust else left)
        assert market_of(shared).residue == (size if dust else size - left)
        assert shared.model("ClearingHouse").load_bitmap(MARKET, True) == (0 if dust else 1 << BAND)
    finally:
        shared.revert(kept)


def test_place__short_that_owes_more_than_the_band_takes_it_from_the_residue(shared: Twin) -> None:
    """Shorts' sizes round up, so the last leaver may ask for a wei more than there is (rule 28)."""
    kept = shared.snapshot()
    try:
        size = 10**12
        put(shared, "place", OTHER, MARKET, -size, 1, BAND)
        put(shared, "put_position", OTHER, MARKET, Position(c.ONE_A, size + 1, 0, 0, 0, 1, BAND, False))
        put(shared, "place", OTHER, MARKET, 0, 0, 0)
        assert (band_of(shared, False).oi, market_of(shared)) == (0, Market())
    finally:
        shared.revert(kept)


def test_place__reopened_band_keeps_its_epoch(shared: Twin) -> None:
    """After a wipe the next opener starts at ``A`` = 1 in the new epoch, in a cell of its own at today's funding."""
    kept = shared.snapshot()
    try:
        put(shared, "put_market", MARKET, Market(funding=77, residue=10**9, oi=10**9))
        put(shared, "put_band", MARKET, False, BAND, Band(c.MIN_A + 5, 10**9, 6, 2), Cell(99, 0, True))
        put(shared, "deleverage", MARKET, False, BAND, 10**9, 5)
        assert band_of(shared, False) == Band(c.ONE_A, 0, 7, 0)
        put(shared, "place", OTHER, MARKET, -(10**9), 1, BAND)
        assert band_of(shared, False) == Band(c.ONE_A, 10**9, 7, 0)
        assert cell_of(shared, False, 7, 0) == Cell(0, 77, True)
        assert read(shared, OTHER, 77) == Leg(-(10**9), 0, 1, BAND)
    finally:
        shared.revert(kept)
