"""Choosing what to do next: moves that fill books up, break them, and clear away, weighted by a regime.

A move is one call or a short episode. All choices come from the walk's random generator and from what has been seen,
so a seed always does the same.
"""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random

from python_ref import constants as c
from python_ref.governor import GRACE_S
from python_ref.ledger import owner_of
from scripts.campaign.mishaps import Mishaps
from scripts.campaign.operations import CENT, Operations
from scripts.campaign.orders import OrderBook
from scripts.campaign.regimes import Regime
from scripts.campaign.trespass import BLUNDERS, TRESPASSES
from scripts.campaign.walk import PROVIDERS
from scripts.system import FILLER, WAD

WRONG_RISKS: tuple[dict[str, int], ...] = (
    {"maintenance": 0},
    {"maintenance": 10_000, "initial": 10_000},
    {"initial": c.PPM + 1},
    {"penalty": 500_000},
    {"fund_share": c.PPM + 1},
    {"target": c.PPM},
    {"target": c.PPM - 1},
    {"taker_fee": 900_000},
    {"maker_fee": 900_000},
    {"fill_band": c.PPM},
    {"backstop": c.PPM},
)
WRONG_LIMITS: tuple[dict[str, int], ...] = (
    {"min_size": c.DUST_SIZE},
    {"lot_exp": 31},
    {"rank": c.RANK_LEVERAGE + 1},
    {"octave_bits": 7},
)
"""Words that governance is refused."""

FUND_MOVES = (
    "deposit",
    "request_withdrawal",
    "claim_withdrawal",
    "cancel_withdrawal",
    "recognise",
    "top_up",
    "top_up",
    "skim",
    "start_auction",
    "sell_inventory",
    "transfer",
    "transferFrom",
    "transfer_shares",
    "approve",
)


