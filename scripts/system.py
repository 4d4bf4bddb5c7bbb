"""The whole system on a local chain with its model beside it: what the demo, the tests and the benches start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_utils import keccak

from python_ref import constants as c
from python_ref.backstop_fund import BackstopFund
from python_ref.baselines import NaiveOracle, StalenessOracle
from python_ref.clearing_house import ClearingHouse
from python_ref.default_manager import Registry
from python_ref.ledger import account_id
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.mocks import MockFeed, MockOracle, MockToken
from python_ref.oracle_words import Feed, Rules
from python_ref.orders import Order, Orders, Signature, sign_order
from python_ref.policies import BandQueue, ProRata
from python_ref.price_oracle import PriceOracle
from python_ref.words import Limits, Risk
from python_ref.world import World
from scripts.chain import CHAIN_ID, Chain, Outcome, account
from scripts.chain.artifacts import DELEGATES
from scripts.twin import Observer, Twin

WAD = c.WAD
FEEDS = 3

ORACLES = {
    "PriceOracle": PriceOracle,
    "NaiveOracle": NaiveOracle,
    "StalenessOracle": StalenessOracle,
    "MockOracle": MockOracle,
}
"""The oracle that this project is about, and the two that it is compared with."""

RISK = Risk(
    initial=20_000,
    maintenance=10_000,
    penalty=5_000,
    fund_share=500_000,
    taker_fee=500,
    maker_fee=0,
    fill_band=20_000,
    target=1_200_000,
    backstop=660_000,
    depth=0,
)
"""Rates of a market unless said otherwise: 50× at most, 1 % maintenance, 0.5 % penalty."""

LIMITS = Limits(oi_cap=10**12 * WAD, min_size=10**15, lot_exp=12, rank=c.RANK_LEVERAGE, octave_bits=6, listed=True)


@dataclass(frozen=True)
class MarketSpec:
    """A market to list."""

    name: str
    price: int  # WAD, anchor and first answer of its feeds
    risk: Risk = field(default_factory=lambda: replace(RISK))
    limits: Limits = field(default_factory=lambda: replace(LIMITS))
    policy: str = "BandQueue"
    feed_decimals: int = 8
    max_age_s: int = 3_600
    outlier_bps: int = 500
    width_bps: int = 10
    n_feeds: int = FEEDS
    heartbeat_s: int | None = None  # None: an answer is fresh for as long as it counts
    rules: Rules = field(default_factory=Rules)  # breaker and averages off; ``outlier_bps`` is the spec's own field

    def feeds(self, sources: Sequence[str]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """Feeds and rules as ``set_feeds`` takes them; each feed is a provider of its own."""
        heartbeat = self.max_age_s if self.heartbeat_s is None else self.heartbeat_s
        feeds = (
            Feed(source, self.feed_decimals, self.max_age_s, heartbeat, self.width_bps, group).as_tuple()
            for group, source in enumerate(sources)
        )
        return tuple(feeds), replace(self.rules, outlier=self.outlier_bps).as_tuple()


@dataclass(frozen=True)
class Actor:
    """Somebody with a key."""

    name: str
    address: str
    key: bytes

    def account(self, subaccount: int = 0) -> bytes:
        """Account id of a subaccount."""
        return account_id(self.address, subaccount)


@cache
def actor(name: str) -> Actor:
    """The actor of that name, the same everywhere."""
    key = keccak(b"waterfall actor " + name.encode())
    return Actor(name, PrivateKey(key).public_key.to_address(), key)


GOVERNOR = account(9_001)
FILLER = account(9_002)
"""Settles unsigned trades in tests; a deployment has none."""
KEEPER = account(9_003)


@dataclass
class System:
    """Addresses and models of one solvency domain, driven through its twin."""

    twin: Twin
    specs: tuple[MarketSpec, ...]
    decimals: int
    clearing_house: ClearingHouse
    fund: BackstopFund
    oracle: PriceOracle
    orders: Orders
    token: MockToken
    addresses: dict[str, str]
    salts: dict[bytes, int] = field(default_factory=dict)

    @property
    def chain(self) -> Chain:
        """The chain under the twin."""
        return self.twin.chain

    @property
    def unit(self) -> int:
        """Money units per token atom."""
        return int(10 ** (18 - self.decimals))

    def call(self, function: str, sender: str, *args: Any) -> Outcome:
        """Call the ClearingHouse on both sides."""
        return self.twin.call("ClearingHouse", function, sender, *args)

    def must(self, function: str, sender: str, *args: Any) -> Outcome:
        """As :meth:`call`, and it has to go through."""
        outcome = self.call(function, sender, *args)
        assert outcome.ok, f"{function}: {outcome.reason}"
        return outcome

    def bucket(self, market: int) -> bytes:
        """The fund's account for one market."""
        return account_id(self.fund.address, market + 1)

    def feed_name(self, market: int, feed: int) -> str:
        """Name under which a feed is bound."""
        return f"MockFeed{market}.{feed}"

    def feed_args(self, market: int, **changes: Any) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """What ``set_feeds`` takes after the market: its spec's feeds and rules, but for ``changes`` of the spec."""
        spec = replace(self.specs[market], **changes)
        return spec.feeds([self.twin.address(self.feed_name(market, i)) for i in range(spec.n_feeds)])

    def set_price(self, market: int, price: int, feeds: Sequence[int] | None = None) -> None:
        """Let feeds answer ``price`` (WAD) now, then poke the oracle."""
        self.answer(market, price, feeds)
        self.twin.call("PriceOracle", "poke", KEEPER, market)

    def answer(self, market: int, price: int, feeds: Sequence[int] | None = None) -> None:
        """Let feeds answer ``price`` (WAD) now; all of them by default."""
        feeds = range(self.specs[market].n_feeds) if feeds is None else feeds
        scaled = price // 10 ** (18 - self.specs[market].feed_decimals)
        for feed in feeds:
            self.twin.call(self.feed_name(market, feed), "set_answer", KEEPER, scaled)

    def fund_account(self, owner: str, amount: int, subaccount: int = 0) -> Outcome:
        """Mint ``amount`` of money (WAD) to ``owner`` and deposit it."""
        atoms = amount // self.unit
        self.twin.call("Token", "mint", KEEPER, owner, atoms)
        self.twin.call("Token", "approve", owner, self.clearing_house.address, atoms)
        return self.call("deposit", owner, account_id(owner, subaccount), atoms)

    def provide(self, provider: str, amount: int) -> Outcome:
        """Mint ``amount`` of money to a liquidity provider and deposit it into the backstop fund."""
        atoms = amount // self.unit
        self.twin.call("Token", "mint", KEEPER, provider, atoms)
        self.twin.call("Token", "approve", provider, self.fund.address, atoms)
        return self.twin.call("BackstopFund", "deposit", provider, atoms)

    def trade(self, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int = 0) -> Outcome:
        """An unsigned trade by the test filler."""
        return self.call("fill", FILLER, market, buyer, seller, size, price, flags)

    def order(
        self, by: Actor, market: int, size: int, price: int, *, subaccount: int = 0, reduce_only: bool = False
    ) -> tuple[Order, Signature]:
        """A signed order of ``by``: a buy for positive ``size``; its seq is the next of lane 0."""
        trader = by.account(subaccount)
        self.salts[trader] = self.salts.get(trader, 0) + 1
        order = Order(
            account=trader,
            market=market,
            is_buy=size > 0,
            size=abs(size),
            limit_price=price,
            reduce_only=reduce_only,
            expiry=self.chain.now + 3_600,
            claim_epoch=self.clearing_house.claim_epoch(KEEPER),
            salt=self.salts[trader],
        )
        return order, Signature(*sign_order(order, by.key, CHAIN_ID, self.orders.address))


