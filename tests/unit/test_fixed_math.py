"""Integer arithmetic and the logarithm, contract against model and against exact rationals."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from python_ref import constants as c
from scripts.twin import Twin
from tests.harness import ask, module_twin

MAX_UINT = 2**256 - 1
MAX_INT, MIN_INT = 2**255 - 1, -(2**255)


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """The harness and its model."""
    with module_twin() as made:
        yield made


uints = st.one_of(
    st.integers(0, MAX_UINT),
    st.integers(0, 256).map(lambda bits: 2**bits - 1),
    st.integers(0, 2**128),
    st.sampled_from([0, 1, c.WAD, c.PPM, c.INDEX_ONE, 2**104 - 1, MAX_UINT]),
)
ints = st.one_of(
    st.integers(MIN_INT, MAX_INT),
    st.integers(-(2**160), 2**160),
    st.sampled_from([MIN_INT, MIN_INT + 1, -1, 0, 1, MAX_INT, -c.WAD, c.WAD]),
)
prices = st.one_of(
    st.integers(1, c.MAX_PRICE),
    st.integers(0, 86).map(lambda bits: 2**bits),
    st.integers(0, 26).map(lambda digits: 10**digits),
    st.sampled_from([1, c.WAD, c.MAX_PRICE]),
)


@given(uints, uints, uints)
@example(MAX_UINT, 1, 1)
@example(MAX_UINT, 1, 2)
@example(MAX_UINT, 2, 1)
@example(2**128, 2**128, 1)
@example(1, 1, 0)
def test_mul_div__rounds_as_named(twin: Twin, x: int, y: int, d: int) -> None:
    down, up = ask(twin, "mul_div_down", x, y, d), ask(twin, "mul_div_up", x, y, d)
    fits = d > 0 and x * y <= MAX_UINT
    assert down == (floor(Fraction(x * y, d)) if fits else None)
    assert up == (ceil(Fraction(x * y, d)) if fits and x * y + d - 1 <= MAX_UINT else None)


@given(ints, ints)
@example(MIN_INT, 1)
@example(MIN_INT, -1)
@example(MIN_INT, MAX_INT)
@example(MIN_INT + 1, 2)
@example(MAX_INT, 2)
@example(-1, MAX_INT)
@example(1, 0)
def test_floor_and_ceil_div__toward_their_side(twin: Twin, n: int, d: int) -> None:
    """The machine truncates; the divisor must be positive, as MIN_INT / -1 would not fit."""
    down, up = ask(twin, "floor_div", n, d), ask(twin, "ceil_div", n, d)
    assert down == (floor(Fraction(n, d)) if d > 0 else None)
    assert up == (ceil(Fraction(n, d)) if d > 0 else None)


def exact_bounds(band: int, octave_bits: int, price: int, anchor: int) -> None:
    """``2^((band − 128)/2^k) <= price/anchor < 2^((band − 127)/2^k)``, as powers of 2^k without a logarithm."""
    n = 2**octave_bits
    ratio = Fraction(price, anchor) ** n
    if band > 0:
        assert ratio >= Fraction(2) ** (band - 128), "below its band: floors only make a label smaller"
    if band < 255:
        # squarings are floored at 64 bits, the first quotient at 40 bits or more
        assert ratio * (1 - Fraction(n, 2**38)) < Fraction(2) ** (band - 127)


@given(prices, prices, st.integers(0, 6))
@example(1, c.MAX_PRICE, 6)
@example(c.MAX_PRICE, 1, 6)
@example(1, c.MAX_PRICE, 0)
@example(c.MAX_PRICE, 1, 0)
@example(c.WAD, c.WAD, 6)
def test_log2_band__within_exact_bounds(twin: Twin, price: int, anchor: int, octave_bits: int) -> None:
    exact_bounds(ask(twin, "log2_band", price, anchor, octave_bits), octave_bits, price, anchor)


@given(prices, st.integers(-300, 300), st.integers(0, 6), st.integers(-2, 2))
def test_log2_band__near_a_boundary(twin: Twin, anchor: int, step: int, octave_bits: int, off: int) -> None:
    """Prices within two of the edge of a band."""
    price = round(anchor * 2 ** (step / 2**octave_bits)) + off
    if 0 < price <= c.MAX_PRICE:
        exact_bounds(ask(twin, "log2_band", price, anchor, octave_bits), octave_bits, price, anchor)


@pytest.mark.parametrize("octave_bits", range(7))
def test_log2_band__anchor_and_octaves_are_exact(twin: Twin, octave_bits: int) -> None:
    """Powers of two lie on the edge of a band and belong to the upper one; one less lies below."""
    anchor = 2**40
    for octave in range(-20, 21):
        price = anchor << octave if octave >= 0 else anchor >> -octave
        expected = min(255, max(0, (octave << octave_bits) + c.BAND_CENTRE))
        assert ask(twin, "log2_band", price, anchor, octave_bits) == expected
        below = ask(twin, "log2_band", price - 1, anchor, octave_bits)
        assert below == min(255, max(0, (octave << octave_bits) + c.BAND_CENTRE - 1))


@pytest.mark.parametrize("octave_bits", range(1, 7))
def test_log2_band__clamps(twin: Twin, octave_bits: int) -> None:
    reach = 128 >> octave_bits
    anchor = 2**43
    assert ask(twin, "log2_band", anchor >> min(reach, 43), anchor, octave_bits) == max(0, 128 - (43 << octave_bits))
    if reach <= 40:
        assert ask(twin, "log2_band", (anchor >> reach) - 1, anchor, octave_bits) == 0
        assert ask(twin, "log2_band", (anchor << reach) - 1, anchor, octave_bits) == 255
        assert ask(twin, "log2_band", anchor << reach, anchor, octave_bits) == 255
    assert ask(twin, "log2_band", 0, anchor, octave_bits) == 0


@given(prices, prices, prices, st.integers(0, 6))
def test_log2_band__grows_with_the_price(twin: Twin, one: int, other: int, anchor: int, octave_bits: int) -> None:
    low, high = sorted((one, other))
    assert ask(twin, "log2_band", low, anchor, octave_bits) <= ask(twin, "log2_band", high, anchor, octave_bits)


def test_log2_band__out_of_range(twin: Twin) -> None:
    """A price of 2^129 does not survive the shift, an anchor of zero does not divide."""
    assert ask(twin, "log2_band", 2**128, 1, 6) == 255
    twin_refuses = [(1, 0, 6)]
    for args in twin_refuses:
        outcome = twin.chain.simulate("0x" + "01" * 20, twin.address("ClearingHouse"), "log2_band", *args)
        assert not outcome.ok
