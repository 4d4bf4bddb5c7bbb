"""Takers of liquidations in every condition, and the engine asked what the ledger never asks."""

from __future__ import annotations

from dataclasses import replace

from python_ref.liquidation_engine import LiquidationEngine
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import Scene
from scripts.branches.stops.defaults import plain
from scripts.chain.artifacts import compile_source
from scripts.system import GOVERNOR, KEEPER, RISK, WAD

HOUSE = "ClearingHouse"

ASKER = """
# pragma version 0.4.3
from contracts.interfaces import IPolicy

@external
@view
def load_bands(market: uint256, is_long: bool, first: uint256, count: uint256) -> DynArray[uint256, 256]:
    return [7 << 120]

@external
@view
def ask(policy: address, side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    return staticcall IPolicy(policy).plan(side)
"""
"""Somebody with bands of seven wei who asks a policy what the ledger never asks."""


def engines(chain: CoverageChain) -> int:
    """Judgement on numbers that no account has."""
    scene = Scene(chain)
    scene.twin.bind(LiquidationEngine(), "LiquidationEngine", scene.system.addresses["LiquidationEngine"])
    risk, index = RISK.pack(), 10**36
    for kind, price, equity in ((100, 90, 10**18), (90, 100, 10**36), (100, 100, 0)):
        args = (10 * WAD, kind * WAD, price * WAD, equity, 0, risk, index, 0)
        scene.ask("LiquidationEngine", "plan", *args)
    asker = chain.deploy(compile_source("Asker", ASKER), sender=GOVERNOR)
    for size, expected in ((0, (7, 7)), (14, (1, 1))):
        side = (2, True, 1, size, 3, 0, 0)
        answer = chain.view(asker, "ask", scene.system.addresses["ProRata"], side)
        assert answer == ((1, 0), expected, 2), answer
    return scene.calls


def takers(chain: CoverageChain) -> int:
    """One unhealthy long after another; who takes it is exempt, bankrupt, frozen, late, too small, or worse."""
    scene = Scene(chain, plain("A"), plain("B"), plain("C"), traders=9, seconds=1)
    scene.rich(1, 2)
    calls = 0
    for sign in (1, -1):
        mark = scene.mark()

        def take(taker: int, reason: str | None, size: int = 2**100, scene: Scene = scene) -> None:
            args = (scene.accounts[0], 0, scene.accounts[taker], size)
            if reason is None:
                scene.done(HOUSE, "liquidate", scene.owner(taker), *args)
            else:
                scene.refused(reason, HOUSE, "liquidate", scene.owner(taker), *args)

        def side(market: int, who: int, size: int, scene: Scene = scene, sign: int = sign) -> None:
            buyer, seller = (who, 1) if sign > 0 else (1, who)
            scene.open(market, buyer, seller, size)

        scene.deposit(0, 2_100)
        side(0, 0, 10 * WAD)
        scene.deposit(3, 10_000)
        scene.open(1, 3, 1, 40 * WAD)  # bankrupt soon
        scene.deposit(4, 10_000)
        scene.open(2, 4, 1, WAD)  # frozen soon
        scene.at(1, 50 * WAD, 1)
        scene.at(0, (98_200 if sign > 0 else 101_800) * WAD // 1_000)
        scene.set_price(1, 50 * WAD)
        take(2, "liquidation: zero size", 0)
        batch = ((scene.accounts[8], scene.accounts[1]), 0, scene.accounts[2], WAD)
        scene.done(HOUSE, "liquidate_batch", scene.owner(2), *batch)
        take(2, "fill: below minimum size", 10)
        take(0, "liquidation: own account")
        take(3, "margin: bankrupt")
        take(5, "margin: below initial")
        for feed in range(3):
            scene.feed(2, feed, "set_mode", 1)
        scene.advance(13)
        scene.step("PriceOracle", "poke", KEEPER, 2)
        scene.set_price(0, scene.prices[0])
        scene.set_price(1, scene.prices[1])
        take(4, "margin: frozen")
        scene.feed(0, 2, "set_mode", 1)
        scene.advance(13)
        scene.set_price(1, scene.prices[1])
        scene.step("PriceOracle", "poke", KEEPER, 0)
        scene.feed(0, 2, "set_mode", 0)
        for feed in range(3):
            scene.feed(2, feed, "set_mode", 0)
        for market in range(3):
            scene.set_price(market, scene.prices[market])
        scene.advance(13)
        for market in range(3):
            scene.set_price(market, scene.prices[market])
        limits = scene.limits(0)
        scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(limits, oi_cap=1).pack())
        scene.step(
            HOUSE, "liquidate", scene.owner(2), scene.accounts[0], 0, scene.accounts[2], WAD, acted=scene.accounts
        )
        scene.done(HOUSE, "set_limits", GOVERNOR, 0, limits.pack())
        # a loss that nobody has paid yet: strangers may not come in, and money waits
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[3], ())
        scene.deposit(5, 100_000)
        take(5, "ledger: closed to newcomers")
        scene.deposit(4, 100_000)
        scene.ask("Lens", "account", scene.accounts[4])
        scene.ask(HOUSE, "account_equity", scene.accounts[4])
        take(4, None, WAD)
        scene.done(HOUSE, "rebase_claims", KEEPER)
        scene.step(
            HOUSE, "liquidate", scene.owner(4), scene.accounts[0], 0, scene.accounts[4], WAD, acted=scene.accounts
        )
        scene.step(HOUSE, "repay_bad_debt", scene.owner(1), scene.accounts[0], WAD)
        scene.finish()
        calls += scene.calls
        scene.restart(mark)
    return calls


def reducing_takers(chain: CoverageChain) -> int:
    """Takers who reduce a position of their own and grow poorer by another market, until nothing is left."""
    scene = Scene(chain, replace(plain("A"), width_bps=300), plain("B"), traders=5, seconds=1)
    scene.rich(1, 2)
    begin = scene.mark()
    for sign in (1, -1):
        for width, cash, moved, losses in (
            (300, 6_100, 8_000, range(190, 250)),
            (50, 3_100, 2_000, range(150, 190)),
            (10, 2_300, 2_100, range(150, 180)),
        ):
            set_width(scene, width)
            scene.deposit(0, cash)
            scene.deposit(3, 15_000)
            for who, long in ((0, sign > 0), (3, sign < 0)):
                scene.open(0, *((who, 1) if long else (1, who)), 10 * WAD)
            scene.open(1, 3, 1, 10 * WAD)
            scene.at(0, 100 * WAD - sign * moved * WAD // 1_000, 61)
            while (view := scene.ask("Lens", "account", scene.accounts[0]))[7] > view[10] // (2 if width == 10 else 10):
                scene.at(0, scene.prices[0] - sign * WAD // 50, 61)
            for loss in losses:
                mark = scene.mark()
                scene.at(1, 100 * WAD - loss * WAD // 10, 1)
                args = (scene.accounts[0], 0, scene.accounts[3], 2 * WAD)
                scene.step(HOUSE, "liquidate", scene.owner(3), *args, acted=scene.accounts)
                scene.restart(mark)
            scene.restart(begin)
            begin = scene.mark()
    return scene.calls


def set_width(scene: Scene, width_bps: int) -> None:
    """Another interval for market 0."""
    scene.done("PriceOracle", "set_feeds", GOVERNOR, 0, *scene.system.feed_args(0, width_bps=width_bps))
    scene.at(0, 100 * WAD)
