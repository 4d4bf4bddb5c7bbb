"""Regimes: what a campaign steers a walk into, and by what it is seen to have been there.

A regime is data: a deployment, a mix of moves (methods of :class:`scripts.campaign.steering.Steering`), sizes, price
moves and pauses, and ``needs``: how often which mark of a walk (its judge's marks, and "reason: …" for refusals) must
have been counted. Coverage is measured by the needs over every walk, whichever regime steered it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from python_ref import constants as c
from python_ref.oracle_words import Rules
from scripts.campaign.setup import ALT, FIRST_QUOTE, MAJOR, OFF, SPECS, USD, Setup, with_oracle
from scripts.system import LIMITS, RISK, WAD, MarketSpec

CALM = (-60, -25, -10, -5, 5, 10, 25, 60)
ROUGH = (-2_510, -900, -300, -150, -80, -10, 10, 80, 150, 300, 900, 2_600)

BASE: dict[str, float] = {
    "trade": 30,
    "close": 8,
    "rest": 0.6,
    "take": 1.2,
    "cross": 0.6,
    "drift": 9,
    "deposit": 4,
    "withdraw": 3,
    "transfer": 1,
    "grind": 2,
    "dump": 0.5,
    "press": 3,
    "bust": 1,
    "crash": 0.5,
    "clean": 3,
    "rebase": 0.5,
    "sweep": 2,
    "repay": 0.5,
    "release": 2,
    "settle": 2,
    "rerank": 2,
    "fund": 3,
    "take_over": 0.3,
    "inherit": 0.3,
    "govern": 0.4,
    "set_policy": 0.3,
    "operate": 0.5,
    "trespass": 0.7,
    "blunder": 2,
    "nurse": 3,
    "refeed": 0.1,
    "tighten_rules": 0.1,
}
"""Weights of the moves that every regime mixes in unless it says otherwise."""


def mix(**weights: float) -> dict[str, float]:
    """The base with other weights."""
    return {**BASE, **weights}


def only(**weights: float) -> dict[str, float]:
    """A tenth of the base, and these."""
    return {**{name: weight / 10 for name, weight in BASE.items()}, **weights}


@dataclass(frozen=True)
class Regime:
    """One profile; amounts of ``purse`` in units of money, ``load`` in percent of the room that margin leaves."""

    name: str
    about: str
    needs: Mapping[str, int]
    mix: Mapping[str, float] = field(default_factory=lambda: dict(BASE))
    setup: Setup = field(default_factory=Setup)
    traders: int = 7
    seconds: int = 2
    purse: tuple[int, ...] = (3_000, 10_000)
    treasury: int = 20_000
    load: tuple[int, ...] = (2, 5, 15, 40, 80, 95, 130)
    moves_bps: tuple[int, ...] = ROUGH
    pauses: tuple[int, ...] = (1, 5, 13, 60, 61, 600)
    haste: float = 0.35
    """Share of the moves before which time passes."""
    long_lived: bool = False
    """Where the exact ledger's fractions grow too long, its deployment goes on without it instead of ending."""
    decimals: int | None = None
    """Fixed where the regime is about them; else campaigns rotate."""
    own_oracle: bool = False
    """Feeds and rules are those of the set-up, because the regime is about them; else campaigns rotate."""

    def reached(self, tally: Mapping[str, int]) -> bool:
        """Whether a walk with these counts has been in the regime."""
        return all(tally.get(mark, 0) >= count for mark, count in self.needs.items())

    def missing(self, tally: Mapping[str, int]) -> dict[str, int]:
        """What a walk with these counts lacks, with how much of it."""
        return {mark: count - tally.get(mark, 0) for mark, count in self.needs.items() if tally.get(mark, 0) < count}


def _adl(policy: str, rank: str, count: int = 1) -> dict[str, int]:
    return {f"adl: {policy} by {rank}, {side}": count for side in ("longs", "shorts")}


