"""Policies that answer badly, with their models, and how a market gets one."""

from __future__ import annotations

from dataclasses import dataclass

from python_ref.policies import Side
from scripts.branches.scene import Scene
from scripts.chain.artifacts import compile_source
from scripts.system import GOVERNOR

REPEATS, EMPTY_BANDS, ZERO_CAPS, GREEDY, SILENT = range(5)
"""Modes of ``contracts/mocks/RottenPolicy.vy``."""

MOST = 2**256 - 1
Answer = tuple[tuple[int, ...], tuple[int, ...], int]

CHOOSY = """
# pragma version 0.4.3
from contracts.interfaces import IPolicy
implements: IPolicy

# how much less than asked it closes, and whether it calls its bands eligible
LESS: immutable(uint256)
ELIGIBLE: immutable(bool)

@deploy
def __init__(less: uint256, eligible: bool):
    LESS = less
    ELIGIBLE = eligible

@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    for i: uint256 in range(256):
        if (side.bitmap >> i) & 1 == 1:
            return [i], [side.size - LESS], convert(ELIGIBLE, uint256)
    return [], [], 0
"""
"""One band an answer, the lowest; for what the policies of the repository never do."""


@dataclass(frozen=True)
class Rotten:
    """Mirror of ``contracts/mocks/RottenPolicy.vy``."""

    mode: int

    def plan(self, sender: str, side: Side) -> Answer:
        """A bad answer."""
        if self.mode == SILENT:
            return (), (), 0
        if self.mode == EMPTY_BANDS:
            return (256, MOST), (side.size, side.size), MOST
        order = range(255, -1, -1) if side.is_long else range(256)
        found = [band for band in order if side.bitmap >> band & 1]
        if self.mode == REPEATS:
            return (found[0],) * 8, (side.size // 3 + 1,) * 8, MOST
        if self.mode == ZERO_CAPS:
            return tuple(found[:8]), (0,) * len(found[:8]), MOST
        return (found[-1],), (MOST,), MOST


@dataclass(frozen=True)
class Choosy:
    """Mirror of :data:`CHOOSY`."""

    less: int
    eligible: bool

    def plan(self, sender: str, side: Side) -> Answer:
        """The lowest band."""
        band = (side.bitmap & -side.bitmap).bit_length() - 1
        return (band,), (side.size - self.less,), int(self.eligible)


def plug_in(scene: Scene, market: int, policy: Rotten | Choosy) -> None:
    """The governor chooses it for a market."""
    chain = scene.system.chain
    if isinstance(policy, Rotten):
        address = chain.deploy("RottenPolicy", policy.mode, sender=GOVERNOR)
    else:
        address = chain.deploy(compile_source("Choosy", CHOOSY), policy.less, policy.eligible, sender=GOVERNOR)
    scene.system.clearing_house.registry.policies[address] = policy
    scene.system.addresses[f"policy of market {market}"] = address
    scene.done("ClearingHouse", "set_policy", GOVERNOR, market, address)
