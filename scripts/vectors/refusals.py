"""Parameters that are refused, one for every reason: walks try few of them, as most of governance is never wrong.

Every call is made at once on the first set-up of the walks, which they leave as it is unless they are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from python_ref import constants as c
from python_ref.oracle_words import MAX_BOOKS
from scripts.system import LIMITS, RISK
from scripts.vectors.play import Operation
from scripts.vectors.setups import FEED, RULES, SET_FEEDS, START
from scripts.vectors.sources import Story

LEVERAGED = replace(LIMITS, rank=c.RANK_LEVERAGE)
"""Limits of market 0 of the walks."""

NOBODY = "zero"
STRANGER = "0x00000000000000000000000000000000000000aa"
DAY = 86_400

RISKS: tuple[Mapping[str, int], ...] = (
    {"maintenance": 0},
    {"maintenance": RISK.initial},
    {"initial": c.PPM + 1},
    {"penalty": RISK.maintenance},
    {"fund_share": c.PPM + 1},
    {"taker_fee": RISK.maintenance},
    {"taker_fee": RISK.maintenance * 2},
    {"maker_fee": RISK.maintenance},
    {"fill_band": c.PPM},
    {"target": c.PPM - 1},
    {"target": c.PPM},
    {"backstop": c.PPM},
)
"""Rates that break one rule each; some break it only for the ledger or only for the Governor."""

LOOSER: tuple[Mapping[str, int], ...] = (
    {"initial": RISK.initial - 1},
    {"maintenance": RISK.maintenance - 1},
    {"penalty": RISK.penalty - 1},
    {"fund_share": RISK.fund_share - 1},
    {"taker_fee": RISK.taker_fee + 1},
    {"maker_fee": RISK.maker_fee + 1},
    {"fill_band": RISK.fill_band + 1},
    {"target": RISK.target + 1},
    {"backstop": RISK.backstop + 1},
    {"initial": RISK.initial + 1, "depth": 10},
)
"""Rates that no guardian may set; the last one he may."""

CAPS: tuple[Mapping[str, Any], ...] = (
    {"min_size": c.DUST_SIZE},
    {"lot_exp": 31},
    {"rank": 3},
    {"octave_bits": 7},
    {"min_size": LIMITS.min_size - 1},
    {"oi_cap": LIMITS.oi_cap + 1},
    {"lot_exp": LIMITS.lot_exp + 1},
)

SET_RISK = "set_risk(uint256,uint256)"
SET_LIMITS = "set_limits(uint256,uint256)"
TIGHTEN_RISK = "tighten_risk(address,uint256,uint256)"
ADD_MARKET = "add_market(uint256,uint256,uint256,uint256,address)"
ORDER = "(bytes32,uint256,bool,uint256,uint256,bool,uint256,uint256,uint256)"
SIGNATURE = "(uint256,uint256,uint256)"
SETTLE = f"settle_orders({ORDER},{SIGNATURE},{ORDER},{SIGNATURE},uint256)"
REPLACE_FEED = f"replace_feed(uint256,uint256,{FEED})"
TIGHTEN_RULES = f"tighten_rules(uint256,{RULES})"


def _risk(changes: Mapping[str, int]) -> str:
    return str(replace(RISK, **changes).pack())


def _limits(changes: Mapping[str, Any]) -> str:
    return str(replace(LEVERAGED, **changes).pack())


def refusals(setup_name: str, setup: Mapping[str, Any]) -> Iterator[Story]:
    """Stories of refused parameters, by contract."""
    for name, operations in (
        ("ledger parameters", _ledger(setup)),
        ("oracle parameters", _oracle(setup)),
        ("governor parameters", _governor()),
        ("governor timelock", _timelock()),
        ("bad tokens", _token()),
        ("orders", _orders()),
    ):
        yield Story(name, setup_name, list(operations), ORDERS if name == "orders" else {})


def _call(sender: str, to: str, signature: str, *args: Any, after: int = 0) -> Operation:
    return {"at": str(START + after), "from": sender, "to": to, "call": signature, "args": list(args)}


def _ledger(setup: Mapping[str, Any]) -> Iterator[Operation]:
    count = len(setup["markets"])
    risk, limits, anchor = _risk({}), _limits({}), str(c.WAD)

    def add(number: int, *args: str, policy: str = "ProRata") -> Operation:
        return _call("governor", "ClearingHouse", ADD_MARKET, str(number), *args, policy)

    yield add(0, risk, limits, anchor)
    yield add(c.MAX_MARKETS, risk, limits, anchor)
    yield add(count + 1, risk, limits, anchor)
    yield add(count, risk, limits, "0")
    yield add(count, risk, limits, str(c.MAX_PRICE + 1))
    yield add(count, risk, limits, anchor, policy=NOBODY)
    for changes in CAPS[:4]:
        yield add(count, risk, str(replace(LIMITS, **changes).pack()), anchor)
    for changes in RISKS:
        yield _call("governor", "ClearingHouse", SET_RISK, "0", _risk(changes))
    yield _call("governor", "ClearingHouse", SET_RISK, str(count), risk)
    for changes in CAPS[:2]:
        yield _call("governor", "ClearingHouse", SET_LIMITS, "0", _limits(changes))
    yield _call("governor", "ClearingHouse", SET_LIMITS, str(count), limits)
    yield _call("governor", "ClearingHouse", "set_policy(uint256,address)", str(count), "ProRata")
    yield _call("governor", "ClearingHouse", "set_policy(uint256,address)", "0", NOBODY)
    yield _call("governor", "ClearingHouse", "transfer_governor(address)", NOBODY)
    yield _call("governor", "ClearingHouse", "wire(address,address)", "LiquidationEngine", "BackstopFund")
    yield _call("keeper", "ClearingHouse", "sweep_fees(uint256)", str(count))
    yield _call("keeper", "ClearingHouse", "take_over(bytes32,uint256)", "trader 0/0", "0")
    yield _call("keeper", "ClearingHouse", "settle(bytes32,uint256)", "trader 0/0", "0")
    liquidate = "liquidate(bytes32,uint256,bytes32,uint256)"
    yield _call("trader 0", "ClearingHouse", liquidate, "trader 1/0", "0", "trader 0/0", "0")
    yield _call("trader 0", "ClearingHouse", liquidate, "trader 1/0", "0", "trader 0/0", str(c.WAD))
    # a fifth market, accepted
    yield _call("governor", "PriceOracle", SET_FEEDS, str(count), *_told(*_feeds(setup, 0)))
    yield _call("keeper", "PriceOracle", "poke(uint256)", str(count))
    yield add(count, risk, limits, anchor)


def _feeds(setup: Mapping[str, Any], market: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Feeds and rules of a market, by the names of their fields."""
    oracle = setup["markets"][market]["oracle"]
    return [{k: v for k, v in feed.items() if k != "answer"} for feed in oracle["feeds"]], dict(oracle["rules"])


