"""Defaults: receipts that stay open, netting, wiped positions, policies that answer badly."""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import Scene
from scripts.branches.stops.policies import EMPTY_BANDS, GREEDY, REPEATS, SILENT, ZERO_CAPS, Choosy, Rotten, plug_in
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec

HOUSE = "ClearingHouse"
FREE = replace(RISK, taker_fee=0)
FINE = replace(LIMITS, lot_exp=0, min_size=c.DUST_SIZE + 1, rank=c.RANK_SINGLE)


def plain(name: str, price: int = 100 * WAD, rank: int = c.RANK_SINGLE, **more: object) -> MarketSpec:
    """A market without fees or interval, where sizes may be a few wei."""
    return MarketSpec(name, price, FREE, replace(FINE, rank=rank), feed_decimals=18, width_bps=0, **more)  # type: ignore[arg-type]


def ladder(chain: CoverageChain, rungs: int, markets: int = 1, more: int = 4) -> Scene:
    """Account 0 is long one unit against each of ``rungs`` shorts that entered at rising prices, then it is bankrupt.

    Account 1 has nothing, accounts 2 … ``more`` are rich; the rungs come after them.
    """
    specs = [plain(f"L{m}", rank=c.RANK_PROFIT) for m in range(markets + 1)]
    scene = Scene(chain, *specs, traders=1 + more + rungs, seconds=1)
    scene.deposit(0, 12 * rungs * 100 * markets)
    for k in range(2, 1 + more):
        scene.rich(k, money=10**6)
    for i in range(rungs):
        scene.deposit(1 + more + i, 2_000 * 100 * markets)
        for market in range(markets):
            scene.at(market, scene.prices[market] * 1_015 // 1_000, 900)
        for market in range(markets):
            scene.open(market, 0, 1 + more + i, WAD)
    return scene


def open_receipt(chain: CoverageChain) -> int:
    """While a walk takes three calls, nearly everything around it is refused."""
    scene = ladder(chain, 70, more=5)
    victim, other, newcomer, idle = (scene.accounts[k] for k in (0, 1, 2, 3))
    for _ in range(2):
        scene.at(1, 100 * WAD)
        scene.set_price(0, scene.prices[0])
    scene.deposit(1, 6_000)
    scene.open(0, 1, 3, 5 * WAD)
    rung = scene.accounts[6]
    # somebody is bankrupt and somebody unhealthy in the market beside it
    scene.rich(4, money=10_000)
    worse, weak = scene.accounts[5], scene.accounts[-2]
    for account, size in ((worse, 25_500), (weak, 48)):
        args = (1, account, scene.accounts[4], size * WAD, scene.prices[1], 0)
        scene.done(HOUSE, "fill", FILLER, *args)
    for _ in range(2):
        scene.at(1, 60 * WAD)
        scene.at(0, 20 * WAD)
    while not scene.ask("Lens", "account", weak)[3]:
        scene.at(1, scene.prices[1] * 997 // 1_000)
        scene.set_price(0, 20 * WAD)
    scene.ask("Lens", "preview_resolve", victim)
    assert not scene.done(HOUSE, "resolve", KEEPER, victim, ()).value, "the walk was to be cut short"
    scene.ask("Lens", "account", rung)
    scene.refused("ledger: receipt open", HOUSE, "settle", KEEPER, victim, 0)
    scene.refused("ledger: receipt open", HOUSE, "rerank", KEEPER, victim, 1)
    scene.refused("market: receipt open", HOUSE, "rerank", KEEPER, rung, 0)
    scene.refused("market: receipt open", HOUSE, "take_over", KEEPER, rung, 0)
    scene.refused("ledger: receipt open", HOUSE, "fill", FILLER, 1, victim, scene.accounts[4], WAD, scene.prices[1], 0)
    scene.refused("market: receipt open", HOUSE, "fill", FILLER, 0, rung, idle, WAD, scene.prices[0], 0)
    scene.refused("ledger: closed to newcomers", HOUSE, "fill", FILLER, 1, newcomer, idle, WAD, scene.prices[1], 0)
    scene.refused("market: receipt open", HOUSE, "liquidate", scene.owner(3), rung, 0, idle, WAD)
    scene.refused("ledger: receipt open", HOUSE, "liquidate", scene.owner(0), weak, 1, victim, WAD)
    scene.refused("market: receipt open", HOUSE, "set_policy", GOVERNOR, 0, scene.system.addresses["ProRata"])
    scene.refused("rebase: receipt open", HOUSE, "rebase_claims", KEEPER)
    scene.refused("market: receipt open", HOUSE, "resolve", KEEPER, other, ())
    scene.refused("market: receipt open", HOUSE, "resolve", KEEPER, other, (worse,))
    scene.step(HOUSE, "resolve", KEEPER, worse, (victim, weak), acted=scene.accounts)
    scene.refused("ledger: locked", HOUSE, "withdraw", scene.owner(6), rung, 1, scene.owner(6))
    scene.done(HOUSE, "deposit", scene.owner(0), victim, 1)
    second = scene.accounts[len(scene.traders)]
    scene.done(HOUSE, "deposit", scene.owner(0), second, 10)
    scene.done(HOUSE, "transfer", scene.owner(0), second, victim, 1)
    for account in (victim, rung, idle):
        scene.ask("Lens", "account", account)
    scene.ask("Lens", "preview_resolve", victim)
    scene.denied("market: receipt open", "Lens", "preview_resolve", other)
    assert not scene.done(HOUSE, "resolve", KEEPER, victim, ()).value, "70 rungs take three calls"
    assert scene.done(HOUSE, "resolve", KEEPER, victim, ()).value
    scene.finish()
    return scene.calls


def one_band_at_a_time(chain: CoverageChain) -> int:
    """A policy that names one band an answer is asked as often as bands may be used at most."""
    scene = ladder(chain, 34)
    plug_in(scene, 0, Rotten(GREEDY))
    scene.at(0, 20 * WAD)
    scene.ask("Lens", "preview_resolve", scene.accounts[0])
    assert not scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ()).value
    return scene.calls


def more_cuts_than_are_listed(chain: CoverageChain) -> int:
    """Three legs against 22 bands each: the preview counts all and lists 64."""
    scene = ladder(chain, 22, markets=3)
    for _ in range(2):
        for market in range(3):
            scene.at(market, 20 * WAD)
    preview = scene.ask("Lens", "preview_resolve", scene.accounts[0])
    assert (preview[9], len(preview[11])) == (66, 64)
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    return scene.calls


def rotten_policies(chain: CoverageChain) -> int:
    """Bands that are not there, nothing of any, too little of all: refused, and the preview says so too."""
    scene = ladder(chain, 4)
    victim = scene.accounts[0]
    scene.at(0, 20 * WAD)
    scene.at(0, 20 * WAD)
    for mode, reason in {
        SILENT: "resolve: empty plan",
        EMPTY_BANDS: "resolve: empty plan",
        ZERO_CAPS: "resolve: plan too small",
        REPEATS: "resolve: plan too small",
    }.items():
        plug_in(scene, 0, Rotten(mode))
        scene.denied(reason, "Lens", "preview_resolve", victim)
        scene.refused(reason, HOUSE, "resolve", KEEPER, victim, ())
    # a few wei less than asked are the house's
    plug_in(scene, 0, Choosy(5, True))
    scene.ask("Lens", "preview_resolve", victim)
    scene.done(HOUSE, "resolve", KEEPER, victim, ())
    return scene.calls


def nobody_eligible(chain: CoverageChain) -> int:
    """Two legs, and no band of either is eligible: the deficit stays shared by maintenance."""
    scene = ladder(chain, 2, markets=2)
    for market in range(2):
        plug_in(scene, market, Choosy(0, False))
    for _ in range(2):
        for market in range(2):
            scene.at(market, 20 * WAD)
    scene.ask("Lens", "preview_resolve", scene.accounts[0])
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    return scene.calls


def a_few_wei_left(chain: CoverageChain) -> int:
    """A policy that leaves a few wei of a leg: the house takes a long's, and has none to give to a short."""
    for is_long in (True, False):
        scene = Scene(chain, plain("A"), plain("B"), traders=6, seconds=1)
        scene.rich(1, 2, 3)
        scene.deposit(0, 30_000)
        for market in range(2):
            buyer, seller = (0, 1) if is_long else (1, 0)
            scene.open(market, buyer, seller, 50 * WAD)
        plug_in(scene, 0, Choosy(5, True))
        for market in range(2):
            scene.at(market, (90 if is_long else 110) * WAD)
        for market in range(2):
            scene.at(market, (90 if is_long else 110) * WAD)
        if is_long:
            scene.ask("Lens", "preview_resolve", scene.accounts[0])
            scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
        else:
            # the house has no residue to take a short's few wei from
            assert not scene.step(HOUSE, "resolve", KEEPER, scene.accounts[0], ()).ok
            # the Lens refuses as well, though for a reason of its own
            assert not chain.simulate(KEEPER, scene.address("Lens"), "preview_resolve", scene.accounts[0]).ok
        scene.finish()
    return scene.calls


def netting(chain: CoverageChain) -> int:
    """Eight others at once: bankrupt or not, opposite or not, a few wei apart; frozen markets are left alone."""
    calls = 0
    for sign in (1, -1):
        scene = Scene(chain, plain("A"), plain("B"), plain("C"), traders=12, seconds=1)
        scene.rich(10, 11)
        big, small = 20 * WAD, 20 * WAD - 3

        def side(market: int, who: int, size: int, scene: Scene = scene) -> None:
            if size > 0:
                scene.open(market, who, 10, size)
            else:
                scene.open(market, 11, who, -size)

        for who in range(8):
            scene.deposit(who, 25_000)
        side(0, 0, sign * big)  # against 1, who has three wei less
        side(0, 1, -sign * small)
        side(0, 2, sign * big)  # same side
        side(0, 3, -sign * WAD)  # healthy
        side(0, 4, -sign * 2 * big)
        for who in (0, 1, 2, 4):
            side(1, who, 50 * WAD)  # what makes them bankrupt
        side(2, 0, WAD)
        scene.at(1, 88 * WAD)
        scene.at(1, 88 * WAD)
        for market in (0, 2):
            scene.at(market, 100 * WAD, 1)
        scene.ask("Lens", "preview_resolve", scene.accounts[0])
        # market 2 freezes: its leg is neither netted nor closed
        for feed in range(3):
            scene.feed(2, feed, "set_mode", 1)
        scene.at(2, 100 * WAD)
        for market in (0, 1):
            scene.at(market, scene.prices[market], 1)
        scene.ask("Lens", "preview_resolve", scene.accounts[0])
        scene.ask("Lens", "account", scene.accounts[0])
        others = tuple(scene.accounts[k] for k in (2, 3, 0, 1, 5, 6, 7, 4))
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], others)
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[2], (scene.accounts[4],))
        for who in range(8):
            scene.ask("Lens", "account", scene.accounts[who])
        scene.finish()
        calls += scene.calls
    return calls


