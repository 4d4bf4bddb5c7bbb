"""An attack as a file has it, read so that every complaint names the field. The format is told in ``__init__``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path as File
from typing import Any

from python_ref import baselines
from python_ref import constants as c
from python_ref.oracle_words import Feed, Rules
from python_ref.words import Limits, Risk
from scripts.attacks.expect import Wish, read_wishes
from scripts.attacks.faults import Fault, Habits, read_fault
from scripts.attacks.paths import Pace, Path, read_pace, read_path
from scripts.attacks.result import DEPLOYMENTS
from scripts.rules import PROFILES, STATES
from scripts.scenario.nodes import Node, ScenarioError, read_yaml
from scripts.system import LIMITS, WAD, MarketSpec

LIBRARY = File(__file__).resolve().parent / "library"

GROUPS = {3: (0, 1, 2), 5: (0, 0, 1, 1, 2), 7: (0, 0, 0, 1, 1, 1, 2)}
"""Providers: as few as may be, so that no group holds a quorum."""

RISK = Risk(
    initial=40_000,
    maintenance=20_000,
    penalty=5_000,
    fund_share=500_000,
    taker_fee=500,
    maker_fee=0,
    fill_band=20_000,
    target=1_200_000,
    backstop=660_000,
    depth=0,
)
"""25× at most, 2 % maintenance: the 20× accounts of the book can open at the harsh edge."""

AGGREGATIONS = {
    "latest": baselines.LATEST,
    "mean": baselines.MEAN,
    "median": baselines.MEDIAN,
    "average": baselines.AVERAGE,
}

QUOTE_BOOK = c.MAX_MARKETS
"""The oracle's first book that is no market."""

POOL = "pool"
LIQUIDATOR = "liquidator"
EVERYBODY = "everybody"
"""Stands for all accounts with a position."""

SLACK_S = 300
"""Seconds beyond its heartbeat for which an answer counts."""


@dataclass(frozen=True)
class Market(MarketSpec):
    """A market with its truth and the habits of its feeds."""

    truth: Path = field(default_factory=lambda: Path((0,), (Fraction(1),)))
    habits: Habits = field(default_factory=lambda: Habits(8, 60, 50))
    groups: tuple[int, ...] = GROUPS[5]
    flux: bool = False
    bounds: tuple[int, int] = (0, 2**128 - 1)

    def feeds(self, sources: Any) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """Feeds and rules as ``set_feeds`` takes them."""
        h = self.habits
        feeds = (
            Feed(source, h.decimals, self.max_age_s, h.heartbeat, h.deviation, group, self.flux, *self.bounds)
            for source, group in zip(sources, self.groups, strict=True)
        )
        return tuple(feed.as_tuple() for feed in feeds), replace(self.rules, outlier=self.outlier_bps).as_tuple()


@dataclass(frozen=True)
class Book:
    """Bystanders: one long and one short of ``notional`` (WAD) at each leverage, matched with each other."""

    notional: int
    leverages: tuple[Fraction, ...]
    sides: tuple[str, ...]
    market: int

    def accounts(self) -> Iterator[tuple[str, str, int]]:
        """Name, side and deposit (WAD) of each."""
        seen: dict[str, int] = {}
        for leverage in self.leverages:
            for side in self.sides:
                name = f"{side} {float(leverage):g}x"
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > 1:
                    name = f"{name} #{seen[name]}"
                yield name, side, int(self.notional / leverage)


@dataclass(frozen=True)
class Step:
    """Something an actor does at ``at``, and again every ``every`` seconds until ``until``."""

    at: int
    every: int
    until: int
    when: tuple[str, ...]  # states of the market's oracle in which it is done; () in any
    once: bool  # tried until it goes through
    early: bool  # before the feeds of that second answer: by somebody who sees what is coming
    action: str
    args: Mapping[str, Any]
    name: str
    want: Mapping[str, str]  # by deployment: done, or refused with a reason
    path: str

    def times(self, length: int) -> list[int]:
        """When it is due."""
        return list(range(self.at, min(self.until, length) + 1, self.every)) if self.every else [self.at]


