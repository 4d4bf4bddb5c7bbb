"""What a scenario file says: the markets, who takes part, and the steps. Everything is checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from python_ref import constants as c
from python_ref.mocks import (
    FEED_BOMB,
    FEED_BURN_GAS,
    FEED_EMPTY,
    FEED_NORMAL,
    FEED_REVERT,
    FEED_REVERT_BOMB,
    FEED_REVERT_EMPTY,
    FEED_SHORT,
)
from python_ref.oracle_words import MAX_BOOKS, MAX_OUTLIER_BPS, Rules
from python_ref.price_oracle import MAX_AGE_S, MAX_FEEDS, MAX_WIDTH_BPS
from python_ref.words import Limits, Risk
from scripts.campaign.setup import FIRST_QUOTE, Setup
from scripts.rules import PROFILES, STATES
from scripts.scenario.calls import ROLES, Known, feeds_of, has_key, is_owner, read_call
from scripts.scenario.nodes import Node, ScenarioError, parse_yaml, read_yaml
from scripts.system import LIMITS, RISK, MarketSpec

WAD = c.WAD

POLICIES = {
    "pro_rata": (c.RANK_SINGLE, "ProRata"),
    "band_profit": (c.RANK_PROFIT, "BandQueue"),
    "band_leverage": (c.RANK_LEVERAGE, "BandQueue"),
}
"""Who is deleveraged first: everybody alike, the biggest winners by entry price, or the highest leverage."""


def policy_of(spec: MarketSpec) -> str:
    """The policy's name, or what a market of its own combines: ``ProRata by leverage``."""
    for name, value in POLICIES.items():
        if value == (spec.limits.rank, spec.policy):
            return name
    return f"{spec.policy} by {next(name for name, rank in RANKS.items() if rank == spec.limits.rank)}"


RANKS = {"single": c.RANK_SINGLE, "profit": c.RANK_PROFIT, "leverage": c.RANK_LEVERAGE}
PLANS = ("ProRata", "BandQueue")
"""A policy's two halves, for a market that combines them in a way of its own."""

MODES = {
    "normal": FEED_NORMAL,
    "reverts": FEED_REVERT,
    "reverts empty": FEED_REVERT_EMPTY,
    "burns gas": FEED_BURN_GAS,
    "short": FEED_SHORT,
    "bomb": FEED_BOMB,
    "empty": FEED_EMPTY,
    "reverts with a bomb": FEED_REVERT_BOMB,
}
"""How a feed answers."""

RATES = ("initial", "maintenance", "penalty", "fund_share", "taker_fee", "maker_fee", "fill_band", "target", "backstop")
FEED_DECIMALS = 8
COOLDOWN_S = 86_400
"""Of the fund, unless said otherwise."""


@dataclass(frozen=True)
class Holder:
    """An account: ``subaccount`` of ``owner``, and what is deposited before the first step (WAD)."""

    name: str
    owner: str
    subaccount: int
    deposit: int
    bystander: bool


def owners_in(holders: dict[str, Holder]) -> dict[str, str]:
    """Whose address a name stands for: an owner's his own, another account's that of its owner."""
    owners = {h.owner: h.owner for h in holders.values()}
    return {**owners, **{name: h.owner for name, h in holders.items() if name not in owners}}


@dataclass(frozen=True)
class Fund:
    """Deposits of the providers, and per market the daily cap and first filling of the bucket (WAD)."""

    providers: dict[str, int]
    caps: dict[int, int]
    top_ups: dict[int, int]


