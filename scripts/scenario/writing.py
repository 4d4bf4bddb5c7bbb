"""A deployment and a list of calls written as a scenario file: what ``story`` reads, made by a machine for people.

Calls are told by the steps of the language where these say the same; whatever else is called becomes a ``call`` step.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from python_ref import constants as c
from python_ref.ledger import owner_of
from python_ref.oracle_words import Rules
from python_ref.orders import Order, Signature, hash_order, recover
from scripts.campaign.alter import cast, leaves_of
from scripts.campaign.setup import Setup
from scripts.campaign.walk import PROVIDERS
from scripts.chain import CHAIN_ID, START, account
from scripts.rules import PROFILES
from scripts.scenario.calls import Directory, element_of, feeds_of, inputs_of
from scripts.scenario.result import show_exactly
from scripts.scenario.story import (
    COOLDOWN_S,
    FEED_DECIMALS,
    MODES,
    POLICIES,
    RANKS,
    RATES,
    RULES_BPS,
    RULES_S,
    policy_of,
)
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System
from scripts.twin import Step

WIDTH = 118
ROLES = (*range(7_000, 7_200), *range(9_000, 9_010))
"""Numbers of the keyless addresses that campaigns use."""

ROUND, FREE, EXACT, LITERAL = "round", "free", "exact", "literal"
MANNERS = (ROUND, FREE, EXACT, LITERAL)
"""How freely to tell: all feeds answer what some do; price rounds though a call or a second differ; only what is the
same; calls only."""

PROVIDER_NAMES = dict(zip((p.lower() for p in PROVIDERS), ("first", "second"), strict=True))


@dataclass(frozen=True)
class Made:
    """A call with how it went: ``reason`` None where it went through; ``open`` where that is not to be said."""

    step: Step
    reason: str | None = None
    open: bool = False


# Values


def quote(text: str) -> str:
    """A YAML scalar for ``text``, plain where that is safe."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+/% -]*", text) is not None
    return text if plain and not text.endswith(" ") else json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """Strings, lists and mappings on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quote(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return quote(str(value))


def amount_text(value: int) -> str:
    """A WAD number as a decimal, thousands marked."""
    whole, dot, rest = show_exactly(value).partition(".")
    return f"{int(whole):_}" + dot + rest if abs(value) >= 10_000 * WAD else whole + dot + rest


def number_text(value: int) -> str:
    """An integer so that its size is seen: ``30_000``, ``2.5e18``, or hexadecimal where bits are meant."""
    size = abs(value)
    if size >= 2**64 and (size & (size - 1) == 0 or size & (size + 1) == 0 or size >= 10**60):
        return hex(value)
    if size >= 10**15:
        return f"{show_exactly(value)}e18"
    return f"{value:_}" if size >= 10_000 else str(value)


def rate_text(ppm: int) -> str:
    """Parts per million as a rate with its unit."""
    if ppm % 100:
        return f"{ppm} ppm"
    return f"{show_exactly(ppm * WAD // 10_000)} %"


def time_text(seconds: int) -> str:
    """Seconds with the largest unit that divides them."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# Set-up


def market_fields(spec: MarketSpec, books: Mapping[int, str]) -> dict[str, Any]:
    """A market as the file has it: what differs from the defaults; ``books`` are the names of the quotes."""
    found: dict[str, Any] = {"price": amount_text(spec.price)}
    name = policy_of(spec)
    rank = next(name for name, rank in RANKS.items() if rank == spec.limits.rank)
    found["policy"] = name if name in POLICIES else {"rank": rank, "plan": spec.policy}
    risk: dict[str, str] = {k: rate_text(getattr(spec.risk, k)) for k in RATES if _differs(spec.risk, RISK, k)}
    if _differs(spec.risk, RISK, "depth"):
        risk["depth"] = number_text(spec.risk.depth)
    limits = {
        k: amount_text(getattr(spec.limits, k)) for k in ("oi_cap", "min_size") if _differs(spec.limits, LIMITS, k)
    }
    if _differs(spec.limits, LIMITS, "lot_exp"):
        limits["lot"] = f"1e{spec.limits.lot_exp - 18}"
    if _differs(spec.limits, LIMITS, "octave_bits"):
        limits["bands_per_octave"] = str(2**spec.limits.octave_bits)
    plain, oracle = MarketSpec("", 1), {}
    if spec.feed_decimals != FEED_DECIMALS:
        oracle["decimals"] = str(spec.feed_decimals)
    if _differs(spec, plain, "n_feeds"):
        oracle["feeds"] = str(spec.n_feeds)
    for key in ("max_age", "heartbeat"):
        if _differs(spec, plain, f"{key}_s"):
            oracle[key] = time_text(getattr(spec, f"{key}_s"))
    rules = replace(spec.rules, quote=0)
    if rules != plain.rules:
        oracle["rules"] = rules_fields(rules)
    if spec.rules.quote:
        oracle["quote"] = books[spec.rules.quote]
    if spec.outlier_bps != spec.rules.outlier:
        oracle["outlier"] = rate_text(spec.outlier_bps * 100)
    if _differs(spec, plain, "width_bps"):
        oracle["width"] = rate_text(spec.width_bps * 100)
    found |= {key: group for key, group in (("risk", risk), ("limits", limits), ("oracle", oracle)) if group}
    return found