@dataclass(frozen=True)
class Keeper:
    """Who pokes, liquidates, resolves and rebases; not within ``off``."""

    every: int = 0  # seconds; 0: at every step
    off: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Attack:
    """One file, or one variant of it."""

    name: str
    variant: str
    title: str
    source: str
    about: str
    note: str
    control: bool
    naive: tuple[int, int]
    pace: Pace
    length: int
    seed: str
    markets: tuple[Market, ...]
    quote: Market | None  # what prices the collateral; its book is QUOTE_BOOK
    faults: tuple[Fault, ...]
    book: Book | None
    pool: int
    insurance: int
    liquidator: int
    attackers: Mapping[str, int]  # deposit by account, WAD
    traders: Mapping[str, int]
    groups: Mapping[str, tuple[str, ...]]  # of actors that are several accounts
    keeper: Keeper
    sequencer: tuple[tuple[int, int], ...] | None  # when it is down; None: a chain without one
    steps: tuple[Step, ...]
    wishes: Mapping[str, tuple[Wish, ...]]

    @property
    def books(self) -> dict[int, Market]:
        """Everything that has feeds, by its number in the oracle: markets, and the quote."""
        return dict(enumerate(self.markets)) | ({QUOTE_BOOK: self.quote} if self.quote else {})

    def times(self) -> list[int]:
        """Every second of the run."""
        stops = [t for step in self.steps for t in step.times(self.length)]
        stops += [t for fault in self.faults for t in (fault.start, fault.end)]
        for fault in self.faults:
            if fault.history:
                stops += [fault.start + row.timestamp - fault.history[0].timestamp for row in fault.history]
        for market in self.books.values():
            if market.truth.shape == "step":
                stops += market.truth.times
        stops += [t for window in (self.sequencer or ()) for t in window]
        return self.pace.times(self.length, stops)


KEYS = (
    "about",
    "note",
    "control",
    "naive",
    "step",
    "seed",
    "faults",
    "book",
    "pool",
    "insurance",
    "liquidator",
    "attackers",
    "traders",
    "keeper",
    "sequencer",
    "steps",
    "expect",
    "variants",
    "market",
    "markets",
    "quote",
    "truth",
)
REQUIRED = ("title", "source", "length")


def load(file: File) -> list[Attack]:
    """The attack of a file, or its variants; :class:`ScenarioError` where it cannot be used."""
    root = read_yaml(file)
    if not root.has("variants"):
        return [_read(root, file, "")]
    variants = dict(root.fields((*KEYS, *REQUIRED))["variants"].items())
    base = {key: value for key, value in root.value.items() if key != "variants"}
    if not variants:
        raise ScenarioError("variants", "none is there; name one or remove the key")
    return [_read(Node(_merge(base, node.value), ""), file, name) for name, node in variants.items()]


def find(name: str) -> list[File]:
    """Files of the library whose name begins with ``name``, or the file of that path."""
    if name.endswith((".yaml", ".yml")):
        return [File(name)]
    return sorted(LIBRARY.glob(f"{name.lower()}*.yaml"))