def inherited(chain: CoverageChain) -> int:
    """A bankrupt is netted against the fund's inventory first, and the preview knows what that leaves of the bands."""
    calls = 0
    for rank in (c.RANK_SINGLE, c.RANK_PROFIT):
        for sign in (1, -1):
            for share in (1, 2, 3):
                scene = Scene(chain, plain("A", rank=rank), traders=5, seconds=1)
                scene.rich(1, 2, 3)
                scene.deposit(0, 500 * share * 100)
                bucket = scene.bucket(0)
                scene.fund("deposit", 0, 0, 10**9)
                scene.done("BackstopFund", "set_cap", GOVERNOR, 0, 10**7 * WAD)
                scene.done("BackstopFund", "top_up", KEEPER, 0, 10**4 * WAD, acted=(bucket, scene.treasury))
                sides = (bucket, scene.accounts[1]) if sign > 0 else (scene.accounts[1], bucket)
                args = (0, *sides, 20 * WAD, scene.prices[0], 0)
                scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[1]))
                if rank == c.RANK_PROFIT:
                    scene.at(0, (100 + sign * 10) * WAD)
                buyer, seller = (2, 0) if sign > 0 else (0, 2)
                scene.open(0, buyer, seller, 10 * share * WAD)
                for _ in range(2):
                    scene.at(0, (100 + sign * 75) * WAD)
                scene.ask("Lens", "preview_resolve", scene.accounts[0])
                scene.ask("Lens", "account", bucket)
                scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
                scene.ask("Lens", "coverage", 0)
                scene.finish()
                calls += scene.calls
    return calls


