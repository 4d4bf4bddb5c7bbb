"""Calls that are there to be refused: by strangers, and by people who may but should not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eth_utils import keccak

from python_ref.ledger import owner_of
from python_ref.oracle_words import Feed, Rules
from scripts.campaign.operations import CENT, Operations
from scripts.campaign.setup import GUARDIAN
from scripts.campaign.walk import PROVIDERS, STRANGER
from scripts.system import FILLER, GOVERNOR, KEEPER, RISK, WAD

ZERO = "0x" + "00" * 20
Call = tuple[str, str, tuple[Any, ...]]

TRESPASSES: tuple[Callable[[Operations, int], Call], ...] = (
    lambda o, m: ("ClearingHouse", "fill", (m, o.accounts[0], o.accounts[1], WAD, o.prices[m], 0)),
    lambda o, m: ("ClearingHouse", "deposit", (o.accounts[0], 1)),
    lambda o, m: ("ClearingHouse", "withdraw", (o.accounts[0], 1, STRANGER)),
    lambda o, m: ("ClearingHouse", "transfer", (o.accounts[0], o.accounts[1], 1)),
    lambda o, m: ("ClearingHouse", "liquidate", (o.accounts[0], m, o.accounts[1], WAD)),
    lambda o, m: ("ClearingHouse", "liquidate_batch", ((o.accounts[0],), m, o.accounts[1], WAD)),
    lambda o, m: ("ClearingHouse", "repay_bad_debt", (o.accounts[0], 1)),
    lambda o, m: ("ClearingHouse", "wire", (STRANGER, STRANGER)),
    lambda o, m: ("ClearingHouse", "set_filler", (STRANGER, True)),
    lambda o, m: ("ClearingHouse", "transfer_governor", (STRANGER,)),
    lambda o, m: ("ClearingHouse", "add_market", (o.n_markets, RISK.pack(), o.limits(m).pack(), WAD, STRANGER)),
    lambda o, m: ("ClearingHouse", "set_risk", (m, RISK.pack())),
    lambda o, m: ("ClearingHouse", "set_limits", (m, o.limits(m).pack())),
    lambda o, m: ("ClearingHouse", "set_policy", (m, STRANGER)),
    lambda o, m: ("PriceOracle", "set_governor", (STRANGER,)),
    lambda o, m: ("PriceOracle", "set_reporter", (STRANGER,)),
    lambda o, m: ("PriceOracle", "set_sequencer", (ZERO,)),
    lambda o, m: ("PriceOracle", "report", (m, WAD)),
    lambda o, m: ("PriceOracle", "set_feeds", (m, *_told(o.feeds(m), o.rules(m)))),
    lambda o, m: ("PriceOracle", "tighten_rules", (m, o.rules(m).as_tuple())),
    lambda o, m: ("PriceOracle", "replace_feed", (m, 0, o.feeds(m)[0].as_tuple())),
    lambda o, m: ("PriceOracle", "settle", (m,)),
    lambda o, m: ("BackstopFund", "skim", (m, 1)),
    lambda o, m: ("BackstopFund", "set_cap", (m, 1)),
    lambda o, m: ("BackstopFund", "sell_inventory", (m, o.accounts[0], WAD)),
    lambda o, m: ("BackstopFund", "claim_withdrawal", ()),
    lambda o, m: ("BackstopFund", "cancel_withdrawal", ()),
    lambda o, m: ("BackstopFund", "request_withdrawal", (WAD,)),
    lambda o, m: ("Orders", "cancel", (o.accounts[0], 1)),
    lambda o, m: ("Orders", "cancel_many", (o.accounts[0], (1, 2))),
    lambda o, m: ("Governor", "seal", ()),
    lambda o, m: ("Governor", "execute", (o.system.addresses["ClearingHouse"], b"")),
    lambda o, m: ("Governor", "schedule", (o.system.addresses["ClearingHouse"], b"")),
    lambda o, m: ("Governor", "cancel", (bytes(32),)),
    lambda o, m: ("Governor", "accept_owner", ()),
    lambda o, m: ("Governor", "propose_owner", (STRANGER,)),
    lambda o, m: ("Governor", "set_guardian", (STRANGER,)),
    lambda o, m: ("Governor", "tighten_risk", (o.system.addresses["ClearingHouse"], m, RISK.pack())),
)
"""What a stranger tries: contract, function and arguments, out of the walk and a market."""

Blunder = tuple[str, str, str, tuple[Any, ...]]


def _house(function: str, sender: str, *args: Any) -> Blunder:
    return "ClearingHouse", function, sender, args


SHORT = keccak(b"set_risk(uint256,uint256)")[:4]
"""A call of the governed that lacks its arguments."""


def _listing(o: Operations, market: int, anchor: int = WAD, **limits: int) -> Blunder:
    word = replace(o.limits(0), **limits).pack()
    policy = o.system.addresses["ProRata"]
    return _house("add_market", GOVERNOR, market, RISK.pack(), word, anchor, policy)


def _told(feeds: Sequence[Feed], rules: Rules) -> tuple[Any, Any]:
    return tuple(feed.as_tuple() for feed in feeds), rules.as_tuple()


def _feeds(o: Operations, market: int, first: dict[str, Any] | None = None, **rules: Any) -> Blunder:
    """Present feeds and rules of a market, but for what ``first`` says of the first feed, and ``rules``."""
    feeds, present = o.feeds(market % o.n_markets), o.rules(market % o.n_markets)
    feeds[0] = replace(feeds[0], **(first or {}))
    return "PriceOracle", "set_feeds", GOVERNOR, (market, *_told(feeds, replace(present, **rules)))


def _fewer_feeds(o: Operations, market: int) -> Blunder:
    return "PriceOracle", "set_feeds", GOVERNOR, (market, *_told(o.feeds(market)[:2], o.rules(market)))


def _one_provider(o: Operations, market: int) -> Blunder:
    feeds = [replace(feed, group=0) for feed in o.feeds(market)]
    return "PriceOracle", "set_feeds", GOVERNOR, (market, *_told(feeds, o.rules(market)))


def _replacement(o: Operations, market: int, place: int = 0, **changed: Any) -> Blunder:
    """A feed that stands for the first one, as it is but for ``changed``."""
    feed = replace(o.feeds(market)[0], source=o.twin.address(o.spare(market)), **changed)
    return "PriceOracle", "replace_feed", GOVERNOR, (market, place, feed.as_tuple())


BLUNDERS: tuple[Callable[[Operations, int], Blunder], ...] = (
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[0], WAD, o.prices[m], 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], 0, o.prices[m], 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], 10**30 + 1, o.prices[m], 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], WAD + 1, o.prices[m], 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], WAD, o.prices[m] * 11 // 10, 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], WAD, o.prices[m] * 9 // 10, 0),
    lambda o, m: _house("fill", FILLER, m, o.accounts[0], o.accounts[1], o.size_of(m, WAD), o.prices[m], 3),
    lambda o, m: _house("fill", FILLER, 9, o.accounts[0], o.accounts[1], WAD, WAD, 0),
    lambda o, m: _house("deposit", owner_of(o.accounts[0]), o.accounts[0], 0),
    lambda o, m: _house("withdraw", owner_of(o.accounts[0]), o.accounts[0], 0, STRANGER),
    lambda o, m: _house("withdraw", owner_of(o.accounts[1]), o.accounts[1], 10**40, STRANGER),
    lambda o, m: _house("transfer", owner_of(o.accounts[0]), o.accounts[0], o.accounts[0], CENT),
    lambda o, m: _house("transfer", owner_of(o.accounts[0]), o.accounts[0], owned(o.accounts[0], 9), 0),
    lambda o, m: _house("release", KEEPER, o.bucket(m)),
    lambda o, m: _house("take_over", KEEPER, o.bucket(m), m),
    lambda o, m: _house("take_over", KEEPER, owned(o.accounts[0], 9), m),
    lambda o, m: _house("settle", KEEPER, o.accounts[0], 99),
    lambda o, m: _house("resolve", KEEPER, owned(o.accounts[0], 9), ()),
    lambda o, m: _house("liquidate", owner_of(o.accounts[0]), o.accounts[0], m, o.accounts[0], WAD),
    lambda o, m: _house("liquidate", owner_of(o.accounts[0]), o.accounts[1], m, o.accounts[0], 0),
    lambda o, m: _house("liquidate", owner_of(o.accounts[0]), owned(o.accounts[0], 9), m, o.accounts[0], WAD),
    lambda o, m: _house("sweep_fees", KEEPER, 12),
    lambda o, m: _house("set_risk", GOVERNOR, m, replace(o.risk(m), maintenance=0).pack()),
    lambda o, m: _house("set_limits", GOVERNOR, m, replace(o.limits(m), min_size=1).pack()),
    lambda o, m: _house("set_policy", GOVERNOR, m, ZERO),
    lambda o, m: _house("transfer_governor", GOVERNOR, ZERO),
    lambda o, m: _house("wire", GOVERNOR, STRANGER, STRANGER),
    lambda o, m: ("BackstopFund", "deposit", PROVIDERS[0], (0,)),
    lambda o, m: ("BackstopFund", "request_withdrawal", PROVIDERS[0], (0,)),
    lambda o, m: ("BackstopFund", "request_withdrawal", PROVIDERS[1], (10**40,)),
    lambda o, m: ("BackstopFund", "transfer", PROVIDERS[0], (ZERO, 1)),
    lambda o, m: ("BackstopFund", "transfer", PROVIDERS[1], (PROVIDERS[0], 10**40)),
    lambda o, m: ("BackstopFund", "transferFrom", STRANGER, (PROVIDERS[0], STRANGER, WAD)),
    lambda o, m: ("BackstopFund", "top_up", KEEPER, (16, WAD)),
    lambda o, m: ("BackstopFund", "top_up", KEEPER, (m, 0)),
    lambda o, m: ("BackstopFund", "sell_inventory", owner_of(o.accounts[0]), (m, o.accounts[0], WAD)),
    lambda o, m: ("PriceOracle", "set_governor", GOVERNOR, (ZERO,)),
    lambda o, m: ("Governor", "execute", GOVERNOR, (STRANGER, b"")),
    lambda o, m: ("Governor", "execute", GOVERNOR, (o.system.addresses["ClearingHouse"], SHORT)),
    lambda o, m: ("Governor", "cancel", GUARDIAN, (bytes(32),)),
    lambda o, m: ("Governor", "propose_owner", GOVERNOR, (GOVERNOR,)),
    lambda o, m: ("Governor", "accept_owner", GOVERNOR, ()),
    lambda o, m: _listing(o, 16),
    lambda o, m: _listing(o, m),
    lambda o, m: _listing(o, o.n_markets + 1),
    lambda o, m: _listing(o, o.n_markets, anchor=0),
    lambda o, m: _listing(o, o.n_markets, rank=3),
    lambda o, m: _listing(o, o.n_markets, octave_bits=7),
    lambda o, m: _listing(o, o.n_markets, lot_exp=31),
    lambda o, m: _feeds(o, 16),
    lambda o, m: _feeds(o, 32),
    lambda o, m: _feeds(o, m, outlier=0),
    lambda o, m: _feeds(o, m, quote=m),
    lambda o, m: _feeds(o, m, step=3),
    lambda o, m: _feeds(o, m, {"source": STRANGER}),
    lambda o, m: _feeds(o, m, {"source": o.feeds(m)[1].source}),
    lambda o, m: _feeds(o, m, {"decimals": 19}),
    lambda o, m: _feeds(o, m, {"decimals": o.setup.specs[m].feed_decimals + 1}),
    lambda o, m: _feeds(o, m, {"max_age": 0}),
    lambda o, m: _feeds(o, m, {"heartbeat": 172_801}),
    lambda o, m: _feeds(o, m, {"deviation": 1_001}),
    lambda o, m: _feeds(o, m, {"group": 16}),
    lambda o, m: _feeds(o, m, {"least": 1, "most": 1}),
    lambda o, m: _fewer_feeds(o, m),
    lambda o, m: _one_provider(o, m),
    lambda o, m: _replacement(o, m),
    lambda o, m: _replacement(o, m, 7),
    lambda o, m: _replacement(o, m, group=o.feeds(m)[1].group),
    lambda o, m: ("PriceOracle", "tighten_rules", GOVERNOR, (m, replace(o.rules(m), outlier=2_000).as_tuple())),
    lambda o, m: ("PriceOracle", "tighten_rules", GOVERNOR, (31, o.rules(m).as_tuple())),
    lambda o, m: ("PriceOracle", "set_sequencer", GOVERNOR, (STRANGER,)),
    lambda o, m: ("PriceOracle", "settle", KEEPER, (m,)),
    lambda o, m: ("PriceOracle", "settle", GOVERNOR, (15,)),
    lambda o, m: _house("claim", KEEPER, o.accounts[0], m),
    lambda o, m: _house("claim", KEEPER, o.accounts[0], 15),
    lambda o, m: ("Governor", "tighten_risk", GUARDIAN, (o.system.addresses["ClearingHouse"], m, 0)),
)
"""What somebody entitled gets wrong: contract, function, sender and arguments."""


def owned(account: bytes, subaccount: int) -> bytes:
    """Another account of the same owner."""
    return account[:20] + subaccount.to_bytes(12, "big")
