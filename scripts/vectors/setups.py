"""Set-ups as vectors describe them: parameters by name, and the calls that make a fresh deployment so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from python_ref.words import Limits, Risk
from scripts.campaign.setup import Setup
from scripts.system import FEEDS, MarketSpec

START = 2_000_000_000
"""Second of every set-up: ahead of the clock of a devnet that was just started, so that it can be set."""


def _written(words: Any, *leave: str) -> dict[str, Any]:
    return {k: v if isinstance(v, bool) else str(v) for k, v in asdict(words).items() if k not in leave}


def describe(setup: Setup) -> dict[str, Any]:
    """A campaign's set-up as vectors describe it, without calls beyond those that every deployment needs."""
    described: dict[str, Any] = {
        "time": str(START),
        "governor": "governor",
        "keeper": "keeper",
        "fillers": ["Orders", "BackstopFund", "filler"],
        "token": {"decimals": str(setup.decimals)},
        "fund": {"cooldown_s": str(setup.cooldown_s)},
        "governor_contract": {"owner": "governor", "guardian": "guardian", "delay_s": str(setup.delay_s)},
        "markets": [_market(number, spec) for number, spec in enumerate(setup.specs)],
    }
    return described | {"calls": list(calls(described))}


def _market(number: int, spec: MarketSpec) -> dict[str, Any]:
    answer = str(spec.price // 10 ** (18 - spec.feed_decimals))
    common = {"decimals": str(spec.feed_decimals), "max_age_s": str(spec.max_age_s), "answer": answer}
    return {
        "name": spec.name,
        "anchor": str(spec.price),
        "policy": spec.policy,
        "risk": _written(spec.risk),
        "limits": _written(spec.limits, "open_receipts", "listed"),
        "oracle": {
            "outlier_bps": str(spec.outlier_bps),
            "width_bps": str(spec.width_bps),
            "feeds": [{"name": f"MockFeed{number}.{feed}", **common} for feed in range(FEEDS)],
        },
    }


def calls(setup: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every call between the constructors and the first vector, all in the second of the set-up."""

    def call(sender: str, to: str, signature: str, *args: Any) -> dict[str, Any]:
        return {"at": setup["time"], "from": sender, "to": to, "call": signature, "args": list(args)}

    governor, keeper = setup["governor"], setup["keeper"]
    yield call(governor, "ClearingHouse", "wire(address,address)", "LiquidationEngine", "BackstopFund")
    for filler in setup["fillers"]:
        yield call(governor, "ClearingHouse", "set_filler(address,bool)", filler, True)
    for number, market in enumerate(setup["markets"]):
        at, oracle = str(number), market["oracle"]
        feeds = oracle["feeds"]
        yield call(
            governor,
            "PriceOracle",
            "set_feeds(uint256,address[3],uint256[3],uint256[3],uint256,uint256)",
            at,
            [feed["name"] for feed in feeds],
            [feed["decimals"] for feed in feeds],
            [feed["max_age_s"] for feed in feeds],
            oracle["outlier_bps"],
            oracle["width_bps"],
        )
        for feed in feeds:
            yield call(keeper, feed["name"], "set_answer(int256)", feed["answer"])
        yield call(keeper, "PriceOracle", "poke(uint256)", at)
        risk = Risk(**{k: int(v) for k, v in market["risk"].items()}).pack()
        limits = Limits(**{k: int(v) for k, v in market["limits"].items()}, listed=True).pack()
        yield call(
            governor,
            "ClearingHouse",
            "add_market(uint256,uint256,uint256,uint256,address)",
            at,
            str(risk),
            str(limits),
            market["anchor"],
            market["policy"],
        )