def wiped_while_bankrupt(chain: CoverageChain) -> int:
    """A bankrupt whose only leg another default has closed: nothing to take over, then flat and below zero."""
    scene = Scene(chain, plain("A"), plain("B"), traders=8, seconds=1)
    scene.rich(2, 3, 4, 5)
    scene.deposit(0, 30_000)
    scene.deposit(1, 300_000)
    scene.open(0, 0, 1, 100 * WAD)
    scene.open(1, 1, 2, 500 * WAD)
    scene.at(0, 95 * WAD)
    scene.at(1, 90 * WAD)
    scene.at(0, 95 * WAD)
    scene.at(1, 90 * WAD)
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[1], ())
    wiped = scene.accounts[0]
    for function in ("account", "preview_resolve"):
        scene.ask("Lens", function, wiped)
    scene.refused("backstop: no position", HOUSE, "take_over", KEEPER, wiped, 0)
    scene.refused("settle: no position", HOUSE, "rerank", KEEPER, wiped, 0)
    # others trade on; one of them is bankrupt, and the wiped one is no counterpart
    scene.deposit(6, 30_000)
    scene.step(HOUSE, "rebase_claims", KEEPER)
    scene.open(0, 6, 3, 100 * WAD)
    for _ in range(2):
        scene.at(0, 90 * WAD)
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[6], (wiped,))
    mark = scene.mark()
    scene.done(HOUSE, "resolve", KEEPER, wiped, ())
    scene.restart(mark)
    scene.done(HOUSE, "settle", KEEPER, wiped, 0)
    for function in ("account", "preview_resolve"):
        scene.ask("Lens", function, wiped)
    scene.done(HOUSE, "resolve", KEEPER, wiped, ())
    scene.refused("resolve: not bankrupt", HOUSE, "resolve", KEEPER, wiped, ())
    scene.finish()
    return scene.calls


