"""Local chains behind one interface: revm in process, an anvil node, and the chain that ape brings."""

from __future__ import annotations

from scripts.chain.artifacts import Artifact, artifact, compile_source
from scripts.chain.base import CHAIN_ID, START, CallReverted, Chain, ChainLost, ChainUnavailable, Log, Outcome, account

KINDS = ("revm", "anvil", "ape")


def make_chain(kind: str = "revm") -> Chain:
    """A fresh chain of that kind; :class:`ChainUnavailable` if this machine lacks what it needs."""
    # Each is imported only when asked for: ape alone takes over a second.
    if kind == "revm":
        from scripts.chain.revm import RevmChain

        return RevmChain()
    if kind == "anvil":
        from scripts.chain.anvil import AnvilChain

        return AnvilChain()
    if kind == "ape":
        from scripts.chain.ape_local import ApeChain

        return ApeChain()
    raise ValueError(f"no chain {kind}; there are {', '.join(KINDS)}")


__all__ = [
    "CHAIN_ID",
    "KINDS",
    "START",
    "Artifact",
    "CallReverted",
    "Chain",
    "ChainLost",
    "ChainUnavailable",
    "Log",
    "Outcome",
    "account",
    "artifact",
    "compile_source",
    "make_chain",
]