def _merge(base: Any, change: Any) -> Any:
    """``change`` over ``base``; mappings by key, all else replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        return {**base, **{key: _merge(base.get(key), value) for key, value in change.items()}}
    return change


def _read(root: Node, file: File, variant: str) -> Attack:
    found = root.fields(tuple(key for key in KEYS if key != "variants"), REQUIRED)
    folder = file.resolve().parent
    markets = _markets(root, found, folder)
    quote = _market(found["quote"], None, folder) if "quote" in found else None
    if quote is not None:
        markets = tuple(replace(market, rules=replace(market.rules, quote=QUOTE_BOOK)) for market in markets)
    names = tuple(market.name for market in markets)
    books = {**dict(enumerate(markets)), **({QUOTE_BOOK: quote} if quote else {})}
    book = _book(found.get("book"), names)
    attackers, groups_a = _actors(found.get("attackers"))
    traders, groups_t = _actors(found.get("traders"))
    groups = {**groups_a, **groups_t}
    accounts = (
        [*attackers, *traders, POOL, LIQUIDATOR, *groups, *(name for name, _, _ in book.accounts())]
        if book
        else [
            *attackers,
            *traders,
            POOL,
            LIQUIDATOR,
            *groups,
        ]
    )
    for i, name in enumerate(accounts):
        if name in accounts[:i]:
            raise ScenarioError("attackers", f"{name!r} stands for two accounts; rename one")
    length = found["length"].seconds()
    faults = tuple(
        read_fault(node, folder, {book.name: (number, book.groups) for number, book in books.items()})
        for node in (found["faults"].elements() if "faults" in found else ())
    )
    reader = _Steps(names, tuple(accounts))
    return Attack(
        name=file.stem,
        variant=variant,
        title=found["title"].text(),
        source=found["source"].text(),
        about=_text(found, "about"),
        note=_text(found, "note"),
        control=found["control"].flag() if "control" in found else False,
        naive=_naive(found.get("naive")),
        pace=read_pace(found["step"]) if "step" in found else Pace(),
        length=length,
        seed=found["seed"].text() if "seed" in found else file.stem,
        markets=markets,
        quote=quote,
        faults=faults,
        book=book,
        pool=_money(found, "pool", 50_000_000),
        insurance=_money(found, "insurance", 10_000_000),
        liquidator=_money(found, "liquidator", 10_000_000),
        attackers=attackers,
        traders=traders,
        groups=groups,
        keeper=_keeper(found.get("keeper")),
        sequencer=_windows(found["sequencer"]) if "sequencer" in found else None,
        steps=tuple(reader.read(node) for node in (found["steps"].elements() if "steps" in found else ())),
        wishes=_wishes(found.get("expect")),
    )


def _text(found: Mapping[str, Node], key: str) -> str:
    return " ".join(found[key].text().split()) if key in found else ""


def _money(found: Mapping[str, Node], key: str, default: int) -> int:
    return found[key].wad() if key in found else default * WAD


def _naive(node: Node | None) -> tuple[int, int]:
    """How the naive deployment makes one number: ``latest``, ``mean``, ``median`` or ``average 600 s``."""
    if node is None:
        return baselines.LATEST, 0
    word, _, rest = node.text().partition(" ")
    kind = Node(word, node.path).choice(tuple(AGGREGATIONS), "aggregation")
    tau = Node(rest, node.path).seconds() if rest else 0
    if (kind == "average") != (tau > 0):
        raise node.fail("average has a time constant, as in 'average 600 s'; the others have none")
    return AGGREGATIONS[kind], tau


# Markets


MARKET_KEYS = ("name", "profile", "feeds", "decimals", "heartbeat", "deviation", "cadence", "noise", "slack", "groups")
MARKET_MORE = ("rules", "risk", "limits", "policy", "rank", "flux", "bounds", "truth", "price")
RULES = ("outlier", "soft", "jump", "clamp", "speed", "step", "tau_fast", "tau_ref", "hold", "calm", "grace", "freeze")
RATES = ("initial", "maintenance", "penalty", "fund_share", "taker_fee", "maker_fee", "fill_band", "target", "backstop")
RANKS = {"single": c.RANK_SINGLE, "profit": c.RANK_PROFIT, "leverage": c.RANK_LEVERAGE}


def _markets(root: Node, found: Mapping[str, Node], folder: File) -> tuple[Market, ...]:
    """``market: {…}`` or ``markets: [{…}, …]``; a single one may have its ``truth`` beside it."""
    if ("market" in found) == ("markets" in found):
        raise root.fail("describe one market under market, or several under markets")
    nodes = [found["market"]] if "market" in found else found["markets"].elements()
    truth = found.get("truth") if len(nodes) == 1 else None
    markets = tuple(_market(node, truth, folder) for node in nodes)
    if len({market.name for market in markets}) < len(markets):
        raise found["markets"].fail("two markets have the same name")
    return markets


def _market(node: Node, truth: Node | None, folder: File) -> Market:
    found = node.fields((*MARKET_KEYS, *MARKET_MORE), ("name",))
    truth = found.get("truth", truth)
    if truth is None:
        raise node.fail("truth is missing: a price, or points [[0, 100], [600, 90]]")
    path = read_path(truth, folder)
    n = int(found["feeds"].choice(("3", "5", "7"), "number of feeds")) if "feeds" in found else 5
    groups = tuple(g.whole(0, 15) for g in found["groups"].elements()) if "groups" in found else GROUPS[n]
    if len(groups) != n:
        raise found["groups"].fail(f"{n} groups are wanted, one for each feed")
    habits = Habits(
        decimals=found["decimals"].whole(0, 18) if "decimals" in found else 8,
        heartbeat=found["heartbeat"].seconds() if "heartbeat" in found else 60,
        deviation=found["deviation"].whole(0, 1_000) if "deviation" in found else 50,
        cadence=found["cadence"].seconds() if "cadence" in found else 0,
        noise=found["noise"].whole(0, 1_000) if "noise" in found else 0,
    )
    rules = _rules(found)
    price = found["price"].wad(1) if "price" in found else int(path.at(0) * WAD)
    slack = found["slack"].seconds() if "slack" in found else SLACK_S
    return Market(
        name=found["name"].text(),
        price=price,
        risk=_risk(found.get("risk")),
        limits=_limits(found),
        policy=found["policy"].choice(("BandQueue", "ProRata"), "policy") if "policy" in found else "BandQueue",
        feed_decimals=habits.decimals,
        max_age_s=habits.heartbeat + slack,
        outlier_bps=rules.outlier,
        width_bps=habits.deviation,
        n_feeds=n,
        heartbeat_s=habits.heartbeat,
        rules=rules,
        truth=path,
        habits=habits,
        groups=groups,
        flux=found["flux"].flag() if "flux" in found else False,
        bounds=_bounds(found.get("bounds"), habits.decimals),
    )


def _rules(found: Mapping[str, Node]) -> Rules:
    names = tuple(name.upper() for name in PROFILES)
    rules = PROFILES[found["profile"].choice(names, "profile").lower() if "profile" in found else "major"]
    if "rules" not in found:
        return rules
    changes = {k: v.seconds() if k == "freeze" else v.whole(0, 65_535) for k, v in found["rules"].fields(RULES).items()}
    changed = replace(rules, **changes)
    if not changed.fits():
        raise found["rules"].fail("the oracle does not accept these together (SPEC §14.1, §14.6)")
    return changed


def _risk(node: Node | None) -> Risk:
    if node is None:
        return replace(RISK)
    found = node.fields((*RATES, "depth"))
    changes = {name: value.rate() for name, value in found.items() if name != "depth"}
    if "depth" in found:
        changes["depth"] = found["depth"].whole(0, 2**39)
    return replace(RISK, **changes)


def _limits(found: Mapping[str, Node]) -> Limits:
    limits = replace(LIMITS)
    if "rank" in found:
        limits = replace(limits, rank=RANKS[found["rank"].choice(tuple(RANKS), "rank")])
    if "limits" in found:
        given = found["limits"].fields(("oi_cap", "min_size"))
        limits = replace(limits, **{name: value.wad(1) for name, value in given.items()})
    return limits


def _bounds(node: Node | None, decimals: int) -> tuple[int, int]:
    """``[least, most]``, prices; what the feed itself would not go beyond."""
    if node is None:
        return 0, 2**128 - 1
    pair = node.elements()
    if len(pair) != 2:
        raise node.fail("[least, most] is wanted")
    least, most = (int(price.number() * 10**decimals) for price in pair)
    return least, most


# Actors


def _book(node: Node | None, names: tuple[str, ...]) -> Book | None:
    if node is not None and node.value == "none":
        return None
    found = node.fields(("notional", "leverages", "sides", "market")) if node is not None else {}
    leverages = tuple(n.number() for n in found["leverages"].elements()) if "leverages" in found else None
    if leverages and min(leverages) < 1:
        raise found["leverages"].fail("a leverage is 1 at least")
    sides = tuple(n.choice(("long", "short"), "side") for n in found["sides"].elements()) if "sides" in found else None
    return Book(
        _money(found, "notional", 1_000_000),
        leverages or tuple(map(Fraction, (2, 3, 5, 10, 20))),
        sides or ("long", "short"),
        names.index(found["market"].choice(names, "market")) if "market" in found else 0,
    )


def _actors(node: Node | None) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """``{mallory: 1_000_000, wallets: {deposit: 10_000, count: 100}}``: deposits by account, and who is several."""
    deposits: dict[str, int] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for name, value in node.items() if node is not None else ():
        if isinstance(value.value, str):
            deposits[name] = value.wad()
            continue
        found = value.fields((), ("deposit", "count"))
        members = tuple(f"{name} {i + 1}" for i in range(found["count"].whole(1, 200)))
        deposits |= dict.fromkeys(members, found["deposit"].wad())
        groups[name] = members
    return deposits, groups


def _keeper(node: Node | None) -> Keeper:
    if node is None:
        return Keeper()
    found = node.fields(("every", "off"))
    return Keeper(found["every"].seconds() if "every" in found else 0, _windows(found["off"]) if "off" in found else ())


def _windows(node: Node) -> tuple[tuple[int, int], ...]:
    """``[[from, to], …]``."""
    windows = []
    for entry in node.elements():
        pair = [time.seconds() for time in entry.elements()]
        if len(pair) != 2 or pair[0] >= pair[1]:
            raise entry.fail("[from, to] is wanted")
        windows.append((pair[0], pair[1]))
    return tuple(windows)


# Steps


TIMING = ("at", "every", "until", "when", "once", "early", "name", "want")
PRICES = ("index", "truth", "low", "high", "mark")

ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "long": (("account",), ("market", "with", "notional", "size", "price")),
    "short": (("account",), ("market", "with", "notional", "size", "price")),
    "close": (("account",), ("market", "with", "share", "price")),
    "deposit": (("account", "amount"), ()),
    "withdraw": (("account", "amount"), ()),
    "transfer": (("from", "to", "amount"), ()),
    "release": (("account",), ()),
    "liquidate": (("account", "taker"), ("market",)),
    "resolve": (("account",), ()),
    "poke": ((), ("market",)),
    "answer": ((), ("market", "feed", "price")),
    "settle": ((), ("market", "by")),
    "claim": (("account",), ("market",)),
    "set_feeds": ((), ("market", "price", "decimals", "truth", "rules")),
    "replace_feed": (("place",), ("market", "price", "decimals")),
    "tighten": (("rules",), ("market",)),
    "starve": (("from", "to", "step"), ("market",)),
    "mark": (("name",), ()),
    "rewind": (("name",), ()),
}
"""What actors can do: the fields that are needed, and those that may be given."""


@dataclass(frozen=True)
class _Steps:
    """Reads steps, knowing the names of the file."""

    markets: tuple[str, ...]
    accounts: tuple[str, ...]

    def read(self, node: Node) -> Step:
        """One step: its timing, and one action."""
        found = node.fields((*TIMING, *ACTIONS), ("at",))
        actions = [key for key in found if key in ACTIONS]
        if len(actions) != 1:
            raise node.fail(f"one action is wanted, of {', '.join(ACTIONS)}")
        at = found["at"].seconds()
        every = found["every"].seconds() if "every" in found else 0
        when = found.get("when")
        states = () if when is None else tuple(n.choice(STATES, "state") for n in _listed(when))
        once = found["once"].flag() if "once" in found else False
        return Step(
            at,
            every,
            found["until"].seconds() if "until" in found else 2**40,
            states,
            once,
            found["early"].flag() if "early" in found else False,
            actions[0],
            self._args(actions[0], found[actions[0]]),
            found["name"].text() if "name" in found else "",
            {deployment: wanted.text() for deployment, wanted in found["want"].fields(DEPLOYMENTS).items()}
            if "want" in found
            else {},
            node.path,
        )

    def _args(self, action: str, node: Node) -> dict[str, Any]:
        required, optional = ACTIONS[action]
        found = node.fields(optional, required)
        args: dict[str, Any] = {"market": 0}
        for key, value in found.items():
            args[key] = self._value(action, key, value)
        if action in ("long", "short") and ("notional" in args) == ("size" in args):
            raise node.fail("notional or size is wanted")
        return args

    def _value(self, action: str, key: str, node: Node) -> Any:
        if key == "market":
            return self.markets.index(node.choice(self.markets, "market"))
        if key in ("account", "with", "taker") or (key in ("from", "to") and action == "transfer"):
            return node.choice((*self.accounts, EVERYBODY) if key == "account" else self.accounts, "account")
        if key == "amount":
            return None if node.value == "max" else node.wad(1)
        if key in ("notional", "size"):
            return node.wad(1)
        if key == "price":
            return node.value if node.value in PRICES else node.wad(1)
        if key == "share":
            return Fraction(node.rate(), c.PPM)
        if key in ("place", "decimals", "feed"):
            return node.whole(0, 18)
        if key == "truth":
            return node.flag()
        if key == "rules":
            return {name: value.whole(0, 2**32 - 1) for name, value in node.fields(RULES).items()}
        if key == "by":
            return node.choice(("anybody", "governor"), "caller")
        return node.text() if key == "name" else node.whole(0, 10**9)


def _listed(node: Node) -> list[Node]:
    return [node] if isinstance(node.value, str) else node.elements()


def _wishes(node: Node | None) -> dict[str, tuple[Wish, ...]]:
    wishes: dict[str, tuple[Wish, ...]] = dict.fromkeys(DEPLOYMENTS, ())
    if node is not None:
        for deployment, lines in node.fields(DEPLOYMENTS).items():
            wishes[deployment] = read_wishes(lines)
    return wishes