class Steering(Mishaps):
    """One random generator at the wheel of one walk. :meth:`move` takes the next move; ``regime`` may be changed."""

    def __init__(self, ops: Operations, regime: Regime, r: Random) -> None:
        super().__init__(ops, regime, r)
        self.book = OrderBook(ops)

    def open(self) -> None:
        """Money for accounts, treasury and buckets, as the regime has it."""
        ops = self.ops
        for who in range(len(ops.accounts)):
            ops.deposit(who, self.r.choice(self.regime.purse) * 100)
        if self.regime.treasury:
            ops.fund("deposit", 0, 0, self.regime.treasury * 100)
            for market in range(ops.n_markets):
                ops.fund("top_up", 0, market, self.regime.treasury * 10)

    def move(self) -> None:
        """One move of the regime's mix."""
        if self.r.random() < self.regime.haste:
            self.wait()
        names = list(self.regime.mix)
        getattr(self, self.r.choices(names, list(self.regime.mix.values()))[0])()

    # Choosing

    def usable(self, market: int) -> list[int]:
        """Accounts that trade in ``market``: second subaccounts keep to one market each."""
        ops = self.ops
        return [k for k in range(len(ops.accounts)) if k < len(ops.traders) or k % ops.n_markets == market]

    def holders(self, market: int) -> list[int]:
        """Accounts with a position in ``market``."""
        return [k for k, target in enumerate(self.ops.accounts) if market in self.ops.legs(target)]

    def richest(self, market: int, *but: int) -> int:
        """Who can open most in ``market``."""
        usable = [k for k in self.usable(market) if k not in but]
        return max(usable, key=lambda k: self.ops.room(self.ops.accounts[k], market))

    def taker(self, market: int, who: int) -> int:
        """Who can take an account's position; of a market in doubt only somebody who reduces by it."""
        ops = self.ops
        size = ops.legs(ops.accounts[who]).get(market, 0)
        mirror = [k for k in self.holders(market) if ops.legs(ops.accounts[k])[market] * size < 0]
        if ops.state(market) == c.STATE_LIVE or not mirror:
            return self.richest(market, who)
        return max(mirror, key=lambda k: abs(ops.legs(ops.accounts[k])[market]))

    def pair(self, market: int) -> tuple[int, int]:
        """Two who can trade, if there are any."""
        usable = self.usable(market)
        able = [k for k in usable if self.ops.room(self.ops.accounts[k], market) > WAD and self.may_enter(k)]
        pool = able if len(able) >= 2 and self.r.random() < 0.95 else usable
        i, j = self.r.sample(pool, 2)
        return i, j

    def may_enter(self, who: int) -> bool:
        """Whether an account is exposed already, or newcomers are let in."""
        domain = self.ops.seen.domain
        word = self.ops.seen.accounts.get(self.ops.accounts[who])
        return bool(word and word.exposed) or not (domain.bad_debt or domain.open_receipts)

    # Time

    def wait(self) -> None:
        """Some time passes; feeds that would go stale are answered again."""
        self.ops.advance(self.r.choice(self.regime.pauses))
        if "spoil" not in self.regime.mix or self.r.random() < 0.5:
            self.refresh()

    # Money

    def deposit(self) -> None:
        """Mostly by somebody who has run out of it."""
        ops, r = self.ops, self.r
        poor = [k for k, a in enumerate(ops.accounts) if ops.equity(a) < self.regime.purse[0] * WAD // 10]
        who = r.choice(poor) if poor and r.random() < 0.7 else r.randrange(len(ops.accounts))
        ops.deposit(who, max(1, r.choice(self.regime.purse) * r.choice((1, 30, 100, 200)) // r.choice((1, 1, 1, 7))))

    def withdraw(self) -> None:
        """A share of somebody's cash; rather one who may."""
        ops = self.ops
        free = [k for k, a in enumerate(ops.accounts) if (w := ops.seen.accounts.get(a)) and not w.exposed and w.cash]
        rich = [k for k, a in enumerate(ops.accounts) if ops.legs(a) and ops.room(a, 0) > 0]
        pool = free + rich if self.r.random() < 0.7 else []
        ops.withdraw(self.r.choice(pool or range(len(ops.accounts))), self.r.choice((1, 10, 30, 90, 100)))

    def transfer(self) -> None:
        """Between the accounts of one owner, now and then to a stranger's."""
        ops, n = self.ops, len(self.ops.traders)
        seconds = len(ops.accounts) - n
        if seconds and self.r.random() < 0.7:
            k = self.r.randrange(seconds)
            who, to = self.r.choice(((k, n + k), (n + k, k)))
        else:
            who, to = self.r.sample(range(len(ops.accounts)), 2)
        ops.transfer(who, to, self.r.choice((1, 5_000, 50_000)))

    # Trades

    def trade(self) -> None:
        """A share of what the poorer of two has room for, near the price."""
        ops, r, market = self.ops, self.r, self.market()
        i, j = self.pair(market)
        room = min(ops.room(ops.accounts[k], market) for k in (i, j))
        notional = ops.real(room) * r.choice(self.regime.load) // 100 // WAD
        flags = r.choice((0, 0, 0, 0, 4, 4, 1, 2)) if r.random() < 0.4 else r.choice((0, 4))
        offset = r.randrange(-60, 61) if r.random() < 0.97 else r.choice((400, -400))
        ops.trade(market, i, j, max(1, notional), offset, flags, r.randrange(3))

    def speck(self) -> None:
        """A position of a few wei, where the market allows it."""
        fine = [m for m in range(self.ops.n_markets) if self.ops.limits(m).lot_exp == 0]
        market = self.r.choice(fine or [self.market()])
        i, j = self.pair(market)
        size = c.DUST_SIZE + self.r.randrange(1, 60)
        if self.r.random() < 0.3:
            held = self.holders(market)
            if held:
                i = self.r.choice(held)
                size = self.r.randrange(1, 2 * c.DUST_SIZE)
        if i != j:
            self.ops.fill(market, i, j, size, self.ops.prices[market], self.r.choice((0, 0, 1, 2)))

    def close(self) -> None:
        """Somebody reduces, if possible against one of the other side."""
        ops, r, market = self.ops, self.r, self.market()
        held = self.holders(market)
        if not held:
            return
        who = r.choice(held)
        is_long = ops.legs(ops.accounts[who])[market] > 0
        mirror = [k for k in held if (ops.legs(ops.accounts[k])[market] > 0) != is_long]
        other = r.choice(mirror) if mirror and r.random() < 0.7 else self.richest(market, who)
        ops.close(market, who, other, r.choice((10, 50, 100, 100)))

    def depart(self) -> None:
        """Somebody closes everything, waits, is released and takes his money."""
        ops, r = self.ops, self.r
        who = r.randrange(len(ops.accounts))
        target = ops.accounts[who]
        for market in list(ops.legs(target)):
            is_long = ops.legs(target).get(market, 0) > 0
            mirror = [k for k in self.holders(market) if (ops.legs(ops.accounts[k])[market] > 0) != is_long]
            ops.close(market, who, r.choice(mirror) if mirror else self.richest(market, who), 100)
        ops.release(who)
        ops.advance(c.RESIDENCY_S)
        self.refresh()
        for market in list(ops.seen.all_legs.get(target, ())):
            ops.settle(who, market)
        ops.release(who)
        ops.withdraw(who, r.choice((30, 100)))

    # Orders

    def rest(self) -> None:
        """Somebody signs an order and leaves it there."""
        ops, r, market = self.ops, self.r, self.market()
        trader = r.randrange(len(ops.traders))
        room = ops.real(ops.room(ops.accounts[trader], market))
        size = ops.size_of(market, max(WAD, room * r.choice((1, 5, 20)) // 100)) * r.choice((1, -1))
        price = ops.prices[market] * (10_000 + r.randrange(-30, 31)) // 10_000
        lane = r.choice((0, 0, 0, 1))
        self.book.sign(
            trader,
            market,
            size,
            price,
            lane=lane,
            reduce_only=r.random() < 0.1,
            life=r.choice((30, 3_600, 3_600, 3_600)),
        )

    def take(self) -> None:
        """Part or all of a resting order, also one that is long gone."""
        ops, r = self.ops, self.r
        if not self.book.resting or r.random() < 0.15:
            self.rest()
        resting = r.choice(self.book.resting[-4:] if r.random() < 0.7 else self.book.resting)
        others = [k for k in range(len(ops.traders)) if k != resting.trader]
        able = [k for k in others if ops.room(ops.accounts[k], resting.order.market) > WAD]
        taker = r.choice(able or others) if r.random() < 0.97 else resting.trader
        lot = 10 ** ops.limits(resting.order.market).lot_exp
        size = max(1, resting.order.size * r.choice((10, 33, 50, 100)) // 100 // lot) * lot
        self.book.take(resting, taker, size, r.random() < 0.05, by_operator=r.random() < 0.06)

    def cross(self) -> None:
        """An order against a resting one, settled by a stranger."""
        ops, r = self.ops, self.r
        if not self.book.resting:
            self.rest()
        maker = r.choice(self.book.resting[-6:])
        order = maker.order
        taker = r.choice([k for k in range(len(ops.traders)) if k != maker.trader])
        sign = -1 if order.is_buy else 1
        apart = -5 if r.random() < 0.1 else 0  # thousandths that keep the two prices from crossing
        side = -sign if r.random() < 0.05 else sign
        price = order.limit_price * (1_000 + sign * apart) // 1_000
        answer = self.book.sign(taker, order.market, order.size * side, price)
        self.book.cross(maker, answer, order.size // r.choice((1, 1, 2)))

    def cancel(self) -> None:
        """An order, its neighbours, or by somebody who may not."""
        if self.book.resting:
            self.book.cancel(self.r.choice(self.book.resting), self.r.choice(("one", "one", "many", "stranger")))

    def forge(self) -> None:
        """An order with something wrong about it."""
        ops, r = self.ops, self.r
        if not self.book.resting:
            self.rest()
        resting = r.choice(self.book.resting)
        ways = ("malleable", "bad signature", "wrong signer", "expired", "zero size", "too large", "other market")
        taker = r.choice([k for k in range(len(ops.traders)) if k != resting.trader])
        if r.random() < 0.3:
            order = resting.order
            answer = self.book.sign(taker, order.market, order.size * (-1 if order.is_buy else 1), order.limit_price)
            self.book.cross(resting, self.book.forged(answer, r.choice(ways)), order.size)
        else:
            forged = self.book.forged(resting, r.choice(ways))
            self.book.take(forged, taker, max(1, forged.order.size))

    # Unhealthy accounts

    def press(self) -> None:
        """Move a price until somebody's equity is a chosen share of his maintenance, then act on him."""
        r = self.r
        found = self.squeeze(r.choice((-30, 20, 50, 50, 80, 80, 95, 101)))
        if found is None:
            return
        who, market = found
        by = self.taker(market, who)
        for act in r.sample(("liquidate", "liquidate", "take_over", "resolve"), 2):
            if act == "liquidate":
                self.ops.liquidate(who, market, by, r.choice((1, 100, 100)))
            elif act == "take_over":
                self.ops.take_over(who, market)
            else:
                self.ops.resolve(who)

    def squeeze(self, percent: int, who: int | None = None, market: int | None = None) -> tuple[int, int] | None:
        """Move a price so that an account's equity becomes ``percent`` of its maintenance; who and where."""
        ops, r = self.ops, self.r
        if who is None:
            legged = [k for k, a in enumerate(ops.accounts) if any(market in (None, m) for m in ops.legs(a))]
            if not legged:
                return None
            who = r.choice(legged)
        target = ops.accounts[who]
        legs = ops.legs(target)
        if not legs or (market is not None and market not in legs):
            return None
        where = r.choice(sorted(legs)) if market is None else market
        wanted = ops.maintenance(target) * percent // 100
        for m, size in legs.items():
            # the ledger judges by the edge of the interval that favours the account
            wanted -= abs(size) * ops.prices[m] // WAD * ops.setup.specs[m].width_bps // 10_000
        moved = ops.prices[where] + (wanted - ops.equity(target)) * WAD // legs[where]
        change = (moved - ops.prices[where]) * 10_000 // ops.prices[where]
        self.shock(
            where, max(-6_000, min(12_000, change + (1 if percent > 0 else -1) * (1 if legs[where] > 0 else -1)))
        )
        return who, where

    def short_of_margin(self, market: int) -> list[int]:
        """Who can be liquidated in ``market``, at the walk's prices."""
        ops = self.ops
        found = []
        for k in self.holders(market):
            equity = ops.equity(ops.accounts[k])
            if 0 <= equity < ops.maintenance(ops.accounts[k]):
                found.append(k)
        return found

    def grind(self) -> None:
        """Somebody is brought just below maintenance; whoever is short of it then is liquidated."""
        ops, r = self.ops, self.r
        found = self.squeeze(r.choice((90, 95, 97, 99)))
        if found is None:
            return
        market = found[1]
        for who in self.short_of_margin(market)[:4]:
            ops.liquidate(who, market, self.taker(market, who), r.choice((0, 20, 50, 100, 100, 100)))
        if r.random() < 0.3:
            ops.liquidate_batch(market, self.richest(market))

    def halve(self) -> None:
        """In a market in doubt somebody short of margin is liquidated by halves."""
        ops, r = self.ops, self.r
        held = [m for m in range(ops.n_markets) if self.holders(m) and ops.state(m) <= c.STATE_DEGRADED]
        if not held:
            return
        market = r.choice(held)
        if ops.state(market) == c.STATE_LIVE:
            self.doubt(market, 1)
        found = self.squeeze(r.choice((30, 60, 90)), r.choice(self.holders(market)), market)
        if found is None:
            return
        who = found[0]
        for pause in (0, r.choice((1, 59)), 61):
            ops.advance(pause)
            self.refresh()
            ops.liquidate(who, market, self.taker(market, who), r.choice((10, 100, 100)))
        if r.random() < 0.3:
            ops.liquidate_batch(market, self.taker(market, who))

    def dump(self) -> None:
        """Somebody below maintenance reduces, at a price that gives away more than is his, or not."""
        ops, r = self.ops, self.r
        found = self.squeeze(r.choice((30, 60, 90)))
        if found is None:
            return
        who, market = found
        size = ops.legs(ops.accounts[who]).get(market, 0)
        if not size:
            return
        worse = r.choice((0, 40, 150)) * (-1 if size > 0 else 1)
        part = ops.size_of(market, ops.real(abs(size)) * ops.prices[market] // WAD * r.choice((20, 50, 100)) // 100)
        other = self.richest(market, who)
        buyer, seller, flag = (other, who, 2) if size > 0 else (who, other, 1)
        ops.fill(market, buyer, seller, part, ops.prices[market] * (10_000 + worse) // 10_000, flag)

    def take_over(self) -> None:
        """The fund's bucket inherits somebody, or refuses to."""
        held = [(k, m) for k, a in enumerate(self.ops.accounts) for m in self.ops.legs(a) if len(self.ops.legs(a)) == 1]
        if held:
            self.ops.take_over(*self.r.choice(held))

    def inherit(self) -> None:
        """Somebody with one position is brought to the edge, and the bucket inherits him."""
        ops, r = self.ops, self.r
        held = [k for k, a in enumerate(ops.accounts) if len(ops.legs(a)) == 1]
        able = [k for k in held if self.bucket_affords(k)]
        if held:
            found = self.squeeze(r.choice((40, 50, 55)), r.choice(able or held))
            if found is not None:
                ops.fund("top_up", 0, found[1], 1_000_000)
                ops.take_over(*found)

    def bucket_affords(self, who: int) -> bool:
        """Whether the bucket of an account's one market could about carry its position."""
        ((market, size),) = self.ops.legs(self.ops.accounts[who]).items()
        return abs(size) * self.ops.prices[market] // WAD < self.ops.room(self.ops.bucket(market), market)

    def auction(self) -> None:
        """A bucket's inventory is offered, and bought in parts."""
        ops, r = self.ops, self.r
        stocked = [m for m in range(ops.n_markets) if ops.legs(ops.bucket(m))]
        market = r.choice(stocked or range(ops.n_markets))
        ops.fund("start_auction", 0, market, 0)
        ops.advance(r.choice((1, 60, 1_200)))
        self.refresh()
        for _ in range(r.choice((1, 2))):
            ops.fund("sell_inventory", self.richest(market), market, r.choice((5_000, 500_000, 10**8)))

    # Bankrupt accounts

    def bust(self) -> None:
        """Somebody is brought below zero and his position closed against the other side."""
        ops, r = self.ops, self.r
        found = self.squeeze(r.choice((-5, -40, -150)))
        if found is None:
            return
        broke = ops.broke()
        ops.resolve(
            found[0], [x for x in broke[:3] if x != found[0] and x < len(ops.accounts)] if r.random() < 0.3 else ()
        )
        if r.random() < 0.5:
            self.resolve()

    def crash(self) -> None:
        """One jump, and everybody whom it bankrupts is resolved in the same second."""
        r, market = self.r, self.market()
        self.shock(market, r.choice((-3_000, -1_500, -900, -500, 500, 900, 1_500, 3_000)))
        self.resolve()

    def resolve(self) -> None:
        """Everybody below zero, some with netting."""
        ops, r = self.ops, self.r
        broke = ops.broke()
        for k in broke[:8] or ([r.randrange(len(ops.accounts))] if r.random() < 0.2 else []):
            others = [x for x in broke[:4] if x != k and x < len(ops.accounts)] if r.random() < 0.4 else ()
            ops.resolve(k, others)

    def clean(self) -> None:
        """Everybody below zero is resolved, and what is left of it cut out of the claims."""
        ops = self.ops
        for _ in range(3):
            broke = ops.broke()
            if not broke:
                break
            for k in broke[:8]:
                ops.resolve(k)
        if ops.seen.domain.bad_debt or self.r.random() < 0.1:
            ops.rebase()

    def rebase(self) -> None:
        """Cut the claims, or be refused."""
        self.ops.rebase()

    def sink(self) -> None:
        """A bucket inherits a position, and the market turns until the bucket itself is bankrupt."""
        ops, r = self.ops, self.r
        if not any(ops.legs(ops.bucket(m)) for m in range(ops.n_markets)):
            self.inherit()
        for market in range(ops.n_markets):
            bucket = ops.bucket(market)
            size = ops.legs(bucket).get(market)
            if size is None:
                continue
            gap = -ops.equity(bucket) * WAD // size * 10_000 // ops.prices[market]
            self.shock(market, max(-6_000, min(12_000, gap * r.choice((11, 15)) // 10)))
            ops.resolve(len(ops.accounts) + market)
            ops.fund("recognise", 0, 0, 0)

    def crumble(self) -> None:
        """All of a band but a crumb is closed by somebody's default; most times, the next enters the same band."""
        ops, r, market = self.ops, self.r, self.market()
        flat = [k for k in self.usable(market) if not ops.legs(ops.accounts[k])]
        if len(flat) < 3:
            self.close()
            return
        winner, loser, crumb = r.sample(flat, 3)
        purse = self.regime.purse[0] * 100
        for who in (winner, loser, crumb):
            if ops.equity(ops.accounts[who]) < purse * 10**16 // 2:
                ops.deposit(who, purse)
        is_long = r.random() < 0.5
        price = ops.prices[market]

        def deal(a: int, b: int, size: int) -> bool:
            return ops.fill(market, a if is_long else b, b if is_long else a, size, price)

        room = min(ops.room(ops.accounts[k], market) for k in (winner, loser))
        size = ops.size_of(market, ops.real(room) * 9 // 10)
        if size <= 10**9 or not deal(winner, loser, size):
            return
        if r.random() < 0.8:
            deal(winner, crumb, c.DUST_SIZE + r.randrange(1, 100))
        if self.squeeze(-10, loser, market) is not None:
            ops.resolve(loser)
            if r.random() < 0.2:
                ops.take_over(winner, market)
            if r.random() < 0.5:
                ops.settle(winner, market)

    def fan(self) -> None:
        """Everybody opens against one account at a leverage of his own, so that each has a band; then it fails."""
        ops, r, market = self.ops, self.r, self.market()
        flat = [k for k in self.usable(market) if not ops.legs(ops.accounts[k])]
        if len(flat) < 36 or any(market in ops.legs(a) for a in ops.accounts):
            for who in self.holders(market)[:20]:
                mirror = self.richest(market, who)
                ops.close(market, who, mirror, 100)
                if ops.seen.domain.bad_debt:
                    ops.rebase()
            return
        giant = flat.pop(r.randrange(len(flat)))
        is_long, by_entry = r.random() < 0.5, ops.limits(market).rank == c.RANK_PROFIT
        for _ in range(3):  # let the slow reference price come to where the price is
            ops.advance(1_700)
            ops.set_price(market, ops.prices[market])
        notionals = {}
        for i, who in enumerate(flat):
            if ops.equity(ops.accounts[who]) < self.regime.purse[0] * WAD // 2:
                ops.deposit(who, self.regime.purse[0] * 100)
            apart = 2 ** ((3 + 1.25 * i) / 64)  # bankruptcy prices a band apart
            share = 2.0 if by_entry else 1 - 1 / apart if is_long else apart - 1
            notionals[who] = int(ops.real(ops.equity(ops.accounts[who])) / share)
        # his margin, and what he will have lost by the time that the last has opened
        ops.deposit(giant, sum(notionals.values()) // CENT * (30 if by_entry else 4) // 100)
        for who, notional in notionals.items():
            a, b = (who, giant) if is_long else (giant, who)
            ops.fill(market, a, b, ops.size_of(market, notional), ops.prices[market])
            if by_entry:
                self.shock(market, 120 if is_long else -120)
        if self.squeeze(r.choice((-10, -30)), giant, market) is None:
            return
        ops.resolve(giant)
        ops.settle(giant, market)
        for probe in r.sample((self.trade, self.rebase, self.withdraw, self.grind, self.release, self.rerank), 3):
            probe()
        for _ in range(3):
            ops.resolve(giant)

    def wear(self) -> None:
        """One band of one side is cut to a crumb a dozen times, and never empties: its scale only grows."""
        ops, r = self.ops, self.r
        market, winner, loser, crumb = 0, 0, 1, 2
        for _ in range(12):
            ops.advance(1)
            ops.set_price(market, ops.setup.specs[market].price)
            for who in (winner, loser, crumb):
                short = self.regime.purse[0] - ops.equity(ops.accounts[who]) // WAD
                if short > 0:
                    ops.deposit(who, short * 100)
            price = ops.prices[market]
            room = min(ops.room(ops.accounts[k], market) for k in (winner, loser))
            ops.fill(market, winner, loser, ops.size_of(market, max(WAD, ops.real(room) * 9 // 10)), price)
            ops.fill(market, winner, crumb, c.DUST_SIZE + r.randrange(1, 100), price)
            if self.squeeze(-15, loser, market) is None:
                return
            ops.resolve(loser)

    def spread(self) -> None:
        """Somebody opens a small position in one market after another."""
        ops, r = self.ops, self.r
        who, other = r.sample(range(len(ops.traders)), 2)
        for market in r.sample(range(ops.n_markets), ops.n_markets):
            notional = ops.real(ops.room(ops.accounts[who], market)) // 20 // WAD
            ops.trade(market, *r.choice(((who, other), (other, who))), max(1, notional), 0, 0, 0)

    # Upkeep

    def sweep(self) -> None:
        """Fees to the bucket."""
        self.ops.sweep(self.market())

    def repay(self) -> None:
        """A gift, rather from somebody who can give."""
        ops = self.ops
        free = [k for k, a in enumerate(ops.accounts) if (w := ops.seen.accounts.get(a)) and not w.exposed and w.cash]
        ops.repay(self.r.choice(free or range(len(ops.accounts))), self.r.choice((1, 4_000, 400_000)))

    def release(self) -> None:
        """Back to exempt, rather of somebody flat."""
        ops = self.ops
        flat = [k for k, a in enumerate(ops.accounts) if (w := ops.seen.accounts.get(a)) and w.exposed and not w.legs]
        ops.release(self.r.choice(flat if flat and self.r.random() < 0.8 else range(len(ops.accounts))))

    def settle(self) -> None:
        """Pending cash of somebody."""
        market = self.market()
        held = [k for k, a in enumerate(self.ops.accounts) if market in self.ops.seen.all_legs.get(a, ())]
        pool = held if held and self.r.random() < 0.9 else range(len(self.ops.accounts))
        self.ops.settle(self.r.choice(pool), market)

    def rerank(self) -> None:
        """The present label of somebody."""
        market = self.market()
        held = self.holders(market) if self.r.random() < 0.9 else []
        self.ops.rerank(self.r.choice(held or range(len(self.ops.accounts))), market)

    # Others

    def fund(self) -> None:
        """The liquidity providers' side."""
        r, what = self.r, self.r.choice(FUND_MOVES)
        if what == "claim_withdrawal" and r.random() < 0.5:
            self.ops.advance(self.ops.setup.cooldown_s)
            self.refresh()
        who = r.randrange(len(PROVIDERS)) if what != "sell_inventory" else r.randrange(len(self.ops.accounts))
        self.ops.fund(what, who, self.market(), r.choice((1, 2_000, 90_000, 600_000)))

    def set_policy(self) -> None:
        """Another deleveraging policy."""
        name = self.r.choice(("ProRata", "BandQueue"))
        self.governance.change("ClearingHouse", "set_policy", self.market(), self.ops.system.addresses[name])

    def govern(self) -> None:
        """Rates, limits, policies, timelock; some loosen what was tightened."""
        ops, r, market, by = self.ops, self.r, self.market(), self.governance
        risk, limits = replace(ops.risk(market)), replace(ops.limits(market))
        what = r.randrange(10)
        if what >= 8:
            self.misgovern(market)
        elif what == 0:
            risk.initial, risk.maintenance = r.choice(((20_000, 10_000), (50_000, 25_000), (15_000, 6_000)))
            by.change("ClearingHouse", "set_risk", market, risk.pack())
        elif what == 1:
            risk.taker_fee, risk.maker_fee = r.choice(((500, 0), (1_000, 200), (0, 300)))
            risk.depth = r.choice((0, 1_000_000, 5_000_000))
            by.change("ClearingHouse", "set_risk", market, risk.pack())
        elif what == 2:
            oi = ops.seen.markets[market].oi
            limits.oi_cap = r.choice((10**12 * WAD, ops.real(oi) + 1, ops.real(oi) * 2))
            by.change("ClearingHouse", "set_limits", market, limits.pack())
        elif what == 3:
            limits.lot_exp = r.choice((0, 9, 12))
            limits.min_size = r.choice((c.DUST_SIZE + 1, 10**15))
            by.change("ClearingHouse", "set_limits", market, limits.pack())
        elif what == 4:
            self.set_policy()
        elif what == 5:
            if r.random() < 0.6:
                ops.advance(ops.setup.delay_s if r.random() < 0.8 else ops.setup.delay_s + GRACE_S + 1)
                self.refresh()
            by.execute(r.randrange(4))
        elif what == 6:
            by.cancel(r.randrange(4), r.random() < 0.5)
        elif r.random() < 0.5:
            risk.initial += r.choice((0, 1_000, -1_000))
            risk.maintenance += r.choice((0, 500))
            by.tighten("risk", market, risk.pack())
        else:
            limits.oi_cap = limits.oi_cap * r.choice((9, 10, 11)) // 10
            limits.min_size += r.choice((0, 1_000, -1))
            by.tighten("limits", market, limits.pack())

    def misgovern(self, market: int) -> None:
        """A word that breaks a rule, or a tightening that is none."""
        ops, r, by = self.ops, self.r, self.governance
        risk, limits = replace(ops.risk(market)), replace(ops.limits(market))
        what = r.randrange(4)
        if what == 0:
            by.change("ClearingHouse", "set_risk", market, replace(risk, **r.choice(WRONG_RISKS)).pack())
        elif what == 1:
            by.change("ClearingHouse", "set_limits", market, replace(limits, **r.choice(WRONG_LIMITS)).pack())
        elif what == 2:
            field = r.choice([f.name for f in fields(risk)])
            value = getattr(risk, field) + r.choice((1, -1)) * 100
            by.tighten("risk", market, replace(risk, **{field: max(0, value)}).pack(), by_guardian=r.random() < 0.7)
        else:
            field = r.choice(("oi_cap", "min_size", "lot_exp", "rank", "octave_bits"))
            value = getattr(limits, field) + r.choice((1, -1))
            by.tighten("limits", market, replace(limits, **{field: max(0, value)}).pack())

    def hand_over(self) -> None:
        """The Governor contract takes office; later it is sealed."""
        if self.governance.handed_over:
            if not self.governance.sealed or self.r.random() < 0.05:
                self.governance.seal()
        else:
            self.governance.hand_over()

    def operate(self) -> None:
        """An owner names an operator, or the operator acts."""
        ops, r = self.ops, self.r
        if r.random() < 0.35:
            ops.set_operator(r.randrange(len(ops.traders)), r.random() < 0.8)
            return
        what = r.choice(("deposit", "deposit", "liquidate", "withdraw", "transfer"))
        ops.as_operator(what, r.randrange(1, len(ops.accounts)), self.market(), r.choice((1, 5_000)))

    def trespass(self) -> None:
        """A stranger tries what is not his to do."""
        contract, function, args = self.r.choice(TRESPASSES)(self.ops, self.market())
        self.ops.trespass(contract, function, *args)

    def blunder(self) -> None:
        """Somebody entitled does what makes no sense."""
        contract, function, sender, args = self.r.choice(BLUNDERS)(self.ops, self.market())
        acted = [a for a in args if isinstance(a, bytes) and len(a) == 32 and sender in (owner_of(a), FILLER)]
        self.ops.step(contract, function, sender, *args, acted=acted)
