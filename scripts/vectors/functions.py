"""Function vectors: the mechanism's pure functions, inputs to outputs, for unit tests that need no chain.

The model computes them; ``contracts/mocks/ModuleHarness.vy`` and the pure engines answer the same questions on one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from random import Random
from typing import Any

from python_ref import constants as c
from python_ref import fixed_math
from python_ref.bands import Bands, is_riskier
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.margin import Margin, price_share, requirement
from python_ref.policies import BandQueue, ProRata, Side
from python_ref.price_oracle import Prices
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Revert
from scripts.chain.artifacts import artifact, canonical
from scripts.vectors.setups import START
from scripts.vectors.values import signature_of

NOW = START + 1_000_000
"""Second at which every function is asked, as one of them looks at the clock."""

HARNESS = "ModuleHarness"
WORDS = (Account, Position, Band, Cell, Market, Limits, Globals)
MAX = 2**256 - 1


@dataclass(frozen=True)
class Function:
    """A pure function: the contract that has it, the model's answer, and a generator of arguments."""

    contract: str
    name: str
    answer: Callable[..., Any]
    draw: Callable[[Random], tuple[Any, ...]]


# ---- inputs --------------------------------------------------------------------------------------


def _near(r: Random, *marks: int) -> int:
    """A mark, or a number beside it."""
    return max(0, r.choice(marks) + r.choice((-1, 0, 0, 1)))


def _scale(r: Random, bits: int) -> int:
    """A number of any magnitude up to ``bits`` bits."""
    return r.getrandbits(r.randint(1, bits))


def _signed(r: Random, bits: int) -> int:
    return _scale(r, bits - 1) * r.choice((-1, 1))


def _division(r: Random) -> tuple[int, int, int]:
    kind = r.randrange(4)
    if kind == 0:
        return _scale(r, 256), _scale(r, 256), r.choice((0, 1, _scale(r, 256)))
    if kind == 1:  # exact, and one off
        d, q = _scale(r, 120) + 1, _scale(r, 120)
        return d, q, d - r.choice((0, 0, 1)) or 1
    return _scale(r, 128), _scale(r, 128), _near(r, c.WAD, c.PPM, c.INDEX_ONE, 3, 2**128) or 1


_WIDTHS: dict[type, dict[str, int]] = {
    Account: {"cash": -160, "legs": 16, "touched": 32, "has_late": 1, "in_receipt": 1, "exposed": 1, "liquidated": 44},
    Position: {"a0": 120, "q0": 104, "epoch": 16, "scale": 8, "c0": -160, "entry": 87, "band": 8, "is_long": 1},
    Band: {"a": 120, "oi": 104, "epoch": 16, "scale": 8},
    Cell: {"c": -160, "f_mark": -88, "live": 1},
    Market: {
        "funding": -88, "rate": -24, "sample": -24, "accrued": 32, "fees": 88, "pot": -104, "oi": 104, "residue": 48,
    },
    Limits: {
        "oi_cap": 104, "min_size": 80, "lot_exp": 8, "open_receipts": 8, "rank": 4, "octave_bits": 4, "listed": 1,
    },
    Globals: {
        "claim_index": 128, "bad_debt": 112, "claim_epoch": 16, "exposed": -120, "exempt": 104, "open_receipts": 8,
        "receipts": 24,
    },
}  # fmt: skip
"""Bits of every field, negative where it is signed (SPEC §3)."""


def _field(r: Random, bits: int) -> Any:
    if bits == 1:
        return r.random() < 0.5
    low, high = (-(1 << -bits - 1), (1 << -bits - 1) - 1) if bits < 0 else (0, (1 << bits) - 1)
    return r.choice((low, high, 0 if low < 0 else 1, r.randint(low, high), r.randint(low, high)))


def _words(kind: type) -> Callable[[Random], tuple[Any, ...]]:
    """Fields that fit, and now and then one that does not, where its type can hold it."""

    def draw(r: Random) -> tuple[Any, ...]:
        values = {name: _field(r, bits) for name, bits in _WIDTHS[kind].items()}
        if kind is Cell:
            values["live"] = True
        elif r.random() < 0.25:
            name, bits = r.choice([(n, b) for n, b in _WIDTHS[kind].items() if b != 1])
            values[name] = r.choice((1 << -bits - 1, -(1 << -bits - 1) - 1)) if bits < 0 else 1 << bits
        return (kind(**values),)

    return draw


