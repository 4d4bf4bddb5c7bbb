"""What people may do in a market whose price is in doubt, and how a market ends."""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import Scene
from scripts.branches.stops.defaults import ladder, plain
from scripts.branches.stops.prices import judged
from scripts.campaign.setup import OFF
from scripts.campaign.walk import PROVIDERS, STRANGER
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD

HOUSE, ORACLE, FUND = "ClearingHouse", "PriceOracle", "BackstopFund"


def fail(scene: Scene, market: int, count: int) -> None:
    """The first ``count`` feeds of a market die, and that is seen."""
    for name in scene.sources(market)[:count]:
        scene.source(name, "set_mode", FEED_REVERT)
    scene.advance(13)
    for book in range(scene.n_markets):
        if book != market:
            scene.set_price(book, scene.prices[book])
    scene.poke(market)


def heal(scene: Scene, market: int) -> None:
    """They answer again."""
    for name in scene.sources(market):
        scene.source(name, "set_mode", FEED_NORMAL)
    scene.at(market, scene.prices[market], 1)


def stocked(scene: Scene, market: int = 0) -> bytes:
    """The market's bucket with money."""
    scene.done(FUND, "set_cap", GOVERNOR, market, 10**6 * WAD)
    scene.fund("deposit", 0, 0, 2_000_000)
    scene.fund("top_up", 0, market, 500_000)
    return scene.bucket(market)


def trade(scene: Scene, market: int, account: bytes, other: bytes, size: int) -> None:
    """A trade that goes through, of accounts by their ids; ``account`` buys a positive size."""
    sides = (account, other) if size > 0 else (other, account)
    args = (market, *sides, abs(size), scene.prices[market], 0)
    scene.done(HOUSE, "fill", FILLER, *args, acted=sides)


