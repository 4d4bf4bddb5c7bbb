"""Local chains behind one interface: revm in process, an anvil node, and the chain that ape brings."""

from __future__ import annotations

import os

from scripts.chain.artifacts import Artifact, artifact, compile_source
from scripts.chain.base import CHAIN_ID, START, CallReverted, Chain, ChainLost, ChainUnavailable, Log, Outcome, account

KINDS = ("revm", "anvil", "ape")

BACKEND = os.environ.get("BACKEND") or "revm"
"""The kind that is meant where nobody names one: the variable BACKEND of the environment, or of ``make``."""


def make_chain(kind: str = "") -> Chain:
    """A fresh chain of that kind, :data:`BACKEND` if none is named.

    :class:`ChainUnavailable` if there is no such kind or this machine lacks what it needs.
    """
    kind = kind or BACKEND
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
    raise ChainUnavailable(f"BACKEND={kind}: there is no such chain; there are {', '.join(KINDS)}")


__all__ = [
    "BACKEND",
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
