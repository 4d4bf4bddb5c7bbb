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
    risk: words.Risk = words._unpack_risk(risk_word)
    gap: uint256 = price - kind_price if price > kind_price else kind_price - price
    low: uint256 = 0
    high: uint256 = STEPS
    for _: uint256 in range(16):
        middle: uint256 = (low + high) // 2
        part: uint256 = fixed_math._mul_div_up(size, middle, STEPS)
        notional: uint256 = (size - part) * kind_price
        needed: uint256 = m_other + margin._requirement(risk.maintenance, risk.depth, notional, claim_index)
        lost: uint256 = part * gap
        if e_kind >= lost and (e_kind - lost) * c.PPM >= needed * risk.target:
            high = middle
        else:
            low = middle
    taken: uint256 = fixed_math._mul_div_up(size, high, STEPS)
    if size - taken < min_size:
        return size
    return taken
