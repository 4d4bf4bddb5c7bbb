# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title LiquidationEngine
@license MIT
@notice How much of an unhealthy position a liquidation takes. Pure judgement; SPEC section 7, rule 20.
@dev Mirror: `python_ref/liquidation_engine.py`. It needs the margin rule, so it imports that (pure) arithmetic.
"""

from contracts.interfaces import ILiquidationEngine
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import margin
from contracts.modules import words

implements: ILiquidationEngine

# a position is liquidated in parts of 1/65536, so that the search takes 16 halvings
STEPS: constant(uint256) = 2**16


@external
@view
def plan(
    size: uint256,
    kind_price: uint256,
    price: uint256,
    e_kind: uint256,
    m_other: uint256,
    risk_word: uint256,
    claim_index: uint256,
    min_size: uint256,
) -> uint256:
    """
    @notice Least part of `size` after which E' >= k * M', rounded up to 1/65536 of it; the whole if none.
    @param size Size of the position, gons.
    @param kind_price Edge at which the leg is valued, WAD.
    @param price What the account gets per unit, WAD.
    @param e_kind Equity at the kind edge, value units.
    @param m_other Maintenance of the account's other legs, value units.
    @param risk_word The market's packed risk parameters.
    @param claim_index The claim index, 1e36-scaled.
    @param min_size A smaller rest is taken as well, gons.
    """
    # Nothing below overflows for what the ClearingHouse asks: size < 2**104, prices < 2**87, and both the margin
    # and the equity below it are quotients of products by 1e18, hence < 2**201.
    maintenance: uint256 = words._maintenance(risk_word)
    target: uint256 = words._target(risk_word)
    depth: uint256 = words._depth(risk_word)
    gap: uint256 = price - kind_price if price > kind_price else kind_price - price
    low: uint256 = 0
    high: uint256 = STEPS
    for _: uint256 in range(16):
        middle: uint256 = unsafe_add(low, high) >> 1
        # the same as rounding up size * middle / STEPS
        part: uint256 = unsafe_add(unsafe_mul(size, middle), STEPS - 1) >> 16
        notional: uint256 = unsafe_mul(unsafe_sub(size, part), kind_price)
        needed: uint256 = m_other
        if depth == 0:
            # the same as _requirement: both 1e18 scales hold the factor 1e12 that takes ppm to WAD
            needed = unsafe_add(needed, unsafe_div(unsafe_add(unsafe_mul(notional, maintenance), c.PPM - 1), c.PPM))
        else:
            needed = unsafe_add(needed, margin._requirement(maintenance, depth, notional, claim_index))
        lost: uint256 = unsafe_mul(part, gap)
        if e_kind >= lost and unsafe_mul(unsafe_sub(e_kind, lost), c.PPM) >= unsafe_mul(needed, target):
            high = middle
        else:
            low = middle
    taken: uint256 = fixed_math._mul_div_up(size, high, STEPS)
    if size - taken < min_size:
        return size
    return taken