def in_doubt(chain: CoverageChain) -> int:
    """Half at a time, at half the penalty, by somebody who reduces; nothing at all on the way back from a freeze."""
    calls = 0
    for sign in (1, -1):
        specs = judged(replace(OFF, calm=13, grace=600), "A", "B")
        # the second time round the labels are whole octaves of the bankruptcy price
        labels = {} if sign > 0 else {"rank": c.RANK_LEVERAGE, "octave_bits": 0}
        limits = replace(specs[0].limits, min_size=c.DUST_SIZE + 2, **labels)
        risk = replace(specs[0].risk, depth=10**12)
        scene = Scene(chain, replace(specs[0], limits=limits, risk=risk), specs[1], traders=9, seconds=1)
        scene.rich(1, 2)
        bucket = stocked(scene)
        # dust above the half, a position no larger than the least, one of an odd size
        least = scene.limits(0).min_size
        for who, size in ((0, 10 * WAD), (3, least), (4, 2 * c.DUST_SIZE + 1), (5, 10 * WAD + 1)):
            owner, account = scene.owner(who), scene.accounts[who]
            scene.done(HOUSE, "deposit", owner, account, size * 215 // 100, acted=(account,))
            trade(scene, 0, scene.accounts[who], scene.accounts[1], sign * size)
        scene.deposit(6, 30_000)
        trade(scene, 0, scene.accounts[6], scene.accounts[1], sign * WAD)
        trade(scene, 1, scene.accounts[6], scene.accounts[1], WAD)
        trade(scene, 0, bucket, scene.accounts[1], sign * WAD)
        scene.done(FUND, "request_withdrawal", PROVIDERS[0], WAD)
        scene.advance(scene.setup.cooldown_s)
        for market in range(2):
            scene.set_price(market, scene.prices[market])
        fail(scene, 0, 1)
        scene.at(0, 100 * WAD + sign * 20 * WAD, 1)
        for who in (6, 1):
            for amount in (1, 10**6 * WAD):
                args = (scene.accounts[who], amount, scene.owner(who))
                scene.step(HOUSE, "withdraw", scene.owner(who), *args, acted=(scene.accounts[who],))
        scene.at(0, (98_050 if sign > 0 else 101_950) * WAD // 1_000, 1)
        for call in (("skim", GOVERNOR, 0, WAD), ("top_up", KEEPER, 0, WAD), ("claim_withdrawal", PROVIDERS[0])):
            scene.refused("fund: market not live", FUND, *call)
        risk, limits, policy = scene.risk(0), scene.limits(0), scene.system.addresses["ProRata"]
        for function, word in (
            ("set_risk", replace(risk, initial=risk.initial - 1).pack()),
            ("set_risk", replace(risk, maintenance=risk.maintenance - 1).pack()),
            ("set_risk", replace(risk, penalty=risk.penalty + 1).pack()),
            ("set_risk", replace(risk, target=risk.target + 1).pack()),
            ("set_risk", replace(risk, backstop=risk.backstop + 1).pack()),
            ("set_risk", replace(risk, depth=0).pack()),
            ("set_risk", replace(risk, depth=risk.depth + 1).pack()),
            ("set_limits", replace(limits, oi_cap=limits.oi_cap + 1).pack()),
            ("set_limits", replace(limits, min_size=limits.min_size - 1).pack()),
            ("set_limits", replace(limits, lot_exp=1).pack()),
            ("set_policy", policy),
        ):
            scene.refused("admin: not live", HOUSE, function, GOVERNOR, 0, word)
        stricter = replace(risk, initial=risk.initial + 1, maintenance=risk.maintenance + 1, depth=10**9)
        scene.done(HOUSE, "set_risk", GOVERNOR, 0, stricter.pack())
        scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(limits, oi_cap=limits.oi_cap - 1).pack())

        def take(who: int, reason: str | None, size: int = 2**100, by: int = 1, scene: Scene = scene) -> None:
            args = (scene.accounts[who], 0, scene.accounts[by], size)
            if reason is None:
                scene.done(HOUSE, "liquidate", scene.owner(by), *args)
            else:
                scene.refused(reason, HOUSE, "liquidate", scene.owner(by), *args)

        take(0, None, least, by=2)
        take(0, None)
        take(0, "liquidation: too soon")
        batch = (scene.accounts[0], scene.accounts[5]), 0, scene.accounts[1], WAD
        scene.done(HOUSE, "liquidate_batch", scene.owner(1), *batch)
        for who in (3, 4):
            scene.step(HOUSE, "liquidate", scene.owner(1), scene.accounts[who], 0, scene.accounts[1], 2**100,
                       acted=scene.accounts)  # fmt: skip
        scene.at(0, (98_000 if sign > 0 else 102_000) * WAD // 1_000, 61)
        take(0, None, size=3)
        fail(scene, 0, 2)
        take(0, "market: frozen")
        for name in scene.sources(0):
            scene.source(name, "set_mode", FEED_NORMAL)
        for _ in range(3):
            scene.at(0, scene.prices[0], 13)
        assert scene.state(0) == c.STATE_RECOVERY, scene.state(0)
        take(0, "market: in recovery")
        scene.refused("market: in recovery", HOUSE, "take_over", KEEPER, scene.accounts[0], 0)
        buyer, seller = (scene.accounts[1], scene.accounts[0]) if sign > 0 else (scene.accounts[0], scene.accounts[1])
        scene.done(HOUSE, "fill", FILLER, 0, buyer, seller, WAD, scene.prices[0], 3)
        scene.at(1, scene.prices[1], 61)
        scene.refused("margin: frozen", HOUSE, "withdraw", scene.owner(1), scene.accounts[1], 1, scene.owner(1))
        scene.refused("margin: frozen", HOUSE, "fill", FILLER, 1, scene.accounts[1], scene.accounts[2], WAD,
                      scene.prices[1], 0)  # fmt: skip
        for who in range(8):
            scene.ask("Lens", "account", scene.accounts[who])
        scene.finish()
        calls += scene.calls
    return calls


def ended_with_crumbs(chain: CoverageChain) -> int:
    """Bands that a default has cut end in crumbs; positions that it has wiped are claimed, too; the bucket is poor."""
    spec = plain("A", rank=c.RANK_PROFIT)
    high = replace(spec, limits=replace(spec.limits, octave_bits=6), rules=replace(OFF, freeze=60))
    calls = 0
    for longs, lost in (
        (((2, 3 * 10**9 + 1), (3, 6 * 10**9 + 7)), 10**9 + 7),
        (((2, 3 * 10**9), (3, 3 * 10**9)), 6 * 10**9),
        (((2, c.DUST_SIZE + 1), (6, c.DUST_SIZE + 1)), c.DUST_SIZE + 1),
    ):
        deep = replace(plain("B"), risk=replace(plain("B").risk, depth=10**12))
        scene = Scene(chain, high, deep, traders=9, seconds=1)
        scene.rich(1, 2, 3, 4)
        # entries beyond the last label: two octaves above the anchor
        for _ in range(3):
            scene.at(0, 500 * WAD, 3_000)
        scene.set_price(1, 100 * WAD)
        scene.deposit(0, 3_000)
        scene.done(HOUSE, "deposit", scene.owner(6), scene.accounts[6], 3 * 10**7, acted=(scene.accounts[6],))
        for who, size in longs:
            trade(scene, 0, scene.accounts[who], scene.accounts[1], size)
        # somebody is short and fails: the longs are cut, wiped, or cut to less than what counts
        scene.done(HOUSE, "deposit", scene.owner(5), scene.accounts[5], lost * 12, acted=(scene.accounts[5],))
        buyer = scene.accounts[1]
        trade(scene, 0, buyer, scene.accounts[5], lost)
        bucket = stocked(scene, 1)
        trade(scene, 1, bucket, scene.accounts[4], WAD)
        # of the least sizes a long fails first: both shorts are cut, and the other fails after it
        for who, price in ((6, 300), (5, 1_500)) if lost == c.DUST_SIZE + 1 else ((5, 520),):
            for _ in range(2):
                scene.at(0, price * WAD)
            scene.step(HOUSE, "resolve", KEEPER, scene.accounts[who], ())
        scene.set_price(1, 100 * WAD)
        scene.step(HOUSE, "rebase_claims", KEEPER)
        for name in scene.sources(0):
            scene.source(name, "set_mode", FEED_REVERT)
        scene.advance(13)
        scene.poke(0)
        scene.done(ORACLE, "settle", GOVERNOR, 0)
        scene.refused("market: not listed", HOUSE, "claim", STRANGER, scene.accounts[1], 16)
        for who in (1, 3, 4, 5, 6, 2, 2):
            scene.step(HOUSE, "claim", STRANGER, scene.accounts[who], 0)
        scene.finish()
        calls += scene.calls
    return calls


def ended_poor(chain: CoverageChain) -> int:
    """Whoever claims below zero is paid for by the bucket as far as it goes, itself included; the rest is bad debt."""
    calls = 0
    for sign in (1, -1):
        scene = Scene(chain, *judged(replace(OFF, freeze=60), "A", "B"), traders=6, seconds=1)
        scene.rich(1, 2)
        scene.done(FUND, "set_cap", GOVERNOR, 0, 10**6 * WAD)
        scene.fund("deposit", 0, 0, 2_000_000)
        scene.fund("top_up", 0, 0, 600)
        bucket = scene.bucket(0)
        for who in (0, 3):
            scene.deposit(who, 2_500)
            trade(scene, 0, scene.accounts[who], scene.accounts[1], sign * 10 * WAD)
        trade(scene, 0, bucket, scene.accounts[1], sign * 2 * WAD)
        for _ in range(33):
            scene.at(0, (100 - sign * 8) * WAD, 61)
        scene.done(ORACLE, "settle", GOVERNOR, 0)
        claims = (len(scene.accounts), 0, 3, 1) if sign > 0 else (0, 3, 1, len(scene.accounts))
        for who in claims:
            scene.step(HOUSE, "claim", STRANGER, scene.everybody[who], 0)
            second = scene.accounts[-1]
            scene.step(HOUSE, "deposit", scene.owner(0), second, WAD, acted=(second,))
            if who == claims[0] and sign < 0:
                scene.refused("market: settled", HOUSE, "transfer", scene.owner(3), *_own(scene, 3), WAD)
        scene.step(HOUSE, "rebase_claims", KEEPER)
        scene.finish()
        calls += scene.calls
    return calls


def _own(scene: Scene, who: int) -> tuple[bytes, bytes]:
    """Another account of the same owner, with money, and his account."""
    account = scene.accounts[who]
    other = account[:20] + (9).to_bytes(12, "big")
    scene.done(HOUSE, "deposit", scene.owner(who), other, 10 * WAD, acted=(other,))
    return other, account


def ended(chain: CoverageChain) -> int:
    """Positions of a market without a price are claimed at its last one, whoever asks, in whatever order."""
    calls = 0
    for sign in (1, -1):
        for order in ((0, 1, 3, 4, 5), (5, 4, 3, 1, 0)):
            scene = Scene(chain, *judged(replace(OFF, freeze=60), "A", "B"), traders=9, seconds=1)
            scene.rich(1, 2)
            bucket = stocked(scene)
            for who, cash in ((0, 100_000), (3, 2_500), (4, 2_500), (5, 20_000), (6, 2_500)):
                scene.deposit(who, cash)
                if who != 6:
                    trade(scene, 0, scene.accounts[who], scene.accounts[1], sign * (10 * WAD + who))
            trade(scene, 0, bucket, scene.accounts[1], sign * WAD)
            trade(scene, 1, scene.accounts[5], scene.accounts[1], WAD)
            trade(scene, 1, scene.accounts[6], scene.accounts[1], 10 * WAD)
            # somebody fails elsewhere: what is added from now on waits
            scene.at(1, 80 * WAD)
            scene.at(1, 80 * WAD)
            scene.set_price(0, 100 * WAD)
            scene.done(HOUSE, "resolve", KEEPER, scene.accounts[6], ())
            scene.deposit(4, 100)
            for _ in range(33):
                scene.at(0, (100 - sign * 5) * WAD, 61)
            scene.set_price(1, 80 * WAD)

            def claim(who: int, reason: str | None = None, market: int = 0, scene: Scene = scene) -> None:
                args = (scene.everybody[who], market)
                if reason is None:
                    scene.done(HOUSE, "claim", STRANGER, *args)
                else:
                    scene.refused(reason, HOUSE, "claim", STRANGER, *args)

            claim(0, "claim: not settled")
            claim(0, "market: not listed", 9)
            for name in scene.sources(0):
                scene.source(name, "set_mode", FEED_REVERT)
            scene.advance(13)
            scene.poke(0)
            scene.advance(60)
            scene.refused("oracle: not settleable", ORACLE, "settle", STRANGER, 0)
            scene.advance(1)
            scene.set_price(1, 80 * WAD)
            scene.done(ORACLE, "settle", STRANGER, 0)
            scene.refused("oracle: settled", ORACLE, "settle", GOVERNOR, 0)
            scene.refused("oracle: not replaceable", ORACLE, "replace_feed", GOVERNOR, 0, 0,
                          scene.feeds(0)[0].as_tuple())  # fmt: skip
            claim(7, "settle: no position")
            args = (0, scene.accounts[1], scene.accounts[0], WAD, scene.prices[0], 0)
            scene.refused("market: settled", HOUSE, "fill", FILLER, *args)
            scene.refused("market: settled", HOUSE, "take_over", KEEPER, scene.accounts[3], 0)
            scene.refused("ledger: locked", HOUSE, "withdraw", scene.owner(1), scene.accounts[1], 1, scene.owner(1))
            scene.deposit(0, 1)
            for who in order:
                claim(who)
                for other in set(order) - {who}:
                    scene.step(HOUSE, "deposit", scene.owner(other), scene.accounts[other], 1,
                               acted=(scene.accounts[other],))  # fmt: skip
                scene.step(HOUSE, "rebase_claims", KEEPER)
                scene.step(HOUSE, "release", KEEPER, scene.accounts[who], acted=scene.accounts)
                scene.step(HOUSE, "resolve", KEEPER, scene.accounts[5], ())
                scene.ask("Lens", "account", scene.accounts[who])
            claim(order[0], "settle: no position")
            scene.advance(61)
            for who in order:
                scene.step(HOUSE, "release", KEEPER, scene.accounts[who], acted=scene.accounts)
            scene.finish()
            calls += scene.calls
    return calls


def ended_in_a_receipt(chain: CoverageChain) -> int:
    """A market that ends while a default is being worked off waits for it; one without a bucket's leg needs none."""
    scene = ladder(chain, 70, more=5)
    for _ in range(2):
        scene.at(0, 20 * WAD)
    assert not scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ()).value, "the walk was to be cut short"
    scene.done(ORACLE, "settle", GOVERNOR, 0)
    for who in (7, 0):
        scene.refused("market: receipt open", HOUSE, "claim", STRANGER, scene.accounts[who], 0)
    for _ in range(6):
        scene.step(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    for who in range(5, 12):
        scene.step(HOUSE, "claim", STRANGER, scene.accounts[who], 0)
    scene.finish()
    calls = scene.calls
    # at once after its first price: the index, for there is no mean yet
    scene = Scene(chain, plain("A"), traders=3, seconds=1)
    scene.done(ORACLE, "settle", GOVERNOR, 0)
    scene.finish()
    return calls + scene.calls
