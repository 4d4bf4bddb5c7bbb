# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title RottenPolicy
@license MIT
@notice A deleveraging policy that answers badly in a chosen way, to show what the ClearingHouse still holds to.
@dev Mirror: `tests/unit/test_policy_plugin.py`.
"""

from contracts.interfaces import IPolicy

implements: IPolicy

# the same band eight times, all eligible
REPEATS: constant(uint256) = 0
# bands that hold nothing, and labels that no band can have
EMPTY_BANDS: constant(uint256) = 1
# every band, none of it
ZERO_CAPS: constant(uint256) = 2
# the safest bands first, all called eligible, caps beyond any size
GREEDY: constant(uint256) = 3
# no band at all
SILENT: constant(uint256) = 4
# one band first called ineligible, the others eligible
FICKLE: constant(uint256) = 5

MODE: immutable(uint256)


@deploy
def __init__(mode: uint256):
    """
    @param mode Which vice.
    """
    MODE = mode


@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    """
    @notice A bad answer.
    @param side The side to close (SPEC section 8).
    """
    bands: DynArray[uint256, 8] = []
    caps: DynArray[uint256, 8] = []
    if MODE == SILENT:
        return bands, caps, 0
    if MODE == EMPTY_BANDS:
        return [256, max_value(uint256)], [side.size, side.size], max_value(uint256)
    for i: uint256 in range(256):
        band: uint256 = i
        if side.is_long:
            band = 255 - i
        if (side.bitmap >> band) & 1 == 0:
            continue
        if MODE == REPEATS:
            for _: uint256 in range(8):
                bands.append(band)
                caps.append(side.size // 3 + 1)
            break
        if MODE == ZERO_CAPS:
            bands.append(band)
            caps.append(0)
        elif MODE == GREEDY:
            bands = [band]
            caps = [max_value(uint256)]
        else:
            bands.append(band)
            caps.append(side.size)
            break
        if len(bands) == 8:
            break
    if MODE == FICKLE and side.bitmap & (side.bitmap - 1) != 0 and side.limit_band & 1 == 0:
        return bands, caps, 0
    return bands, caps, max_value(uint256)