def _told(feeds: Sequence[Mapping[str, Any]], rules: Mapping[str, Any]) -> list[Any]:
    return [[list(feed.values()) for feed in feeds], list(rules.values())]


def _oracle(setup: Mapping[str, Any]) -> Iterator[Operation]:
    given, rules = _feeds(setup, 0)
    spare = setup["markets"][0]["oracle"]["spare"]["source"]

    def feeds(first: Mapping[str, Any] | None = None, market: int = 0, **changed: str) -> Operation:
        """Market 0's feeds and rules, but for what is said of the first feed, and ``changed`` rules."""
        own = [{**given[0], **(first or {})}, *given[1:]]
        return _call("governor", "PriceOracle", SET_FEEDS, str(market), *_told(own, {**rules, **changed}))

    def replaced(place: int = 0, **changed: str) -> Operation:
        feed = {**given[0], "source": spare, **changed}
        return _call("governor", "PriceOracle", REPLACE_FEED, "0", str(place), list(feed.values()))

    def tightened(market: int = 0, **changed: str) -> Operation:
        args = str(market), list({**rules, **changed}.values())
        return _call("governor", "PriceOracle", TIGHTEN_RULES, *args)

    for operation in (feeds(), replaced(), tightened()):
        yield {**operation, "from": "keeper"}
    yield feeds(market=MAX_BOOKS)
    for changed in ({"outlier": "0"}, {"outlier": "1001"}, {"soft": "10001"}, {"speed": "1"}, {"tau_ref": "0"}):
        yield feeds(**changed)
        yield tightened(**changed)
    yield feeds(quote="1")
    yield feeds(market=16, quote="17")
    for first in (
        {"source": STRANGER},
        {"source": given[1]["source"]},
        {"decimals": "19"},
        {"decimals": "7"},
        {"max_age": "0"},
        {"max_age": "172801"},
        {"heartbeat": "0"},
        {"deviation": "1001"},
        {"group": "16"},
        {"least": "5", "most": "5"},
        {"group": given[1]["group"]},
    ):
        yield feeds(first)
    # nobody has told the spare ones a price
    silent = [
        {**feed, "source": market["oracle"]["spare"]["source"]}
        for feed, market in zip(given, setup["markets"], strict=False)
    ]
    yield _call("governor", "PriceOracle", SET_FEEDS, "0", *_told([*silent[:2], given[2]], rules))
    yield _call("governor", "PriceOracle", SET_FEEDS, "0", *_told(given[:2], rules))
    yield _call("governor", "PriceOracle", SET_FEEDS, "0", *_told([given[0], given[1], given[1]], rules))
    yield _call("keeper", "PriceOracle", "set_governor(address)", "keeper")
    yield _call("governor", "PriceOracle", "set_governor(address)", NOBODY)
    yield _call("keeper", "PriceOracle", "set_reporter(address)", "keeper")
    yield _call("keeper", "PriceOracle", "set_sequencer(address)", NOBODY)
    yield _call("governor", "PriceOracle", "set_sequencer(address)", STRANGER)
    yield _call("keeper", "PriceOracle", "report(uint256,uint256)", "0", str(c.WAD))
    yield _call("keeper", "PriceOracle", "settle(uint256)", "0")
    yield _call("governor", "PriceOracle", "settle(uint256)", "15")
    yield _call("keeper", "ClearingHouse", "claim(bytes32,uint256)", "trader 0/0", "0")
    yield replaced()
    yield tightened(market=15)
    yield tightened(tau_fast="1")
    yield tightened(hold="5", grace="600", outlier="400")
    # all terms reversed: accepted, for they agree
    yield _call("governor", "PriceOracle", SET_FEEDS, "0", *_told(given[::-1], {**rules, "freeze": "60"}))
    yield _call("keeper", "PriceOracle", "poke(uint256)", "0")
    yield from _end_of_a_feed(given, replaced)


