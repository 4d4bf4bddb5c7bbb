"""What of a deployment can be seen: every observable by its key, the view that shows it, and its fields by name.

A key is ``kind`` or ``kind:part:part``. *State* changes only by operations; a *judgement* depends on the second as
well. ``FORMAT.md`` has the same table for those who do not read Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from python_ref.oracle_words import Feed, Rules
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from scripts.vectors.values import Book

State = dict[str, dict[str, Any]]
"""Fields by name (as vectors write them) by key."""


@dataclass(frozen=True)
class View:
    """One question: function of a contract, by signature, and its arguments as vectors write them."""

    contract: str
    signature: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Kind:
    """How the observables of one kind are asked for and read."""

    view: Callable[[list[str]], View]
    decode: Callable[[Book, list[str], Any], dict[str, Any]]
    judgement: bool = False


def _fields(words: Any, *leave: str) -> dict[str, Any]:
    """A dataclass of ``words.py`` as vectors write it."""
    return {
        name: value if isinstance(value, bool) else str(value)
        for name, value in asdict(words).items()
        if name not in leave
    }


def _market(_: Book, __: list[str], raw: Any) -> dict[str, Any]:
    open_receipts = Limits.unpack(raw[3]).open_receipts
    bitmaps = {"bitmap_long": hex(raw[4]), "bitmap_short": hex(raw[5])}
    return _fields(Market.unpack(raw[0], raw[1])) | {"open_receipts": str(open_receipts)} | bitmaps


def _terms(book: Book, _: list[str], raw: Any) -> dict[str, Any]:
    policy = book.write(f"0x{raw[7]:040x}", "address")
    limits = _fields(Limits.unpack(raw[3]), "open_receipts")
    return _fields(Risk.unpack(raw[2])) | limits | {"anchor": str(raw[6]), "policy": policy}


def _account(_: Book, __: list[str], raw: Any) -> dict[str, Any]:
    return _fields(Account.unpack(raw[0])) | {"late": str(raw[33])}


def _position(_: Book, parts: list[str], raw: Any) -> dict[str, Any]:
    market = int(parts[1])
    return _fields(Position.unpack(raw[1 + 2 * market], raw[2 + 2 * market]))


def _named(*names: str) -> Callable[[Book, list[str], Any], dict[str, Any]]:
    """Numbers and flags by name, in the order in which the view answers them."""

    def decode(_: Book, __: list[str], value: Any) -> dict[str, Any]:
        values = value if isinstance(value, tuple) else (value,)
        return {n: v if isinstance(v, bool) else str(v) for n, v in zip(names, values, strict=True)}

    return decode


def _lane(_: Book, __: list[str], raw: Any) -> dict[str, Any]:
    return {"seq": str(raw >> 192), "filled": str(raw % 2**192)}


def _address(book: Book, _: list[str], raw: Any) -> dict[str, Any]:
    return {"address": book.write(raw, "address")}


def _rules(_: Book, __: list[str], raw: Any) -> dict[str, Any]:
    return {"n": str(raw & 0xF)} | _fields(Rules.unpack(raw))


def _feed(book: Book, _: list[str], raw: Any) -> dict[str, Any]:
    feed = Feed.unpack(raw, 0)
    return _fields(feed, "least", "most") | {"source": book.write(feed.source, "address"), "bounded": bool(raw >> 237)}


_LEG = ("market", "size", "entry", "pending", "band", "liquidation_price", "bankruptcy_price")
_PERSON = (
    "exposed", "in_receipt", "frozen", "liquidatable", "bankrupt", "cash", "late", "equity_kind", "equity_index",
    "equity_credit", "maintenance", "initial", "free",
)  # fmt: skip


def _person(book: Book, parts: list[str], raw: Any) -> dict[str, Any]:
    seen = _named(*_PERSON)(book, parts, raw[:-1])
    for leg in raw[-1]:
        named = _named(*_LEG)(book, parts, leg)
        seen |= {f"leg {leg[0]} {name}": value for name, value in named.items() if name != "market"}
    return seen


def _ask(contract: str, signature: str, take: Callable[[list[str]], tuple[Any, ...]]) -> Callable[[list[str]], View]:
    return lambda parts: View(contract, signature, take(parts))


_HOUSE = "ClearingHouse"
_FUND = "BackstopFund"


def _house(signature: str, count: int = 1) -> Callable[[list[str]], View]:
    return _ask(_HOUSE, signature, lambda parts: tuple(parts[:count]))


KINDS: dict[str, Kind] = {
    "globals": Kind(_house("load_globals()", 0), lambda _, __, raw: _fields(Globals.unpack(raw[0], raw[1]))),
    "market": Kind(_house("load_market(uint256)"), _market),
    "terms": Kind(_house("load_market(uint256)"), _terms),
    "account": Kind(_house("load_account(bytes32)"), _account),
    "position": Kind(_house("load_account(bytes32)"), _position),
    "band": Kind(
        _ask(_HOUSE, "load_bands(uint256,bool,uint256,uint256)", lambda p: (p[0], p[1] == "long", p[2], "1")),
        lambda _, __, raw: _fields(Band.unpack(raw[0])),
    ),
    "cell": Kind(
        _ask(
            _HOUSE,
            "load_cell(uint256,bool,uint256,uint256,uint256)",
            lambda p: (p[0], p[1] == "long", p[2], p[3], p[4]),
        ),
        lambda _, __, raw: _fields(Cell.unpack(raw)),
    ),
    "operator": Kind(_house("is_authorised(address,address)", 2), _named("authorised")),
    "filler": Kind(_house("is_filler(address)"), _named("allowed")),
    "governor": Kind(_ask(_HOUSE, "governor()", lambda _: ()), _address),
    "oracle_governor": Kind(_ask("PriceOracle", "governor()", lambda _: ()), _address),
    "oracle_reporter": Kind(_ask("PriceOracle", "reporter()", lambda _: ()), _address),
    "oracle_sequencer": Kind(_ask("PriceOracle", "sequencer()", lambda _: ()), _address),
    "rules": Kind(_ask("PriceOracle", "rules(uint256)", tuple), _rules),
    "feed": Kind(_ask("PriceOracle", "feeds(uint256,uint256)", tuple), _feed),
    "bounds": Kind(
        _ask("PriceOracle", "bounds(uint256,uint256)", tuple),
        lambda _, __, raw: {"least": str(raw % 2**128), "most": str(raw >> 128)},
    ),
    "owner": Kind(_ask("Governor", "owner()", lambda _: ()), _address),
    "pending_owner": Kind(_ask("Governor", "pending_owner()", lambda _: ()), _address),
    "guardian": Kind(_ask("Governor", "guardian()", lambda _: ()), _address),
    "sealed": Kind(_ask("Governor", "is_sealed()", lambda _: ()), _named("sealed")),
    "balance": Kind(_ask("Token", "balanceOf(address)", tuple), _named("atoms")),
    "approval": Kind(_ask("Token", "allowance(address,address)", tuple), _named("atoms")),
    "lane": Kind(_ask("Orders", "lanes(bytes32,uint256)", tuple), _lane),
    "fund_shares": Kind(_ask(_FUND, "total_shares()", tuple), _named("total")),
    "fund_index": Kind(_ask(_FUND, "nav_index()", tuple), _named("nav_index")),
    "fund_epoch": Kind(_ask(_FUND, "share_epoch()", tuple), _named("share_epoch")),
    "fund_cap": Kind(_ask(_FUND, "cap(uint256)", tuple), _named("cap")),
    "fund_auction": Kind(_ask(_FUND, "auction_start(uint256)", tuple), _named("started_at")),
    "fund_approval": Kind(_ask(_FUND, "allowance(address,address)", tuple), _named("amount")),
    "shares": Kind(_ask(_FUND, "shares_of(address)", tuple), _named("shares")),
    "withdrawal": Kind(
        _ask(_FUND, "withdrawal_of(address)", tuple),
        _named("shares", "lowest_index", "opens_at", "closes_at"),
        judgement=True,
    ),
    "spending": Kind(_ask(_FUND, "used_cap(uint256)", tuple), _named("used"), judgement=True),
    "price": Kind(
        _ask("PriceOracle", "peek(uint256)", tuple),
        _named("index", "mark", "low", "high", "credit_low", "credit_high", "state", "paused"),
        judgement=True,
    ),
    "equity": Kind(_house("account_equity(bytes32)"), _named("kind", "index", "credit"), judgement=True),
    "lens": Kind(_ask("Lens", "account(bytes32)", tuple), _person, judgement=True),
}


def split_key(key: str) -> tuple[Kind, list[str]]:
    """Kind and parts of a key; KeyError for a kind that there is none of."""
    name, *parts = key.split(":")
    return KINDS[name], parts


def view_of(key: str) -> View:
    """The question that shows an observable."""
    kind, parts = split_key(key)
    return kind.view(parts)


def read(book: Book, key: str, value: Any) -> dict[str, Any]:
    """Fields of an observable, given what its view answered."""
    kind, parts = split_key(key)
    return kind.decode(book, parts, value)


def is_judgement(key: str) -> bool:
    """Whether an observable changes with the clock alone."""
    return split_key(key)[0].judgement
