"""Integer arithmetic with the rounding direction in the name.

The only file where Python's semantics are bent to the machine's: every result is checked against the
range of the word that holds it, as Vyper does. Mirror of ``contracts/modules/fixed_math.vy``.
"""

from python_ref.world import Revert

_MAX_UINT = 2**256 - 1
_MAX_INT = 2**255 - 1


def uint(x: int) -> int:
    """``x`` if it fits uint256; else the compiler's revert, which has no reason."""
    if not 0 <= x <= _MAX_UINT:
        raise Revert("")
    return x


def sint(x: int) -> int:
    """``x`` if it fits int256; else the compiler's revert, which has no reason."""
    if not -_MAX_INT - 1 <= x <= _MAX_INT:
        raise Revert("")
    return x


def mul_div_down(x: int, y: int, d: int) -> int:
    """``x·y/d`` of unsigned numbers, rounded down. The product must fit uint256."""
    if d == 0:
        raise Revert("")
    return uint(x * y) // d


def mul_div_up(x: int, y: int, d: int) -> int:
    """``x·y/d`` of unsigned numbers, rounded up. The product plus ``d − 1`` must fit uint256."""
    if d == 0:
        raise Revert("")
    return uint(uint(x * y) + d - 1) // d


def floor_div(n: int, d: int) -> int:
    """Signed ``n`` by positive ``d``, toward minus infinity (the machine's ``//`` truncates)."""
    if d <= 0:
        raise Revert("")
    return sint(n) // d


def ceil_div(n: int, d: int) -> int:
    """Signed ``n`` by positive ``d``, toward plus infinity."""
    if d <= 0:
        raise Revert("")
    return -((-sint(n)) // d)


LN2 = 693_147_180_559_945_309_417_232_121_458_176_568
"""Natural logarithm of two, 1e36-scaled, rounded down."""


def decay(elapsed: int, tau: int) -> int:
    """``exp(−elapsed/tau)``, WAD, within 2e-18 below the true value; 0 from 45 time constants on.

    Both in the same unit, ``tau > 0``. Range reduction by ln 2 and twenty terms of the series at 1e36. SPEC §14.4.
    """
    if elapsed >= 45 * tau:
        return 0
    one = 10**36
    halvings, rest = divmod(elapsed * one // tau, LN2)
    term = even = one
    odd = 0
    for i in range(1, 21):
        term = term * rest // (i * one)
        if i % 2:
            odd += term
        else:
            even += term
    return (even - odd >> halvings) // 10**18


def log2_band(price: int, anchor: int, octave_bits: int) -> int:
    """Band of ``price``: ``floor(2^octave_bits · log2(price / anchor)) + 128``, clamped to [0, 255].

    ``price`` and ``anchor`` are WAD, positive; ``octave_bits`` is 0 to 6, so that an octave holds 1 to 64
    bands. Bit-exact with the machine: 64 fractional bits, each squaring floored. SPEC §4.5.
    """
    if price == 0:
        return 0
    # 2**127 keeps `price << 127` inside 256 bits for every price the ledger accepts
    r = uint((price << 127) // anchor)
    if r == 0:
        return 0
    msb = r.bit_length() - 1
    exponent = msb - 127
    r = r >> (msb - 64) if msb >= 64 else r << (64 - msb)
    fraction = 0
    for _ in range(octave_bits):
        r = (r * r) >> 64
        fraction <<= 1
        if r >= 2**65:
            r >>= 1
            fraction |= 1
    band = (exponent << octave_bits) + fraction + 128
    return min(max(band, 0), 255)