def _end_of_a_feed(given: Sequence[Mapping[str, Any]], replaced: Callable[..., Operation]) -> Iterator[Operation]:
    """One feed dies and is replaced; then all of them, and anybody ends the market."""
    spare, last = replaced()["args"][2][0], given[-1]  # it is the first one, since the terms were reversed
    group = {"group": last["group"]}
    yield _call("keeper", last["source"], "set_mode(uint256)", "1")
    yield _call("keeper", "PriceOracle", "poke(uint256)", "0", after=1)
    silent = replaced(**group)
    yield {**silent, "at": str(START + 1)}
    yield _call("keeper", spare, "set_answer(int256)", "200000000", after=1)
    for operation in (replaced(1), replaced(3), replaced(), replaced(**group), replaced(**group)):
        yield {**operation, "at": str(START + 1)}
    for feed in given:
        yield _call("keeper", feed["source"], "set_mode(uint256)", "1", after=2)
    yield _call("keeper", "PriceOracle", "poke(uint256)", "0", after=2)
    for after in (62, 63, 64):
        yield _call("keeper", "PriceOracle", "settle(uint256)", "0", after=after)


def _execute(inner: Any, after: int = 0, function: str = "execute", to: str = "ClearingHouse") -> Operation:
    return _call("governor", "Governor", f"{function}(address,bytes)", to, inner, after=after)


def _data(signature: str, *args: str) -> dict[str, Any]:
    return {"data": {"to": "ClearingHouse", "call": signature, "args": list(args)}}


def _governor() -> Iterator[Operation]:
    for changes in RISKS:
        yield _execute(_data(SET_RISK, "0", _risk(changes)))
    for changes in CAPS[:4]:
        yield _execute(_data(SET_LIMITS, "0", _limits(changes)))
    yield _execute("0x28de5be9")
    yield _execute("0x", to=STRANGER)
    for signature in (SET_RISK, SET_LIMITS):
        yield _execute(_short(signature))
    yield _execute(_data(ADD_MARKET, "4", _risk({}), _limits({"octave_bits": 7}), str(c.WAD), "ProRata"))
    for sender in ("governor", "guardian"):
        for changes in (*RISKS[:5], *LOOSER):
            yield _call(
                sender, "Governor", "tighten_risk(address,uint256,uint256)", "ClearingHouse", "0", _risk(changes)
            )
        # market 1 has a depth
        yield _call(sender, "Governor", TIGHTEN_RISK, "ClearingHouse", "1", _risk({"depth": 5_000_001}))
        for caps in CAPS:
            word = _limits(caps)
            yield _call(sender, "Governor", "tighten_limits(address,uint256,uint256)", "ClearingHouse", "0", word)
    for sender in ("stranger", "governor"):
        yield _call(sender, "Governor", "propose_owner(address)", "trader 0")
        yield _call(sender, "Governor", "set_guardian(address)", "trader 1")
        yield _call(sender, "Governor", "accept_owner()")
    yield _call("trader 0", "Governor", "accept_owner()")
    yield _call("governor", "Governor", "seal()")


def _short(signature: str) -> str:
    """A call that ends after its selector."""
    from eth_utils import keccak

    return "0x" + keccak(signature.encode())[:4].hex()


