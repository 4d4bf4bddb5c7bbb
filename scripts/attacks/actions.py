"""What actors do: each action of a file as calls on contract and model."""

from __future__ import annotations

from dataclasses import astuple, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from eth_abi import decode
from eth_utils import keccak

from python_ref import constants as c
from python_ref.mocks import MockFeed
from python_ref.oracle_words import Feed
from scripts.attacks.attack import EVERYBODY, POOL, Step
from scripts.chain import Outcome
from scripts.system import GOVERNOR, KEEPER, WAD
from scripts.twin import Mismatch

if TYPE_CHECKING:
    from scripts.attacks.runner import Runner

DONE = "done"


class Actions:
    """The actors of a run."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.system = runner.system
        self.twin = runner.system.twin
        self._marks: dict[str, Any] = {}
        self._came: dict[str, tuple[Step, dict[str, int]]] = {}  # what the steps with a ``want`` came to
        self._feeds = 0
        self._starver: str | None = None

    def do(self, step: Step) -> bool:
        """One step, for every account where it names several; whether all of it went through."""
        done = True
        for args in self._spread(step.args):
            outcome = getattr(self, f"_{step.action}")(**args)
            if outcome is None:
                continue
            got = DONE if outcome.ok else f"refused: {outcome.reason or 'no reason'}"
            if not outcome.ok:
                self.runner.tell("refused", f"{_named(step)}: {outcome.reason or 'no reason'}", args.get("account", ""))
            if self.runner.deployment in step.want:
                found = self._came.setdefault(step.path, (step, {}))[1]
                found[got] = found.get(got, 0) + 1
            done &= outcome.ok
        return done

    def judge(self) -> None:
        """Hold what the steps came to against what they want; a step that never came to pass has failed."""
        for step in self.runner.attack.steps:
            wanted = step.want.get(self.runner.deployment)
            if wanted is None:
                continue
            found = self._came.get(step.path, (step, {}))[1]
            ok = bool(found) and all(
                got == wanted or (wanted == "refused" and got.startswith("refused")) for got in found
            )
            if wanted == "never":
                ok = not found
            times = sum(found.values())
            got = "; ".join(f"{text}{f' ({n} of {times})' if len(found) > 1 else ''}" for text, n in found.items())
            when = f"{step.at} s" if times <= 1 else f"{step.at} s and later, {times} times"
            self.runner.expected(f"{_named(step)}, {when}", wanted, got or "never", ok)

    def _spread(self, args: Any) -> list[dict[str, Any]]:
        account = args.get("account")
        members = self.runner.attack.groups.get(account, (account,))
        if account == EVERYBODY:
            members = tuple(name for name, id_ in self.runner.ids.items() if self.runner.accounts.sizes(id_))
        return [{**args, "account": member} if member else dict(args) for member in members]

    # Trades

    def _price(self, market: int, price: Any) -> int:
        if isinstance(price, int):
            return price
        if price == "truth":
            return self.runner.truth(market)
        prices = self.runner.peek(market)
        return 0 if prices is None else int(getattr(prices, price))

    def _open(self, side: int, args: dict[str, Any]) -> Outcome:
        market, name, price = args["market"], args["account"], self._price(args["market"], args.get("price", "index"))
        size = args.get("size") or (args["notional"] * WAD // price if price else 10 ** self._lot(market))
        return self._trade(market, name, args.get("with", POOL), side * self.runner.lots(market, size), price)

    def _lot(self, market: int) -> int:
        return self.system.specs[market].limits.lot_exp

    def _long(self, **args: Any) -> Outcome:
        return self._open(1, args)

    def _short(self, **args: Any) -> Outcome:
        return self._open(-1, args)

    def _close(
        self, account: str, market: int, share: Fraction = Fraction(1), price: Any = "index", **rest: str
    ) -> Outcome | None:
        """The whole position, or a share of it, with the pool or who is named."""
        held = self.runner.accounts.sizes(self.runner.ids[account]).get(market, 0)
        size = int(abs(held) * share)
        if size == 0:
            return None
        flag = c.FLAG_SELLER_REDUCE_ONLY if held > 0 else c.FLAG_BUYER_REDUCE_ONLY
        signed = -size if held > 0 else size
        return self._trade(market, account, rest.get("with", POOL), signed, self._price(market, price), flag)

    def _trade(self, market: int, name: str, other: str, size: int, price: int, flags: int = 0) -> Outcome:
        ids = self.runner.ids
        buyer, seller = (ids[name], ids[other]) if size > 0 else (ids[other], ids[name])
        if size > 0:
            flags |= c.FLAG_BUYER_IS_TAKER
        outcome = self.system.trade(market, buyer, seller, abs(size), price, flags)
        if outcome.ok:
            word = "buys" if size > 0 else "sells"
            text = f"{name} {word} {abs(size) / WAD:,.6g} at {price / WAD:,.6g} {'from' if size > 0 else 'to'} {other}"
            self.runner.tell("trade", text, name, size / WAD, price / WAD)
        return outcome

    # Money

    def _deposit(self, account: str, amount: int | None, market: int) -> Outcome:
        return self._moved(account, amount or 0, 1, self.system.fund_account(self.runner.owners[account], amount or 0))

    def _withdraw(self, account: str, amount: int | None, market: int) -> Outcome:
        """``max``: as much as the contracts let go."""
        owner, id_ = self.runner.owners[account], self.runner.ids[account]
        if amount is None:
            vault = self.system.token.balanceOf(KEEPER, self.system.clearing_house.address)
            args = (id_, 0, owner)
            atoms = max(1, self.runner.accounts.most("ClearingHouse", "withdraw", owner, args, 1, vault))
        else:
            atoms = amount // self.system.unit
        outcome = self.system.call("withdraw", owner, id_, atoms, owner)
        return self._moved(account, atoms * self.system.unit, -1, outcome)

    def _transfer(self, to: str, amount: int | None, market: int, **rest: str) -> Outcome:
        source = rest["from"]
        owner = self.runner.owners[source]
        args = (self.runner.ids[source], self.runner.ids[to], amount or 1)
        return self._moved(source, amount or 1, -1, self.system.call("transfer", owner, *args))

    def _moved(self, account: str, amount: int, sign: int, outcome: Outcome) -> Outcome:
        if outcome.ok:
            word = "deposits" if sign > 0 else "withdraws"
            self.runner.tell("move", f"{account} {word} {amount / WAD:,.2f}", account, sign * amount / WAD)
        return outcome

    def _release(self, account: str, market: int) -> Outcome:
        return self.system.call("release", KEEPER, self.runner.ids[account])

    def _claim(self, account: str, market: int) -> Outcome:
        return self.system.call("claim", KEEPER, self.runner.ids[account], market)

    # Closings by an actor rather than the keeper

    def _liquidate(self, account: str, taker: str, market: int) -> None:
        self.runner.liquidate(self.runner.ids[account], market, taker)

    def _resolve(self, account: str, market: int) -> None:
        self.runner.resolve(self.runner.ids[account])

    # The oracle

    def _poke(self, market: int, account: str = "") -> Outcome:
        outcome = self.twin.call("PriceOracle", "poke", KEEPER, market)
        self.runner.meter.poked(outcome)
        return outcome

    def _answer(self, market: int, price: Any = "truth", feed: int | None = None) -> Outcome | None:
        """Feeds answer that price in this very second: whoever may push them does, or moved what they look at."""
        wad = Fraction(self._price(market, price), WAD)
        outcome = None
        for source in self.runner.sources[market]:
            if feed in (None, source.place):
                name = self.system.feed_name(market, source.place)
                outcome = self.twin.call(name, "set_round", KEEPER, *source.push(wad, self.runner.t))
        return outcome

    def _starve(self, market: int, to: int, step: int, **rest: int) -> None:
        """Pokes with less and less gas. Each either changes nothing, or finds what a poke with plenty finds."""
        if self._starver is None:
            self._starver = self.system.chain.deploy("GasCaller", sender=GOVERNOR)
        oracle, chain = self.system.addresses["PriceOracle"], self.system.chain
        data = keccak(b"poke(uint256)")[:4] + market.to_bytes(32, "big")
        plenty = self.twin.view("PriceOracle", "poke", market)
        counts = {True: 0, False: 0}
        for gas in range(to, rest["from"] - 1, -step):
            ok, answer = chain.simulate(KEEPER, self._starver, "forward", oracle, data, gas).value
            counts[ok] += 1
            if not ok:
                chain.call(KEEPER, self._starver, "forward", oracle, data, gas)
                self.twin.check_all(f"a poke with {gas:,} gas")
            elif decode(["uint256"] * len(plenty), answer) != plenty:
                raise Mismatch(f"a poke with {gas:,} gas", "prices", decode(["uint256"] * len(plenty), answer), plenty)
        text = f"{counts[False]} pokes with little gas refused without a trace, {counts[True]} as good as any"
        self.runner.tell("refused", text)
        self.runner.expected("a starved poke changes a word or an answer", "never", "never", True)

    def _settle(self, market: int, by: str = "anybody") -> Outcome | None:
        """Only the defended deployment knows an end of a market."""
        if self.runner.deployment != "defended":
            return None
        return self.twin.call("PriceOracle", "settle", GOVERNOR if by == "governor" else KEEPER, market)

    def _set_feeds(
        self, market: int, price: Any = None, decimals: int | None = None, rules: Any = None, **_: Any
    ) -> Outcome:
        """Governance names new feeds, which all answer ``price`` (the truth if none is given)."""
        spec = self.runner.attack.markets[market]
        sources = [self._new_feed(market, price, decimals) for _ in range(spec.n_feeds)]
        feeds, word = replace(spec, rules=replace(spec.rules, **(rules or {}))).feeds(sources)
        if decimals is not None:
            feeds = tuple((feed[0], decimals, *feed[2:]) for feed in feeds)
        return self.twin.call("PriceOracle", "set_feeds", GOVERNOR, market, feeds, word)

    def _replace_feed(self, place: int, market: int, price: Any = None, decimals: int | None = None) -> Outcome | None:
        """Governance puts another feed in the place of a failing one; the baselines have no such function."""
        if self.runner.deployment != "defended":
            return None
        spec = self.runner.attack.markets[market]
        source = self._new_feed(market, price, decimals)
        feed = Feed(
            source,
            spec.habits.decimals if decimals is None else decimals,
            spec.max_age_s,
            spec.habits.heartbeat,
            spec.habits.deviation,
            spec.groups[place],
        )
        return self.twin.call("PriceOracle", "replace_feed", GOVERNOR, market, place, feed.as_tuple())

    def _tighten(self, market: int, rules: dict[str, int]) -> Outcome | None:
        if self.runner.deployment != "defended":
            return None
        wanted = replace(self.runner.attack.markets[market].rules, **rules)
        return self.twin.call("PriceOracle", "tighten_rules", GOVERNOR, market, astuple(wanted))

    def _new_feed(self, market: int, price: Any, decimals: int | None) -> str:
        spec = self.runner.attack.markets[market]
        scale = spec.habits.decimals if decimals is None else decimals
        self._feeds += 1
        name = f"NewFeed{self._feeds}"
        self.deploy_feed(name, scale, spec.name)
        wad = self._price(market, "truth" if price is None else price)
        self.twin.call(
            name, "set_answer", KEEPER, wad // 10 ** (18 - scale) if scale <= 18 else wad * 10 ** (scale - 18)
        )
        return self.twin.address(name)

    def deploy_feed(self, name: str, decimals: int, description: str) -> None:
        """Another mock feed, known to the oracle's model by its address."""
        address = self.system.chain.deploy("MockFeed", decimals, description, sender=GOVERNOR, label=name)
        model = MockFeed(self.twin.world, decimals, description, name)
        self.system.oracle.contracts[address] = model  # type: ignore[index]
        self.twin.bind(model, name, address)

    # The chain itself

    def _mark(self, name: str, market: int) -> None:
        """Remember this block, for a reorganisation."""
        self._marks[name] = self.twin.snapshot()

    def _rewind(self, name: str, market: int) -> None:
        """A reorganisation: everything since the mark never happened; the clock goes on."""
        now = self.system.chain.now
        self.twin.revert(self._marks.pop(name))
        self.twin.advance(now - self.system.chain.now)


def _named(step: Step) -> str:
    return step.name or f"{step.action} {step.args.get('account', '')}".strip()
