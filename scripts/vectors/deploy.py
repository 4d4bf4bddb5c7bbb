"""Deploys this repository's contracts as a set-up says, by JSON-RPC: the target that the vectors were made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth_abi import encode

from scripts.chain.artifacts import Artifact, artifact
from scripts.vectors import VectorError
from scripts.vectors.domain import code_of, feed_names
from scripts.vectors.rpc import Rpc
from scripts.vectors.target import Abi, Target
from scripts.vectors.values import types

Compile = Callable[[str], Artifact]
"""From a contract's name to its code."""


def deploy(rpc: Rpc, setup: Mapping[str, Any], abi: Abi, compile_: Compile = artifact) -> dict[str, str]:
    """Deploy and set up; addresses by name, roles included, as an address book has them."""
    target = Target(rpc, {}, abi)
    target.prepare({setup["governor"], *(call["from"] for call in setup["calls"])})
    target.at(int(setup["time"]))
    at: dict[str, str] = {}
    governor = target.book.role(setup["governor"])

    def put(name: str, *args: Any) -> None:
        code = compile_(code_of(name))
        constructor: dict[str, Any] = next((e for e in code.abi if e["type"] == "constructor"), {"inputs": []})
        at[name] = target.create(setup["governor"], code.bytecode + encode(types(constructor["inputs"]), args))

    decimals, cooldown = int(setup["token"]["decimals"]), int(setup["fund"]["cooldown_s"])
    put("Token", "USD", decimals)
    put("PriceOracle", governor)
    ledger = at["Token"], decimals, at["PriceOracle"]
    put("MarketAdmin", *ledger)
    put("AccountDesk", *ledger, at["MarketAdmin"])
    delegates = ("LiquidationDesk", "DefaultManager", "RebaseManager")
    for delegate in delegates:
        put(delegate, *ledger)
    put("ClearingHouse", *ledger, governor, *(at[delegate] for delegate in delegates), at["AccountDesk"])
    for judge in ("LiquidationEngine", "ProRata", "BandQueue"):
        put(judge)
    put("Orders", at["ClearingHouse"])
    put("BackstopFund", at["Token"], at["ClearingHouse"], at["PriceOracle"], governor, cooldown)
    put("Lens", at["ClearingHouse"], at["PriceOracle"])
    terms = setup["governor_contract"]
    put("Governor", target.book.role(terms["owner"]), target.book.role(terms["guardian"]), int(terms["delay_s"]))
    put("ModuleHarness")
    for name, feed_decimals, about in feed_names(setup):
        put(name, feed_decimals, about)
    ready = Target(rpc, at, abi)
    ready.at(int(setup["time"]))
    for operation in setup["calls"]:
        done = ready.call(operation)
        if done.reason is not None:
            raise VectorError(f"--deploy: {operation['to']}.{operation['call']} was refused: {done.reason!r}")
    return at