@dataclass(frozen=True)
class Check:
    """One expectation: ``what`` is a path into the state; equal to ``exact`` up to ``within``, or between bounds."""

    path: str
    what: tuple[str, ...]
    exact: int | None = None
    within: int = 0
    above: int | None = None
    below: int | None = None

    @property
    def is_count(self) -> bool:
        """Whether the quantity is a plain number; otherwise it is WAD."""
        return _is_count(self.what)

    def holds(self, value: int) -> bool:
        """Whether ``value`` is as expected."""
        return (
            (self.exact is None or abs(value - self.exact) <= self.within)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def wanted(self, show: Callable[[int], str]) -> str:
        """The expectation in words."""
        parts = [f"{show(self.exact)}{f' ± {show(self.within)}' * bool(self.within)}"] if self.exact is not None else []
        parts += [f"above {show(self.above)}"] if self.above is not None else []
        parts += [f"below {show(self.below)}"] if self.below is not None else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Step:
    """One thing that happens. ``revert``: it has to be refused with that reason; ``open``: it may go either way."""

    path: str
    action: str
    args: dict[str, Any]
    revert: str | None = None
    open: bool = False


@dataclass(frozen=True)
class Scenario:
    """A whole file."""

    name: str
    about: str
    decimals: int
    markets: tuple[MarketSpec, ...]
    holders: dict[str, Holder]
    fund: Fund
    steps: tuple[Step, ...]
    cooldown_s: int = COOLDOWN_S
    delay_s: int = Setup.delay_s
    quotes: tuple[MarketSpec, ...] = ()
    sequencer: bool = False

    @property
    def setup(self) -> Setup:
        """What is deployed."""
        return Setup(self.decimals, self.markets, self.cooldown_s, self.delay_s, self.quotes, self.sequencer)

    def market(self, name: str) -> int:
        """Number of a market."""
        return [spec.name for spec in self.markets].index(name)

    def with_policy(self, policy: str) -> Scenario:
        """The same story with every market under ``policy``."""
        rank, contract = POLICIES[policy]
        markets = tuple(replace(spec, limits=replace(spec.limits, rank=rank), policy=contract) for spec in self.markets)
        return replace(self, markets=markets)


def load(path: Path) -> Scenario:
    """The scenario in a file; :class:`ScenarioError` if it cannot be used."""
    return _scenario(read_yaml(path))


def parse(text: str) -> Scenario:
    """The scenario in a text."""
    return _scenario(parse_yaml(text))


def _scenario(root: Node) -> Scenario:
    optional = ("about", "token", "fund", "governor", "quotes", "sequencer")
    top = root.fields(optional, ("name", "markets", "actors", "steps"))
    decimals = 6
    if "token" in top:
        token = top["token"].fields(("decimals",))
        decimals = token["decimals"].whole(0, 18) if "decimals" in token else decimals
    quotes = tuple(_quote(name, node) for name, node in top["quotes"].items()) if "quotes" in top else ()
    if len(quotes) > MAX_BOOKS - FIRST_QUOTE:
        raise top["quotes"].fail(f"{MAX_BOOKS - FIRST_QUOTE} quotes are possible")
    names_of_quotes = tuple(quote.name for quote in quotes)
    markets = tuple(_market(name, node, names_of_quotes) for name, node in top["markets"].items())
    for spec in markets:
        if spec.name in names_of_quotes:
            raise ScenarioError(f"quotes.{spec.name}", "is a market's name too; use another")
    if not 0 < len(markets) <= c.MAX_MARKETS:
        raise top["markets"].fail(f"from one to {c.MAX_MARKETS} markets are possible")
    money = _Money(10 ** (18 - decimals))
    holders = {name: _holder(name, node, money) for name, node in top["actors"].items()}
    ids: dict[tuple[str, int], str] = {}
    for name, holder in holders.items():
        other = ids.setdefault((holder.owner, holder.subaccount), name)
        if other != name:
            raise ScenarioError(f"actors.{name}", f"is the same account as {other}; give it another subaccount")
    sequencer = "sequencer" in top and top["sequencer"].flag()
    setup = Setup(specs=markets, quotes=quotes, sequencer=sequencer)
    names = _Names(tuple(spec.name for spec in markets), holders, money, setup)
    fund, cooldown_s = _fund(top.get("fund"), names)
    delay_s = Setup.delay_s
    if "governor" in top:
        delay_s = top["governor"].fields((), ("delay",))["delay"].seconds()
    steps = tuple(_step(node, names) for node in top["steps"].elements())
    _names_exist(steps, fund)
    return Scenario(
        name=top["name"].text(),
        about=" ".join(top["about"].text().split()) if "about" in top else "",
        decimals=decimals,
        markets=markets,
        holders=holders,
        fund=fund,
        steps=steps,
        cooldown_s=cooldown_s,
        delay_s=delay_s,
        quotes=quotes,
        sequencer=sequencer,
    )


def _names_exist(steps: tuple[Step, ...], fund: Fund) -> None:
    """Every order that is matched was signed before, and every provider that is asked for has paid in."""
    orders: set[str] = set()
    providers = set(fund.providers)
    for step in steps:
        if step.action == "order":
            orders.add(step.args["name"])
        elif step.action == "fund_deposit":
            providers.add(step.args["provider"])
        elif step.action == "match":
            for side in ("maker", "taker"):
                if step.args[side] not in orders:
                    problem = f"no order {step.args[side]!r} is signed before; add an order step of that name"
                    raise ScenarioError(f"{step.path}.{side}", problem)
        elif step.action == "expect":
            for check in step.args["checks"]:
                if check.what[0] == "provider" and check.what[1] not in providers:
                    raise ScenarioError(check.path, "unknown provider; let it pay in first, under fund.providers")


# Parameters


@dataclass(frozen=True)
class _Money:
    """Amounts that the token can express: multiples of ``unit``."""

    unit: int

    def read(self, node: Node, least: int = 0) -> int:
        amount = node.wad(least)
        if amount % self.unit:
            raise node.fail(f"the token cannot express {node.value}; use fewer decimals")
        return amount


def feed_price(node: Node, decimals: int = FEED_DECIMALS) -> int:
    """A price that a feed of ``decimals`` can answer."""
    price = node.wad(least=1)
    if price % 10 ** (18 - decimals) or price >= c.MAX_PRICE:
        raise node.fail(f"a price below {c.MAX_PRICE // WAD:,} of at most {decimals} decimals is wanted")
    return price


def _quote(name: str, node: Node) -> MarketSpec:
    """The price of the collateral in the unit of the feeds."""
    top = node.fields(("oracle",), ("price",))
    oracle = _oracle(top["oracle"], ()) if "oracle" in top else {}
    return MarketSpec(name, feed_price(top["price"], oracle.get("feed_decimals", FEED_DECIMALS)), **oracle)


def _market(name: str, node: Node, quotes: tuple[str, ...]) -> MarketSpec:
    top = node.fields(("policy", "risk", "limits", "oracle"), ("price",))
    rank, policy = _policy(top["policy"]) if "policy" in top else POLICIES["band_leverage"]
    oracle = _oracle(top["oracle"], quotes) if "oracle" in top else {}
    return MarketSpec(
        name,
        feed_price(top["price"], oracle.get("feed_decimals", FEED_DECIMALS)),
        _risk(top["risk"]) if "risk" in top else replace(RISK),
        replace(_limits(top["limits"]) if "limits" in top else LIMITS, rank=rank),
        policy,
        **oracle,
    )


def _policy(node: Node) -> tuple[int, str]:
    """Rank and contract: by one of the names, or ``{rank: leverage, plan: ProRata}``."""
    if isinstance(node.value, str):
        return POLICIES[node.choice(tuple(POLICIES), "policy")]
    found = node.fields((), ("rank", "plan"))
    return RANKS[found["rank"].choice(tuple(RANKS), "rank")], found["plan"].choice(PLANS, "plan")


def _oracle(node: Node, quotes: tuple[str, ...]) -> dict[str, Any]:
    optional = ("feeds", "decimals", "max_age", "heartbeat", "outlier", "width", "rules")
    found = node.fields((*optional, "quote") if quotes else optional)
    changes: dict[str, Any] = {}
    if "feeds" in found:
        changes["n_feeds"] = int(found["feeds"].choice(("3", "5", "7"), "number of feeds"))
    if "rules" in found:
        changes["rules"] = read_rules(found["rules"])
        changes["outlier_bps"] = changes["rules"].outlier
    if "quote" in found:
        book = FIRST_QUOTE + quotes.index(found["quote"].choice(quotes, "quote"))
        changes["rules"] = replace(changes.get("rules", Rules()), quote=book)
    if "decimals" in found:
        changes["feed_decimals"] = found["decimals"].whole(0, 18)
    for key in ("max_age", "heartbeat"):
        if key in found:
            changes[f"{key}_s"] = found[key].seconds()
            if not 0 < changes[f"{key}_s"] <= MAX_AGE_S:
                raise found[key].fail(f"has to lie between 1 s and {MAX_AGE_S} s")
    for key, least, most in (("outlier", 1, MAX_OUTLIER_BPS), ("width", 0, MAX_WIDTH_BPS)):
        if key in found:
            changes[f"{key}_bps"] = _bps(found[key], least, most)
    return changes


def _bps(node: Node, least: int, most: int) -> int:
    bps, rest = divmod(node.rate(), c.PPM // c.BPS)
    if rest or not least <= bps <= most:
        raise node.fail(f"has to be {least / 100:g} % to {most / 100:g} %, in steps of 0.01 %")
    return bps


RULES_BPS = ("soft", "jump", "clamp", "speed", "step")
RULES_S = {"tau_fast": 2**16 - 1, "tau_ref": 2**16 - 1, "hold": 2**16 - 1, "calm": 2**16 - 1, "grace": 2**16 - 1}
RULES_S["freeze"] = 2**31 - 1
"""Rules that are times, and their greatest."""


def read_rules(node: Node) -> Rules:
    """A profile by its name, or what differs from one: ``{profile: major, jump: 20 %, hold: 5 min}``."""
    if isinstance(node.value, str):
        return PROFILES[node.choice(tuple(PROFILES), "profile")]
    found = node.fields(("profile", *RULES_BPS, *RULES_S))
    rules = PROFILES[found.pop("profile").choice(tuple(PROFILES), "profile") if "profile" in found else "off"]
    changes = {key: _bps(value, 0, c.BPS) for key, value in found.items() if key in RULES_BPS}
    for key in found.keys() & RULES_S.keys():
        changes[key] = found[key].seconds()
        if not (key == "tau_ref") <= changes[key] <= RULES_S[key]:
            raise found[key].fail(f"has to be {RULES_S[key]} s at most" + " and more than none" * (key == "tau_ref"))
    rules = replace(rules, **changes)
    if (rules.speed == 0) != (rules.step == 0):
        raise node.fail("speed and step go together: both, or neither")
    return rules


def _risk(node: Node) -> Risk:
    found = node.fields((*RATES, "depth"))
    changes = {key: value.rate() for key, value in found.items() if key != "depth"}
    if "depth" in found:
        changes["depth"] = found["depth"].whole(0, 2**40 - 1)
    for key, value in changes.items():
        if key != "depth" and value >= 2**24:
            raise found[key].fail("is out of range")
    risk = replace(RISK, **changes)
    for key, ok, fix in (
        ("maintenance", 0 < risk.maintenance < risk.initial, "has to lie between zero and initial"),
        ("initial", risk.initial <= c.PPM, "can be 100 % at most"),
        ("penalty", risk.penalty < risk.maintenance, "has to be below maintenance"),
        ("fund_share", risk.fund_share <= c.PPM, "can be 100 % at most"),
        ("taker_fee", risk.taker_fee < risk.maintenance, "has to be below maintenance"),
        ("maker_fee", risk.maker_fee < risk.maintenance, "has to be below maintenance"),
        ("target", risk.target >= c.PPM, "has to be 100 % at least"),
        ("backstop", risk.backstop < c.PPM, "has to be below 100 %"),
    ):
        if not ok:
            raise ScenarioError(f"{node.path}.{key}", fix)
    return risk


def _limits(node: Node) -> Limits:
    found = node.fields(("oi_cap", "min_size", "lot", "bands_per_octave"))
    changes: dict[str, Any] = {}
    if "oi_cap" in found:
        changes["oi_cap"] = found["oi_cap"].wad()
        if changes["oi_cap"] >= 2**104:
            raise found["oi_cap"].fail("is out of range")
    if "min_size" in found:
        changes["min_size"] = found["min_size"].wad(least=c.DUST_SIZE + 1)
        if changes["min_size"] >= 2**80:
            raise found["min_size"].fail("is out of range")
    if "lot" in found:
        lot = found["lot"].wad(least=1)
        changes["lot_exp"] = len(str(lot)) - 1
        if lot != 10 ** changes["lot_exp"]:
            raise found["lot"].fail("has to be a power of ten, like 0.001")
    if "bands_per_octave" in found:
        bands = found["bands_per_octave"].whole(1, 64)
        if bands & (bands - 1):
            raise found["bands_per_octave"].fail("has to be 1, 2, 4, 8, 16, 32 or 64")
        changes["octave_bits"] = bands.bit_length() - 1
    return replace(LIMITS, **changes)


def _holder(name: str, node: Node, money: _Money) -> Holder:
    if isinstance(node.value, str):
        return Holder(name, name, 0, money.read(node), False)
    top = node.fields(("deposit", "owner", "subaccount", "bystander"))
    owner = top["owner"].text() if "owner" in top else name
    if not is_owner(owner):
        raise ScenarioError(f"{node.path}.owner", "an address is 0x and 40 hexadecimal digits")
    return Holder(
        name,
        owner,
        top["subaccount"].whole(0, 2**96 - 1) if "subaccount" in top else 0,
        money.read(top["deposit"]) if "deposit" in top else 0,
        "bystander" in top and top["bystander"].flag(),
    )


@dataclass(frozen=True)
class _Names:
    """Who and what a step may name."""

    markets: tuple[str, ...]
    holders: dict[str, Holder]
    money: _Money
    setup: Setup  # of the markets and quotes alone

    @property
    def books(self) -> dict[str, int]:
        return {spec.name: book for book, spec in self.setup.books.items()}

    @property
    def known(self) -> Known:
        return Known(self.books, feeds_of(self.setup), tuple(self.holders), owners_in(self.holders))

    def book(self, node: Node) -> int:
        return self.books[node.choice(tuple(self.books), "market")]

    def market(self, node: Node) -> int:
        return self.markets.index(node.choice(self.markets, "market"))

    def holder(self, node: Node) -> str:
        return node.choice(tuple(self.holders), "actor")


def _fund(node: Node | None, names: _Names) -> tuple[Fund, int]:
    providers: dict[str, int] = {}
    caps: dict[int, int] = {}
    top_ups: dict[int, int] = {}
    cooldown_s = COOLDOWN_S
    if node is not None:
        top = node.fields(("providers", "buckets", "cooldown"))
        if "cooldown" in top:
            cooldown_s = top["cooldown"].seconds()
        if "providers" in top:
            providers = {name: names.money.read(value, least=1) for name, value in top["providers"].items()}
        if "buckets" in top:
            for name, value in top["buckets"].items():
                bucket = value.fields(("cap", "top_up"))
                market = names.market(Node(name, value.path))
                top_ups[market] = bucket["top_up"].wad() if "top_up" in bucket else 0
                caps[market] = bucket["cap"].wad() if "cap" in bucket else top_ups[market]
    return Fund(providers, caps, top_ups), cooldown_s


# Steps

Reader = Callable[[Node, _Names], Any]


def _market_of(node: Node, names: _Names) -> int:
    return names.market(node)


def _book_of(node: Node, names: _Names) -> int:
    return names.book(node)


def _holder_of(node: Node, names: _Names) -> str:
    return names.holder(node)


def _holders_of(node: Node, names: _Names) -> tuple[str, ...]:
    return tuple(names.holder(item) for item in node.elements())


def _size(node: Node, names: _Names) -> int:
    size = node.wad(least=1)
    if size > c.MAX_SIZE:
        raise node.fail("is out of range")
    return size


def _signed_size(node: Node, names: _Names) -> int:
    size = node.wad(least=None)
    if size == 0 or abs(size) > c.MAX_SIZE:
        raise node.fail("a size is wanted: positive buys, negative sells")
    return size


def _price(node: Node, names: _Names) -> int:
    price = node.wad(least=1)
    if price >= c.MAX_PRICE:
        raise node.fail("is out of range")
    return price


def _amount(node: Node, names: _Names) -> int:
    return names.money.read(node, least=1)


def _text(node: Node, names: _Names) -> str:
    return node.text()


def _flag(node: Node, names: _Names) -> bool:
    return node.flag()


def _side(node: Node, names: _Names) -> str:
    return node.choice(("buyer", "seller"), "side")


def _sides(node: Node, names: _Names) -> tuple[str, ...]:
    return tuple(_side(item, names) for item in node.elements())


def _feed(node: Node, names: _Names) -> int:
    return node.whole(0, MAX_FEEDS - 1)


def _rules_of(node: Node, names: _Names) -> Rules:
    return read_rules(node)


def _role(node: Node, names: _Names) -> str:
    return node.choice(tuple(ROLES), "role")


def _mode(node: Node, names: _Names) -> int:
    return MODES[node.choice(tuple(MODES), "mode")]


def _signer_of(node: Node, names: _Names) -> str:
    name = names.holder(node)
    if not has_key(names.holders[name].owner):
        raise node.fail(f"{names.holders[name].owner} has no key to sign with; use a fill step")
    return name


ACTIONS: dict[str, tuple[dict[str, Reader], dict[str, Reader]]] = {
    "trade": (
        {"market": _market_of, "buyer": _signer_of, "seller": _signer_of, "size": _size, "price": _price},
        {"maker": _side, "reduce_only": _sides},
    ),
    "fill": (
        {"market": _market_of, "buyer": _holder_of, "seller": _holder_of, "size": _size, "price": _price},
        {"maker": _side, "reduce_only": _sides},
    ),
    "order": (
        {"name": _text, "account": _signer_of, "market": _market_of, "size": _signed_size, "price": _price},
        {"reduce_only": _flag},
    ),
    "match": ({"maker": _text, "taker": _text, "size": _size}, {}),
    "liquidate": ({"account": _holder_of, "market": _market_of, "taker": _holder_of}, {"size": _size}),
    "liquidate_all": ({"market": _market_of, "takers": _holders_of}, {}),
    "take_over": ({"account": _holder_of, "market": _market_of}, {}),
    "take_over_all": ({"market": _market_of}, {}),
    "resolve": ({"account": _holder_of}, {"net_with": _holders_of}),
    "resolve_all": ({}, {}),
    "rebase": ({}, {}),
    "deposit": ({"account": _holder_of, "amount": _amount}, {}),
    "withdraw": ({"account": _holder_of, "amount": _amount}, {}),
    "release": ({"account": _holder_of}, {}),
    "release_all": ({}, {}),
    "settle": ({"account": _holder_of, "market": _market_of}, {}),
    "settle_all": ({}, {}),
    "rerank": ({"account": _holder_of, "market": _market_of}, {}),
    "sweep_fees": ({"market": _market_of}, {}),
    "fund_deposit": ({"provider": _text, "amount": _amount}, {}),
    "top_up": ({"market": _market_of, "amount": _amount}, {}),
    "recognise": ({}, {}),
    "poke": ({"market": _book_of}, {}),
    "feed": ({"market": _book_of, "feed": _feed, "mode": _mode}, {}),
    "replace_feed": ({"market": _book_of, "feed": _feed}, {}),
    "tighten_rules": ({"market": _book_of, "rules": _rules_of}, {}),
    "settle_market": ({"market": _market_of}, {"by": _role}),
    "claim": ({"account": _holder_of, "market": _market_of}, {}),
    "claim_all": ({"market": _market_of}, {}),
}
"""Steps that are calls: the fields each needs, and those it may have."""

PLAIN = ("stage", "advance", "price", "expect")
OUTCOME = ("revert", "outcome")


def _step(node: Node, names: _Names) -> Step:
    keys = [key for key, _ in node.items() if key not in OUTCOME]
    if len(keys) != 1:
        raise node.fail(f"one action per step is wanted, not {', '.join(keys) or 'none'}")
    action = keys[0]
    if action not in ACTIONS and action not in PLAIN and action != "call":
        node.fields((*ACTIONS, *PLAIN, "call"))
    body = Node(node.value[action], f"{node.path}.{action}")
    revert, is_open = _outcome(node, action)
    if action == "stage":
        return Step(body.path, action, {"title": body.text()})
    if action == "advance":
        return Step(body.path, action, {"seconds": body.seconds()})
    if action == "price":
        return Step(body.path, action, {"prices": dict(_prices(body, names))})
    if action == "expect":
        return Step(body.path, action, {"checks": tuple(_checks(body, names))})
    if action == "call":
        return Step(body.path, action, read_call(body, names.known), revert, is_open)
    required, optional = ACTIONS[action]
    if body.value == "" and not required:
        return Step(body.path, action, {}, revert, is_open)
    found = body.fields(tuple(optional), tuple(required))
    readers = {**required, **optional}
    args = {key: readers[key](value, names) for key, value in found.items()}
    if "feed" in args:
        spare = action == "feed"  # it may be broken, but it cannot be replaced
        found["feed"].whole(0, names.setup.books[args["market"]].n_feeds - (not spare))
    return Step(body.path, action, args, revert, is_open)


def _outcome(node: Node, action: str) -> tuple[str | None, bool]:
    """``revert: reason`` ("" for a refusal without one), or ``outcome: any``."""
    found = [key for key in OUTCOME if node.has(key)]
    if not found:
        return None, False
    said = Node(node.value[found[0]], f"{node.path}.{found[0]}")
    if action in PLAIN or action.endswith("_all"):
        raise said.fail(f"{action} is never refused; remove it")
    if len(found) > 1:
        raise said.fail("either revert or outcome can be given; remove one")
    if found[0] == "outcome":
        said.choice(("any",), "outcome")
        return None, True
    return (said.value if said.value == "" else said.text()), False


def _prices(node: Node, names: _Names) -> Iterator[tuple[int, tuple[int | None, ...]]]:
    """Per book the answers of its feeds; None for a feed that stays silent."""
    for name, value in node.items():
        market = names.book(Node(name, value.path))
        spec = names.setup.books[market]
        decimals, count = spec.feed_decimals, spec.n_feeds
        if isinstance(value.value, str):
            yield market, (feed_price(value, decimals),) * count
            continue
        feeds = value.elements()
        if len(feeds) != count:
            raise value.fail(f"one price for all feeds or a list of {count} is wanted; 'silent' for a feed that is")
        yield market, tuple(None if feed.value == "silent" else feed_price(feed, decimals) for feed in feeds)


# Expectations

OF_ACCOUNT = ("equity", "cash", "late", "exposed", "size", "band")
OF_PRICE = ("state", "index", "mark", "low", "high", "credit_low", "credit_high", "paused")
OF_MARKET = ("fees", "open_interest", "long_bands", "short_bands", *OF_PRICE)
OF_RECEIPT = ("deficit", "cover", "seized", "booked", "bands", "legs")
OF_ALL = ("bad_debt", "claim_index", "claim_epoch", "receipts")
COUNTS = (
    "exposed", "band", "long_bands", "short_bands", "bands", "legs", "claim_epoch", "receipts", "state", "paused",
)  # fmt: skip
QUANTITY_AT = {"account": 2, "bucket": 2, "market": 2, "receipt": 1}
"""Which word of a path names the quantity; the first unless said here."""


def _is_count(what: tuple[str, ...]) -> bool:
    return what[QUANTITY_AT.get(what[0], 0)] in COUNTS


def _checks(node: Node, names: _Names) -> Iterator[Check]:
    groups = ("accounts", "buckets", "markets", "receipt", "providers")
    for key, value in node.fields((*groups, *OF_ALL)).items():
        if key == "accounts":
            for name, fields in value.items():
                names.holder(Node(name, fields.path))
                yield from _account_checks(fields, ("account", name), names)
        elif key == "buckets":
            for name, fields in value.items():
                market = names.market(Node(name, fields.path))
                yield from _account_checks(fields, ("bucket", str(market)), names)
        elif key == "markets":
            for name, fields in value.items():
                market = names.market(Node(name, fields.path))
                for what, check in fields.fields(OF_MARKET).items():
                    place = ("market", str(market), what)
                    if what == "state":
                        yield Check(check.path, place, STATES.index(check.choice(STATES, "state")))
                    else:
                        yield _check(check, place)
        elif key == "receipt":
            for what, check in value.fields(OF_RECEIPT).items():
                yield _check(check, ("receipt", what))
        elif key == "providers":
            for name, check in value.items():
                yield _check(check, ("provider", name))
        else:
            yield _check(value, (key,))


def _account_checks(node: Node, prefix: tuple[str, ...], names: _Names) -> Iterator[Check]:
    for what, value in node.fields(OF_ACCOUNT).items():
        if what in ("size", "band"):
            for name, check in value.items():
                yield _check(check, (*prefix, what, str(names.market(Node(name, check.path)))))
        elif what == "exposed":
            yield Check(value.path, (*prefix, what), int(value.flag()))
        else:
            yield _check(value, (*prefix, what))


def _check(node: Node, what: tuple[str, ...]) -> Check:
    scale = 1 if _is_count(what) else WAD

    def read(item: Node) -> int:
        value: Fraction = item.number() * scale
        if value.denominator != 1:
            raise item.fail(f"{item.value} has too many decimals")
        return int(value)

    if isinstance(node.value, str):
        return Check(node.path, what, read(node))
    found = {key: read(value) for key, value in node.fields(("is", "within", "above", "below")).items()}
    if not found.keys() - {"within"} or ("within" in found and "is" not in found):
        raise node.fail("a number, or a mapping of 'is' with 'within', 'above' or 'below' is wanted")
    return Check(node.path, what, found.get("is"), found.get("within", 0), found.get("above"), found.get("below"))
