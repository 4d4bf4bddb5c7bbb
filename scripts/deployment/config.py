"""What to deploy, from YAML or JSON. Every error names the field: ``markets[0].risk.initial: …``.

Units in the file: rates in ppm, times in seconds, money, prices and sizes as plain numbers (2.3), which are read
exactly and held in WAD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from eth_utils import is_address, to_checksum_address

from python_ref import constants as c
from python_ref.words import Limits, Risk
from scripts.deployment import DeploymentError

DEMO = Path(__file__).with_name("demo.yaml")
FEEDS = 3
POLICIES = {"pro_rata": "ProRata", "band_queue": "BandQueue"}
RANKS = {"single": c.RANK_SINGLE, "profit": c.RANK_PROFIT, "leverage": c.RANK_LEVERAGE}
ZERO_ADDRESS = "0x" + "00" * 20

# the oracle's own bounds
_MAX_AGE_S = 172_800
_MAX_BPS = 1_000


@dataclass(frozen=True)
class Feed:
    """One price feed; a mock has no address until it is deployed."""

    address: str | None
    decimals: int
    max_age_s: int


@dataclass(frozen=True)
class MarketConfig:
    """One market to list; ``mock_price`` (WAD) is the first answer of mock feeds, None for real ones."""

    name: str
    anchor: int
    policy: str
    fund_cap: int
    outlier_bps: int
    width_bps: int
    feeds: tuple[Feed, ...]
    mock_price: int | None
    risk: Risk
    limits: Limits


@dataclass(frozen=True)
class Config:
    """One solvency domain. ``owner`` None: the deployer; ``token`` None: a mock is deployed."""

    owner: str | None
    guardian: str
    delay_s: int
    token: str | None
    token_decimals: int
    token_symbol: str
    cooldown_s: int
    markets: tuple[MarketConfig, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the state file; WAD amounts as text, since they exceed what other JSON readers hold."""
        return _plain(asdict(self))

    @property
    def has_mocks(self) -> bool:
        """Whether anything of it is a mock that anybody may change."""
        return self.token is None or any(m.mock_price is not None for m in self.markets)


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
    entries = root.items("markets", 1, c.MAX_MARKETS)
    root.finish()
    markets = tuple(_market(entry) for entry in entries)
    names = [m.name for m in markets]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise DeploymentError(f"markets[{i}].name: {name} is there twice")
    return Config(owner, guardian, delay_s, address, decimals, symbol, cooldown_s, markets)


def _market(node: _Node) -> MarketConfig:
    name = node.take("name", _text(32))
    anchor = node.take("anchor", _wad(1, c.MAX_PRICE))
    policy = POLICIES[node.take("policy", _choice(POLICIES))]
    fund_cap = node.take("fund_cap", _wad(0, 2**100), 0)
    oracle, risk, limits = node.node("oracle"), node.node("risk"), node.node("limits")
    node.finish()
    outlier_bps = oracle.take("outlier_bps", _integer(1, _MAX_BPS))
    width_bps = oracle.take("width_bps", _integer(0, _MAX_BPS))
    mock_price = None
    if oracle.has("mock"):
        mock = oracle.node("mock")
        mock_price = mock.take("price", _wad(1, c.MAX_PRICE - 1))
        decimals = mock.take("decimals", _integer(0, 18))
        if mock_price % 10 ** (18 - decimals):
            raise DeploymentError(f"{mock.at}.price: has more than {decimals} decimals")
        feeds = (Feed(None, decimals, mock.take("max_age_s", _integer(1, _MAX_AGE_S))),) * FEEDS
        mock.finish()
    else:
        feeds = tuple(_feed(entry) for entry in oracle.items("feeds", FEEDS, FEEDS))
        addresses = [feed.address for feed in feeds]
        for i, address in enumerate(addresses):
            if address in addresses[:i]:
                raise DeploymentError(f"{oracle.at}.feeds[{i}].address: {address} is there twice")
    oracle.finish()
    return MarketConfig(
        name, anchor, policy, fund_cap, outlier_bps, width_bps, feeds, mock_price, _risk(risk), _limits(limits)
    )


def _feed(node: _Node) -> Feed:
    feed = Feed(
        node.take("address", _address),
        node.take("decimals", _integer(0, 18)),
        node.take("max_age_s", _integer(1, _MAX_AGE_S)),
    )
    node.finish()
    return feed


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
        if value not in options:
            raise ValueError(f"{_show(value)} is not one of {', '.join(options)}")
        return str(value)

    return check


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
