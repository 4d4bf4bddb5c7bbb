# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title LargestFirst
@license MIT
@notice A policy of one's own, as an example: the band with most open interest is closed first, whatever its rank.
@dev One band per answer: the ClearingHouse asks again with what is left. Mirror: `tests/unit/test_policy_plugin.py`.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IPolicy
from contracts.modules import words

implements: IPolicy


@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    """
    @notice The largest band that is left (the lowest of equals), without a bound of its own; eligible.
    @param side The side to close (SPEC section 8).
    """
    left: uint256 = side.bitmap
    largest: uint256 = 0
    most: uint256 = 0
    for band: uint256 in range(256):
        if left == 0:
            break
        if left & 1 == 1:
            raw: DynArray[uint256, 256] = staticcall IClearingHouse(msg.sender).load_bands(
                side.market, side.is_long, band, 1
            )
            oi: uint256 = words._unpack_band(raw[0]).oi
            if oi > most:
                largest = band
                most = oi
        left = left >> 1
    return [largest], [max_value(uint256)], 1