def _raw(count: int) -> Callable[[Random], tuple[int, ...]]:
    def draw(r: Random) -> tuple[int, ...]:
        return tuple(r.choice((0, 1, MAX, 1 << 255, r.getrandbits(256), r.getrandbits(256))) for _ in range(count))

    return draw


def _requirement(r: Random) -> tuple[int, ...]:
    rate, depth = r.choice((0, 1, 10_000, 20_000, 500_000)), r.choice((0, 0, 1, 40_000, 5_000_000, 2**40 - 1))
    return rate, depth, _scale(r, 200), r.choice((c.INDEX_ONE, c.MIN_CLAIM_INDEX, r.randint(10**33, 10**36)))


def _share(r: Random) -> tuple[int, ...]:
    part, total = sorted(_scale(r, 150) + 1 for _ in range(2))
    return _signed(r, 200), part, total, _signed(r, 104) or 1


def _accrual(r: Random) -> tuple[Any, ...]:
    """A market accrued some time ago; its pot and fees do not matter here."""
    rate, sample = (r.randint(-c.MAX_PREMIUM_PPM, c.MAX_PREMIUM_PPM) for _ in range(2))
    since = r.choice((0, 1, 59, 3_599, 3_600, 3_601, 28_800, 500_000))
    market = Market(_signed(r, 80), rate, sample, NOW - since, 0, 0, _scale(r, 90), 0)
    paused = r.choice((0, 0, 1, 3_600))
    market.accrued -= paused
    index, state = r.choice((1, 10**15, 2 * c.WAD, 4_000 * c.WAD, c.MAX_PRICE)), r.choice((0, 0, 1, 2, 3, 4))
    return market, index, state, paused