def _timelock() -> Iterator[Operation]:
    """The ledger goes to the Governor, which is sealed; calls are scheduled, run early, in time and late."""
    call = _data(SET_RISK, "0", _risk({"penalty": 4_000}))
    other = _data(SET_RISK, "0", _risk({"penalty": 3_000}))
    yield _call("governor", "ClearingHouse", "transfer_governor(address)", "Governor")
    yield _execute(_data(SET_RISK, "0", _risk({"penalty": 4_500})))
    yield _call("guardian", "Governor", "tighten_risk(address,uint256,uint256)", "ClearingHouse", "0",
                _risk({"penalty": 4_500, "initial": 30_000}))  # fmt: skip
    yield _call("governor", "Governor", "seal()")
    yield _call("governor", "Governor", "seal()")
    yield _execute(call)
    yield _execute(call, function="schedule")
    yield _execute(call, function="schedule")
    yield _execute(other, function="schedule")
    yield _execute(call, after=7_199)
    yield _execute(call, after=7_200)
    cancel = {"call_id": other["data"]}
    yield _call("stranger", "Governor", "cancel(bytes32)", cancel, after=7_200)
    yield _call("guardian", "Governor", "cancel(bytes32)", cancel, after=7_200)
    yield _call("guardian", "Governor", "cancel(bytes32)", cancel, after=7_200)
    yield _execute(other, after=7_201, function="schedule")
    yield _execute(other, after=7_201 + 7_200 + 14 * DAY + 1)


def _token() -> Iterator[Operation]:
    """Collateral that keeps a fee, or says False instead of reverting."""
    deposit = ("trader 0", "ClearingHouse", "deposit(bytes32,uint256)", "trader 0/0", "1000000000")
    yield _call(*deposit)
    yield _call("keeper", "Token", "set_mode(uint256)", "2")
    yield _call(*deposit)
    yield _call("provider 0", "BackstopFund", "deposit(uint256)", "1000000")
    yield _call("keeper", "Token", "set_mode(uint256)", "1")
    yield _call("stranger", "ClearingHouse", "deposit(bytes32,uint256)", "stranger/0", "1")
    yield _call("stranger", "BackstopFund", "deposit(uint256)", "1000000")
    yield _call("keeper", "Token", "set_mode(uint256)", "0")
    yield _call("stranger", "ClearingHouse", "deposit(bytes32,uint256)", "stranger/0", "1")
    yield _call("provider 0", "BackstopFund", "deposit(uint256)", "1000000")
    yield _call("provider 0", "BackstopFund", "request_withdrawal(uint256)", "1000")
    yield _call("provider 0", "BackstopFund", "claim_withdrawal()")
    yield _call("keeper", "Token", "set_mode(uint256)", "3")


def _order(trader: int, is_buy: bool, salt: int, **other: Any) -> dict[str, Any]:
    terms = {"size": 10 * c.WAD, "limit_price": 2 * c.WAD, "market": 0, "expiry": START + 3_600, "claim_epoch": 0}
    numbers = {name: str(value) for name, value in (terms | other).items() if name != "signer"}
    owner = f"trader {trader}"
    return {
        "account": f"{owner}/0",
        "is_buy": is_buy,
        "reduce_only": False,
        "salt": str(salt),
        "signer": other.get("signer", owner),
        **numbers,
    }


ORDERS = {
    "buy": _order(0, True, 1),
    "sell": _order(1, False, 1),
    "sell elsewhere": _order(1, False, 1, market=1),
    "sell dear": _order(1, False, 1, limit_price=3 * c.WAD),
    "sell too much": _order(1, False, 1, size=c.MAX_SIZE + 1),
    "sell nothing": _order(1, False, 1, size=0),
    "sell late": _order(1, False, 1, expiry=START - 1),
    "sell of another": _order(1, False, 1, signer="trader 2"),
    "sell to oneself": _order(0, False, 1 << 64 | 1),
    "sell later": _order(1, False, 2),
}


def _orders() -> Iterator[Operation]:
    """Two orders that cross, and everything that can be wrong with one of them."""

    def settle(maker: str, taker: str, size: int = c.WAD, **signature: Any) -> Operation:
        signed = {"signature": taker, **signature}
        args = [{"order": maker}, {"signature": maker}, {"order": taker}, signed, str(size)]
        return _call("keeper", "Orders", SETTLE, *args)

    for trader in range(2):
        yield _call(f"trader {trader}", "ClearingHouse", "deposit(bytes32,uint256)", f"trader {trader}/0", str(10**9))
    yield settle("buy", "buy")
    for taker in [name for name in ORDERS if name.startswith("sell ") and name != "sell later"]:
        yield settle("buy", taker)
    yield settle("sell dear", "buy")
    yield settle("buy", "sell", malleable=True)
    yield settle("buy", "sell", signer="trader 3")
    yield settle("buy", "sell", size=0)
    yield settle("buy", "sell")
    yield settle("buy", "sell", size=100 * c.WAD)
    yield settle("buy", "sell")
    yield _call("trader 1", "Orders", "cancel(bytes32,uint256)", "trader 1/0", "2")
    yield settle("buy", "sell later")
    yield _call("stranger", "Orders", "cancel(bytes32,uint256)", "trader 1/0", "2")
