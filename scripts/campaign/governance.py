"""Governance in a walk: parameters that change in mid-life, by the governor himself or through his contract."""

from __future__ import annotations

from typing import Any

from scripts.campaign.operations import Operations
from scripts.campaign.setup import GUARDIAN, calldata
from scripts.system import GOVERNOR


class Governance:
    """Who governs one walk: the governor's own address first, later the Governor contract, at last a sealed one."""

    def __init__(self, ops: Operations) -> None:
        self.ops = ops
        self.handed_over = False
        self.sealed = False
        self.scheduled: list[tuple[str, bytes, int]] = []

    def hand_over(self) -> None:
        """Ledger and oracle go to the Governor contract."""
        contract = self.ops.twin.address("Governor")
        if not self.handed_over and self.ops.step("ClearingHouse", "transfer_governor", GOVERNOR, contract).ok:
            self.ops.step("PriceOracle", "set_governor", GOVERNOR, contract)
            self.handed_over = True

    def seal(self) -> None:
        """From now on everything waits for the delay, but tightening."""
        self.sealed |= self.ops.step("Governor", "seal", GOVERNOR).ok

    def change(self, contract: str, function: str, *args: Any) -> bool:
        """A governed call, on the path that is open now; a sealed Governor only schedules it."""
        ops = self.ops
        if not self.handed_over:
            return ops.step(contract, function, GOVERNOR, *args).ok
        target, data = ops.system.addresses[contract], calldata(contract, function, *args)
        if not self.sealed:
            return ops.step("Governor", "execute", GOVERNOR, target, data).ok
        done = ops.step("Governor", "schedule", GOVERNOR, target, data).ok
        if done:
            self.scheduled.append((target, data, ops.now + ops.setup.delay_s))
        return done

    def at_once(self, function: str, *args: Any, by_guardian: bool) -> bool:
        """What of the oracle waits for no delay: "tighten_rules" or "replace_feed"."""
        if not self.handed_over:
            return self.ops.step("PriceOracle", function, GOVERNOR, *args).ok
        name = {"tighten_rules": "tighten_feeds"}.get(function, function)
        oracle, sender = self.ops.system.addresses["PriceOracle"], GUARDIAN if by_guardian else GOVERNOR
        return self.ops.step("Governor", name, sender, oracle, *args).ok

    def execute(self, which: int) -> bool:
        """Run a scheduled call, whether its time has come or not."""
        if not self.scheduled:
            return False
        call = self.scheduled[which % len(self.scheduled)]
        done = self.ops.step("Governor", "execute", GOVERNOR, *call[:2]).ok
        if done:
            self.scheduled.remove(call)
        return done

    def cancel(self, which: int, by_guardian: bool) -> bool:
        """Drop a scheduled call."""
        if not self.scheduled:
            return False
        call = self.scheduled[which % len(self.scheduled)]
        call_id = self.ops.twin.model("Governor").id_of(GOVERNOR, *call[:2])
        done = self.ops.step("Governor", "cancel", GUARDIAN if by_guardian else GOVERNOR, call_id).ok
        if done:
            self.scheduled.remove(call)
        return done

    def tighten(self, what: str, market: int, word: int, by_guardian: bool = True) -> bool:
        """At once, through the contract: "risk" or "limits"."""
        sender = GUARDIAN if by_guardian else GOVERNOR
        target = self.ops.system.addresses["ClearingHouse"]
        return self.ops.step("Governor", f"tighten_{what}", sender, target, market, word).ok