def _label(r: Random) -> tuple[int, ...]:
    anchor = r.choice((1, c.WAD // 5, 2 * c.WAD, 4_000 * c.WAD, c.MAX_PRICE))
    price = r.choice((anchor, 2 * anchor, 4 * anchor, anchor // 2 or 1, anchor * r.randint(1, 10**6) // 10**3 or 1))
    return _near(r, price, price, r.randint(1, c.MAX_PRICE)) or 1, anchor, r.randint(0, 6)


def _cash_index(r: Random) -> tuple[Any, ...]:
    cell = Cell(_signed(r, 150), _signed(r, 80), True)
    return cell, r.randint(c.MIN_A, c.ONE_A), _signed(r, 80), r.random() < 0.5, r.random() < 0.5


def _liquidation(r: Random) -> tuple[int, ...]:
    size, price = _scale(r, 90) + 1, r.choice((2 * c.WAD, 4_000 * c.WAD, 123_456_789))
    kind_price = price * r.choice((999, 1_000, 1_001, 1_020)) // 1_000
    risk = Risk(20_000, 10_000, 5_000, 500_000, 500, 0, 20_000, r.choice((1_000_000, 1_200_000)), 660_000)
    risk.depth = r.choice((0, 0, 40_000))
    maintenance = requirement(10_000, risk.depth, size * kind_price, c.INDEX_ONE)
    equity = maintenance * r.randint(0, 110) // 100
    other = r.choice((0, 0, maintenance // 3))
    return size, kind_price, price, equity, other, risk.pack(), c.INDEX_ONE, r.choice((1, size // 10, size))


def _queue(r: Random) -> tuple[Side]:
    bitmap = 0
    for _ in range(r.choice((1, 3, 12))):
        bitmap |= 1 << r.choice((0, 1, 127, 128, 129, 254, 255, r.randrange(256)))
    limit = r.choice((0, 1, 127, 128, 254, 255, r.randrange(256)))
    return (Side(r.randrange(16), r.random() < 0.5, _scale(r, 90) + 1, _scale(r, 100), bitmap, r.randrange(3), limit),)


def _single(r: Random) -> tuple[Side]:
    return (Side(0, r.random() < 0.5, _scale(r, 90) + 1, _scale(r, 100), 1, c.RANK_SINGLE, r.randrange(256)),)


# ---- the functions -------------------------------------------------------------------------------


def _accrue(market: Market, index: int, state: int, paused: int) -> Market:
    after = Market(**vars(market))
    Margin._accrue(after, Prices(index, index, 0, 0, 0, 0, state, paused), NOW)
    return after


def _sint(function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda n, d: fixed_math.sint(function(n, d))


def _pair(r: Random) -> tuple[int, int]:
    return r.choice(((_signed(r, 255), _signed(r, 128) or 1), (_signed(r, 60), r.choice((1, 2, 3, 7, c.WAD)))))


def _stack() -> Iterator[Function]:
    yield Function(HARNESS, "mul_div_down", fixed_math.mul_div_down, _division)
    yield Function(HARNESS, "mul_div_up", fixed_math.mul_div_up, _division)
    yield Function(HARNESS, "floor_div", _sint(fixed_math.floor_div), _pair)
    yield Function(HARNESS, "ceil_div", _sint(fixed_math.ceil_div), _pair)
    yield Function(HARNESS, "log2_band", fixed_math.log2_band, _label)
    for kind in WORDS:
        name = kind.__name__.lower()
        yield Function(HARNESS, f"pack_{name}", lambda words: words.pack(), _words(kind))
        yield Function(HARNESS, f"unpack_{name}", kind.unpack, _raw(2 if kind in (Position, Market, Globals) else 1))
    yield Function(HARNESS, "unpack_risk", Risk.unpack, _raw(1))
    yield Function(HARNESS, "requirement", requirement, _requirement)
    yield Function(HARNESS, "price_share", price_share, _share)
    yield Function(HARNESS, "accrue", _accrue, _accrual)
    yield Function(
        HARNESS,
        "is_riskier",
        is_riskier,
        lambda r: (r.randrange(3), r.random() < 0.5, r.randrange(256), r.choice((0, 128, 255, r.randrange(256)))),
    )
    yield Function(HARNESS, "c_now", lambda *a: fixed_math.sint(Bands._c_now(*a)), _cash_index)
    yield Function("LiquidationEngine", "plan", lambda *a: LiquidationEngine().plan("", *a), _liquidation)
    yield Function("BandQueue", "plan", lambda side: BandQueue().plan("", side), _queue)
    yield Function("ProRata", "plan", lambda side: ProRata().plan("", side), _single)


FUNCTIONS = tuple(_stack())


# ---- writing -------------------------------------------------------------------------------------


def write_functions(seed: int, count: int) -> list[dict[str, Any]]:
    """``count`` vectors of every function, the same for the same seed; equal inputs are written once."""
    written = []
    for function in FUNCTIONS:
        entry = _entry(function)
        r = Random(f"{seed} {function.contract} {function.name}")
        seen: set[str] = set()
        for _ in range(count):
            args = function.draw(r)
            if repr(args) in seen:
                continue
            seen.add(repr(args))
            inputs = {p["name"]: write(p, a) for p, a in zip(entry["inputs"], args, strict=True)}
            vector = {"function": f"{function.contract}.{signature_of(entry)}", "number": str(len(seen) - 1)}
            vector |= {"at": str(NOW), "inputs": inputs}
            try:
                vector |= {"returns": write_outputs(entry, function.answer(*args))}
            except (Revert, ZeroDivisionError, OverflowError):
                vector |= {"revert": ""}
            written.append(vector)
    return written


def _entry(function: Function) -> dict[str, Any]:
    (entry,) = (e for e in artifact(function.contract).abi if e.get("name") == function.name)
    return entry


def write_outputs(entry: Mapping[str, Any], value: Any) -> Any:
    """Return value of a function: one thing, or a list of several."""
    outputs = entry["outputs"]
    if len(outputs) == 1:
        return write(outputs[0], value)
    return [write(output, one) for output, one in zip(outputs, value, strict=True)]


def write(parameter: Mapping[str, Any], value: Any) -> Any:
    """A value as function vectors have it: numbers in decimal, structs as objects by member."""
    kind: str = parameter["type"]
    if kind.endswith("]"):
        item = {**parameter, "type": kind[: kind.rindex("[")]}
        return [write(item, one) for one in value]
    if kind == "tuple":
        values = [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else value
        return {p["name"]: write(p, one) for p, one in zip(parameter["components"], values, strict=True)}
    return bool(value) if kind == "bool" else str(value)


def read_input(parameter: Mapping[str, Any], written: Any) -> Any:
    """The ABI value that a written input stands for."""
    kind = canonical(dict(parameter))
    if kind.endswith("]"):
        item = {**parameter, "type": parameter["type"][: parameter["type"].rindex("[")]}
        return tuple(read_input(item, one) for one in written)
    if kind.startswith("("):
        return tuple(read_input(p, written[p["name"]]) for p in parameter["components"])
    return bool(written) if kind == "bool" else int(written)
