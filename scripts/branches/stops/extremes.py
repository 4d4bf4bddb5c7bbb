"""Where numbers end: scales, widths of fields, prices near nothing, funding beyond the price, the year 2106."""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from python_ref.ledger import owner_of
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import Scene
from scripts.branches.stops.defaults import FREE, plain
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, actor

HOUSE = "ClearingHouse"


def squeezed(chain: CoverageChain) -> int:
    """A side is cut to a billionth ten times; who was in it from the start is read across all of it, by everybody.

    Also one bucket: of the other market, as the market's own would be netted before anybody is deleveraged.
    """
    calls = 0
    for sign in (1, -1):
        scene = Scene(chain, plain("A"), plain("B"), traders=40, seconds=1)
        scene.rich(0, 1, 2)
        bucket = scene.bucket(1)
        scene.fund("deposit", 0, 0, 10**6)
        scene.done("BackstopFund", "set_cap", GOVERNOR, 1, 10**6 * WAD)
        scene.done("BackstopFund", "top_up", KEEPER, 1, 100 * WAD, acted=(bucket, scene.treasury))

        def side(account: bytes, other: bytes, size: int, scene: Scene = scene, sign: int = sign) -> None:
            buyer, seller = (account, other) if sign > 0 else (other, account)
            args = (0, buyer, seller, size, scene.prices[0], 0)
            scene.done(HOUSE, "fill", FILLER, *args, acted=(account, other))

        def look(scene: Scene = scene, bucket: bytes = bucket, sign: int = sign) -> None:
            for account in (scene.accounts[0], bucket):
                for function in ("account", "preview_resolve"):
                    scene.ask("Lens", function, account)
                scene.ask("Lens", "adl_light", account, 0)
                scene.ask("Lens", "my_cut", account, 0, sign < 0, 4 * WAD, WAD)
                scene.ask(HOUSE, "account_equity", account)
            scene.step(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
            args = (scene.accounts[0], 0, scene.accounts[2], WAD)
            scene.step(HOUSE, "liquidate", scene.owner(2), *args, acted=scene.accounts)
            mark = scene.mark()
            trade = (0, scene.accounts[0], scene.accounts[1], 10, scene.prices[0], 0)
            scene.step(HOUSE, "fill", FILLER, *trade, acted=scene.accounts)
            scene.restart(mark)
            scene.step(HOUSE, "rerank", KEEPER, scene.accounts[0], 0)

        side(scene.accounts[0], scene.accounts[1], 2 * 10**9)
        side(bucket, scene.accounts[1], 2 * 10**9)
        for i in range(11):
            newcomer, bankrupt = 3 + i, 20 + i
            scene.rich(newcomer, money=1_000)
            scene.deposit(bankrupt, 1_500)
            side(scene.accounts[newcomer], scene.accounts[bankrupt], 4 * WAD)
            for _ in range(2):
                scene.at(0, (100 + sign * 10) * WAD)
            look()
            scene.done(HOUSE, "resolve", KEEPER, scene.accounts[bankrupt], ())
            look()
            scene.step(HOUSE, "rebase_claims", KEEPER)
            scene.rest(0, 100 * WAD)
        for account in (scene.accounts[0], bucket):
            scene.step(HOUSE, "settle", KEEPER, account, 0)
        scene.finish()
        calls += scene.calls
    return calls


def wiped_bucket(chain: CoverageChain) -> int:
    """A bucket's leg in another market is wiped, and its own market freezes: the buckets are asked to pay."""
    for sign in (1, -1):
        scene = Scene(chain, plain("A"), plain("B"), traders=8, seconds=1)
        scene.rich(1, 2)
        bucket = scene.bucket(1)
        scene.fund("deposit", 0, 0, 10**6)
        scene.done("BackstopFund", "set_cap", GOVERNOR, 1, 10**6 * WAD)
        scene.done("BackstopFund", "top_up", KEEPER, 1, 100 * WAD, acted=(bucket, scene.treasury))
        scene.deposit(5, 3_000)
        for market, account, other, size in (
            (1, bucket, scene.accounts[1], WAD),
            (0, bucket, scene.accounts[5], WAD),
            (0, scene.accounts[2], scene.accounts[5], 9 * WAD),
        ):
            sides = (account, other) if sign > 0 else (other, account)
            args = (market, *sides, size, scene.prices[market], 0)
            scene.done(HOUSE, "fill", FILLER, *args, acted=(account, other))
        for _ in range(2):
            scene.at(0, (100 + sign * 20) * WAD)
            scene.set_price(1, 100 * WAD)
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[5], ())
        for feed in range(3):
            scene.feed(1, feed, "set_mode", 1)
        scene.advance(13)
        scene.step("PriceOracle", "poke", KEEPER, 1)
        scene.done(HOUSE, "rebase_claims", KEEPER)
        scene.finish()
    return scene.calls


