# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title ProRata
@license MIT
@notice Deleverages every band of a side by its open interest: one fraction for all. Only the gap cap
        limits the price, so an account that was already unhealthy may become the next deficit.
        Meant for rank SINGLE (one band a side). Over more than 32 bands a default takes several calls, each
        of which starts from the highest band again: what comes out is no longer pro rata.
@dev Mirror: `python_ref/policies.py`. Reads the bands of the ledger that asks.
"""

from contracts.interfaces import IPolicy
from contracts.modules import fixed_math
from contracts.modules import words

implements: IPolicy


interface IBandReader:
    def load_bands(
        market: uint256, is_long: bool, first: uint256, count: uint256
    ) -> DynArray[uint256, 256]: view


# bands that one answer may name
PLAN_SLICE: constant(uint256) = 8


@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    """
    @notice Highest bands first; the order is immaterial, since each gives ceil(size * OI_b / OI).
    @param side The side to close (SPEC section 8).
    """
    bands: DynArray[uint256, 8] = []
    caps: DynArray[uint256, 8] = []
    left: uint256 = side.bitmap
    if left == 1:
        # one band for all: nothing to share out
        return [0], [side.size], 1
    for i: uint256 in range(256):
        band: uint256 = 255 - i
        if left == 0 or len(bands) == PLAN_SLICE:
            break
        if (left >> band) & 1 == 0:
            continue
        left = left & ~(1 << band)
        found: DynArray[uint256, 256] = staticcall IBandReader(msg.sender).load_bands(
            side.market, side.is_long, band, 1
        )
        oi: uint256 = words._unpack_band(found[0]).oi
        bands.append(band)
        if side.open_interest == 0:
            caps.append(oi)
        else:
            caps.append(fixed_math._mul_div_up(side.size, oi, side.open_interest))
    return bands, caps, len(bands)
