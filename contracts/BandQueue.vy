# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title BandQueue
@license MIT
@notice Deleverages whole bands in rank order, the eligible ones first: no keeper chooses anybody.
        Eligible, by whole bands (rule 33): ranked PROFIT, nobody in it is closed below his entry; ranked
        LEVERAGE, nobody's own bankruptcy price lies inside the close price; SINGLE knows no such bound, and
        the two edge bands, which hold whatever lies beyond them, are judged by the gap cap alone.
@dev Mirror: `python_ref/policies.py`.
"""

from contracts.interfaces import IPolicy
from contracts.modules import constants as c

implements: IPolicy

# bands that one answer may name
PLAN_SLICE: constant(uint256) = 8


@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    """
    @notice Bands in the order of deleveraging; a band is named with no bound of its own.
    @param side The side to close (SPEC section 8).
    """
    eligible: uint256 = side.bitmap
    if side.rank != c.RANK_SINGLE:
        below: uint256 = (1 << side.limit_band) - 1
        edge: uint256 = 1 << side.limit_band
        if side.is_long:
            eligible = eligible & below
        else:
            eligible = eligible & ~(below | edge)
        if side.limit_band == 0 or side.limit_band == c.N_BANDS - 1:
            # the price lies outside what labels tell apart: only the gap cap can judge the edge band
            eligible = eligible | (side.bitmap & edge)
    left: uint256 = eligible
    if left == 0:
        left = side.bitmap
    high_first: bool = (side.rank == c.RANK_LEVERAGE) == side.is_long
    bands: DynArray[uint256, 8] = []
    caps: DynArray[uint256, 8] = []
    for _: uint256 in range(PLAN_SLICE):
        if left == 0:
            break
        band: uint256 = 0
        if high_first:
            band = self._highest_bit(left)
        else:
            band = self._highest_bit(left & (~left + 1))
        left = left & ~(1 << band)
        bands.append(band)
        caps.append(max_value(uint256))
    if eligible == 0:
        return bands, caps, 0
    return bands, caps, len(bands)


@internal
@pure
def _highest_bit(bitmap: uint256) -> uint256:
    """
    @notice Index of the highest set bit of a nonzero bitmap.
    """
    x: uint256 = bitmap
    bit: uint256 = 0
    if x >= 1 << 128:
        x = x >> 128
        bit += 128
    if x >= 1 << 64:
        x = x >> 64
        bit += 64
    if x >= 1 << 32:
        x = x >> 32
        bit += 32
    if x >= 1 << 16:
        x = x >> 16
        bit += 16
    if x >= 1 << 8:
        x = x >> 8
        bit += 8
    if x >= 1 << 4:
        x = x >> 4
        bit += 4
    if x >= 1 << 2:
        x = x >> 2
        bit += 2
    if x >= 2:
        bit += 1
    return bit
