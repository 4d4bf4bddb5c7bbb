"""Walks whose numbers are odd to the last digit, so that every division leaves a rest and every rounding shows.

The campaigns' feeds answer with eight decimals and their rates are round: most divisions then come out even.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from python_ref import constants as c
from scripts.campaign.operations import Operations
from scripts.campaign.regimes import BY_NAME
from scripts.campaign.setup import Setup
from scripts.campaign.steering import Steering
from scripts.chain import Chain
from scripts.system import LIMITS, RISK, WAD, MarketSpec

_RISK = replace(
    RISK,
    initial=20_011,
    maintenance=10_007,
    penalty=5_003,
    fund_share=333_337,
    taker_fee=503,
    maker_fee=77,
    fill_band=20_101,
    target=1_200_007,
    backstop=660_013,
)
_FINE = replace(LIMITS, lot_exp=0, min_size=c.DUST_SIZE + 1)
_SHAPE = {"feed_decimals": 18, "width_bps": 7}

ODD = Setup(
    decimals=18,
    specs=(
        MarketSpec("ODD", 2 * WAD + 7, _RISK, replace(_FINE, rank=c.RANK_LEVERAGE, octave_bits=3), **_SHAPE),
        MarketSpec("DEEP", 77 * WAD + 3, replace(_RISK, depth=7_000_003), replace(_FINE, rank=c.RANK_PROFIT), **_SHAPE),
        MarketSpec("SHARED", WAD // 7, _RISK, replace(_FINE, rank=c.RANK_SINGLE), policy="ProRata", **_SHAPE),
    ),
)

REGIMES = ("trading", "grind", "cascade", "rebase", "fund_exhausted", "crumbs", "adl_leverage", "adl_profit")


def walk(chain: Chain, regime: str, seed: int, steps: int) -> None:
    """``steps`` steps on ``chain``, steered as the regime of that name."""
    steered = replace(BY_NAME[regime], setup=ODD)
    ops = Operations(chain, ODD, steered.traders, steered.seconds, 10**9)
    steering = Steering(ops, steered, Random(seed))
    steering.open()
    while ops.steps < steps:
        steering.move()
    ops.system.twin.check_all()
