"""What a campaign deploys, as plain data: a scenario or a journal can carry it and anybody can build it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak

from python_ref import constants as c
from python_ref.governor import Governor
from python_ref.mocks import MockFeed
from python_ref.oracle_words import Rules
from python_ref.words import Limits, Risk
from python_ref.world import Revert
from scripts.chain import Chain, account
from scripts.chain.artifacts import artifact, canonical
from scripts.rules import PROFILES
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System, deploy
from scripts.twin import Observer

GUARDIAN = account(9_004)
"""May tighten at once, where a Governor contract governs."""

SPECS = (
    MarketSpec("CVX", 2 * WAD, RISK, replace(LIMITS, rank=c.RANK_LEVERAGE)),
    MarketSpec("ETH", 4_000 * WAD, replace(RISK, depth=5_000_000), replace(LIMITS, rank=c.RANK_PROFIT, octave_bits=4)),
    MarketSpec("DOGE", WAD // 5, RISK, replace(LIMITS, rank=c.RANK_SINGLE), policy="ProRata"),
    MarketSpec(
        "DUST",
        100 * WAD,
        replace(RISK, taker_fee=0, maker_fee=300),
        replace(LIMITS, rank=c.RANK_LEVERAGE, lot_exp=0, min_size=c.DUST_SIZE + 1, octave_bits=2),
        policy="ProRata",
        width_bps=40,
    ),
)
"""One market of every rank and policy, and one where a position may be a few wei."""

OFF = PROFILES["off"]
MAJOR = replace(PROFILES["major"], tau_fast=150)
ALT = replace(PROFILES["alt"], tau_fast=150)
"""As for deployments, but with the slowest smoothing that research names (oracles §3.1): it stays behind for longer."""

FIRST_QUOTE = c.MAX_MARKETS
"""Book of the first quote; the next one's is the next."""
USD = MarketSpec("USD", WAD)
"""A quote at par; of a quote's spec only what concerns its feeds counts."""
SEQUENCER_FEED = "MockFeed32.0"
"""Name of the uptime feed: 32 is the first number that no book has."""


def with_oracle(specs: Sequence[MarketSpec], n_feeds: int, rules: Rules) -> tuple[MarketSpec, ...]:
    """The same markets with so many feeds each, judged by ``rules``; quotes stay, where the rules name none."""
    return tuple(
        replace(
            spec,
            n_feeds=n_feeds,
            rules=replace(rules, quote=rules.quote or spec.rules.quote),
            outlier_bps=rules.outlier,
        )
        for spec in specs
    )


@dataclass(frozen=True)
class Setup:
    """One deployment: everything that :func:`build` needs, and nothing of the walk upon it.

    ``decimals`` of the collateral token; ``cooldown_s`` of the fund; ``delay_s`` of the Governor contract that is
    deployed beside the domain (governing nothing until the ledger is transferred to it). ``quotes`` are the books
    that ``rules.quote`` of a market may name, from :data:`FIRST_QUOTE` on; ``sequencer`` whether there is an uptime
    feed. Every book has one feed more than it uses, to replace another.
    """

    decimals: int = 6
    specs: tuple[MarketSpec, ...] = field(default=SPECS)
    cooldown_s: int = 3_600
    delay_s: int = 7_200
    quotes: tuple[MarketSpec, ...] = ()
    sequencer: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON or YAML can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Setup:
        """The set-up that :meth:`as_dict` described."""
        return cls(**{**data, **{key: tuple(map(_spec, data[key])) for key in ("specs", "quotes")}})

    @property
    def books(self) -> dict[int, MarketSpec]:
        """Every market and every quote by its book."""
        return {**dict(enumerate(self.specs)), **{FIRST_QUOTE + k: spec for k, spec in enumerate(self.quotes)}}


def _spec(data: dict[str, Any]) -> MarketSpec:
    parts = {"risk": Risk(**data["risk"]), "limits": Limits(**data["limits"]), "rules": Rules(**data["rules"])}
    return MarketSpec(**{**data, **parts})


