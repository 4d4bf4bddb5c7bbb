"""A policy that answers what it is told: the ledger's own checks where neither ProRata nor BandQueue would lead.

Found missing by a mutation run (``scripts/mutants``).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from python_ref.policies import ProRata, Side
from python_ref.world import Revert
from scripts.chain.artifacts import compile_source
from scripts.system import GOVERNOR, KEEPER, WAD, MarketSpec
from tests.differential.book import Book, OpenBook, perp, wad
from tests.differential.test_regressions import many_bands

Answer = tuple[tuple[int, ...], tuple[int, ...], int]

SOURCE = """# pragma version 0.4.3
from contracts.interfaces import IPolicy
implements: IPolicy
bands: DynArray[uint256, 8]
caps: DynArray[uint256, 8]
eligible: uint256
turn: uint256

@deploy
def __init__(bands: DynArray[uint256, 8], caps: DynArray[uint256, 8], eligible: uint256, turn: uint256):
    self.bands = bands
    self.caps = caps
    self.eligible = eligible
    self.turn = turn

@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    assert side.size != 0 and side.bitmap != 0, "told: nothing to plan"
    if self.turn != 0 and side.limit_band != self.turn - 1:
        return [], [], 0
    return self.bands, self.caps, self.eligible
"""


class Told:
    """The model of it. ``turn``, if not zero: it answers only if the limit's label is one less."""

    def __init__(self, bands: tuple[int, ...], caps: tuple[int, ...], eligible: int, turn: int) -> None:
        self.answer, self.turn = (bands, caps, eligible), turn

    def plan(self, sender: str, side: Side) -> Answer:
        """What it was told."""
        if not (side.size and side.bitmap):
            raise Revert("told: nothing to plan")
        return self.answer if self.turn in (0, side.limit_band + 1) else ((), (), 0)


def tell(book: Book, *bands_and_caps: tuple[int, int], eligible: int = 8, turn: int = 0) -> None:
    """Market 0 asks this from now on."""
    bands, caps = tuple(b for b, _ in bands_and_caps), tuple(cap for _, cap in bands_and_caps)
    address = book.system.chain.deploy(compile_source("Told", SOURCE), bands, caps, eligible, turn, sender=GOVERNOR)
    book.system.clearing_house.registry.policies[address] = Told(bands, caps, eligible, turn)
    book.must("set_policy", GOVERNOR, 0, address)


def ruined(open_book: OpenBook, side: int, spec: MarketSpec, shared: int = 0) -> tuple[Book, list[int]]:
    """``z`` is bankrupt on ``side`` against winners of 1, 2 and 3; the book, and the winners' bands.

    ``shared`` units of the third are against somebody who is not bankrupt.
    """
    book = open_book(spec)
    book.deposit("z", 250)
    book.deposit("r", 10**5)
    for k in (1, 2, 3):
        book.deposit(f"w{k}", 100 * k * (k + 1))
        for other, size in (("z", k - shared * (k == 3)), ("r", shared * (k == 3))):
            if size:
                pair = (other, f"w{k}") if side > 0 else (f"w{k}", other)
                book.open(*pair, size, 100 + 3 * k)
    book.strict = False
    book.rest_at(106)
    book.price(106 - 80 * side)
    assert book.value("z") < 0
    return book, [book.position(f"w{k}").band for k in (1, 2, 3)]


SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
LADDER = perp(100, rank=c.RANK_PROFIT, octave_bits=6)


@SIDES
def test_plan__asks_for_nothing_once_the_size_is_filled(open_book: OpenBook, side: int) -> None:
    book, bands = ruined(open_book, side, LADDER, shared=2)
    assert len(set(bands)) == 3
    for first, count in ((0, 3), (1, 2)):
        with book.restored():
            book.strict = False
            tell(book, *((band, 10**30) for band in bands[first:]))
            assert book.resolve("z")["bands"] == count


@SIDES
def test_plan__band_of_which_nothing_may_go(open_book: OpenBook, side: int) -> None:
    """A cap of zero names a band and closes nothing of it; the receipt does not count it."""
    book, bands = ruined(open_book, side, LADDER, shared=1)
    tell(book, (bands[0], 0), (bands[1], 10**30), (bands[2], 10**30))
    assert book.resolve("z")["bands"] == 2


@SIDES
@pytest.mark.parametrize("left", [0, 1, 5, c.DUST_SIZE, c.DUST_SIZE + 1])
@pytest.mark.parametrize("which", [0, 2])
def test_close_leg__what_a_policy_leaves(open_book: OpenBook, side: int, left: int, which: int) -> None:
    """The house takes dust of a long, and of a short only what its residue has."""
    book, bands = ruined(open_book, side, LADDER)
    caps = [wad(1), wad(2), wad(3)]
    caps[which] -= left
    tell(book, *zip(bands, caps, strict=True))
    outcome = book.call("resolve", KEEPER, book.id("z"), ())
    small = left <= c.DUST_SIZE if side > 0 else left == 0
    assert (outcome.reason or "") == ("" if small else "resolve: plan too small")


@SIDES
@pytest.mark.parametrize("known", [1, 2, 3])
def test_plan__only_some_bands_ever(open_book: OpenBook, side: int, known: int) -> None:
    """However often it is asked: a plan that is never finished is walked as far as it goes, if only by one band."""
    book, bands = ruined(open_book, side, LADDER)
    tell(book, *((band, 10**30) for band in bands[:known]), eligible=1)
    receipt = book.resolve("z")
    assert (receipt["finished"], receipt["bands"]) == (known == 3, known)