def deploy(
    chain: Chain,
    specs: Sequence[MarketSpec],
    decimals: int = 6,
    cooldown_s: int = 86_400,
    full_every: int = 100,
    observer: Observer | None = None,
    oracle: str = "PriceOracle",
    oracle_args: Sequence[int] = (),
) -> System:
    """Deploy everything on ``chain``, build the model beside it, and list the markets.

    ``decimals`` of the collateral token; ``cooldown_s`` of the fund; ``observer`` is told the model's events of
    every call from the first; ``oracle`` is one of :data:`ORACLES`, bound as PriceOracle whichever it is, and
    ``oracle_args`` what its constructor takes after the governor. The governor is an ordinary address here;
    a real deployment puts the Governor contract there (``scripts/deploy.py``).
    """
    world = World()
    twin = Twin(chain, world, full_every)
    twin.observer = observer

    def put(name: str, *args: Any, label: str = "") -> str:
        return chain.deploy(name, *args, sender=GOVERNOR, label=label)

    token_address = put("MockToken", "USD", decimals)
    token = MockToken(world, "USD", decimals, "Token")
    twin.bind(token, "Token", token_address)
    oracle_address = put(oracle, GOVERNOR, *oracle_args)
    contracts: dict[str, Any] = {}
    prices = ORACLES[oracle](world, GOVERNOR, contracts, *oracle_args)
    twin.bind(prices, "PriceOracle", oracle_address)
    code = (token_address, decimals, oracle_address)
    admin = put("MarketAdmin", *code)
    delegates = {
        "MarketAdmin": admin,
        "AccountDesk": put("AccountDesk", *code, admin),
        "LiquidationDesk": put("LiquidationDesk", *code),
        "DefaultManager": put("DefaultManager", *code),
        "RebaseManager": put("RebaseManager", *code),
    }
    assert set(delegates) == set(DELEGATES)
    house_address = put(
        "ClearingHouse",
        *code,
        GOVERNOR,
        delegates["LiquidationDesk"],
        delegates["DefaultManager"],
        delegates["RebaseManager"],
        delegates["AccountDesk"],
    )
    registry = Registry()
    house = ClearingHouse(world, house_address, token, decimals, prices, GOVERNOR, registry, LiquidationEngine())
    twin.bind(house, "ClearingHouse", house_address)
    engine = put("LiquidationEngine")
    policies = {"ProRata": put("ProRata"), "BandQueue": put("BandQueue")}
    registry.policies = {policies["ProRata"]: ProRata(house), policies["BandQueue"]: BandQueue()}
    orders_address = put("Orders", house_address)
    orders = Orders(world, house, orders_address, CHAIN_ID)
    twin.bind(orders, "Orders", orders_address)
    fund_address = put("BackstopFund", token_address, house_address, oracle_address, GOVERNOR, cooldown_s)
    fund = BackstopFund(world, fund_address, token, decimals, house, house_address, prices, GOVERNOR, cooldown_s)
    twin.bind(fund, "BackstopFund", fund_address)
    addresses = {
        **delegates,
        **policies,
        "Token": token_address,
        "PriceOracle": oracle_address,
        "ClearingHouse": house_address,
        "LiquidationEngine": engine,
        "Orders": orders_address,
        "BackstopFund": fund_address,
    }
    system = System(twin, tuple(specs), decimals, house, fund, prices, orders, token, addresses)
    system.must("wire", GOVERNOR, engine, fund_address)
    for filler in (orders_address, fund_address, FILLER):
        system.must("set_filler", GOVERNOR, filler, True)
    twin.call("PriceOracle", "set_reporter", GOVERNOR, house_address)
    for market, spec in enumerate(specs):
        for i in range(spec.n_feeds):
            name = system.feed_name(market, i)
            description = f"{spec.name} / USD"
            address = put("MockFeed", spec.feed_decimals, description, label=name)
            contracts[address] = MockFeed(world, spec.feed_decimals, description, name)
            twin.bind(contracts[address], name, address)
        outcome = twin.call("PriceOracle", "set_feeds", GOVERNOR, market, *system.feed_args(market))
        assert outcome.ok, outcome.reason
        system.set_price(market, spec.price)
        system.must(
            "add_market",
            GOVERNOR,
            market,
            spec.risk.pack(),
            spec.limits.pack(),
            spec.price,
            policies[spec.policy],
        )
    return system