def buckets_inherit(chain: CoverageChain) -> int:
    """One bucket takes over longs and shorts: it grows, shrinks, goes flat, and changes sides."""
    wide = replace(plain("WIDE"), width_bps=500)
    scene = Scene(chain, plain("A"), wide, traders=12, seconds=1)
    scene.rich(11)
    scene.fund("deposit", 0, 0, 10**9)
    for market in range(2):
        scene.done("BackstopFund", "set_cap", GOVERNOR, market, 10**7 * WAD)
        bucket = (scene.bucket(market), scene.treasury)
        scene.done("BackstopFund", "top_up", KEEPER, market, 10**4 * WAD, acted=bucket)
    sizes = (10, 10, -4, -16, -10, -5, 20)
    for who, size in enumerate(sizes):
        scene.rest(0, 100 * WAD)
        scene.deposit(who, 21 * abs(size) * 10)
        buyer, seller = (who, 11) if size > 0 else (11, who)
        scene.open(0, buyer, seller, abs(size) * WAD)
        scene.at(0, 100 * WAD - (18 * WAD // 10 if size > 0 else -18 * WAD // 10), 61)
        scene.done(HOUSE, "take_over", KEEPER, scene.accounts[who], 0)
    scene.refused("backstop: own account", HOUSE, "take_over", KEEPER, scene.bucket(0), 0)
    scene.refused("release: fund bucket", HOUSE, "release", KEEPER, scene.bucket(1))
    # solvent at the edge that favours it, insolvent at the index
    scene.rest(1, 100 * WAD)
    scene.set_price(0, scene.prices[0])
    scene.deposit(8, 7_200)
    scene.open(1, 8, 11, 10 * WAD)
    scene.at(1, 88_667 * WAD // 1_000)
    scene.refused("margin: insolvent at index", HOUSE, "take_over", KEEPER, scene.accounts[8], 1)
    scene.finish()
    return scene.calls


def settlement_needed(chain: CoverageChain) -> int:
    """Winners who left before the loss was recognised: too little is left to cut, or nothing at all."""
    calls = 0
    for some in (False, True):
        scene = Scene(chain, plain("A"), traders=5, seconds=1)
        scene.rich(2, 3)
        scene.deposit(0, 20_000)
        scene.deposit(1, 20_000)
        scene.open(0, 0, 1, 50 * WAD)
        scene.rest(0, 50 * WAD)
        scene.deposit(4, 20_000)
        scene.open(0, 1, 4, 50 * WAD)
        scene.at(0, 50 * WAD, 61)
        scene.done(HOUSE, "release", KEEPER, scene.accounts[1])
        preview = scene.ask("Lens", "preview_resolve", scene.accounts[0])
        domain = scene.system.clearing_house.load_globals_words()
        if some:
            wanted = preview[7] // 3_000 - domain.exposed
            scene.done(HOUSE, "deposit", scene.owner(4), scene.accounts[4], wanted)
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
        scene.refused("rebase: settlement needed", HOUSE, "rebase_claims", KEEPER)
        listing = (1, RISK.pack(), LIMITS.pack(), WAD, scene.system.addresses["ProRata"])
        scene.refused("ledger: closed to newcomers", HOUSE, "add_market", GOVERNOR, *listing)
        poor = scene.accounts[len(scene.traders)]
        scene.done(HOUSE, "deposit", scene.owner(0), poor, 1)
        scene.refused("ledger: insufficient cash", HOUSE, "repay_bad_debt", scene.owner(0), poor, WAD)
        scene.finish()
        calls += scene.calls
    return calls


def bucket_in_receipt(chain: CoverageChain) -> int:
    """A bucket's own default takes two calls; fees still come to it meanwhile."""
    scene = Scene(chain, plain("A", rank=c.RANK_PROFIT), traders=36, seconds=1)
    bucket = scene.bucket(0)
    scene.fund("deposit", 0, 0, 10**6)
    scene.done("BackstopFund", "set_cap", GOVERNOR, 0, 10**6 * WAD)
    scene.done("BackstopFund", "top_up", KEEPER, 0, 400 * WAD, acted=(bucket, scene.treasury))
    for who in range(36):
        scene.deposit(who, 200_000)
        scene.at(0, scene.prices[0] * 1_015 // 1_000, 900)
        args = (0, bucket, scene.accounts[who], WAD, scene.prices[0], 0)
        scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[who]))
    for _ in range(2):
        scene.at(0, 20 * WAD)
    assert not scene.done(HOUSE, "resolve", KEEPER, bucket, ()).value
    scene.done(HOUSE, "sweep_fees", KEEPER, 0)
    assert scene.done(HOUSE, "resolve", KEEPER, bucket, ()).value
    scene.finish()
    return scene.calls