def prices_near_nothing(chain: CoverageChain) -> int:
    """A price that has all but vanished against the anchor: labels of keys of a few wei."""
    for rank in (c.RANK_PROFIT, c.RANK_LEVERAGE):
        scene = Scene(chain, plain("A", rank=rank), traders=8, seconds=1)
        scene.rich(1, 2)
        scene.deposit(0, 300_000)
        scene.open(0, 0, 1, 100 * WAD)
        for _ in range(2):
            scene.at(0, 3, 1_000)
        scene.ask("Lens", "preview_resolve", scene.accounts[0])
        scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
        scene.step(HOUSE, "rebase_claims", KEEPER)
        for _ in range(2):
            scene.at(0, 8, 1_000)
        scene.done(HOUSE, "deposit", scene.owner(3), scene.accounts[3], 1_040)
        scene.open(0, 3, 2, 1_000 * WAD)
        scene.at(0, 7, 61)
        args = (scene.accounts[3], 0, scene.accounts[2], 2**100)
        scene.step(HOUSE, "liquidate", scene.owner(2), *args, acted=scene.accounts)
        scene.step(HOUSE, "liquidate", scene.owner(1), *(args[0], 0, scene.accounts[1], 2**100), acted=scene.accounts)
        for who in (1, 2, 3):
            scene.step(HOUSE, "rerank", KEEPER, scene.accounts[who], 0)
        for who in range(4):
            scene.ask("Lens", "account", scene.accounts[who])
        scene.finish()
    return scene.calls


def funding_beyond_the_price(chain: CoverageChain) -> int:
    """So much funding that a rank key is negative."""
    scene = Scene(chain, plain("A", rank=c.RANK_LEVERAGE), traders=6, seconds=1)
    scene.rich(1, 2)
    scene.deposit(0, 100_000)
    scene.open(0, 2, 1, WAD, 102 * WAD)
    scene.at(0, 100 * WAD, 3_600)
    scene.open(0, 2, 1, WAD, 102 * WAD)
    for _ in range(80):
        scene.at(0, 100 * WAD, 86_400)
        scene.open(0, 2, 1, WAD, 102 * WAD)
    scene.open(0, 0, 1, 100 * WAD)
    for _ in range(2):
        scene.at(0, 80 * WAD)
    scene.ask("Lens", "preview_resolve", scene.accounts[0])
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    scene.finish()
    return scene.calls


