"""Set-ups as vectors describe them: parameters by name, and the calls that make a fresh deployment so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from python_ref.oracle_words import Feed
from python_ref.words import Limits, Risk
from scripts.campaign.setup import FIRST_QUOTE, SEQUENCER_FEED, Setup
from scripts.system import MarketSpec

START = 2_000_000_000
"""Second of every set-up: ahead of the clock of a devnet that was just started, so that it can be set."""


FEED = "(address,uint256,uint256,uint256,uint256,uint256,bool,uint256,uint256)"
RULES = f"({','.join(['uint256'] * 13)})"
SET_FEEDS = f"set_feeds(uint256,{FEED}[],{RULES})"


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
        "sequencer": {"name": SEQUENCER_FEED} if setup.sequencer else None,
        "quotes": [
            {"name": spec.name, "book": str(book), "oracle": _oracle(book, spec)}
            for book, spec in setup.books.items()
            if book >= FIRST_QUOTE
        ],
        "markets": [_market(number, spec) for number, spec in enumerate(setup.specs)],
    }
    return described | {"calls": list(calls(described))}


def _market(number: int, spec: MarketSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "anchor": str(spec.price),
        "policy": spec.policy,
        "risk": _written(spec.risk),
        "limits": _written(spec.limits, "open_receipts", "listed"),
        "oracle": _oracle(number, spec),
    }


def _oracle(book: int, spec: MarketSpec) -> dict[str, Any]:
    answer = str(spec.price // 10 ** (18 - spec.feed_decimals))
    name = f"MockFeed{book}.{{}}".format
    feeds = (Feed(name(i), *given[1:]) for i, given in enumerate(spec.feeds([""] * spec.n_feeds)[0]))
    return {
        "rules": _written(replace(spec.rules, outlier=spec.outlier_bps)),
        "feeds": [{**_written(feed), "answer": answer} for feed in feeds],
        "spare": {"source": name(spec.n_feeds), "decimals": str(spec.feed_decimals)},
    }


def calls(setup: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every call between the constructors and the first vector, all in the second of the set-up."""

    def call(sender: str, to: str, signature: str, *args: Any) -> dict[str, Any]:
        return {"at": setup["time"], "from": sender, "to": to, "call": signature, "args": list(args)}

    governor, keeper = setup["governor"], setup["keeper"]
    yield call(governor, "ClearingHouse", "wire(address,address)", "LiquidationEngine", "BackstopFund")
    for filler in setup["fillers"]:
        yield call(governor, "ClearingHouse", "set_filler(address,bool)", filler, True)
    yield call(governor, "PriceOracle", "set_reporter(address)", "ClearingHouse")

    def feeds(book: str, oracle: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        given = [[value for name, value in feed.items() if name != "answer"] for feed in oracle["feeds"]]
        yield call(governor, "PriceOracle", SET_FEEDS, book, given, list(oracle["rules"].values()))
        for feed in oracle["feeds"]:
            yield call(keeper, feed["source"], "set_answer(int256)", feed["answer"])
        yield call(keeper, "PriceOracle", "poke(uint256)", book)

    for quote in setup["quotes"]:
        yield from feeds(quote["book"], quote["oracle"])
    for number, market in enumerate(setup["markets"]):
        at = str(number)
        yield from feeds(at, market["oracle"])
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
    if setup["sequencer"]:
        up = setup["sequencer"]["name"]
        since = setup["time"]
        yield call(keeper, up, "set_round(uint256,int256,uint256,uint256,uint256)", "1", "0", since, since, "1")
        yield call(governor, "PriceOracle", "set_sequencer(address)", up)
