"""Listing and parameters: every reason of ``add_market``, ``set_risk``, ``set_limits``, ``set_policy``, ``wire``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from python_ref import constants as c
from python_ref.words import Limits, Market, Risk
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System
from tests import books
from tests.books import ALICE, BOB, event, limits, market_words, ok, refused, word

PRICE = 1_000 * WAD
ZERO = "0x" + "00" * 20

deployed = books.deployed_fixture(MarketSpec("ETH", PRICE))
system = books.system_fixture()

RISK_REASONS: list[tuple[str, dict[str, int], dict[str, int]]] = [
    # reason, just refused, just accepted
    ("market: maintenance", {"maintenance": 0, "penalty": 0}, {"maintenance": 1, "penalty": 0, "taker_fee": 0}),
    ("market: maintenance", {"maintenance": RISK.initial}, {"maintenance": RISK.initial - 1}),
    ("market: initial", {"initial": c.PPM + 1}, {"initial": c.PPM}),
    ("market: penalty", {"penalty": RISK.maintenance}, {"penalty": RISK.maintenance - 1}),
    ("market: fund share", {"fund_share": c.PPM + 1}, {"fund_share": c.PPM}),
    ("market: fill band", {"fill_band": c.PPM}, {"fill_band": c.PPM - 1}),
    ("market: fee", {"taker_fee": RISK.maintenance}, {"taker_fee": RISK.maintenance - 1}),
    ("market: fee", {"maker_fee": RISK.maintenance}, {"maker_fee": RISK.maintenance - 1}),
    ("market: target", {"target": c.PPM - 1}, {"target": c.PPM}),
    ("market: backstop", {"backstop": c.PPM}, {"backstop": c.PPM - 1}),
]


def add(
    s: System,
    market: int = 1,
    risk: Risk = RISK,
    caps: Limits = LIMITS,
    anchor: int = PRICE,
    policy: str = "",
    sender: str = GOVERNOR,
) -> books.Outcome:
    """List a market."""
    return s.call("add_market", sender, market, risk.pack(), caps.pack(), anchor, policy or s.addresses["ProRata"])


# ---- add_market ------------------------------------------------------------------------------------


def test_add_market__writes_what_was_given_and_exposes_the_bucket(system: System) -> None:
    system.twin.advance(77)
    bucket = system.bucket(1)
    assert not word(system, bucket).exposed
    fields = event(ok(add(system, caps=replace(LIMITS, open_receipts=9, listed=False))), "MarketListed")
    assert fields == {"market": 1, "anchor": PRICE, "policy": system.addresses["ProRata"]}
    words = system.twin.view("ClearingHouse", "load_market", 1)
    assert Market.unpack(*words[:2]) == Market(accrued=system.chain.now)
    assert Risk.unpack(words[2]) == RISK
    assert Limits.unpack(words[3]) == replace(LIMITS, open_receipts=0, listed=True)
    assert words[4:6] == (0, 0)
    assert (words[6], words[7]) == (PRICE, int(system.addresses["ProRata"], 16))
    assert word(system, bucket).exposed


def test_add_market__slots_in_order(system: System) -> None:
    refused(add(system, 16), "market: no such slot")
    refused(add(system, 2**253), "market: no such slot")
    refused(add(system, 0), "market: already listed")
    refused(add(system, 2), "market: not the next slot")
    refused(add(system, 15), "market: not the next slot")
    for market in range(1, c.MAX_MARKETS):
        ok(add(system, market))
    refused(add(system, 15), "market: already listed")
    refused(add(system, 16), "market: no such slot")


def test_add_market__before_the_wiring(system: System) -> None:
    """On a ledger of its own, as this one is wired."""
    chain, s = system.chain, system
    code = (s.addresses["Token"], 18, s.addresses["PriceOracle"])
    delegates = [s.addresses[n] for n in ("LiquidationDesk", "DefaultManager", "RebaseManager", "AccountDesk")]
    at = chain.deploy("ClearingHouse", *code, GOVERNOR, *delegates, sender=GOVERNOR)
    arguments = (0, RISK.pack(), LIMITS.pack(), PRICE, s.addresses["ProRata"])
    assert chain.call(GOVERNOR, at, "add_market", *arguments).reason == "ledger: not wired"
    assert chain.call(GOVERNOR, at, "wire", ZERO, KEEPER).reason == "ledger: zero address"
    assert chain.call(GOVERNOR, at, "wire", KEEPER, ZERO).reason == "ledger: zero address"
    assert chain.call(GOVERNOR, at, "wire", s.addresses["LiquidationEngine"], KEEPER).ok
    assert chain.call(GOVERNOR, at, "add_market", *arguments).ok


@pytest.mark.parametrize(("anchor", "fine"), [(0, False), (1, True), (c.MAX_PRICE, True), (c.MAX_PRICE + 1, False)])
def test_add_market__anchor(system: System, anchor: int, fine: bool) -> None:
    outcome = add(system, anchor=anchor)
    ok(outcome) if fine else refused(outcome, "market: anchor")


@pytest.mark.parametrize(
    ("reason", "wrong", "right"),
    [
        ("market: rank", {"rank": 3}, {"rank": 2}),
        ("market: octave bits", {"octave_bits": 7}, {"octave_bits": 6}),
        ("market: lot", {"lot_exp": 31}, {"lot_exp": 30}),
        ("market: minimum size", {"min_size": c.DUST_SIZE}, {"min_size": c.DUST_SIZE + 1}),
    ],
)
def test_add_market__limits(system: System, reason: str, wrong: dict[str, Any], right: dict[str, Any]) -> None:
    refused(add(system, caps=replace(LIMITS, **wrong)), reason)
    ok(add(system, caps=replace(LIMITS, **right)))


@pytest.mark.parametrize(("reason", "wrong", "right"), RISK_REASONS)
def test_risk__relations(system: System, reason: str, wrong: dict[str, int], right: dict[str, int]) -> None:
    refused(add(system, risk=replace(RISK, **wrong)), reason)
    refused(system.call("set_risk", GOVERNOR, 0, replace(RISK, **wrong).pack()), reason)
    fields = event(ok(system.call("set_risk", GOVERNOR, 0, replace(RISK, **right).pack())), "RiskSet")
    assert fields == {"market": 0, "word": replace(RISK, **right).pack()}
    assert system.clearing_house.load_risk(0) == replace(RISK, **right)
    ok(add(system, risk=replace(RISK, **right)))


def test_add_market__policy(system: System) -> None:
    refused(add(system, policy=ZERO), "ledger: zero address")


# ---- changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", [1, 15, 16, 2**253, 2**256 - 1])
def test_setters__not_listed(system: System, market: int) -> None:
    refused(system.call("set_risk", GOVERNOR, market, RISK.pack()), "market: not listed")
    refused(system.call("set_limits", GOVERNOR, market, LIMITS.pack()), "market: not listed")
    refused(system.call("set_policy", GOVERNOR, market, system.addresses["ProRata"]), "market: not listed")


def test_set_limits__changes_caps_and_nothing_else(system: System) -> None:
    wanted = Limits(7 * WAD, 10**10, 9, 3, c.RANK_SINGLE, 2, False)
    fields = event(system.must("set_limits", GOVERNOR, 0, wanted.pack()), "LimitsSet")
    expected = replace(LIMITS, oi_cap=7 * WAD, min_size=10**10, lot_exp=9)
    assert limits(system) == expected
    assert fields == {"market": 0, "word": expected.pack()}
    for wrong, reason in (({"min_size": c.DUST_SIZE}, "market: minimum size"), ({"lot_exp": 31}, "market: lot")):
        refused(system.call("set_limits", GOVERNOR, 0, replace(LIMITS, **wrong).pack()), reason)


def test_set_policy__kept_as_an_address(system: System) -> None:
    system.must("set_policy", GOVERNOR, 0, system.addresses["ProRata"])
    words = system.twin.view("ClearingHouse", "load_market", 0)
    assert words[7] == int(system.addresses["ProRata"], 16)
    refused(system.call("set_policy", GOVERNOR, 0, ZERO), "ledger: zero address")


def test_wire__once(system: System) -> None:
    refused(system.call("wire", GOVERNOR, KEEPER, KEEPER), "ledger: already wired")
    answer = system.chain.view(system.clearing_house.address, "wiring")
    assert system.addresses["BackstopFund"] in answer
    assert system.addresses["LiquidationEngine"] in answer


def test_set_filler__on_and_off(system: System) -> None:
    house = system.clearing_house.address
    system.must("set_filler", GOVERNOR, KEEPER, True)
    assert system.chain.view(house, "is_filler", KEEPER)
    system.must("set_filler", GOVERNOR, KEEPER, False)
    assert not system.chain.view(house, "is_filler", KEEPER)


# ---- raw reading -----------------------------------------------------------------------------------


def test_load__raw_words(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, ALICE.account(), BOB.account(), WAD, PRICE))
    view = system.twin.view
    assert view("ClearingHouse", "load_globals")[0] & (2**128 - 1) == c.INDEX_ONE
    assert view("ClearingHouse", "load_account", ALICE.account())[1] != 0
    assert Market.unpack(*view("ClearingHouse", "load_market", 0)[:2]) == market_words(system)
    band = system.clearing_house.load_position(ALICE.account(), 0).band
    found = view("ClearingHouse", "load_bands", 0, True, 0, 256)
    assert [i for i, raw in enumerate(found) if raw] == [band]
    assert view("ClearingHouse", "load_bands", 0, True, 255, 1) == (0,) if band != 255 else True
    assert view("ClearingHouse", "governor") == GOVERNOR
    assert system.chain.view(system.clearing_house.address, "load_cell", 0, True, band, 0, 0) != 0
