"""Deleveraging policies: which bands an ADL closes, in what order. Pure judgement; SPEC §8.

Mirrors ``contracts/ProRata.vy`` and ``contracts/BandQueue.vy``. A policy of one's own is one class with
``plan``: the ClearingHouse asks again with what is left until the size is filled or no band is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from python_ref import constants as c
from python_ref.bands import deleveraged_high_first
from python_ref.fixed_math import mul_div_up
from python_ref.ledger import Ledger
from python_ref.words import Band

PLAN_SLICE = 8
"""Bands that one answer may name."""


@dataclass
class Side:
    """What a policy is told of the side that it closes."""

    market: int
    is_long: bool
    size: int  # gons still to close
    open_interest: int  # gons in the bands of `bitmap`
    bitmap: int  # bands not yet used
    rank: int
    limit_band: int  # label of the close price; eligible bands lie strictly on its far side


class Policy(Protocol):
    """What the ledger asks of a deleveraging policy."""

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Bands to close next, the most to close of each (gons), and how many of the first are eligible."""
        ...


class ProRata:
    """Every band of the side by its open interest: one fraction for all. Only the gap cap limits the price.

    Meant for rank SINGLE. Over more than 32 bands each further call starts from the highest band again, and what
    comes out is no longer pro rata.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger

    def bind(self, ledger: Ledger) -> None:
        """Name the ledger whose bands are read."""
        self.ledger = ledger

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Highest bands first; the order is immaterial, since each gives ``ceil(size · OI_b / OI)``."""
        if side.bitmap == 1:
            return (0,), (side.size,), 1
        assert self.ledger is not None
        bands: list[int] = []
        caps: list[int] = []
        left = side.bitmap
        while left and len(bands) < PLAN_SLICE:
            band = left.bit_length() - 1
            left &= ~(1 << band)
            oi = Band.unpack(self.ledger.load_bands(self.ledger.address, side.market, side.is_long, band, 1)[0]).oi
            bands.append(band)
            caps.append(mul_div_up(side.size, oi, side.open_interest) if side.open_interest else oi)
        return tuple(bands), tuple(caps), len(bands)


class BandQueue:
    """Whole bands in rank order, the eligible ones first; no keeper chooses anybody."""

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Bands in the order of deleveraging; a band is named with no bound of its own.

        Eligible (rule 33, by whole bands): ranked PROFIT, nobody in it is closed below his entry; ranked
        LEVERAGE, nobody's own bankruptcy price lies inside the close price; SINGLE knows no such bound, and the
        two edge bands, which hold whatever lies beyond them, are judged by the gap cap alone.
        """
        eligible = side.bitmap
        if side.rank != c.RANK_SINGLE:
            below = (1 << side.limit_band) - 1
            edge = 1 << side.limit_band
            eligible &= below if side.is_long else ~(below | edge)
            if side.limit_band in (0, c.N_BANDS - 1):
                # the price lies outside what labels tell apart: only the gap cap can judge the edge band
                eligible |= side.bitmap & edge
        left = eligible or side.bitmap
        high_first = deleveraged_high_first(side.rank, side.is_long)
        bands: list[int] = []
        while left and len(bands) < PLAN_SLICE:
            band = left.bit_length() - 1 if high_first else (left & -left).bit_length() - 1
            left &= ~(1 << band)
            bands.append(band)
        return tuple(bands), (2**256 - 1,) * len(bands), len(bands) if eligible else 0