def build(chain: Chain, setup: Setup, full_every: int = 100, observer: Observer | None = None) -> System:
    """Deploy ``setup`` on a fresh ``chain``; what follows are calls on the twin, which a trace can hold."""
    alone = [replace(spec, rules=replace(spec.rules, quote=0)) for spec in setup.specs]
    system = deploy(chain, alone, setup.decimals, setup.cooldown_s, full_every, observer)
    _add_feeds(system, setup)
    address = chain.deploy("Governor", GOVERNOR, GUARDIAN, setup.delay_s, sender=GOVERNOR)
    twin = system.twin
    domains = {
        system.addresses["ClearingHouse"].lower(): system.clearing_house,
        system.addresses["PriceOracle"].lower(): system.oracle,
    }
    governor = Governor(
        twin.world,
        address,
        GOVERNOR,
        GUARDIAN,
        setup.delay_s,
        _dispatch(system),
        lambda target: domains[target.lower()],
        lambda target: target.lower() in chain._contracts,
    )
    twin.bind(governor, "Governor", address)
    system.addresses["Governor"] = address
    return system


def _add_feeds(system: System, setup: Setup) -> None:
    """Spare feeds, books of quotes, the uptime feed; then the markets that have a quote are told of it."""

    def put(name: str, decimals: int, about: str) -> str:
        address = system.chain.deploy("MockFeed", decimals, about, sender=GOVERNOR, label=name)
        model = MockFeed(system.twin.world, decimals, about, name)
        contracts: dict[str, Any] = system.oracle.contracts  # type: ignore[assignment]
        contracts[address] = model
        system.twin.bind(model, name, address)
        return address

    def must(name: str, function: str, sender: str, *args: Any) -> None:
        outcome = system.twin.call(name, function, sender, *args)
        assert outcome.ok, f"{function}: {outcome.reason}"

    for book, spec in setup.books.items():
        own = range(spec.n_feeds if book >= FIRST_QUOTE else 0)
        about = f"{spec.name} / USD"
        sources = [put(system.feed_name(book, i), spec.feed_decimals, about) for i in own]
        put(system.feed_name(book, spec.n_feeds), spec.feed_decimals, about)
        if sources:
            must("PriceOracle", "set_feeds", GOVERNOR, book, *spec.feeds(sources))
            for i in own:
                must(system.feed_name(book, i), "set_answer", KEEPER, spec.price // 10 ** (18 - spec.feed_decimals))
            must("PriceOracle", "poke", KEEPER, book)
    if setup.sequencer:
        now = system.chain.now
        feed = put(SEQUENCER_FEED, 0, "L2 uptime")
        must(SEQUENCER_FEED, "set_round", KEEPER, 1, 0, now, now, 1)
        must("PriceOracle", "set_sequencer", GOVERNOR, feed)
    system.specs = tuple(setup.specs)
    for market, spec in enumerate(setup.specs):
        if spec.rules.quote:
            must("PriceOracle", "set_feeds", GOVERNOR, market, *system.feed_args(market))


def calldata(contract: str, function: str, *args: Any) -> bytes:
    """The bytes of a call, as the Governor takes them."""
    (entry,) = (e for e in artifact(contract).abi if e["type"] == "function" and e["name"] == function)
    types = [canonical(i) for i in entry["inputs"]]
    return keccak(f"{function}({','.join(types)})".encode())[:4] + encode(types, args)


def _dispatch(system: System) -> Callable[[str, str, bytes], None]:
    """How the Governor's model calls the models of the ledger and the oracle: by the ABI of what lies there."""
    models = {
        system.addresses["ClearingHouse"].lower(): ("ClearingHouse", system.clearing_house),
        system.addresses["PriceOracle"].lower(): ("PriceOracle", system.oracle),
    }

    def call(sender: str, target: str, data: bytes) -> None:
        contract, model = models[target.lower()]
        for entry in artifact(contract).abi:
            if entry["type"] == "function":
                types = [canonical(i) for i in entry["inputs"]]
                if keccak(f"{entry['name']}({','.join(types)})".encode())[:4] == data[:4]:
                    getattr(model, entry["name"])(sender, *decode(types, data[4:]))
                    return
        raise Revert("")  # the contract has no such function

    return call