LADDER_SOURCE = """# pragma version 0.4.3
from contracts.interfaces import IPolicy
implements: IPolicy
zero: uint256

@deploy
def __init__(zero: uint256):
    self.zero = zero

@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    for band: uint256 in range(256):
        if (side.bitmap >> band) & 1 == 1:
            return [band], [0 if band == self.zero else side.size], 1
    return [], [], 0
"""


class Ladder:
    """The model: one band a call, the lowest that is left; of one band nothing may go."""

    def __init__(self, zero: int) -> None:
        self.zero = zero

    def plan(self, sender: str, side: Side) -> Answer:
        """The lowest band."""
        band = (side.bitmap & -side.bitmap).bit_length() - 1
        return (band,), (0 if band == self.zero else side.size,), 1


@pytest.mark.parametrize("first_is_zero", [False, True])
@pytest.mark.parametrize("more", [0, 1, wad(1)])
def test_plan__asks_thirty_two_times(open_book: OpenBook, first_is_zero: bool, more: int) -> None:
    """Forty bands, named one by one: 32 questions at most, whether each gives a band or not; a rest of one wei too."""
    book = many_bands(open_book)
    book.strict = False
    bands = sorted({book.position(f"l{i}").band for i in range(40)})
    assert len(bands) == 40
    zero = bands[0] if first_is_zero else 256
    code = compile_source("Ladder", LADDER_SOURCE)
    address = book.system.chain.deploy(code, zero, sender=GOVERNOR)
    book.system.clearing_house.registry.policies[address] = Ladder(zero)
    book.must("set_policy", GOVERNOR, 0, address)
    # somebody takes over all but what 32 bands hold, and a bit
    book.rest_at(178)
    book.deposit("v", 10**5)
    book.open("s", "v", Fraction(8 * WAD - more, WAD), 245)
    book.price(240)
    size = -book.size("s")
    assert size == wad(32) + more
    receipt = book.resolve("s")
    count = 31 if first_is_zero else 32
    assert receipt["bands"] == count
    assert receipt["finished"] == (size <= count * WAD)


@pytest.mark.parametrize("bitmap", [0, 1])
def test_pro_rata__band_zero_alone_needs_no_reading(open_book: OpenBook, bitmap: int) -> None:
    """Asked by somebody who has no bands."""
    book = open_book(LADDER)
    book.twin.bind(ProRata(book.system.clearing_house), "ProRata", book.system.addresses["ProRata"])
    for size in (1, 5, 10**18):
        side = Side(0, False, size, 10**18, bitmap, c.RANK_SINGLE, 0)
        assert book.twin.view("ProRata", "plan", side) == (((0,), (size,), 1) if bitmap else ((), (), 0))


@SIDES
def test_pro_rata__lowest_and_highest_band(open_book: OpenBook, side: int) -> None:
    """Entries so far apart that the labels are 0 and 255, and one between."""
    book = open_book(perp(100, rank=c.RANK_PROFIT, policy="ProRata", octave_bits=6))
    book.deposit("z", 60)
    book.strict = False
    entries = (24, 100, 401)[::side]
    for price in entries:
        book.deposit(f"w{price}", 10**4)
        book.rest_at(price)
        pair = ("z", f"w{price}") if side > 0 else (f"w{price}", "z")
        book.open(*pair, 1, price)
    assert [book.position(f"w{price}").band for price in (24, 100, 401)] == [0, 128, 255]
    book.price(100 if side > 0 else 200)
    assert book.resolve("z")["bands"] == 3


@SIDES
def test_side__single_rank_has_the_label_zero(open_book: OpenBook, side: int) -> None:
    book, bands = ruined(open_book, side, perp(100))
    assert bands == [0, 0, 0]
    for turn, reason in ((2, "resolve: empty plan"), (1, "")):
        tell(book, (0, 10**30), turn=turn)
        assert (book.call("resolve", KEEPER, book.id("z"), ()).reason or "") == reason


@SIDES
@pytest.mark.parametrize("rank", [c.RANK_PROFIT, c.RANK_LEVERAGE])
@pytest.mark.parametrize("rest", [0, 1, 5])
def test_side__label_of_the_limit(open_book: OpenBook, side: int, rank: int, rest: int) -> None:
    """Which label the policy is told: of the index, not an edge of the interval; ranked LEVERAGE without funding."""
    spec = replace(LADDER, limits=replace(LADDER.limits, rank=rank), width_bps=500)
    book, bands = ruined(open_book, side, spec)
    book.price(106)
    book.deposit("v", 10**5)
    for _ in range(2 * rest):
        book.advance(10_800)
        book.price(106)
        book.open("r", "v", 1, 112)
    assert (book.market().funding > WAD) == (rest > 0)
    book.price(106 - 80 * side)
    told = {}
    for turn in range(1, 257):
        with book.restored():
            book.strict = False
            tell(book, *((band, 10**30) for band in dict.fromkeys(bands)), turn=turn)
            told[turn - 1] = book.call("resolve", KEEPER, book.id("z"), ()).ok
    assert sum(told.values()) == 1