def rules_fields(rules: Rules) -> Any:
    """Rules as the file has them: the nearest profile, or what differs from it."""

    def changes(base: Rules) -> dict[str, str]:
        told = {k: rate_text(getattr(rules, k) * 100) for k in RULES_BPS if _differs(rules, base, k)}
        return told | {k: time_text(getattr(rules, k)) for k in RULES_S if _differs(rules, base, k)}

    like = {name: changes(base) for name, base in PROFILES.items() if base.outlier == rules.outlier}
    name = min(like, key=lambda name: len(like[name]))
    return {"profile": name, **like[name]} if like[name] else name


def _differs(one: Any, other: Any, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


@cache
def _roles() -> dict[str, str]:
    return {account(n).lower(): f"account {n}" for n in ROLES}


def owner_text(address: str) -> str:
    """What a file calls an owner: a trader of the campaigns, a numbered address, or the address."""
    if person := cast().get(address.lower()):
        return person.name
    return _roles().get(address.lower(), address.lower())


# Calls


class Writer:
    """The file for ``calls`` on ``setup``; ``system`` is a deployment of it, which knows the addresses."""

    def __init__(
        self,
        setup: Setup,
        calls: Sequence[Made],
        system: System,
        manner: str = ROUND,
        prices: Mapping[int, str] | None = None,
    ) -> None:
        """``prices``: another manner for the price step that begins with the call of that number."""
        self.setup, self.calls, self.system, self.manner, self.prices = setup, calls, system, manner, prices or {}
        self.literal = manner == LITERAL
        self.unit = 10 ** (18 - setup.decimals)
        self.clock = START
        self.steps: list[Any] = []
        self.deposits: dict[str, int] = {}
        self.providers: dict[str, int] = {}
        self.buckets: dict[int, dict[str, int]] = {}
        self.holders = self._find_holders()
        ids = {name: id_ for id_, name in self.holders.items()}
        owners = {owner_text(owner_of(id_)): owner_text(owner_of(id_)) for id_ in self.holders}
        self.directory = Directory(system, feeds_of(setup), ids, owners)
        if not self.literal:
            self.directory.addresses |= {f"provider {name}": p for p, name in PROVIDER_NAMES.items()}
        self._tell()

    @property
    def names(self) -> dict[bytes, str]:
        """What the file calls the accounts."""
        return {id_: name for name, id_ in self.directory.accounts.items()}

    def expect(self, accounts: Mapping[str, Mapping[str, int]], receipts: int) -> None:
        """Say before the last step what is so then: what accounts hold (``cash``, sizes by market; WAD), receipts."""
        told: dict[str, Any] = {}
        for name, holds in accounts.items():
            sizes = {market: amount_text(size) for market, size in holds.items() if market != "cash"}
            told[name] = {"cash": amount_text(holds["cash"])} | ({"size": sizes} if sizes else {})
        self.steps.insert(-1, {"expect": {"accounts": told} if told else {"receipts": str(receipts)}})

    def text(self, name: str, about: str) -> str:
        """The whole file."""
        lines = [f"name: {json.dumps(name, ensure_ascii=False)}", "about: >-"]
        lines += textwrap.wrap(about, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        lines.append("")
        if self.setup.decimals != 6:
            lines.append(f"token: {{decimals: {self.setup.decimals}}}")
        if self.setup.sequencer:
            lines.append("sequencer: true")
        if self.setup.quotes:
            lines.append("quotes:")
        names = {book: spec.name for book, spec in self.setup.books.items()}
        for spec in self.setup.quotes:
            told = {key: value for key, value in market_fields(spec, names).items() if key in ("price", "oracle")}
            lines.append(f"  {quote(spec.name)}: {flow(told)}")
        lines.append("markets:")
        for spec in self.setup.specs:
            lines.append(f"  {quote(spec.name)}:")
            lines += [f"    {key}: {flow(value)}" for key, value in market_fields(spec, names).items()]
        lines += self._fund_lines()
        if self.setup.delay_s != Setup.delay_s:
            lines.append(f"governor: {{delay: {time_text(self.setup.delay_s)}}}")
        lines.append("actors:" if self.holders else "actors: {}")
        # The deposits of the beginning are made in the order of the file.
        for id_ in sorted(
            self.holders, key=lambda i: list(self.deposits).index(n) if (n := self.holders[i]) in self.deposits else 99
        ):
            lines.append(f"  {quote(self.holders[id_])}: {flow(self._holder_fields(id_))}")
        lines += ["", "steps:" if self.steps else "steps: []"]
        for step in self.steps:
            lines += self._step_lines(step)
        return "\n".join(lines) + "\n"

    def _step_lines(self, step: Mapping[str, Any]) -> list[str]:
        """One line if it fits; else a key a line, long lists an element a line."""
        if len(step) == 1:
            ((key, body),) = step.items()
            line = f"  - {key}: {flow(body)}"
        else:
            line = f"  - {flow(step)}"
        if len(line) <= WIDTH:
            return [line]
        lines: list[str] = []
        for key, body in step.items():
            lead = "    " if lines else "  - "
            if not isinstance(body, Mapping):
                lines.append(f"{lead}{key}: {flow(body)}")
                continue
            lines.append(f"{lead}{key}:")
            for name, value in body.items():
                line = f"      {name}: {flow(value)}"
                if isinstance(value, list) and len(line) > WIDTH:
                    lines.append(f"      {name}:")
                    lines += [f"        - {flow(item)}" for item in value]
                else:
                    lines.append(line)
        return lines

    def _fund_lines(self) -> list[str]:
        fund: dict[str, Any] = {}
        if self.setup.cooldown_s != COOLDOWN_S:
            fund["cooldown"] = time_text(self.setup.cooldown_s)
        if self.providers:
            fund["providers"] = {name: amount_text(amount) for name, amount in self.providers.items()}
        if self.buckets:
            fund["buckets"] = {
                self.setup.specs[m].name: {key: amount_text(value) for key, value in bucket.items()}
                for m, bucket in self.buckets.items()
            }
        return ["fund:", *(f"  {key}: {flow(value)}" for key, value in fund.items())] if fund else []

    def _holder_fields(self, id_: bytes) -> Any:
        name, owner, subaccount = self.holders[id_], owner_text(owner_of(id_)), int.from_bytes(id_[20:], "big")
        deposit = amount_text(self.deposits.get(name, 0))
        if (name, 0) == (owner, subaccount):
            return deposit
        found = {"owner": owner, "subaccount": str(subaccount), "deposit": deposit}
        return {key: value for key, value in found.items() if value != "0"}

    def _find_holders(self) -> dict[bytes, str]:
        """Every trading account that a call names, and the first account of every trader who calls or is named."""
        found: dict[bytes, str] = {}
        fund = self.system.fund.address.lower()
        for made in self.calls:
            step = made.step
            for name, value in (("by", step.sender), *leaves_of(step)):
                if isinstance(value, str) and value.lower() in cast():
                    value = cast()[value.lower()].account()
                if isinstance(value, bytes) and len(value) == 32 and name != "id" and owner_of(value) != fund:
                    owner, subaccount = owner_text(owner_of(value)), int.from_bytes(value[20:], "big")
                    found.setdefault(value, f"{owner}/{subaccount}" if subaccount else owner)
        return found

    # Telling

    def _tell(self) -> None:
        i = 0
        while i < len(self.calls):
            i += self._tell_next(i)

    def _tell_next(self, i: int) -> int:
        """Tell the call ``i``, or several from it on; how many."""
        made = self.calls[i]
        if not self.literal:
            if count := self._tell_price(i):
                return count
            if i < len(self.calls) - 1 and (self._is_money(made.step) or self._opens(made)):
                return 1
        self._wait_until(made.step.now)
        action = None if self.literal else self._action(made.step)
        self._add(action or self._call(made.step), made)
        return 1

    def _wait_until(self, now: int) -> None:
        if now > self.clock:
            self.steps.append({"advance": time_text(now - self.clock)})
            self.clock = now

    def _add(self, action: dict[str, Any], made: Made) -> None:
        if made.reason is not None:
            action = {**action, "revert": made.reason}
        elif made.open:
            action = {**action, "outcome": "any"}
        self.steps.append(action)

    def _is_money(self, step: Step) -> bool:
        """A mint or an approval before a deposit: deposit steps make their own."""
        return step.name == "Token" and step.function in ("mint", "approve")

    def _opens(self, made: Made) -> bool:
        """Whether the call can be told as part of the set-up: before all steps, and nothing said twice."""
        step = made.step
        if self.steps or made.reason is not None or step.now != START:
            return False
        match step.name, step.function, step.args:
            case "ClearingHouse", "deposit", (target, atoms) if self._by_owner(step, target) and not (
                self.providers or self.buckets or self.holders[target] in self.deposits
            ):
                self.deposits[self.holders[target]] = atoms * self.unit
            case "BackstopFund", "deposit", (atoms,) if not self.buckets and (name := self._provider(step)):
                self.providers[name] = atoms * self.unit + self.providers.get(name, 0)
            case "BackstopFund", "set_cap", (market, cap) if step.sender == GOVERNOR and market < len(self.setup.specs):
                self.buckets[market] = {"cap": cap, **self.buckets.get(market, {})}
            case "BackstopFund", "top_up", (market, amount) if step.sender == KEEPER and (
                market in self.buckets and "top_up" not in self.buckets[market]
            ):
                self.buckets[market]["top_up"] = amount
            case _:
                return False
        return True

    def _by_owner(self, step: Step, target: Any) -> bool:
        return isinstance(target, bytes) and target in self.holders and owner_of(target) == step.sender.lower()

    def _provider(self, step: Step) -> str | None:
        return PROVIDER_NAMES.get(step.sender.lower())

    def _tell_price(self, i: int) -> int:
        """Answers of a market's feeds, with the poke after them, as one price step; how many calls that were."""
        first = self.calls[i].step
        found = re.fullmatch(r"MockFeed(\d+)\.(\d+)", first.name)
        if found is None or first.function != "set_answer" or int(found[1]) not in self.setup.books:
            return 0
        market = int(found[1])
        decimals = self.setup.books[market].feed_decimals
        answers: list[str] = ["silent"] * self.setup.books[market].n_feeds
        feed, count, poked = -1, 0, False
        for made in self.calls[i:]:
            step = made.step
            if (step.name, step.function, step.args, step.sender) == ("PriceOracle", "poke", (market,), KEEPER):
                poked, count = step.now == first.now, count + (step.now == first.now)
                break
            at = re.fullmatch(rf"MockFeed{market}\.(\d+)", step.name)
            if at is None or step.function != "set_answer" or int(at[1]) <= feed or step.now != first.now:
                break
            if int(at[1]) >= len(answers):  # the spare one
                break
            if step.sender != KEEPER or step.args[0] <= 0:
                break
            feed, count = int(at[1]), count + 1
            answers[feed] = amount_text(step.args[0] * 10 ** (18 - decimals))
        manner = self.prices.get(i, self.manner)
        if manner == ROUND and len(set(answers) - {"silent"}) == 1:
            answers = [a for a in answers if a != "silent"][:1] * len(answers)
        exact = poked and first.now > self.clock
        if not count or not (exact or manner in (ROUND, FREE)) or (i + count == len(self.calls) and not poked):
            return 0
        self._wait_until(first.now - 1)
        self.clock += 1
        name = self.setup.books[market].name
        self.steps.append({"price": {name: answers[0] if len(set(answers)) == 1 else answers}})
        return count

    def _action(self, step: Step) -> dict[str, Any] | None:
        """The step of the language that makes just this call, if there is one."""
        books = self.setup.books if step.name == "PriceOracle" else range(len(self.setup.specs))
        if any(n == "market" and value not in books for n, value in leaves_of(step)):
            return None
        name, by_keeper = self.directory.call_account, step.sender == KEEPER
        match step.name, step.function, step.args:
            case "ClearingHouse", "fill", (market, buyer, seller, size, price, flags) if (
                step.sender == FILLER and self._known(buyer, seller) and self._sized(size, price) and flags < 8
            ):
                body = {"market": self._market(market), "buyer": name(buyer), "seller": name(seller)}
                body |= {"size": amount_text(size), "price": amount_text(price)}
                body |= {} if flags & c.FLAG_BUYER_IS_TAKER else {"maker": "buyer"}
                reducers = [side for side, bit in (("buyer", 1), ("seller", 2)) if flags & bit]
                return {"fill": body | ({"reduce_only": reducers} if reducers else {})}
            case "ClearingHouse", "liquidate", (target, market, taker, size) if (
                self._by_owner(step, taker) and self._known(target) and 0 < size <= c.MAX_SIZE
            ):
                body = {"account": name(target), "market": self._market(market), "taker": name(taker)}
                return {"liquidate": body | {"size": amount_text(size)}}
            case "ClearingHouse", "take_over" | "settle" | "rerank" | "claim", (target, market) if (
                by_keeper and self._known(target)
            ):
                return {step.function: {"account": name(target), "market": self._market(market)}}
            case "ClearingHouse", "resolve", (target, others) if by_keeper and self._known(target, *others):
                return {
                    "resolve": {"account": name(target)} | ({"net_with": [name(o) for o in others]} if others else {})
                }
            case "ClearingHouse", "release", (target,) if by_keeper and self._known(target):
                return {"release": {"account": name(target)}}
            case "ClearingHouse", "sweep_fees", (market,) if by_keeper:
                return {"sweep_fees": {"market": self._market(market)}}
            case "ClearingHouse", "rebase_claims", () if by_keeper:
                return {"rebase": {}}
            case "ClearingHouse", "deposit", (target, atoms) if self._by_owner(step, target) and atoms:
                return {"deposit": {"account": name(target), "amount": amount_text(atoms * self.unit)}}
            case "ClearingHouse", "withdraw", (target, atoms, to) if (
                self._by_owner(step, target) and atoms and to.lower() == step.sender.lower()
            ):
                return {"withdraw": {"account": name(target), "amount": amount_text(atoms * self.unit)}}
            case "BackstopFund", "deposit", (atoms,) if atoms and (provider := self._provider(step)):
                return {"fund_deposit": {"provider": provider, "amount": amount_text(atoms * self.unit)}}
            case "BackstopFund", "top_up", (market, amount) if by_keeper and amount and amount % self.unit == 0:
                return {"top_up": {"market": self._market(market), "amount": amount_text(amount)}}
            case "BackstopFund", "recognise", () if by_keeper:
                return {"recognise": {}}
            case "PriceOracle", "poke", (market,) if by_keeper:
                return {"poke": {"market": self._market(market)}}
            case feed, "set_mode", (mode,) if by_keeper and (at := re.fullmatch(r"MockFeed(\d+)\.(\d+)", feed)):
                modes = {value: key for key, value in MODES.items()}
                if mode in modes and int(at[1]) in self.setup.books:
                    return {"feed": {"market": self._market(int(at[1])), "feed": at[2], "mode": modes[mode]}}
        return None

    def _market(self, market: int) -> str:
        return self.setup.books[market].name if market in self.setup.books else str(market)

    def _known(self, *accounts: Any) -> bool:
        return all(a in self.holders for a in accounts)

    @staticmethod
    def _sized(size: int, price: int) -> bool:
        return 0 < size <= c.MAX_SIZE and 0 < price < c.MAX_PRICE

    # Raw calls

    def _call(self, step: Step) -> dict[str, Any]:
        inputs = inputs_of(step.name, step.function, len(step.args))
        args = list(self._args(step.args, inputs))
        by = self.directory.call_address(step.sender)
        return {"call": {"contract": step.name, "function": step.function, "by": by, "args": args}}

    def _args(self, values: Sequence[Any], inputs: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        for i, (value, parameter) in enumerate(zip(values, inputs, strict=True)):
            if isinstance(value, Signature) and i and isinstance(values[i - 1], Order):
                yield self._signature(value, values[i - 1])
            else:
                yield self._value(value, parameter)

    def _value(self, value: Any, parameter: Mapping[str, Any]) -> Any:
        kind, name = parameter["type"], parameter["name"]
        if kind.endswith("]"):
            return [self._value(item, element_of(parameter)) for item in value]
        if kind == "tuple":
            parts = value if isinstance(value, tuple) else tuple(getattr(value, f.name) for f in fields(value))
            return {p["name"]: self._value(part, p) for p, part in zip(parameter["components"], parts, strict=True)}
        if kind == "bool":
            return "true" if value else "false"
        if kind == "address":
            return self.directory.call_address(value)
        if kind == "bytes32" and name != "id":
            return self.directory.call_account(value)
        if isinstance(value, bytes):
            return "0x" + value.hex()
        return self._market(value) if name == "market" else number_text(value)

    def _signature(self, signature: Signature, order: Order) -> dict[str, Any]:
        """By whom the order is signed, if by a trader; else the numbers."""
        parts = {f.name: getattr(signature, f.name) for f in fields(signature)}
        signer = recover(hash_order(order, CHAIN_ID, self.directory.orders), *parts.values())
        person = cast().get(signer) if signer else None
        if person is not None and person.name in self.directory.addresses:
            return {"signed_by": person.name}
        return {key: str(value) if key == "v" else hex(value) for key, value in parts.items()}
