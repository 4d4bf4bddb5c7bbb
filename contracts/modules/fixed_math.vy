# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Integer arithmetic with the rounding direction in the name
@license MIT
@notice Stateless. The machine's `//` truncates toward zero, so signed division is written here once.
@dev Mirror: `python_ref/fixed_math.py`.
"""

# natural logarithm of two, 1e36-scaled, rounded down
LN2: constant(uint256) = 693_147_180_559_945_309_417_232_121_458_176_568


@internal
@pure
def _mul_div_down(x: uint256, y: uint256, d: uint256) -> uint256:
    """
    @notice x * y / d, rounded down; reverts without a reason when x * y overflows or d is zero.
    """
    return x * y // d


@internal
@pure
def _mul_div_up(x: uint256, y: uint256, d: uint256) -> uint256:
    """
    @notice x * y / d, rounded up.
    """
    # d = 0 ends in the division's revert, or before it in the addition's
    return (x * y + unsafe_sub(d, 1)) // d


@internal
@pure
def _floor_div(n: int256, d: int256) -> int256:
    """
    @notice Signed n by positive d, toward minus infinity.
    """
    assert d > 0
    # d > 0: no case that overflows, and |q * d| <= |n|
    q: int256 = unsafe_div(n, d)
    if n < 0 and unsafe_mul(q, d) != n:
        q = unsafe_sub(q, 1)
    return q


@internal
@pure
def _ceil_div(n: int256, d: int256) -> int256:
    """
    @notice Signed n by positive d, toward plus infinity.
    """
    assert d > 0
    # d > 0: no case that overflows, and |q * d| <= |n|
    q: int256 = unsafe_div(n, d)
    if n > 0 and unsafe_mul(q, d) != n:
        q = unsafe_add(q, 1)
    return q


@internal
@pure
def _decay(elapsed: uint256, tau: uint256) -> uint256:
    """
    @notice exp(-elapsed / tau), WAD, rounded down; 0 from 45 time constants on.
    @dev Range reduction by ln 2, then twenty terms of the series at 1e36: the rest is below 1e-21. No overflow while
         elapsed < 2**40: 1e36 * 1e36 and 2**40 * 1e36 fit.
    """
    if elapsed >= 45 * tau:
        return 0
    scaled: uint256 = elapsed * 10**36 // tau
    halvings: uint256 = scaled // LN2
    rest: uint256 = scaled % LN2
    term: uint256 = 10**36
    even: uint256 = 10**36
    odd: uint256 = 0
    for i: uint256 in range(1, 21):
        term = unsafe_div(unsafe_mul(term, rest), unsafe_mul(i, 10**36))
        if i & 1 == 1:
            odd = unsafe_add(odd, term)
        else:
            even = unsafe_add(even, term)
    return (unsafe_sub(even, odd) >> halvings) // 10**18


@internal
@pure
def _log2_band(price: uint256, anchor: uint256, octave_bits: uint256) -> uint256:
    """
    @notice floor(2**octave_bits * log2(price / anchor)) + 128, clamped to [0, 255].
    @dev Prices are WAD and below 2**87, so the shift by 127 fits. 64 fractional bits, squarings floored.
    """
    if price == 0:
        return 0
    r: uint256 = (price << 127) // anchor
    if r == 0:
        return 0
    msb: uint256 = 0
    y: uint256 = r
    if y >= 1 << 128:
        y = y >> 128
        msb = unsafe_add(msb, 128)
    if y >= 1 << 64:
        y = y >> 64
        msb = unsafe_add(msb, 64)
    if y >= 1 << 32:
        y = y >> 32
        msb = unsafe_add(msb, 32)
    if y >= 1 << 16:
        y = y >> 16
        msb = unsafe_add(msb, 16)
    if y >= 1 << 8:
        y = y >> 8
        msb = unsafe_add(msb, 8)
    if y >= 1 << 4:
        y = y >> 4
        msb = unsafe_add(msb, 4)
    if y >= 1 << 2:
        y = y >> 2
        msb = unsafe_add(msb, 2)
    if y >= 2:
        msb = unsafe_add(msb, 1)
    if msb >= 64:
        r = r >> unsafe_sub(msb, 64)
    else:
        r = r << unsafe_sub(64, msb)
    # biased by 128 octaves to stay unsigned: exponent = msb - 127 >= -127
    biased: uint256 = unsafe_add(msb, 1)
    for _: uint256 in range(octave_bits, bound=6):
        # r < 2**65, so r * r < 2**130
        r = unsafe_mul(r, r) >> 64
        bit: uint256 = r >> 65
        r = r >> bit
        biased = (biased << 1) | bit
    biased = unsafe_add(biased, 128)
    base: uint256 = 128 << octave_bits
    if biased <= base:
        return 0
    return min(unsafe_sub(biased, base), 255)
