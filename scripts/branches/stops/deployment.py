"""Deployments that are refused; no model, as there is nothing to compare but the reason."""

from __future__ import annotations

from typing import Any

from python_ref.clearing_house import ClearingHouse
from python_ref.default_manager import Registry
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.world import World
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import ZERO, Scene
from scripts.chain.artifacts import DELEGATES
from scripts.chain.base import CallReverted, account
from scripts.system import GOVERNOR, LIMITS, RISK, WAD
from scripts.twin import Twin

NOBODY = account(7_777)
"""An address without code."""


def refuse(chain: CoverageChain, reason: str, contract: str, *args: Any) -> None:
    """A deployment that has to be refused."""
    try:
        chain.deploy(contract, *args, sender=GOVERNOR)
    except CallReverted as error:
        if error.reason == reason:
            return
        raise
    raise AssertionError(f"{contract}{args} was deployed; wanted {reason!r}")


def refused_deployments(chain: CoverageChain) -> int:
    """Wrong decimals, nobody's addresses, a delegate without code."""
    scene = Scene(chain)
    token, oracle = scene.address("Token"), scene.address("PriceOracle")
    at = scene.system.addresses
    more: dict[str, tuple[Any, ...]] = {"AccountDesk": (at["MarketAdmin"],)}
    for name in DELEGATES:
        refuse(chain, "ledger: token decimals", name, token, 19, oracle, *more.get(name, ()))
    refuse(chain, "ledger: next delegate", "AccountDesk", token, 18, oracle, NOBODY)
    delegates = [at[name] for name in ("LiquidationDesk", "DefaultManager", "RebaseManager", "AccountDesk")]
    refuse(chain, "ledger: token decimals", "ClearingHouse", token, 19, oracle, GOVERNOR, *delegates)
    for i in range(4):
        others = [NOBODY if k == i else delegate for k, delegate in enumerate(delegates)]
        refuse(chain, "ledger: delegate", "ClearingHouse", token, 18, oracle, GOVERNOR, *others)
    refuse(chain, "oracle: no governor", "PriceOracle", ZERO)
    refuse(chain, "governor: owner is zero", "Governor", ZERO, GOVERNOR, 1)
    refuse(chain, "governor: delay is zero", "Governor", GOVERNOR, GOVERNOR, 0)
    odd = chain.deploy("MockToken", "ODD", 19, sender=GOVERNOR)
    refuse(chain, "fund: too many decimals", "BackstopFund", odd, scene.house_address, oracle, GOVERNOR, 1)
    return scene.calls


def unwired_house(chain: CoverageChain) -> int:
    """A ClearingHouse that does not know its fund yet lists nothing, and is wired once."""
    scene = Scene(chain)
    at = scene.system.addresses
    token, oracle = scene.address("Token"), scene.address("PriceOracle")
    delegates = [at[name] for name in ("LiquidationDesk", "DefaultManager", "RebaseManager", "AccountDesk")]
    house = chain.deploy("ClearingHouse", token, 18, oracle, GOVERNOR, *delegates, sender=GOVERNOR)
    world = World()
    twin = Twin(chain, world)
    model = ClearingHouse(
        world, house, scene.system.token, 18, scene.system.oracle, GOVERNOR, Registry(), LiquidationEngine()
    )
    twin.bind(model, "ClearingHouse", house)
    listing = (0, RISK.pack(), LIMITS.pack(), WAD, at["ProRata"])

    def expect(reason: str | None, function: str, *args: Any) -> None:
        outcome = twin.call("ClearingHouse", function, GOVERNOR, *args, full=True)
        assert outcome.reason == reason, f"{function}: {outcome.reason!r}"

    expect("ledger: not wired", "add_market", *listing)
    expect("ledger: zero address", "wire", ZERO, NOBODY)
    expect("ledger: zero address", "wire", NOBODY, ZERO)
    expect(None, "wire", at["LiquidationEngine"], NOBODY)
    expect("ledger: already wired", "wire", at["LiquidationEngine"], NOBODY)
    expect(None, "add_market", *listing)
    return scene.calls + twin.steps
