"""Names for what can be seen to happen in a walk. Regimes are measured by them, so none is assumed.

``event:Contract.Name`` counts the event; the others say more than one event does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from python_ref import constants as c
from python_ref import price_oracle
from python_ref.invariants import Snapshot
from python_ref.ledger import account_id
from python_ref.words import Limits
from python_ref.world import Event
from scripts import rules
from scripts.system import System

RANKS = {c.RANK_SINGLE: "single", c.RANK_PROFIT: "profit", c.RANK_LEVERAGE: "leverage"}
STATES = tuple(name.lower() for name in rules.STATES)
CAUSES = {n: name[6:].lower() for name, n in vars(price_oracle).items() if name.startswith("CAUSE_")}

WHALE = 1_000_000 * c.WAD
"""Gons that a trade turns over to count as a whale's."""
SPECK = 100 * c.DUST_SIZE
"""Size up to which a trade is wei-sized."""


def marks_of(events: Sequence[Event], before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    """The marks of one call that went through."""
    for event in events:
        yield f"event:{event.contract}.{event.name}"
        named = _NAMED.get((event.contract, event.name))
        if named is not None:
            yield from named(event, before, after, system)


def _traded(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    yield f"trade: {_state(event.fields['market'], system)}"
    if event.fields["quote"] >= WHALE:
        yield "trade: whale"
    if event.fields["size"] <= SPECK:
        yield "trade: speck"
    if after.domain.claim_epoch:
        yield "trade: after a rebase"
    if max(len(after.legs(event.fields[who])) for who in ("buyer", "seller")) == c.MAX_LEGS:
        yield "account: 8 legs"
    open_markets = sum(words.oi > 0 for words in after.markets.values())
    if open_markets >= 4 and sum(map(bool, after.all_legs.values())) >= 20:
        yield "crowd: 20 accounts, 4 markets"


def _deposited(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    yield f"decimals: {system.decimals}"


def _order_filled(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    if event.fields["filled_total"] > event.fields["size"]:
        yield "order: filled in parts"


def _fund_rebased(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    if event.fields["supply_after"] == 0 < event.fields["supply_before"]:
        yield "fund: epoch ended"


def _liquidated(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    left = after.legs(event.fields["account"])
    yield "liquidation: part" if event.fields["market"] in left else "liquidation: whole"
    yield f"liquidation: {_state(event.fields['market'], system)}"


def _deleveraged(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    f = event.fields
    market, key = f["market"], (f["market"], f["is_long"], f["band"])
    rank = RANKS[Limits.unpack(before.word("markets", market << 3 | 3)).rank]
    policy = f"0x{before.word('markets', market << 3 | 7):040x}"
    names = {system.addresses[name].lower(): name for name in ("ProRata", "BandQueue")}
    side = "longs" if f["is_long"] else "shorts"
    yield f"adl: {names.get(policy, 'another policy')} by {rank}, {side}"
    band = after.bands[key]
    if f["size"] < f["open_interest"]:
        yield "adl: part of a band"
    if band.scale >= 2:
        yield "band: scale >= 2"
    if band.scale > c.SCALE_SPAN:
        yield "band: scale > span"
    if band.scale >= c.WORN_SCALE:
        yield "band: worn out"
    if band.epoch >= 2:
        yield "band: epoch >= 2"
    if band.epoch >= 10:
        yield "band: epoch >= 10"


def _receipt(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    f = event.fields
    yield "receipt: finished" if f["finished"] else "receipt: unfinished"
    if before.accounts[f["account"]].in_receipt:
        yield "receipt: continued"
    if f["deficit"] > f["cover"]:
        yield "receipt: uncovered"
        treasury = before.accounts.get(account_id(system.fund.address))
        if treasury is None or treasury.cash == 0:
            yield "receipt: fund empty"
    elif f["cover"]:
        yield "receipt: covered"
    if f["booked"]:
        yield "receipt: booked"
    if f["legs"] >= 2:
        yield "receipt: several legs"


def _state(market: int, system: System) -> str:
    """By what state a market was judged in the call that has just gone through."""
    return STATES[system.oracle._load(market).state]


def _poked(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    state = STATES[event.fields["state"]]
    yield f"oracle: {state}"
    if state == "frozen" and any(event.fields["market"] in legs for legs in after.all_legs.values()):
        yield "oracle: frozen with positions"


def _changed(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    yield f"state: {STATES[event.fields['after']]} by {CAUSES[event.fields['cause']]}"


def _failed(event: Event, before: Snapshot, after: Snapshot, system: System) -> Iterator[str]:
    yield f"feed: code {event.fields['code']}"


_NAMED = {
    ("ClearingHouse", "Deposited"): _deposited,
    ("ClearingHouse", "Traded"): _traded,
    ("Orders", "OrderFilled"): _order_filled,
    ("BackstopFund", "Rebase"): _fund_rebased,
    ("ClearingHouse", "Liquidated"): _liquidated,
    ("ClearingHouse", "BandDeleveraged"): _deleveraged,
    ("ClearingHouse", "ReceiptWritten"): _receipt,
    ("PriceOracle", "PricePoked"): _poked,
    ("PriceOracle", "StateChanged"): _changed,
    ("PriceOracle", "FeedFailed"): _failed,
}
