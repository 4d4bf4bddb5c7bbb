"""Events told as rows of a table: what happened, to whom, how much, at what price, and who paid."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from python_ref.constants import INDEX_ONE, WAD
from scripts.chain import Log
from scripts.rules import CAUSES, CODES, STATES


@dataclass(frozen=True)
class Row:
    """One line of a stage. Sizes, prices and money are WAD; sizes are signed, long > 0."""

    what: str
    who: str
    size: int | None = None
    price: int | None = None
    money: int | None = None
    paid_by: str = ""


@dataclass(frozen=True)
class Context:
    """What turns an event into words."""

    name: Callable[[bytes], str]
    owner: Callable[[str], str]
    market: Mapping[int, str]  # and quotes
    index: Mapping[int, int]  # accepted prices, WAD
    claim_index: int  # before the call
    unit: int  # money per token atom
    silent: Collection[bytes]  # accounts whose deposits another row tells
    members: Callable[[int, bool, int], list[str]]  # of a band, before the call

    def real(self, gons: int) -> int:
        """Worth of gons or size, toward zero."""
        return abs(gons) * self.claim_index // INDEX_ONE * (1 if gons > 0 else -1)


def rows_of(logs: Iterable[Log], c: Context) -> list[Row]:
    """Rows of one call, in the order of its events; events that tell no story have none."""
    rows = []
    for log in logs:
        teller = _TELLERS.get((log.contract, log.name))
        row = teller(log.fields, c) if teller is not None else None
        if row is not None:
            rows.append(row)
    return rows


Fields = dict[str, Any]


def shorten(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _price(quote: int, size: int) -> int | None:
    return abs(quote) * WAD // abs(size) if size else None


def _deposited(f: Fields, c: Context) -> Row | None:
    if f["account"] in c.silent:
        return None
    late = " (late: waits for the end of the bad debt)" if f["late"] else ""
    return Row(f"deposit{late}", c.name(f["account"]), money=f["amount"] * c.unit)


def _withdrawn(f: Fields, c: Context) -> Row:
    return Row("withdrawal", c.name(f["account"]), money=f["amount"] * c.unit)


def _traded(f: Fields, c: Context) -> Row:
    fees = [(c.name(f[who]), c.real(f[f"{who}_fee"])) for who in ("buyer", "seller")]
    paid = " and ".join(name for name, fee in fees if fee)
    who = f"{c.name(f['buyer'])} from {c.name(f['seller'])}"
    fee = sum(fee for _, fee in fees)
    return Row("buys", who, c.real(f["size"]), f["price"], fee, f"{paid} (fee)" if paid else "")


def _liquidated(f: Fields, c: Context) -> Row:
    worth = abs(f["size"]) * c.index[f["market"]] // WAD
    penalty = worth - f["quote"] if f["size"] < 0 else f["quote"] - worth
    who, taker = c.name(f["account"]), c.name(f["taker"])
    return Row(
        "liquidated",
        f"{who} by {taker}",
        c.real(f["size"]),
        _price(f["quote"], f["size"]),
        c.real(penalty),
        f"{who} (penalty; {c.real(f['fund_fee']) / WAD:,.2f} of it to the fund)",
    )


def _taken_over(f: Fields, c: Context) -> Row:
    who, bucket = c.name(f["account"]), c.name(f["bucket"])
    left = f["cash"] + f["size"] * c.index[f["market"]] // WAD
    return Row("taken over", f"{who} by {bucket}", c.real(f["size"]), None, c.real(left), f"{who} (all that was left)")


def _netted(f: Fields, c: Context) -> Row:
    who = f"{c.name(f['account'])} with {c.name(f['other'])}"
    return Row("netted", who, c.real(f["size"]), _price(f["quote"], f["size"]))


def _bucket_paid(f: Fields, c: Context) -> Row:
    return Row("covered", c.name(f["account"]), money=c.real(f["amount"]), paid_by=f"fund, {c.market[f['market']]}")


def _band_deleveraged(f: Fields, c: Context) -> Row:
    members = c.members(f["market"], f["is_long"], f["band"])
    worth = f["size"] * c.index[f["market"]] // WAD
    lost = worth - f["quote"] if f["is_long"] else f["quote"] - worth
    side = "long" if f["is_long"] else "short"
    share = f["size"] * 1_000 // f["open_interest"] / 10
    return Row(
        f"ADL, {share:g} % of {side} band {f['band']}",
        shorten(members),
        c.real(-f["size"] if f["is_long"] else f["size"]),
        _price(f["quote"], f["size"]),
        max(0, c.real(lost)),
        "they do, against the index" if c.real(lost) > 0 else "nobody: at the index",
    )


def _leg_closed(f: Fields, c: Context) -> Row:
    return Row("closed", c.name(f["account"]), c.real(f["size"]), _price(f["quote"], f["size"]))


def _claimed(f: Fields, c: Context) -> Row:
    return Row("paid out", c.name(f["account"]), c.real(f["size"]), _price(f["cash"], f["size"]))


def _written_off(f: Fields, c: Context) -> Row:
    return Row("bad debt", c.name(f["account"]), money=c.real(f["amount"]), paid_by="nobody yet")


def _repaid(f: Fields, c: Context) -> Row:
    return Row("bad debt repaid", c.name(f["payer"]), money=c.real(f["amount"]), paid_by=c.name(f["payer"]))


def _swept(f: Fields, c: Context) -> Row:
    repaid = f" ({c.real(f['repaid']) / WAD:,.2f} to the bad debt)" if f["repaid"] else ""
    return Row(f"fees swept{repaid}", f"fund, {c.market[f['market']]}", money=c.real(f["amount"]), paid_by="fees")


def _rebased(f: Fields, c: Context) -> Row:
    percent = (f["index_before"] - f["index_after"]) * 10**6 // f["index_before"] / 10**4
    return Row(f"claims cut by {percent:g} %", "every exposed account", None, None, c.real(f["bad_debt"]), "they do")


def _released(f: Fields, c: Context) -> Row | None:
    return Row("released", c.name(f["account"]), money=f["units"]) if f["units"] else None


def _settled(f: Fields, c: Context) -> Row:
    return Row("settled", c.name(f["account"]), c.real(f["size"]), money=c.real(f["cash"]))


def _reranked(f: Fields, c: Context) -> Row:
    return Row(f"moved from band {f['old_band']} to {f['new_band']}", c.name(f["account"]))


def _late_folded(f: Fields, c: Context) -> Row:
    return Row("late money joins", c.name(f["account"]), money=f["units"])


def _topped_up(f: Fields, c: Context) -> Row:
    return Row("bucket filled", f"fund, {c.market[f['market']]}", money=f["amount"], paid_by="fund, treasury")


def _provided(f: Fields, c: Context) -> Row:
    return Row("fund deposit", c.owner(f["owner"]), money=f["amount"])


def _state_changed(f: Fields, c: Context) -> Row:
    return Row(f"{STATES[f['before']]} → {STATES[f['after']]}", f"{c.market[f['market']]}: {CAUSES[f['cause']]}")


def _feed_failed(f: Fields, c: Context) -> Row:
    return Row(f"feed {f['feed']} does not count", f"{c.market[f['market']]}: {CODES[f['code']]}")


def _feed_recovered(f: Fields, c: Context) -> Row:
    return Row(f"feed {f['feed']} counts again", c.market[f["market"]])


def _feed_replaced(f: Fields, c: Context) -> Row:
    return Row(f"feed {f['place']} replaced", c.market[f["market"]])


def _rules_tightened(f: Fields, c: Context) -> Row:
    return Row("rules tightened", c.market[f["market"]])


def _market_settled(f: Fields, c: Context) -> Row:
    return Row("settled for good", c.market[f["market"]], price=f["price"])


_LEDGER = "ClearingHouse"
_TELLERS: dict[tuple[str, str], Callable[..., Row | None]] = {
    (_LEDGER, "Deposited"): _deposited,
    (_LEDGER, "Withdrawn"): _withdrawn,
    (_LEDGER, "Traded"): _traded,
    (_LEDGER, "Liquidated"): _liquidated,
    (_LEDGER, "TakenOver"): _taken_over,
    (_LEDGER, "Netted"): _netted,
    (_LEDGER, "BucketPaid"): _bucket_paid,
    (_LEDGER, "BandDeleveraged"): _band_deleveraged,
    (_LEDGER, "LegClosed"): _leg_closed,
    (_LEDGER, "Claimed"): _claimed,
    (_LEDGER, "WrittenOff"): _written_off,
    (_LEDGER, "BadDebtRepaid"): _repaid,
    (_LEDGER, "FeesSwept"): _swept,
    (_LEDGER, "Rebased"): _rebased,
    (_LEDGER, "Released"): _released,
    (_LEDGER, "Settled"): _settled,
    (_LEDGER, "Reranked"): _reranked,
    (_LEDGER, "LateFolded"): _late_folded,
    ("PriceOracle", "StateChanged"): _state_changed,
    ("PriceOracle", "FeedFailed"): _feed_failed,
    ("PriceOracle", "FeedRecovered"): _feed_recovered,
    ("PriceOracle", "FeedReplaced"): _feed_replaced,
    ("PriceOracle", "RulesTightened"): _rules_tightened,
    ("PriceOracle", "MarketSettled"): _market_settled,
    ("BackstopFund", "BucketToppedUp"): _topped_up,
    ("BackstopFund", "Deposited"): _provided,
}
