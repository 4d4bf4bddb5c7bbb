"""What to deploy, from YAML or JSON. Every error names the field: ``markets[0].risk.initial: …``.

Units in the file: rates in ppm, distances of prices in bps, times in seconds, money, prices and sizes as plain numbers
(2.3), which are read exactly and held in WAD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from eth_utils import is_address, to_checksum_address

from python_ref import constants as c
from python_ref.oracle_words import MAX_BOOKS, MAX_OUTLIER_BPS, Rules
from python_ref.oracle_words import Feed as Pinned
from python_ref.price_oracle import MAX_AGE_S, MAX_DECIMALS, MAX_GROUPS, MAX_WIDTH_BPS
from python_ref.words import Limits, Risk
from scripts.deployment import DeploymentError
from scripts.rules import PROFILES

DEMO = Path(__file__).with_name("demo.yaml")
NUMBERS = (3, 5, 7)
"""Of feeds that a price may have."""
POLICIES = {"pro_rata": "ProRata", "band_queue": "BandQueue"}
RANKS = {"single": c.RANK_SINGLE, "profit": c.RANK_PROFIT, "leverage": c.RANK_LEVERAGE}
ZERO_ADDRESS = "0x" + "00" * 20


@dataclass(frozen=True)
class Feed:
    """One price feed; a mock has no address until it is deployed. Bounds are answers of the feed."""

    address: str | None
    decimals: int
    max_age_s: int
    heartbeat_s: int
    deviation_bps: int
    group: int
    flux: bool
    least: int
    most: int

    def pinned(self, address: str) -> Pinned:
        """As the oracle keeps it, once its address is known."""
        ages = self.decimals, self.max_age_s, self.heartbeat_s, self.deviation_bps
        return Pinned(address, *ages, self.group, self.flux, self.least, self.most)


@dataclass(frozen=True)
class BookConfig:
    """One price of the oracle; ``mock_price`` (WAD) is the first answer of mock feeds, None for real ones."""

    name: str
    feeds: tuple[Feed, ...]
    rules: Rules
    mock_price: int | None

    @property
    def width_bps(self) -> int:
        """Half-width of the interval while all feeds agree and are fresh, without the quote's."""
        return sorted(feed.deviation_bps for feed in self.feeds)[len(self.feeds) // 2]


@dataclass(frozen=True)
class MarketConfig(BookConfig):
    """One market to list."""

    anchor: int
    policy: str
    fund_cap: int
    risk: Risk
    limits: Limits


@dataclass(frozen=True)
class Config:
    """One solvency domain. ``owner`` None: the deployer; ``token`` None: a mock; ``sequencer`` None: not on an L2."""

    owner: str | None
    guardian: str
    delay_s: int
    token: str | None
    token_decimals: int
    token_symbol: str
    cooldown_s: int
    markets: tuple[MarketConfig, ...]
    quotes: tuple[BookConfig, ...] = ()
    sequencer: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the state file; WAD amounts as text, since they exceed what other JSON readers hold."""
        return _plain(asdict(self))

    @property
    def has_mocks(self) -> bool:
        """Whether anything of it is a mock that anybody may change."""
        return self.token is None or any(book.mock_price is not None for book in self.books.values())

    @property
    def books(self) -> dict[int, BookConfig]:
        """Everything that the oracle prices, by number; the quotes first, as markets need them."""
        return {**{c.MAX_MARKETS + i: quote for i, quote in enumerate(self.quotes)}, **dict(enumerate(self.markets))}


def load_config(path: Path) -> Config:
    """Read and check a file; :class:`DeploymentError` names the file and the field."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DeploymentError(f"{path}: cannot be read ({_short(error)})") from None
    try:
        data = json.loads(text, parse_float=Decimal) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise DeploymentError(f"{path}: {_short(error)}") from None
    try:
        return parse_config(data)
    except DeploymentError as error:
        raise DeploymentError(f"{path}: {error}") from None


def parse_config(data: Any) -> Config:
    """Check plain data; :class:`DeploymentError` names the field."""
    root = _Node(data, "")
    governor, token, fund = root.node("governor"), root.node("token"), root.node("fund")
    owner = governor.take("owner", _address, None)
    guardian = governor.take("guardian", _address, ZERO_ADDRESS)
    delay_s = governor.take("delay_s", _integer(1, 2**31))
    governor.finish()
    if token.has("mock"):
        mock = token.node("mock")
        address, symbol = None, mock.take("symbol", _text(16))
        decimals = mock.take("decimals", _integer(0, 18))
        mock.finish()
    else:
        address, symbol = token.take("address", _address), ""
        decimals = token.take("decimals", _integer(0, 18))
    token.finish()
    cooldown_s = fund.take("cooldown_s", _integer(0, 2**31))
    fund.finish()
    sequencer = root.take("sequencer", _address, None)
    quoted = root.items("quotes", 1, MAX_BOOKS - c.MAX_MARKETS) if root.has("quotes") else []
    quotes = tuple(_quote(entry) for entry in quoted)
    _check_twice("quotes", "name", [quote.name for quote in quotes])
    entries = root.items("markets", 1, c.MAX_MARKETS)
    root.finish()
    books = {quote.name: c.MAX_MARKETS + i for i, quote in enumerate(quotes)}
    markets = tuple(_market(entry, books) for entry in entries)
    _check_twice("markets", "name", [market.name for market in markets])
    return Config(owner, guardian, delay_s, address, decimals, symbol, cooldown_s, markets, quotes, sequencer)


def _check_twice(at: str, field: str, values: Sequence[str | None]) -> None:
    for i, value in enumerate(values):
        if value is not None and value in values[:i]:
            raise DeploymentError(f"{at}[{i}].{field}: {value} is there twice")


def _quote(node: _Node) -> BookConfig:
    name, oracle = node.take("name", _text(32)), node.node("oracle")
    node.finish()
    return BookConfig(name, *_oracle(oracle, None))


def _market(node: _Node, quotes: dict[str, int]) -> MarketConfig:
    name = node.take("name", _text(32))
    anchor = node.take("anchor", _wad(1, c.MAX_PRICE))
    policy = POLICIES[node.take("policy", _choice(POLICIES))]
    fund_cap = node.take("fund_cap", _wad(0, 2**100), 0)
    oracle, risk, limits = node.node("oracle"), node.node("risk"), node.node("limits")
    node.finish()
    return MarketConfig(name, *_oracle(oracle, quotes), anchor, policy, fund_cap, _risk(risk), _limits(limits))


# ---- prices --------------------------------------------------------------------------------------


def _oracle(node: _Node, quotes: dict[str, int] | None) -> tuple[tuple[Feed, ...], Rules, int | None]:
    """Feeds, rules and the mocks' first answer; ``quotes`` None: this price is itself a quote."""
    rules = _rules(node)
    if node.has("outlier_bps"):
        rules = replace(rules, outlier=node.take("outlier_bps", _integer(1, MAX_OUTLIER_BPS)))
    if quotes is not None and node.has("quote"):
        rules = replace(rules, quote=quotes[node.take("quote", _choice(quotes))])
    if node.has("mock"):
        feeds, mock_price = _mocks(node.node("mock"))
    else:
        mock_price = None
        entries = node.items("feeds", NUMBERS[0], NUMBERS[-1])
        feeds = tuple(_feed(entry) for entry in entries)
        if len(feeds) not in NUMBERS:
            raise DeploymentError(f"{node.at}.feeds: 3, 5 or 7 are wanted, not {len(feeds)}")
        _check_twice(f"{node.at}.feeds", "address", [feed.address for feed in feeds])
        _check_groups(f"{node.at}.feeds", feeds)
    node.finish()
    return feeds, rules, mock_price


def _check_groups(at: str, feeds: tuple[Feed, ...]) -> None:
    """A provider that held a quorum would set the price alone."""
    for i, feed in enumerate(feeds):
        same = sum(other.group == feed.group for other in feeds)
        if same > len(feeds) // 2:
            raise DeploymentError(
                f"{at}[{i}].group: {same} of {len(feeds)} feeds are of group {feed.group}; "
                f"{len(feeds) // 2} at most, so that no provider sets the price alone"
            )


def _rules(node: _Node) -> Rules:
    """A profile by its name, or a mapping of ``profile`` and what differs from it."""
    if not node.is_mapping("rules"):
        return PROFILES[node.take("rules", _choice(PROFILES))]
    given = node.node("rules")
    rules = PROFILES[given.take("profile", _choice(PROFILES))]
    for key, (field, least, most) in _RULES.items():
        if given.has(key):
            rules = replace(rules, **{field: given.take(key, _integer(least, most))})
    given.finish()
    if (rules.speed == 0) != (rules.step == 0):
        missing = "speed_bps" if rules.speed == 0 else "step_bps"
        raise DeploymentError(f"{given.at}.{missing}: 0 breaks speed_bps > 0 if and only if step_bps > 0")
    return rules


_RULES = {
    **{f"{name}_bps": (name, 0, c.BPS) for name in ("soft", "jump", "clamp", "speed", "step")},
    **{f"{name}_s": (name, 0, 2**16 - 1) for name in ("tau_fast", "hold", "calm", "grace")},
    "tau_ref_s": ("tau_ref", 1, 2**16 - 1),
    "freeze_s": ("freeze", 0, 2**32 - 1),
}
"""Fields of ``rules`` in the file: the rule, and the bounds that the oracle sets."""


def _mocks(node: _Node) -> tuple[tuple[Feed, ...], int]:
    """Feeds that differ in their provider alone, and their first answer (WAD)."""
    price = node.take("price", _wad(1, c.MAX_PRICE - 1))
    number = node.take("number", _integer(NUMBERS[0], NUMBERS[-1]), NUMBERS[0])
    if number not in NUMBERS:
        raise DeploymentError(f"{node.at}.number: 3, 5 or 7 are wanted, not {number}")
    decimals, ages = _scale(node)
    if price % 10 ** (18 - decimals):
        raise DeploymentError(f"{node.at}.price: has more than {decimals} decimals")
    node.finish()
    return tuple(Feed(None, decimals, *ages, group, False, 0, 2**128 - 1) for group in range(number)), price


def _feed(node: _Node) -> Feed:
    address = node.take("address", _address)
    decimals, ages = _scale(node)
    group = node.take("group", _integer(0, MAX_GROUPS - 1))
    flux = node.take("flux", _flag, False)
    least, most = (node.take(key, _answer(decimals), default) for key, default in (("least", 0), ("most", 2**128 - 1)))
    if least >= most:
        raise DeploymentError(f"{node.at}.least: has to be below most")
    node.finish()
    return Feed(address, decimals, *ages, group, flux, least, most)


def _scale(node: _Node) -> tuple[int, tuple[int, int, int]]:
    """Decimals; greatest age, heartbeat and deviation."""
    decimals = node.take("decimals", _integer(0, MAX_DECIMALS))
    age, heartbeat = (node.take(key, _integer(1, MAX_AGE_S)) for key in ("max_age_s", "heartbeat_s"))
    if age < heartbeat:
        raise DeploymentError(f"{node.at}.max_age_s: {age} is less than the heartbeat, {heartbeat}: it would come late")
    return decimals, (age, heartbeat, node.take("deviation_bps", _integer(0, MAX_WIDTH_BPS)))


def _answer(decimals: int) -> Callable[[Any], int]:
    """A price as a feed of ``decimals`` answers it."""

    def check(value: Any) -> int:
        answer, rest = divmod(_wad(0, c.MAX_PRICE)(value), 10 ** (18 - decimals))
        if rest:
            raise ValueError(f"{value} has more than {decimals} decimals")
        return answer

    return check


# ---- margin --------------------------------------------------------------------------------------


def _risk(node: _Node) -> Risk:
    """Rates within the words' widths and the relations that the Governor checks (rules 20, 21)."""
    values = {
        f.name: node.take(f.name, _integer(0, 2**40 - 1 if f.name == "depth" else 2**24 - 1)) for f in fields(Risk)
    }
    node.finish()
    risk = Risk(**values)

    def need(field: str, good: bool, rule: str) -> None:
        if not good:
            raise DeploymentError(f"{node.at}.{field}: {getattr(risk, field)} breaks {rule}")

    need("maintenance", risk.maintenance > 0, "maintenance > 0")
    need("initial", risk.initial > risk.maintenance, "initial > maintenance")
    need("initial", risk.initial <= c.PPM, "initial <= 1000000 (1)")
    need("penalty", risk.penalty < risk.maintenance, "penalty < maintenance")
    need("fund_share", risk.fund_share <= c.PPM, "fund_share <= 1000000 (1)")
    need("target", risk.target > c.PPM, "target > 1000000 (1)")
    need("fill_band", risk.fill_band < c.PPM, "fill_band < 1000000 (1)")
    need("backstop", risk.backstop < c.PPM, "backstop < 1000000 (1)")
    for fee in ("taker_fee", "maker_fee"):
        need(fee, getattr(risk, fee) * c.PPM < risk.maintenance * risk.target, "fee < maintenance · target")
        need(fee, getattr(risk, fee) < risk.maintenance, "fee < maintenance")
    return risk


def _limits(node: _Node) -> Limits:
    limits = Limits(
        oi_cap=node.take("oi_cap", _wad(0, 2**104 - 1)),
        min_size=node.take("min_size", _wad(c.DUST_SIZE + 1, 2**80 - 1)),
        lot_exp=node.take("lot_exp", _integer(0, 30)),
        rank=RANKS[node.take("rank", _choice(RANKS))],
        octave_bits=node.take("octave_bits", _integer(0, 6)),
        listed=True,
    )
    node.finish()
    return limits


# ---- reading plain data --------------------------------------------------------------------------

_MISSING: Any = object()


class _Node:
    """A mapping of the file and the path to it; fields that nobody takes are errors."""

    def __init__(self, data: Any, at: str) -> None:
        if not isinstance(data, dict):
            raise DeploymentError(f"{at or 'the file'}: a mapping is wanted, not {_kind(data)}")
        self._data, self.at = dict(data), at

    def has(self, key: str) -> bool:
        """Whether the field is there."""
        return key in self._data

    def take(self, key: str, check: Callable[[Any], Any], default: Any = _MISSING) -> Any:
        """A checked value."""
        if key not in self._data:
            if default is _MISSING:
                raise DeploymentError(f"{self._path(key)}: missing")
            return default
        try:
            return check(self._data.pop(key))
        except ValueError as error:
            raise DeploymentError(f"{self._path(key)}: {error}") from None

    def is_mapping(self, key: str) -> bool:
        """Whether the field is there and a mapping."""
        return isinstance(self._data.get(key), dict)

    def node(self, key: str) -> _Node:
        """A nested mapping."""
        return self.take(key, lambda value: _Node(value, self._path(key)))

    def items(self, key: str, least: int, most: int) -> list[_Node]:
        """A list of mappings."""
        values = self.take(key, lambda value: value)
        if not isinstance(values, list) or not least <= len(values) <= most:
            number = str(least) if least == most else f"{least} to {most}"
            raise DeploymentError(f"{self._path(key)}: a list of {number} is wanted")
        return [_Node(value, f"{self._path(key)}[{i}]") for i, value in enumerate(values)]

    def finish(self) -> None:
        """Refuse what is left."""
        for key in self._data:
            raise DeploymentError(f"{self._path(str(key))}: no such field")

    def _path(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"a whole number is wanted, not {_show(value)}")
        if not least <= value <= most:
            raise ValueError(f"{value} is not within {least} to {most}")
        return value

    return check


def _wad(least: int, most: int) -> Callable[[Any], int]:
    """A plain number as WAD; bounds in WAD."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise ValueError(f"a number is wanted, not {_show(value)}")
        return parse_wad(str(value), least, most)

    return check


def parse_wad(text: str, least: int = 0, most: int | None = None) -> int:
    """A plain decimal number as WAD, exactly; ValueError says what is wrong. Bounds in WAD."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"a number is wanted, not {_show(text)}") from None
    if not number.is_finite() or abs(number.adjusted()) > 1_000:
        raise ValueError(f"a number is wanted, not {_show(text)}")
    scaled = Fraction(number) * c.WAD  # Decimal itself would round to 28 digits
    if scaled.denominator != 1:
        raise ValueError(f"{text} has more than 18 decimals")
    wad = scaled.numerator
    if wad < least or (most is not None and wad > most):
        upper = "" if most is None else f" to {format_wad(most)}"
        raise ValueError(f"{text} is not within {format_wad(least)}{upper or ' and above'}")
    return wad


def format_wad(wad: int, places: int = 18) -> str:
    """WAD as a plain number, cut toward zero to ``places`` decimals, without trailing zeros."""
    whole, fraction = divmod(abs(wad), c.WAD)
    digits = f"{fraction:018d}"[:places].rstrip("0")
    return f"{'-' if wad < 0 else ''}{whole:,}{'.' if digits else ''}{digits}"


def _choice(options: dict[str, Any]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"{_show(value)} is not one of {', '.join(options)}")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is wanted, not {_show(value)}")
    return value


def _text(most: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(rf"[A-Za-z0-9][\w./ -]{{0,{most - 1}}}", value):
            raise ValueError(f"a text of 1 to {most} plain characters is wanted, not {_show(value)}")
        return value

    return check


def _address(value: Any) -> str:
    if isinstance(value, int):
        raise ValueError("an address is wanted; put it in quotes")
    if not isinstance(value, str) or not is_address(value):
        raise ValueError(f"an address is wanted, not {_show(value)} (or its checksum is wrong)")
    if int(value, 16) == 0:
        raise ValueError("the zero address is a placeholder; put the real one")
    return to_checksum_address(value)


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", type(None): "nothing"}.get(type(value), f"a {type(value).__name__}")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _short(error: Exception) -> str:
    """An error on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return value