FINE = replace(LIMITS, lot_exp=0, min_size=c.DUST_SIZE + 1)
"""Limits that let positions be a few wei."""

CRUMBLING = Setup(
    specs=(
        MarketSpec(
            "SINGLE", 100 * WAD, replace(RISK, taker_fee=0), replace(FINE, rank=c.RANK_SINGLE), policy="ProRata"
        ),
        MarketSpec("COARSE", 2 * WAD, RISK, replace(FINE, rank=c.RANK_LEVERAGE, octave_bits=0)),
        MarketSpec("ENTRY", WAD // 5, RISK, replace(FINE, rank=c.RANK_PROFIT, octave_bits=0)),
    )
)
WIDE = Setup(
    specs=(
        MarketSpec("LEVER", 2 * WAD, RISK, replace(LIMITS, rank=c.RANK_LEVERAGE, octave_bits=6)),
        MarketSpec("ENTRY", 50 * WAD, RISK, replace(LIMITS, rank=c.RANK_PROFIT, octave_bits=6)),
    )
)
MONEY = {"event:ClearingHouse.Deposited": 10, "event:ClearingHouse.Withdrawn": 3, "event:ClearingHouse.Released": 1}

REGIMES: tuple[Regime, ...] = (
    Regime(
        "trading",
        "healthy books: small moves, funding, fees, labels that get safer",
        {
            "event:ClearingHouse.Traded": 100,
            "event:ClearingHouse.FundingAccrued": 30,
            "event:ClearingHouse.FeesSwept": 2,
            "event:ClearingHouse.Reranked": 2,
        },
        mix(trade=45, close=12, press=0, bust=0, crash=0, grind=0.5),
        moves_bps=CALM,
        load=(2, 5, 15, 40),
    ),
    Regime(
        "grind",
        "one small step against somebody after another, each followed by partial liquidations",
        {"liquidation: part": 10, "liquidation: whole": 2},
        only(trade=20, grind=12, press=6, deposit=4, drift=2, sweep=1, clean=1),
        load=(40, 80, 95, 95, 130),
        moves_bps=CALM,
    ),
    Regime(
        "cascade",
        "one jump that bankrupts several at once",
        {"receipt: third of a second": 1, "receipt: several legs": 1},
        only(trade=25, crash=5, deposit=5, clean=1, fund=1),
        traders=12,
        load=(80, 95, 95),
    ),
    Regime(
        "fund_exhausted",
        "defaults that nobody covers",
        {"receipt: fund empty": 3, "receipt: booked": 1},
        only(trade=22, bust=4, crash=2, deposit=5, clean=2, fund=0),
        treasury=0,
        load=(80, 95, 95),
    ),
    Regime(
        "adl_pro_rata",
        "deleveraging of whole sides",
        {**_adl("ProRata", "single", 2), "adl: part of a band": 1},
        only(trade=20, bust=6, deposit=4, clean=1),
        setup=Setup(specs=(SPECS[2], replace(SPECS[0], policy="ProRata"), SPECS[3])),
        load=(40, 80, 95),
    ),
    Regime(
        "adl_leverage",
        "deleveraging by bankruptcy price",
        {**_adl("BandQueue", "leverage", 2), "adl: part of a band": 1},
        only(trade=20, bust=6, deposit=4, clean=1, rerank=2),
        setup=Setup(specs=(SPECS[0], replace(SPECS[3], policy="BandQueue"))),
        load=(15, 40, 80, 95),
    ),
    Regime(
        "adl_profit",
        "deleveraging by entry price",
        {**_adl("BandQueue", "profit", 2), "adl: part of a band": 1},
        only(trade=20, bust=6, deposit=4, clean=1, drift=6),
        setup=Setup(specs=(SPECS[1], replace(SPECS[0], limits=replace(LIMITS, rank=c.RANK_PROFIT)))),
        load=(15, 40, 80, 95),
    ),
    Regime(
        "rebase",
        "losses beyond the cap, money that waits, cuts, and life after them",
        {
            "event:ClearingHouse.Rebased": 3,
            "event:ClearingHouse.LateFolded": 1,
            "event:ClearingHouse.BadDebtRepaid": 1,
            "trade: after a rebase": 30,
            "event:ClearingHouse.Released": 1,
        },
        mix(crash=3, bust=2, rebase=2, deposit=8, repay=2, clean=1),
        treasury=2_000,
        load=(40, 80, 95),
    ),
    Regime(
        "crumbs",
        "bands cut to crumbs and wiped, again and again",
        {"band: scale >= 2": 1, "band: epoch >= 2": 1, "event:ClearingHouse.Settled": 3},
        only(crumble=12, trade=4, close=3, settle=4, clean=1, deposit=2, drift=1),
        setup=CRUMBLING,
        long_lived=True,
    ),
    Regime(
        "worn",
        "one band cut again and again until it takes nobody in",
        {"band: scale > span": 10, "reason: bands: worn out": 1},
        only(wear=10, trade=1),
        setup=CRUMBLING,
        long_lived=True,
    ),
    Regime(
        "extremes",
        "whales beside positions of a few wei",
        {"trade: whale": 10, "trade: speck": 10},
        mix(speck=14, trade=24),
        setup=Setup(specs=(SPECS[3], SPECS[0], replace(SPECS[3], name="FINE", price=WAD // 100))),
        purse=(1, 3_000, 100_000_000),
        treasury=1_000_000,
    ),
    Regime(
        "feeds",
        "feeds that are stale, revert, lie, regress, change phase or scale, and come back",
        {
            **{f"feed: code {code}": 1 for code in range(1, 12)},
            "oracle: degraded": 3,
            "oracle: frozen with positions": 1,
            "state: frozen by quorum": 1,
            "state: live by hold": 1,
            "event:PriceOracle.FeedRecovered": 3,
            "reason: market: frozen": 1,
            "reason: market: not live": 1,
        },
        mix(spoil=14, heal=5, refeed=4),
        pauses=(1, 13, 60, 600, 2_000, 4_000),
    ),
    Regime(
        "breaker",
        "prices that leap, are waited for or confirmed, and creep away from their own past",
        {
            "state: frozen by trip": 3,
            "state: recovery by confirmed": 1,
            "state: recovery by calm": 1,
            "state: degraded by grace": 1,
            "state: degraded by soft": 1,
            "state: live by hold": 1,
            "trade: recovery": 1,
            "reason: market: frozen": 1,
        },
        mix(leap=4, creep=2, nurse=14, drift=6, close=12),
        setup=Setup(specs=(*with_oracle(SPECS[:1], 5, ALT), *with_oracle(SPECS[1:], 3, MAJOR))),
        moves_bps=CALM,
        own_oracle=True,
    ),
    Regime(
        "doubt",
        "liquidations, takeovers and defaults at a price in doubt",
        {
            "trade: degraded": 3,
            "liquidation: degraded": 3,
            "state: degraded by few": 1,
            "reason: liquidation: too soon": 1,
            "reason: market: in recovery": 1,
            "reason: market: not live": 1,
        },
        only(trade=16, doubt=6, halve=5, grind=3, bust=2, inherit=1, nurse=5, heal=3, close=2, deposit=4, clean=1),
        setup=Setup(specs=with_oracle(SPECS, 3, replace(OFF, hold=60, grace=60, calm=13))),
        load=(40, 80, 95),
        moves_bps=CALM,
        own_oracle=True,
    ),
    Regime(
        "quotes",
        "a unit of collateral that loses its par, and an L2 that stands still",
        {
            "state: frozen by quote": 1,
            "state: degraded by quote": 1,
            "state: frozen by sequencer": 1,
            "state: recovery by calm": 1,
        },
        mix(depeg=6, outage=1.5, nurse=12, spoil=1, heal=4),
        setup=Setup(
            specs=(
                *with_oracle(
                    (replace(SPECS[0], rules=Rules(quote=FIRST_QUOTE)), replace(SPECS[2], feed_decimals=18)), 5, ALT
                ),
                *with_oracle((replace(SPECS[1], rules=Rules(quote=FIRST_QUOTE)),), 3, OFF),
            ),
            quotes=with_oracle((USD,), 3, replace(MAJOR, jump=500, calm=13, grace=60)),
            sequencer=True,
        ),
        moves_bps=CALM,
        own_oracle=True,
    ),
    Regime(
        "old",
        "answers that are old but count",
        {"state: degraded by old": 1, "state: live by hold": 1, "state: frozen by quorum": 1},
        mix(doze=8, heal=2),
        setup=Setup(
            specs=tuple(
                replace(spec, max_age_s=7_200, heartbeat_s=300) for spec in with_oracle(SPECS, 3, replace(OFF, hold=30))
            )
        ),
        moves_bps=CALM,
        own_oracle=True,
    ),
    Regime(
        "custody",
        "feeds that die and are replaced, rules that are tightened, books that change feeds in mid-life",
        {
            "event:PriceOracle.FeedsSet": 3,
            "event:PriceOracle.FeedReplaced": 1,
            "event:PriceOracle.RulesTightened": 1,
            "event:PriceOracle.FeedRecovered": 1,
            "reason: oracle: not live": 1,
            "reason: oracle: loosens": 1,
            "reason: oracle: feed answers": 1,
        },
        mix(refeed=8, replace_feed=6, tighten_rules=3, nurse=12, heal=4),
        setup=Setup(specs=(*with_oracle(SPECS[:2], 5, replace(ALT, hold=13)), *with_oracle(SPECS[2:], 7, OFF))),
        moves_bps=CALM,
        own_oracle=True,
    ),
    Regime(
        "settlement",
        "markets that end: positions claimed at the last price, by anybody and in any order",
        {
            "state: settlement by settled": 1,
            "event:ClearingHouse.SettlementOpened": 1,
            "event:ClearingHouse.Claimed": 6,
            "event:ClearingHouse.SettlementClosed": 1,
            "reason: oracle: not settleable": 1,
            "reason: market: settled": 1,
            "reason: margin: frozen": 1,
        },
        mix(end_market=1.2, claim=8, inherit=1, crash=1, withdraw=6, nurse=2),
        setup=Setup(specs=with_oracle(SPECS, 3, replace(OFF, freeze=300))),
        load=(15, 40, 80, 95),
        own_oracle=True,
    ),
    Regime(
        "crowd",
        "two dozen accounts in four markets",
        {"crowd: 20 accounts, 4 markets": 20},
        mix(trade=45),
        traders=24,
        load=(2, 5, 15, 40),
        moves_bps=CALM,
    ),
    Regime(
        "many_markets",
        "accounts with as many legs as they may have",
        {"account: 8 legs": 3, "reason: margin: too many legs": 1, "receipt: several legs": 1},
        only(spread=6, trade=10, close=6, crash=1, bust=2, deposit=4, drift=3),
        setup=Setup(specs=tuple(replace(SPECS[0], name=f"M{i}", price=(1 + i) * WAD) for i in range(9))),
        load=(5, 15, 40),
        purse=(10_000, 30_000),
    ),
    Regime(
        "orders",
        "signed orders: in parts, crossed, cancelled, replayed, expired, superseded, forged",
        {
            "event:Orders.OrderFilled": 20,
            "event:Orders.OrderCancelled": 2,
            "order: filled in parts": 3,
            **{
                f"reason: orders: {reason}": 1
                for reason in ("expired", "filled", "cancelled or superseded", "wrong signer", "prices do not cross")
            },
        },
        only(rest=8, take=24, cross=10, trade=4, cancel=4, forge=6, drift=2, deposit=2),
    ),
    Regime(
        "fund_life",
        "providers come and go, buckets are filled and skimmed, positions taken over and auctioned",
        {
            **{
                f"event:BackstopFund.{name}": 1
                for name in (
                    "Deposited",
                    "WithdrawalRequested",
                    "WithdrawalCancelled",
                    "WithdrawalClaimed",
                    "BucketToppedUp",
                    "BucketSkimmed",
                    "AuctionStarted",
                    "InventorySold",
                )
            },
            "event:ClearingHouse.TakenOver": 2,
            "reason: fund: cooling down": 1,
        },
        only(fund=20, trade=14, take_over=8, inherit=5, auction=6, depart=4, drift=3, deposit=2, clean=1),
        treasury=200_000,
    ),
    Regime(
        "fund_lost",
        "a fund that loses everything begins anew",
        {"fund: epoch ended": 1, "event:BackstopFund.Deposited": 3, "reason: fund: locked": 1},
        only(trade=12, sink=6, fund=8, clean=3, deposit=3),
        setup=Setup(specs=SPECS[:1]),
        purse=(1_000, 3_000),
        treasury=9_000,
        load=(40, 80, 95),
    ),
    Regime(
        "governance",
        "rates, limits and policies that change in mid-life, by hand, by contract, by timelock",
        {
            **{f"event:ClearingHouse.{name}": 2 for name in ("RiskSet", "LimitsSet", "PolicySet")},
            **{
                f"event:Governor.{name}": 1
                for name in ("CallScheduled", "CallExecuted", "CallCancelled", "RiskTightened", "LimitsTightened")
            },
            "reason: governor: too early": 1,
            "reason: fill: open interest cap": 1,
        },
        mix(govern=16, hand_over=3, refeed=2, tighten_rules=1, replace_feed=1),
        load=(5, 15, 40, 80),
    ),
    Regime(
        "operators",
        "others who act for an owner; releases, transfers, withdrawals",
        {
            "event:ClearingHouse.OperatorSet": 3,
            "event:ClearingHouse.Transferred": 3,
            "event:ClearingHouse.Released": 2,
            "event:ClearingHouse.Withdrawn": 5,
            "reason: ledger: not the owner": 1,
            "reason: ledger: not authorised": 1,
            "reason: ledger: in residency": 1,
        },
        mix(operate=14, transfer=8, release=8, withdraw=8, depart=4),
        seconds=7,
        moves_bps=CALM,
    ),
    Regime(
        "receipts",
        "defaults against so many bands that a receipt takes several calls",
        {"receipt: unfinished": 1, "receipt: continued": 1, "reason: market: receipt open": 1},
        only(fan=8, trade=4, close=6, drift=2, clean=1, deposit=2),
        setup=WIDE,
        traders=44,
        seconds=0,
        treasury=0,
        purse=(200, 1_000),
    ),
    *(
        Regime(
            f"decimals_{decimals}",
            f"a token of {about}",
            {f"decimals: {decimals}": 10, **MONEY},
            mix(withdraw=6, release=6, depart=3),
            decimals=decimals,
        )
        for decimals, about in (
            (0, "a token of whole units"),
            (8, "a token of 8 decimals"),
            (18, "a token of 18 decimals"),
        )
    ),
)
BY_NAME = {regime.name: regime for regime in REGIMES}
"""Every regime by its name."""

DECIMALS = (6, 18, 8, 0)
"""Of the collateral token, in the order in which campaigns rotate through them."""

ORACLES = ((3, OFF), (5, ALT), (7, OFF), (3, MAJOR), (5, OFF), (7, ALT))
"""Feeds of a market and the rules by which it judges them, in the order in which campaigns rotate through them."""


def varied(regime: Regime, turn: int) -> Setup:
    """The regime's set-up when it comes up for the ``turn``-th time."""
    setup = replace(
        regime.setup, decimals=DECIMALS[turn % len(DECIMALS)] if regime.decimals is None else regime.decimals
    )
    if regime.own_oracle:
        return setup
    n_feeds, rules = ORACLES[turn % len(ORACLES)]
    return replace(setup, specs=with_oracle(setup.specs, n_feeds, rules))