def year_2106(chain: CoverageChain) -> int:
    """Seconds no longer fit their field: nothing that stamps one goes through."""
    scene = Scene(chain, plain("A"), plain("B"), plain("C", rank=c.RANK_LEVERAGE), traders=8, seconds=1)
    scene.rich(1, 2, 3)
    scene.open(2, 1, 3, WAD)
    scene.deposit(6, 10_000)
    scene.open(2, 6, 3, 10 * WAD)
    scene.deposit(len(scene.traders), 1_000)
    scene.deposit(0, 30_000)
    scene.deposit(4, 300_000)
    # a wiped leg beside a losing one, and an unhealthy account
    scene.open(0, 0, 4, 100 * WAD)
    scene.open(1, 4, 2, 500 * WAD)
    scene.open(1, 0, 2, WAD)
    scene.deposit(5, 2_100)
    for _ in range(2):
        scene.at(0, 95 * WAD)
        scene.set_price(1, 90 * WAD)
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[4], ())
    scene.step(HOUSE, "rebase_claims", KEEPER)
    scene.open(1, 5, 2, 10 * WAD)
    scene.deposit(6, 10_000)
    scene.advance(2**32 - scene.now)
    for _ in range(2):
        scene.advance(13)
        scene.set_price(0, 95 * WAD)
        scene.set_price(1, 883 * WAD // 10)
        scene.set_price(2, 110 * WAD)
    scene.refused("", HOUSE, "deposit", scene.owner(3), scene.accounts[3], 1)
    scene.refused("", HOUSE, "fill", FILLER, 1, scene.accounts[1], scene.accounts[2], WAD, scene.prices[1], 0)
    scene.refused("", HOUSE, "transfer", scene.owner(0), scene.accounts[8], scene.accounts[0], 1)
    scene.refused("", HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    take = (scene.accounts[5], 1, scene.accounts[1], WAD)
    scene.refused("", HOUSE, "liquidate", scene.owner(1), *take)
    scene.refused("", HOUSE, "rerank", KEEPER, scene.accounts[6], 2)
    batch = ((scene.accounts[2],), 1, scene.accounts[1], WAD)
    scene.refused("", HOUSE, "liquidate_batch", scene.owner(1), *batch)
    scene.refused("", HOUSE, "take_over", KEEPER, scene.accounts[5], 1)
    listing = (3, RISK.pack(), LIMITS.pack(), WAD, scene.system.addresses["ProRata"])
    scene.refused("", HOUSE, "add_market", GOVERNOR, *listing)
    for _ in range(2):
        scene.advance(13)
        scene.set_price(1, 40 * WAD)
    scene.refused("", HOUSE, "resolve", KEEPER, scene.accounts[5], ())
    scene.refused("", HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    return scene.calls


def widest_amounts(chain: CoverageChain) -> int:
    """More money than the domain's counters hold, by way of a token of which there is any amount."""
    scene = Scene(chain, plain("A"), plain("B"), traders=8, seconds=1)
    for who in range(8):
        scene.token("mint", KEEPER, scene.owner(who), 2**130)
    scene.rich(2, 3)
    scene.open(0, 2, 3, WAD)
    scene.open(0, 3, 2, WAD)
    scene.deposit(6, 2_100)
    scene.open(0, 6, 2, 10 * WAD)
    scene.deposit(1, 1_000_000)
    exempt = scene.system.clearing_house.load_globals_words().exempt

    def put(who: int, amount: int, reason: str | None = None) -> None:
        args = (scene.owner(who), scene.accounts[who], amount)
        if reason is None:
            scene.done(HOUSE, "deposit", *args)
        else:
            scene.refused(reason, HOUSE, "deposit", *args)

    put(0, 2**104 - exempt, "")
    put(0, 2**104 - exempt - 10**6)
    for _ in range(2):
        scene.at(0, 982 * WAD // 10, 61)
    scene.refused("", HOUSE, "release", KEEPER, scene.accounts[3])
    # and exposed: whoever comes in would be too much, a taker, a bucket, a loss
    exposed = scene.system.clearing_house.load_globals_words().exposed
    put(2, 2**119 - exposed - 10**18)
    take = (scene.accounts[6], 0, scene.accounts[1], WAD)
    scene.refused("", HOUSE, "liquidate", scene.owner(1), *take)
    return scene.calls


def widest_bucket_and_loss(chain: CoverageChain) -> int:
    """The same of a bucket that is listed, and of a loss that is written off; then a loss beyond its own field."""
    for beyond in (False, True):
        scene = Scene(chain, plain("A", 10**22), plain("B"), traders=6, seconds=1)
        for who in range(6):
            scene.token("mint", KEEPER, scene.owner(who), 2**130)
        scene.fund("deposit", 0, 0, 10**6)
        scene.done("BackstopFund", "set_cap", GOVERNOR, 2, 10**6 * WAD)
        account = (scene.bucket(2), scene.treasury)
        scene.done("BackstopFund", "top_up", KEEPER, 2, 100 * WAD, acted=account)
        scene.rich(0, 1, 2)
        size = 10**30 if beyond else 10**24
        cap = replace(scene.limits(0), oi_cap=2**104 - 1)
        scene.done(HOUSE, "set_limits", GOVERNOR, 0, cap.pack())
        scene.open(0, 0, 1, WAD)
        scene.done(HOUSE, "deposit", scene.owner(0), scene.accounts[0], size * 10**4 * 21 // 1_000)
        scene.done(HOUSE, "deposit", scene.owner(1), scene.accounts[1], size * 10**4)
        trade = (0, scene.accounts[0], scene.accounts[1], size, scene.prices[0], 0)
        scene.done(HOUSE, "fill", FILLER, *trade)
        if not beyond:
            exposed = scene.system.clearing_house.load_globals_words().exposed
            scene.done(HOUSE, "deposit", scene.owner(1), scene.accounts[1], 2**119 - exposed - 10**18)
            listing = (2, RISK.pack(), LIMITS.pack(), WAD, scene.system.addresses["ProRata"])
            scene.refused("", HOUSE, "add_market", GOVERNOR, *listing)
        for _ in range(2):
            scene.at(0, 10**21)
        scene.refused("", HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    return scene.calls


def widest_sizes(chain: CoverageChain) -> int:
    """More size than a band holds, and than a market holds."""
    for rank in (c.RANK_SINGLE, c.RANK_PROFIT):
        scene = Scene(chain, plain("A", 1_000, rank=rank), plain("B"), traders=6, seconds=1)
        if rank == c.RANK_PROFIT:
            # a cut of the claims lets a market hold more gons than the cap says of real size
            scene.deposit(4, 20_000)
            scene.deposit(5, 2_000_000)
            scene.open(1, 4, 5, 100 * WAD)
            for _ in range(2):
                scene.at(1, 50 * WAD)
            scene.done(HOUSE, "resolve", KEEPER, scene.accounts[4], ())
            scene.done(HOUSE, "rebase_claims", KEEPER)
        scene.at(0, 1_000)
        scene.rich(0, 1)
        cap = replace(scene.limits(0), oi_cap=2**104 - 1)
        scene.done(HOUSE, "set_limits", GOVERNOR, 0, cap.pack())
        scene.done(HOUSE, "set_risk", GOVERNOR, 0, replace(FREE, fill_band=500_000).pack())
        scene.rich(2, 3)
        reason, i = None, 0
        while reason is None:
            price = 1_000 if rank == c.RANK_SINGLE else (990, 1_010)[i % 2]
            buyer, seller = (0, 1) if i % 2 else (2, 3)
            trade = (0, scene.accounts[buyer], scene.accounts[seller], 10**30, price, 0)
            reason, i = scene.step(HOUSE, "fill", FILLER, *trade, acted=scene.accounts).reason, i + 1
        assert (reason, i > 10) == ("", True), (reason, i)
    return scene.calls


def widest_price(chain: CoverageChain) -> int:
    """A price within the band that an entry cannot hold; views of positions whose worth overflows."""
    scene = Scene(chain, plain("A", 9 * 10**25), plain("B"), traders=4, seconds=1)
    for who in range(4):
        scene.token("mint", KEEPER, scene.owner(who), 2**120)
        scene.done(HOUSE, "deposit", scene.owner(who), scene.accounts[who], 10**30)
    scene.done(HOUSE, "set_risk", GOVERNOR, 0, replace(FREE, fill_band=900_000).pack())
    trade = (0, scene.accounts[0], scene.accounts[1], WAD, 16 * 10**25, 0)
    scene.refused("", HOUSE, "fill", FILLER, *trade)
    scene.open(1, 0, 1, 10**9 * WAD)
    scene.done(HOUSE, "set_risk", GOVERNOR, 1, replace(FREE, depth=1).pack())
    for who in range(2):
        scene.ask("Lens", "account", scene.accounts[who])
    return scene.calls
    return scene.calls


def widest_fees(chain: CoverageChain) -> int:
    """One trade's fee is more than a market's fees hold."""
    scene = Scene(chain, plain("A"), traders=2, seconds=1)
    scene.done(HOUSE, "set_risk", GOVERNOR, 0, replace(RISK, taker_fee=9_000).pack())
    scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(scene.limits(0), oi_cap=2**104 - 1).pack())
    for who in range(2):
        scene.token("mint", KEEPER, scene.owner(who), 2**110)
        scene.done(HOUSE, "deposit", scene.owner(who), scene.accounts[who], 8 * 10**30)
    trade = (0, scene.accounts[0], scene.accounts[1], 10**30, scene.prices[0], 0)
    scene.refused("", HOUSE, "fill", FILLER, *trade)
    return scene.calls


def stand(scene: Scene, who: int, percent: int) -> None:
    """Deposit until an account's equity is about that share of its maintenance."""
    view = scene.ask("Lens", "account", scene.accounts[who])
    kind, maintenance = view[7], view[10]
    args = (scene.owner(who), scene.accounts[who], maintenance * percent // 100 - kind)
    scene.done(HOUSE, "deposit", *args)


def widest_funding(chain: CoverageChain) -> int:
    """A funding index that a cell cannot mark, in every contract that opens a band."""
    scene = Scene(chain, plain("A", 9 * 10**25, rank=c.RANK_LEVERAGE), traders=6, seconds=1)
    for who in range(6):
        scene.token("mint", KEEPER, scene.owner(who), 2**125)
        scene.done(HOUSE, "deposit", scene.owner(who), scene.accounts[who], 10**26 if who in (0, 2, 3) else 10**30)
    scene.open(0, 0, 1, 5 * WAD, 91 * 10**24)
    scene.at(0, 9 * 10**25, 3_600)
    scene.open(0, 2, 1, 5 * WAD, 91 * 10**24)
    scene.at(0, 9 * 10**25, 10**7)
    scene.at(0, 9 * 10**25, 13)
    trade = (0, scene.accounts[3], scene.accounts[4], 5 * WAD, scene.prices[0], 0)
    scene.refused("", HOUSE, "fill", FILLER, *trade)
    scene.done(HOUSE, "deposit", scene.owner(2), scene.accounts[2], 10**26)
    scene.at(0, 9 * 10**25, 61)
    scene.refused("", HOUSE, "rerank", KEEPER, scene.accounts[2], 0)
    stand(scene, 0, 50)
    scene.refused("", HOUSE, "liquidate", scene.owner(5), scene.accounts[0], 0, scene.accounts[5], WAD)
    return scene.calls


def widest_pot(chain: CoverageChain) -> int:
    """More funding between two sides than a market's pot holds."""
    scene = Scene(chain, plain("A"), traders=5, seconds=1)
    scene.rich(0, 1, 2, 3)
    scene.open(0, 0, 1, WAD, 102 * WAD)
    scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(scene.limits(0), oi_cap=2**104 - 1).pack())
    for who in range(4):
        scene.token("mint", KEEPER, scene.owner(who), 2**125)
        scene.done(HOUSE, "deposit", scene.owner(who), scene.accounts[who], 10**31)
    scene.open(0, 0, 1, 10**29, 102 * WAD)
    scene.open(0, 2, 1, WAD, 102 * WAD)
    scene.open(0, 3, 1, WAD, 102 * WAD)
    scene.at(0, 100 * WAD, 3_600)
    scene.open(0, 2, 3, WAD, 102 * WAD)
    scene.at(0, 100 * WAD, 60 * 86_400)
    scene.at(0, 100 * WAD)
    scene.open(0, 2, 3, WAD, 102 * WAD)
    scene.refused("", HOUSE, "settle", KEEPER, scene.accounts[0], 0)
    scene.done(HOUSE, "set_risk", GOVERNOR, 0, replace(FREE, fund_share=0).pack())
    stand(scene, 0, -1)
    scene.refused("", HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    scene.done(HOUSE, "deposit", scene.owner(2), scene.accounts[2], 10**33)
    stand(scene, 0, 50)
    scene.refused("", HOUSE, "liquidate", scene.owner(2), scene.accounts[0], 0, scene.accounts[2], 2**100)
    return scene.calls


def entry_of_a_liquidation(chain: CoverageChain) -> int:
    """With rates near one, a liquidation's price may be more than an entry can hold."""
    scene = Scene(chain, plain("A", 9 * 10**25), traders=4, seconds=1)
    risk = replace(FREE, initial=999_000, maintenance=990_000, penalty=989_000)
    scene.done(HOUSE, "set_risk", GOVERNOR, 0, risk.pack())
    for who, amount in ((0, 89_950), (1, 10**9), (2, 10**9)):
        scene.token("mint", KEEPER, scene.owner(who), 2**110)
        scene.done(HOUSE, "deposit", scene.owner(who), scene.accounts[who], amount * 10**21)
    scene.open(0, 1, 0, WAD)
    for _ in range(2):
        scene.at(0, 905 * 10**23)
    args = (scene.accounts[0], 0, scene.accounts[2], 2**100)
    scene.refused("", HOUSE, "liquidate", scene.owner(2), *args)
    return scene.calls


def a_wei_against_nothing(chain: CoverageChain) -> int:
    """The last wei of a short whose band has been left: it is first in no queue."""
    scene = Scene(chain, plain("A"), plain("B"), traders=6, seconds=1)
    scene.rich(1, 2, 3)
    scene.deposit(0, 1)
    scene.open(0, 0, 1, 10**15 + 2 * 10**6 - 10**8)
    scene.open(0, 2, 1, 10**8 - 2 * 10**6)
    scene.open(0, 2, 3, 2 * 10**6)
    for _ in range(2):
        scene.at(0, 80 * WAD)
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[0], ())
    scene.step(HOUSE, "rebase_claims", KEEPER)
    size = abs(scene.legs(scene.accounts[1])[0])
    scene.open(0, 1, 2, size)
    scene.ask("Lens", "adl_light", scene.accounts[3], 0)
    scene.ask("Lens", "account", scene.accounts[3])
    scene.finish()
    return scene.calls


def worn_band(chain: CoverageChain) -> int:
    """A band that was cut to crumbs again and again takes nobody in any more; compared, but not judged."""
    scene = Scene(chain, plain("A", WAD), traders=4, seconds=0)
    scene.rich(0, 1)
    scene.open(0, 0, 1, 10**10)
    scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(scene.limits(0), oi_cap=2**104 - 1).pack())
    scene.token("mint", KEEPER, scene.owner(1), 10**34)
    scene.done(HOUSE, "deposit", scene.owner(1), scene.accounts[1], 10**34)
    scene.twin.observer = None
    token, house = "Token", scene.house_address

    def put(name: str, amount: int) -> bytes:
        who = actor(name)
        scene.twin.call(token, "mint", KEEPER, who.address, amount)
        scene.twin.call(token, "approve", who.address, house, amount)
        assert scene.twin.call(HOUSE, "deposit", who.address, who.account(), amount).ok
        return who.account()

    last = b""
    for i in range(160):
        newcomer, bankrupt = put(f"newcomer {i}", 25 * 10**27), put(f"bankrupt {i}", 8 * 10**28)
        mate = put(f"mate {i}", 25 * 10**27)
        for seconds in (1, 3_500, 3_500):
            scene.advance(seconds)
            scene.system.set_price(0, WAD)
        outcome = scene.twin.call(HOUSE, "fill", FILLER, 0, newcomer, bankrupt, 10**30, WAD, 0)
        if not outcome.ok:
            break
        last = newcomer
        assert scene.twin.call(HOUSE, "fill", FILLER, 0, mate, bankrupt, 10**30, WAD, 0).ok
        for _ in range(2):
            scene.advance(13)
            scene.system.set_price(0, WAD * 11 // 10)
        assert scene.twin.call(HOUSE, "resolve", KEEPER, bankrupt, ()).ok
        scene.twin.call(HOUSE, "rebase_claims", KEEPER)
        # what the pot owes is paid, or it would not hold it
        for who in (newcomer, mate):
            scene.twin.call(HOUSE, "settle", KEEPER, who, 0)
    assert outcome.reason == "bands: worn out", outcome.reason
    # nor by a liquidation, from whoever was in it last
    scene.advance(61)
    scene.system.set_price(0, WAD)
    owner, atoms = owner_of(last), scene.ask("Lens", "account", last)[12]
    assert scene.twin.call(HOUSE, "withdraw", owner, last, atoms, owner).ok
    while not scene.ask("Lens", "account", last)[3]:
        scene.advance(13)
        scene.system.set_price(0, scene.system.oracle.peek(KEEPER, 0).index * 998 // 1_000)
    taker = put("taker", 10**24)
    outcome = scene.twin.call(HOUSE, "liquidate", owner_of(taker), last, 0, taker, 2**100)
    assert outcome.reason == "bands: worn out", outcome.reason
    # nor by the fund, while somebody else is in it
    provider, fund = actor("provider").address, scene.address("BackstopFund")
    scene.twin.call(token, "mint", KEEPER, provider, 10**26)
    scene.twin.call(token, "approve", provider, fund, 10**26)
    for call in (
        ("deposit", provider, 10**26),
        ("set_cap", GOVERNOR, 0, 10**30),
        ("top_up", KEEPER, 0, 10**25),
    ):
        assert scene.twin.call("BackstopFund", *call).ok
    outcome = scene.twin.call(HOUSE, "take_over", KEEPER, last, 0)
    while outcome.reason == "backstop: above threshold":
        scene.advance(13)
        scene.system.set_price(0, scene.system.oracle.peek(KEEPER, 0).index * 999 // 1_000)
        outcome = scene.twin.call(HOUSE, "take_over", KEEPER, last, 0)
    assert outcome.reason == "bands: worn out", outcome.reason
    scene.twin.check_all()
    return scene.twin.steps
