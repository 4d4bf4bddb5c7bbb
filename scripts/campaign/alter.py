"""A call with something changed: what a shrinker tries. Every change leaves a call that can be made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any

from python_ref.ledger import account_id, owner_of
from python_ref.oracle_words import Feed, Rules
from python_ref.orders import Order, Signature, hash_order, recover, sign_order
from scripts.campaign.regimes import REGIMES
from scripts.chain import CHAIN_ID, START
from scripts.scenario.calls import element_of, inputs_of
from scripts.system import FILLER, Actor, actor
from scripts.twin import Step

FIXED = (
    "market",
    "mode",
    "decimals",
    "risk_word",
    "limits_word",
    "word",
    "salt",
    "salts",
    "claim_epoch",
    "expiry",
    "started_at",
    "updated_at",
    "round_id",
    "answered_in",
    *(f.name for f in fields(Rules)),
    *(f.name for f in fields(Feed)),
)
"""Numbers that are no amounts: names, stamps and packed words."""

PRICES = ("answer", "price", "limit_price", "anchor")
UNITS = (10**18, 10**6)
"""One of money or size in WAD, one of a token with six decimals."""

CAST = max(regime.traders for regime in REGIMES)
_FEED = re.compile(r"MockFeed(\d+)\.(\d+)")

Change = Callable[[str, Any], Any]
"""From the name of a parameter and one value of it to another value."""


@cache
def cast() -> dict[str, Actor]:
    """The traders of campaigns by address."""
    return {person.address.lower(): person for person in (actor(f"trader {i}") for i in range(CAST))}


def map_leaves(step: Step, change: Change) -> Step:
    """The call with ``change`` made to every single value in its arguments; signatures are left alone."""
    inputs = inputs_of(step.name, step.function, len(step.args))
    args = tuple(_map(value, p["name"], p, change) for value, p in zip(step.args, inputs, strict=True))
    return replace(step, args=args)


def _map(value: Any, name: str, parameter: Mapping[str, Any], change: Change) -> Any:
    if isinstance(value, Order):
        return Order(**{f.name: change(f.name, getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, Signature):
        return value
    if isinstance(value, list | tuple):
        if parameter["type"] == "tuple":
            members = parameter["components"]
            return tuple(_map(item, p["name"], p, change) for item, p in zip(value, members, strict=True))
        return tuple(_map(item, name, element_of(parameter), change) for item in value)
    return change(name, value)


def leaves_of(step: Step) -> list[tuple[str, Any]]:
    """Every single value of the arguments with its parameter's name."""
    found: list[tuple[str, Any]] = []

    def note(name: str, value: Any) -> Any:
        found.append((name, value))
        return value

    map_leaves(step, note)
    return found


def amounts_of(step: Step) -> list[tuple[str, int]]:
    """The numbers that a shrinker may make simpler."""
    return [(n, v) for n, v in leaves_of(step) if type(v) is int and n not in FIXED]


def alter(step: Step, name: str, old: int, new: int) -> Step:
    """``new`` wherever a parameter of that name is ``old``."""
    return map_leaves(step, lambda n, v: new if type(v) is int and (n, v) == (name, old) else v)


def simpler(name: str, value: int) -> Iterator[int]:
    """Numbers that say less than ``value``: fewer digits, then smaller round ones.

    Prices keep their scale. Amounts of a unit or more stay so: one coin is simpler than a wei.
    """
    sign, size = (1, value) if value >= 0 else (-1, -value)
    if size >= 2**64 and size & (size - 1) == 0:
        return  # stands for "no limit"
    digits, significant = len(str(size)), len(str(size).rstrip("0"))
    candidates = [0, 1]
    for kept in range(1, significant):
        step = 10 ** (digits - kept)
        candidates += [size // step * step, -(-size // step) * step]
    if significant <= 2 and name not in PRICES:
        step = 10 ** (digits - 1)
        candidates += [step, step // 10, size // 2 // step * step]
    floor = next((unit for unit in UNITS if size >= unit), 0)
    found = dict.fromkeys(c for c in candidates if c >= floor and _measure(c) < _measure(size))
    yield from (sign * c for c in found)


def _measure(size: int) -> tuple[int, int]:
    return len(str(size).rstrip("0")), size


def retime(steps: Sequence[Step], i: int, pause: int) -> list[Step]:
    """``pause`` seconds before call ``i``; what follows keeps its distances."""
    earlier = steps[i - 1].now if i else START
    gone = steps[i].now - earlier - pause
    return [*steps[:i], *(replace(step, now=step.now - gone) for step in steps[i:])]


def substitute(step: Step, pairs: Mapping[Any, Any]) -> Step:
    """Other accounts and addresses, also of who calls."""

    def change(_: str, value: Any) -> Any:
        key = value.lower() if isinstance(value, str) else value
        return pairs[key] if isinstance(key, str | bytes) and key in pairs else value

    return replace(map_leaves(step, change), sender=change("", step.sender))


def _bucket_market(value: Any, fund: str) -> int | None:
    """The market whose bucket an account id is."""
    if isinstance(value, bytes) and len(value) == 32 and owner_of(value) == fund.lower():
        return int.from_bytes(value[20:], "big") - 1
    return None


def markets_of(step: Step, fund: str) -> set[int]:
    """Markets that a call names, also by a feed or a bucket."""
    found = {value for name, value in leaves_of(step) if name == "market"}
    found |= {m for _, v in leaves_of(step) if (m := _bucket_market(v, fund)) is not None and m >= 0}
    if feed := _FEED.fullmatch(step.name):
        found.add(int(feed[1]))
    return found


def renumber(step: Step, moved: Mapping[int, int], fund: str) -> Step:
    """The call with its markets under other numbers."""

    def change(name: str, value: Any) -> Any:
        if name == "market":
            return moved.get(value, value)
        market = _bucket_market(value, fund)
        return value if market is None or market not in moved else account_id(fund, moved[market] + 1)

    found = _FEED.fullmatch(step.name)
    name = f"MockFeed{moved.get(int(found[1]), int(found[1]))}.{found[2]}" if found else step.name
    return replace(map_leaves(step, change), name=name)


def sign_again(old: Step, new: Step, orders: str) -> Step:
    """``new`` with valid signatures where ``old`` had them and the orders have changed."""
    args = list(new.args)
    for i in range(len(args) - 1):
        order, signature, before = args[i], args[i + 1], old.args[i]
        if not isinstance(order, Order) or not isinstance(signature, Signature) or order == before:
            continue
        signer = recover(hash_order(before, CHAIN_ID, orders), signature.v, signature.r, signature.s)
        owner = owner_of(order.account) if signer == owner_of(before.account) else str(signer)
        if (person := cast().get(owner)) is not None:
            args[i + 1] = Signature(*sign_order(order, person.key, CHAIN_ID, orders))
    return replace(new, args=tuple(args))


def unsigned(step: Step) -> Step | None:
    """The trade of two matched orders as the test filler would book it; None for any other call."""
    if (step.name, step.function) != ("Orders", "settle_orders"):
        return None
    maker, _, taker, _, size = step.args
    buyer, seller = (maker, taker) if maker.is_buy else (taker, maker)
    flags = (1 if buyer.reduce_only else 0) | (2 if seller.reduce_only else 0) | (0 if maker.is_buy else 4)
    args = (maker.market, buyer.account, seller.account, size, maker.limit_price, flags)
    return replace(step, name="ClearingHouse", function="fill", sender=FILLER, args=args)
