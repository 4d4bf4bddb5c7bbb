"""Everything that anybody can do, as methods that drive contract and model together.

Each method is one step: the call runs on both, everything is compared, the invariants are checked and the exact
ledger follows. The stateful machine and the seeded walk only choose; whether a call is allowed is for the two
sides to agree on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

from python_ref import constants as c
from python_ref.ideal import IdealFollower
from python_ref.invariants import Snapshot, check_all, read_book
from python_ref.ledger import account_id, owner_of
from python_ref.world import Event
from scripts.chain import Chain, Outcome, account
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System, actor, deploy

TRADERS = tuple(actor(f"trader {i}") for i in range(7))
PROVIDERS = (account(7_001), account(7_002))

FEED_NORMAL, FEED_REVERTS = 0, 1

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
QUEUES = tuple(i for i, spec in enumerate(SPECS) if spec.policy == "BandQueue" and spec.limits.rank)


class Operations:
    """A deployed system, its exact follower, and one method per thing that can be done."""

    def __init__(self, chain: Chain, decimals: int) -> None:
        self.events: Counter[str] = Counter()
        self.follower = IdealFollower(10 ** (18 - decimals))
        self.system: System = deploy(chain, SPECS, decimals, cooldown_s=3_600, full_every=50, observer=self._follow)
        self.world = self.system.twin.world
        self.seen = Snapshot(self.world)
        self.outcomes: Counter[str] = Counter()
        self.steps = 0
        self.widest = Fraction(0)
        self.accounts: tuple[bytes, ...] = (
            *(t.account() for t in TRADERS),
            TRADERS[0].account(1),
            TRADERS[1].account(1),
        )
        self.prices = [spec.price for spec in SPECS]
        for provider in PROVIDERS:
            self._token("mint", KEEPER, provider, 10**9 * 10**decimals)
            self._token("approve", provider, self.system.fund.address, 2**255)
        for trader in TRADERS:
            self._token("mint", KEEPER, trader.address, 10**9 * 10**decimals)
            self._token("approve", trader.address, self.system.clearing_house.address, 2**255)
        for market in range(len(SPECS)):
            self._other("BackstopFund", "set_cap", GOVERNOR, market, 10_000 * WAD)
        for who in range(len(self.accounts)):
            self.deposit(who, 1_000_000 if who % 2 else 300_000)
        self.fund("deposit", 0, 0, 2_000_000)
        for market in range(len(SPECS)):
            self.fund("top_up", 0, market, 200_000)
        self._start = (deepcopy(self.follower), self.seen)

    def _follow(self, events: list[Event], now: int) -> None:
        self.follower.follow(events, now)
        self.events.update(event.name for event in events)

    # Restarting

    def mark(self) -> tuple[int, Any]:
        """Where :meth:`restart` returns to."""
        return self.system.twin.snapshot()

    def restart(self, mark: tuple[int, Any]) -> None:
        """Back to the fresh deployment."""
        self.system.twin.revert(mark)
        self.follower, self.seen = deepcopy(self._start[0]), self._start[1]
        self.prices = [spec.price for spec in SPECS]
        self.system.salts.clear()

    # One step

    def _call(self, function: str, sender: str, *args: Any, acted: Sequence[bytes] = ()) -> Outcome:
        return self._step("ClearingHouse", function, sender, *args, acted=acted)

    def _other(self, contract: str, function: str, sender: str, *args: Any, acted: Sequence[bytes] = ()) -> Outcome:
        return self._step(contract, function, sender, *args, acted=acted)

    def _token(self, function: str, sender: str, *args: Any) -> None:
        self.system.twin.call("Token", function, sender, *args)

    def _step(self, contract: str, function: str, sender: str, *args: Any, acted: Sequence[bytes]) -> Outcome:
        outcome = self.system.twin.call(contract, function, sender, *args)
        self.steps += 1
        self.outcomes[f"{function}: {outcome.reason or 'ok'}"] += 1
        if outcome.ok:
            self._judge(acted)
        return outcome

    def _judge(self, acted: Sequence[bytes]) -> None:
        """Invariants and the exact ledger after a call that went through."""
        system = self.system
        vault = system.token.balanceOf(KEEPER, system.clearing_house.address) * system.unit
        events = list(self.world.events)
        frozen = any(system.oracle.peek(KEEPER, m).state == c.STATE_FROZEN for m in range(len(SPECS)))
        index = {m: system.oracle.peek(KEEPER, m).index for m in range(len(SPECS))}
        funds = [system.bucket(m) for m in range(len(SPECS))] + [account_id(system.fund.address)]
        self.seen = check_all(
            self.world,
            vault,
            before=self.seen,
            events=events,
            acted_for=[*acted, *funds],
            index=None if frozen else index,
            queues=QUEUES,
        )
        drift = self.follower.compare(read_book(self.seen))
        self.widest = max(self.widest, drift.cash)

    def finish(self) -> None:
        """Compare every word."""
        self.system.twin.check_all()

    # What can be done

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.system.twin.advance(seconds)

    def price(self, market: int, change_bps: int, feeds: int = 3) -> None:
        """Move the price that the first ``feeds`` feeds answer, and poke."""
        moved = max(WAD // 1_000, self.prices[market] * (10_000 + change_bps) // 10_000)
        self.system.set_price(market, moved, range(feeds))
        if feeds >= 2:
            self.prices[market] = moved

    def feed_mode(self, market: int, feed: int, mode: int) -> None:
        """Break or mend a feed."""
        self.system.twin.call(self.system.feed_name(market, feed), "set_mode", KEEPER, mode)
        self.system.twin.call("PriceOracle", "poke", KEEPER, market)

    def deposit(self, who: int, money: int) -> None:
        """``money`` in cents of a unit."""
        target = self.accounts[who]
        atoms = max(1, money * 10**16 // self.system.unit)
        self._call("deposit", owner_of(target), target, atoms, acted=[target])

    def withdraw(self, who: int, percent: int) -> None:
        """A share of the account's cash."""
        target = self.accounts[who]
        cash = self.system.clearing_house.load_account_word(target).cash
        atoms = max(1, max(cash, 10**18) * percent // 100 // self.system.unit)
        self._call("withdraw", owner_of(target), target, atoms, owner_of(target), acted=[target])

    def transfer(self, who: int, to: int, money: int) -> None:
        """Between accounts of one owner, or refused."""
        source, target = self.accounts[who], self.accounts[to]
        self._call("transfer", owner_of(source), source, target, max(1, money * 10**16), acted=[source, target])

    def trade(self, market: int, buyer: int, seller: int, notional: int, offset_bps: int, flags: int, odd: int) -> None:
        """``notional`` in units of money, at ``offset_bps`` from the price; ``odd`` wei more where lots allow."""
        lot = 10 ** SPECS[market].limits.lot_exp
        size = max(1, notional * WAD * WAD // self.prices[market] // lot + odd) * lot
        price = self.prices[market] * (10_000 + offset_bps) // 10_000
        a, b = self.accounts[buyer], self.accounts[seller]
        self._call("fill", FILLER, market, a, b, size, price, flags, acted=[a, b])

    def dust_trade(self, buyer: int, seller: int, size: int) -> None:
        """Wei-sized positions in the market that allows them."""
        a, b = self.accounts[buyer], self.accounts[seller]
        self._call("fill", FILLER, 3, a, b, c.DUST_SIZE + size, self.prices[3], 0, acted=[a, b])

    def close(self, market: int, who: int, other: int, percent: int) -> None:
        """Reduce a position against another account."""
        lot = 10 ** SPECS[market].limits.lot_exp
        a, b = self.accounts[who], self.accounts[other]
        size = self.seen.legs(a)[market].size if market in self.seen.legs(a) else WAD
        part = max(1, -(-abs(size) * percent // 100 // lot)) * lot
        buyer, seller, flag = (b, a, 2) if size > 0 else (a, b, 1)
        self._call("fill", FILLER, market, buyer, seller, part, self.prices[market], flag, acted=[a, b])

    def signed_trade(self, market: int, maker: int, taker: int, notional: int, offset_bps: int) -> None:
        """Two signed orders that cross, settled by a stranger."""
        m, t = TRADERS[maker], TRADERS[taker]
        lot = 10 ** SPECS[market].limits.lot_exp
        size = max(1, notional * WAD * WAD // self.prices[market] // lot) * lot
        price = self.prices[market] * (10_000 + offset_bps) // 10_000
        first, first_sig = self.system.order(m, market, size, price)
        second, second_sig = self.system.order(t, market, -size, price)
        acted = [m.account(), t.account()]
        self._other("Orders", "settle_orders", KEEPER, first, first_sig, second, second_sig, size, acted=acted)

    def take(self, market: int, maker: int, taker: int, notional: int, reduce_only: bool) -> None:
        """A signed order taken by another trader."""
        m, t = TRADERS[maker], TRADERS[taker]
        lot = 10 ** SPECS[market].limits.lot_exp
        size = max(1, notional * WAD * WAD // self.prices[market] // lot) * lot
        order, signature = self.system.order(m, market, size, self.prices[market], reduce_only=reduce_only)
        acted = [m.account(), t.account()]
        self._other("Orders", "take", t.address, order, signature, t.account(), size, False, acted=acted)

    def liquidate(self, who: int, market: int, by: int, percent: int) -> None:
        """``percent`` of the position at most."""
        target, taker = self.accounts[who], self.accounts[by]
        size = self.seen.legs(target)[market].size if market in self.seen.legs(target) else WAD
        most = max(1, abs(size) * percent // 100)
        self._call("liquidate", owner_of(taker), target, market, taker, most, acted=[taker])

    def liquidate_batch(self, market: int, by: int) -> None:
        """Everybody else."""
        taker = self.accounts[by]
        targets = tuple(a for a in self.accounts if a != taker)
        self._call("liquidate_batch", owner_of(taker), targets, market, taker, 2**100, acted=[taker])

    def take_over(self, who: int, market: int) -> None:
        """By the fund's bucket."""
        self._call("take_over", KEEPER, self.accounts[who], market)

    def resolve(self, who: int, others: Sequence[int]) -> None:
        """An account, or beyond the traders a bucket of the fund."""
        target = self.accounts[who] if who < len(self.accounts) else self.system.bucket(who - len(self.accounts))
        self._call("resolve", KEEPER, target, tuple(self.accounts[i] for i in others))

    def rebase(self) -> None:
        """Cut the claims."""
        self._call("rebase_claims", KEEPER)

    def sweep(self, market: int) -> None:
        """Fees to the bucket."""
        self._call("sweep_fees", KEEPER, market)

    def repay(self, who: int, money: int) -> None:
        """A gift towards the bad debt."""
        target = self.accounts[who]
        self._call("repay_bad_debt", owner_of(target), target, money * 10**16, acted=[target])

    def release(self, who: int) -> None:
        """Back to exempt."""
        self._call("release", KEEPER, self.accounts[who], acted=[self.accounts[who]])

    def settle(self, who: int, market: int) -> None:
        """Pay pending cash."""
        self._call("settle", KEEPER, self.accounts[who], market)

    def rerank(self, who: int, market: int) -> None:
        """To the present label."""
        self._call("rerank", KEEPER, self.accounts[who], market)

    def set_policy(self, market: int, name: str) -> None:
        """Another deleveraging policy."""
        self._call("set_policy", GOVERNOR, market, self.system.addresses[name])

    def fund(self, what: str, who: int, market: int, money: int) -> None:
        """The liquidity providers' side."""
        provider = PROVIDERS[who % len(PROVIDERS)]
        amount = max(1, money * 10**16)
        if what == "deposit":
            self._other("BackstopFund", "deposit", provider, max(1, amount // self.system.unit))
        elif what == "request":
            self._other("BackstopFund", "request_withdrawal", provider, amount)
        elif what in ("claim_withdrawal", "cancel_withdrawal", "recognise"):
            self._other("BackstopFund", what, provider)
        elif what == "top_up":
            self._other("BackstopFund", what, KEEPER, market, amount)
        elif what == "skim":
            self._other("BackstopFund", what, GOVERNOR, market, amount)
        elif what == "start_auction":
            self._other("BackstopFund", what, KEEPER, market)
        else:
            buyer = self.accounts[who]
            acted = [buyer]
            self._other("BackstopFund", "sell_inventory", owner_of(buyer), market, buyer, amount, acted=acted)

    # Choosing

    def equity(self, target: bytes) -> int:
        """Roughly what an account is worth, in money: good enough to choose by."""
        word = self.seen.accounts.get(target)
        if word is None:
            return 0
        legs = self.seen.all_legs[target]
        return word.cash + sum(leg.pending + leg.size * self.prices[m] // WAD for m, leg in legs.items())

    def random_step(self, r: Random) -> None:
        """One step, weighted so that books fill up and break."""
        n, m = len(self.accounts), r.randrange(len(SPECS))
        i, j = r.sample(range(n), 2)
        for k in (i, j):
            if k >= len(TRADERS):
                m = k % len(SPECS)  # the second subaccounts are isolated: one market each
        kind = r.random()
        if r.random() < 0.35:
            self.advance(r.choice((1, 5, 13, 60, 61, 600)))
        if kind < 0.34:
            poorer = min(self.equity(self.accounts[i]), self.equity(self.accounts[j])) // WAD
            notional = max(1, poorer * r.choice((1, 3, 10, 25, 45, 45, 70)) // r.choice((1, 1, 2)))
            self.trade(m, i, j, notional, r.randrange(-100, 101), r.choice((0, 0, 0, 0, 4, 1, 2)), r.randrange(3))
        elif kind < 0.36:
            self.dust_trade(i, j, r.randrange(1, 60))
        elif kind < 0.42:
            held = [k for k in range(n) if m in self.seen.all_legs.get(self.accounts[k], {}) and k != j]
            self.close(m, r.choice(held or [i]), j, r.choice((10, 50, 100, 100)))
        elif kind < 0.44:
            self.signed_trade(m, *r.sample(range(len(TRADERS)), 2), r.choice((50, 900)), r.randrange(-50, 51))
        elif kind < 0.45:
            self.take(m, *r.sample(range(len(TRADERS)), 2), r.choice((50, 900)), r.random() < 0.2)
        elif kind < 0.55:
            change = r.choice((-2_510, -900, -300, -150, -80, -10, 10, 80, 150, 300, 900, 2_600))
            self.price(m, change, r.choice((3,) * 14 + (2, 1)))
        elif kind < 0.555:
            self.feed_mode(m, r.randrange(3), FEED_REVERTS)
        elif kind < 0.565:
            for market in range(len(SPECS)):
                for feed in range(3):
                    self.feed_mode(market, feed, FEED_NORMAL)
                self.price(market, 0)
        elif kind < 0.61:
            self.deposit(i, r.choice((1, 30_000, 100_000, 700_000)))
        elif kind < 0.64:
            self.withdraw(i, r.choice((1, 30, 90, 100)))
        elif kind < 0.65:
            self.transfer(i, j, r.choice((1, 5_000)))
        elif kind < 0.68:
            self.press(r)
        elif kind < 0.70:
            # a grind: a step of the price, then everybody who fell short of maintenance
            self.price(m, r.choice((-150, -100, -60, 60, 100, 150)))
            self.liquidate_batch(m, max(range(n), key=lambda k: self.equity(self.accounts[k])))
        elif kind < 0.72:
            held = [k for k in range(n) if m in self.seen.all_legs.get(self.accounts[k], {}) and k != j]
            self.liquidate(r.choice(held or [i]), m, j, r.choice((5, 100, 100)))
        elif kind < 0.74:
            self.liquidate_batch(m, i)
        elif kind < 0.77:
            held = [k for k in range(n) if set(self.seen.all_legs.get(self.accounts[k], {})) == {m}]
            self.take_over(r.choice(held or [i]), m)
        elif kind < 0.84:
            everybody = (*self.accounts, *(self.system.bucket(k) for k in range(len(SPECS))))
            broke = [k for k, target in enumerate(everybody) if self.equity(target) < 0]
            for k in broke or [i]:
                self.resolve(k, [x for x in broke[:3] if x != k and x < n] if r.random() < 0.5 else ())
        elif kind < 0.865:
            self.rebase()
        elif kind < 0.88:
            self.sweep(m)
        elif kind < 0.89:
            self.repay(i, r.choice((1, 4_000)))
        elif kind < 0.91:
            self.release(i)
        elif kind < 0.93:
            self.settle(i, m)
        elif kind < 0.95:
            self.rerank(i, m)
        elif kind < 0.955:
            self.set_policy(m, r.choice(("ProRata", "BandQueue")) if m not in QUEUES else "BandQueue")
        else:
            whats = ("deposit", "request", "claim_withdrawal", "cancel_withdrawal", "recognise")
            more = ("top_up", "top_up", "top_up", "skim", "start_auction", "start_auction", "sell_inventory")
            self.fund(r.choice(whats + more), i, m, r.choice((1, 2_000, 90_000, 600_000)))

    def press(self, r: Random) -> None:
        """Move a price until somebody's equity is a chosen share of his maintenance, then act on him."""
        legged = [k for k, target in enumerate(self.accounts) if self.seen.all_legs.get(target)]
        if not legged:
            return
        who = r.choice(legged)
        target = self.accounts[who]
        market, leg = r.choice(sorted(self.seen.all_legs[target].items()))
        if leg.size == 0:
            return
        maintenance = abs(leg.size) * self.prices[market] // WAD // 100
        wanted = maintenance * r.choice((-30, 20, 50, 50, 80, 80, 95, 101)) // 100
        moved = self.prices[market] + (wanted - self.equity(target)) * WAD // leg.size
        change = (moved - self.prices[market]) * 10_000 // self.prices[market]
        self.price(market, max(-3_000, min(3_000, change)))
        by = max((k for k in range(len(self.accounts)) if k != who), key=lambda k: self.equity(self.accounts[k]))
        for act in r.sample(("liquidate", "liquidate", "take_over", "resolve"), 2):
            if act == "liquidate":
                self.liquidate(who, market, by, r.choice((1, 100, 100)))
            elif act == "take_over":
                self.take_over(who, market)
            else:
                self.resolve(who, ())
