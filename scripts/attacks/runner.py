"""Plays an attack against one deployment, contract and model together; any difference between the two ends the run.

Each step: the clock is set, feeds answer, the keeper pokes, the actors act, the keeper liquidates, resolves and
rebases, and everything is written down. The attacker comes before the keeper: the worse order for the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from python_ref import constants as c
from python_ref.ledger import account_id
from python_ref.mocks import FEED_NORMAL
from python_ref.world import Event, Revert
from scripts.attacks.accounts import Accounts
from scripts.attacks.actions import Actions
from scripts.attacks.attack import LIQUIDATOR, POOL, QUOTE_BOOK, Attack
from scripts.attacks.expect import judge
from scripts.attacks.faults import FOREVER, Source
from scripts.attacks.measure import Meter
from scripts.attacks.result import Expectation, Happening, Run
from scripts.chain import Chain, Outcome
from scripts.rules import STATES
from scripts.system import GOVERNOR, KEEPER, WAD, System, actor, deploy

ORACLE = {"naive": "NaiveOracle", "typical": "StalenessOracle", "defended": "PriceOracle"}
UNLIMITED = 2**255
NET_WITH_MOST = 8
ROUNDS = 3
"""How often the keeper looks at everybody within one step: a default can make the next."""

WAIT = "liquidation: too soon"
"""Half a position a minute is the rule of DEGRADED, not a failure of the keeper."""

CODE_AT, CODE_BITS = 248, 0xF


def deploy_for(deployment: str, attack: Attack, chain: Chain) -> System:
    """The whole system with the oracle that ``deployment`` names, and the attack's markets and feeds."""
    args = attack.naive if deployment == "naive" else ()
    oracle = ORACLE[deployment]
    # a quote is named once it has a price of its own
    specs = [replace(market, rules=replace(market.rules, quote=0)) for market in attack.markets]
    return deploy(chain, specs, full_every=2_000, oracle=oracle, oracle_args=args)


class Runner:
    """One run under way."""

    def __init__(self, attack: Attack, deployment: str, chain: Chain) -> None:
        """Deploy, fund everybody, and open the book."""
        self.attack = attack
        self.deployment = deployment
        self.system = deploy_for(deployment, attack, chain)
        self.twin = self.system.twin
        self.begin = chain.now
        self.t = 0
        self.owners = self._owners()
        self.ids = {name: account_id(owner) for name, owner in self.owners.items()}
        self.names = {id_: name for name, id_ in self.ids.items()}
        self.names |= {self.system.bucket(m): f"fund, {s.name}" for m, s in enumerate(self.system.specs)}
        self.accounts = Accounts(self.system)
        self.run = Run(
            attack.name,
            attack.title,
            attack.source,
            attack.about,
            attack.note,
            deployment,
            attack.variant,
            chain.kind,
            float(max(step for _, step in attack.pace.parts)),
            0,
            control=attack.control,
        )
        self.run.faults = [
            {
                "from": float(fault.start),
                "to": float(min(fault.end, attack.length)),
                "feeds": list(fault.feeds),
                "text": fault.text,
            }
            for fault in attack.faults
            if fault.end >= 0
        ]
        self.sources = {book: self._sources(book) for book in attack.books}
        self.actions = Actions(self)
        self._refusals: dict[str, str] = {}
        self._done: set[str] = set()
        self._deploy_quote()
        self._sequencer = self._deploy_sequencer()
        self._fund()
        self.meter = Meter(self)
        self.causes: dict[int, int] = {}  # by market, why its oracle entered its present state
        self.twin.observer = self._observe

    # The performance

    def play(self) -> Run:
        """All steps; the run without its verdict."""
        times = self.attack.times()
        for i, t in enumerate(times):
            self.twin.advance(t - self.t)
            self.t = t
            self._move_sequencer()
            self._act(early=True)
            for market, sources in self.sources.items():
                for source in sources:
                    name = self.system.feed_name(market, source.place)
                    for function, args in source.calls(t):
                        self._must(self.twin.call(name, function, KEEPER, *args, words=False))
            keeps = self._keeps()
            if keeps:
                self._poke()
            self._act(early=False)
            if keeps:
                self._keep()
            self.meter.record(times[i + 1] - t if i + 1 < len(times) else 0)
        self.twin.check_all()
        self.meter.finish()
        self.actions.judge()
        self.run.calls = self.twin.steps
        return self.run

    def truth(self, market: int, t: int | None = None) -> int:
        """The true price in units of the collateral, WAD."""
        at = self.t if t is None else t
        price = self.attack.markets[market].truth.at(at)
        if self.attack.quote is not None:
            price /= self.attack.quote.truth.at(at)
        return int(price * WAD)

    def truths(self) -> dict[int, int]:
        """The true prices of all markets."""
        return {market: self.truth(market) for market in range(len(self.attack.markets))}

    def peek(self, market: int) -> Any | None:
        """The deployment's prices; None where its oracle does not answer."""
        try:
            return self.system.oracle.peek(KEEPER, market)
        except Revert:
            return None

    def state(self, market: int = 0) -> int:
        """State of the oracle; -1 where it does not answer."""
        prices = self.peek(market)
        return -1 if prices is None else prices.state

    def tell(
        self, kind: str, text: str, account: str = "", size: float = 0.0, price: float = 0.0, wrongful: bool = False
    ) -> None:
        """Write down an event."""
        self.run.events.append(Happening(float(self.t), kind, account, size, price, text, wrongful))

    def _observe(self, events: list[Event], now: int) -> None:
        for event in events:
            if event.name == "StateChanged":
                self.causes[event.fields["market"]] = event.fields["cause"]

    def expected(self, metric: str, wanted: str, got: str, ok: bool) -> None:
        """Write down what a step came to."""
        self.run.expected.append(Expectation(metric, wanted, got, ok))

    # Setting up

    def _owners(self) -> dict[str, str]:
        names = [*self.attack.attackers, *self.attack.traders, POOL, LIQUIDATOR]
        if self.attack.book:
            names += [name for name, _, _ in self.attack.book.accounts()]
        return {name: actor(name).address for name in names}

    def _sources(self, market: int) -> list[Source]:
        spec = self.attack.books[market]
        faults = tuple(fault for fault in self.attack.faults if fault.market == market)
        first = spec.price // 10 ** (18 - spec.habits.decimals)
        return [
            Source(
                place,
                spec.habits,
                spec.truth,
                faults,
                f"{self.attack.seed} {market}",
                self.begin,
                round=1,
                answer=first,
                decimals=spec.habits.decimals,
            )
            for place in range(spec.n_feeds)
        ]

    def _fund(self) -> None:
        """Deposits, the fund's buckets, and the book's positions, all in the first second."""
        attack, system = self.attack, self.system
        deposits = {**attack.attackers, **attack.traders, POOL: attack.pool, LIQUIDATOR: attack.liquidator}
        book = list(attack.book.accounts()) if attack.book else []
        deposits |= {name: amount for name, _, amount in book}
        for name, amount in deposits.items():
            if amount:
                self._must(system.fund_account(self.owners[name], amount))
        if attack.insurance:
            share = attack.insurance // len(attack.markets)
            self._must(system.provide(actor("provider").address, attack.insurance))
            for market in range(len(attack.markets)):
                self._must(self.twin.call("BackstopFund", "set_cap", GOVERNOR, market, share))
                self._must(self.twin.call("BackstopFund", "top_up", KEEPER, market, share))
        if attack.book:
            self._open_book(attack.book.market, attack.book.notional, [(name, side) for name, side, _ in book])

    def _open_book(self, market: int, notional: int, book: list[tuple[str, str]]) -> None:
        """Each long with the short of the same leverage; a lone one with the pool."""
        price = self.system.specs[market].price
        size = self.lots(market, notional * WAD // price)
        longs = [name for name, side in book if side == "long"]
        shorts = [name for name, side in book if side == "short"]
        pairs = [
            (longs[i] if i < len(longs) else POOL, shorts[i] if i < len(shorts) else POOL) for i in range(len(book))
        ]
        for buyer, seller in pairs:
            if buyer != seller:
                self._must(self.system.trade(market, self.ids[buyer], self.ids[seller], size, price))

    def lots(self, market: int, size: int) -> int:
        """``size`` in whole lots, rounded down."""
        lot = 10 ** self.system.specs[market].limits.lot_exp
        return int(size // lot * lot)

    def _deploy_sequencer(self) -> str | None:
        """An uptime feed, where the chain of the attack is an L2."""
        if self.attack.sequencer is None:
            return None
        name = "Sequencer"
        self.actions.deploy_feed(name, 0, "L2 sequencer")
        self._must(self.twin.call(name, "set_round", KEEPER, 1, 0, self.begin - 86_400, self.begin, 1))
        self._must(self.twin.call("PriceOracle", "set_sequencer", GOVERNOR, self.twin.address(name)))
        return name

    def _deploy_quote(self) -> None:
        """Feeds of what prices the collateral, and markets that are judged by them."""
        quote = self.attack.quote
        if quote is None:
            return
        names = [self.system.feed_name(QUOTE_BOOK, i) for i in range(quote.n_feeds)]
        for name in names:
            self.actions.deploy_feed(name, quote.habits.decimals, f"{quote.name} / USD")
            self._must(self.twin.call(name, "set_answer", KEEPER, quote.price // 10 ** (18 - quote.habits.decimals)))
        args = quote.feeds([self.twin.address(name) for name in names])
        self._must(self.twin.call("PriceOracle", "set_feeds", GOVERNOR, QUOTE_BOOK, *args))
        self._must(self.twin.call("PriceOracle", "poke", KEEPER, QUOTE_BOOK))
        for market in range(len(self.attack.markets)):
            args = self.attack.markets[market].feeds(
                [
                    self.twin.address(self.system.feed_name(market, i))
                    for i in range(self.attack.markets[market].n_feeds)
                ]
            )
            self._must(self.twin.call("PriceOracle", "set_feeds", GOVERNOR, market, *args))

    def _move_sequencer(self) -> None:
        """0: up, 1: down, each since ``startedAt``, as Chainlink's uptime feed has it."""
        for down, up in self.attack.sequencer or ():
            for at, answer in ((down, 1), (up, 0)):
                if self.t == at and self._sequencer:
                    self._must(
                        self.twin.call(
                            self._sequencer,
                            "set_round",
                            KEEPER,
                            2 + at,
                            answer,
                            self.begin + at,
                            self.begin + at,
                            2 + at,
                        )
                    )

    @staticmethod
    def _must(outcome: Outcome) -> Outcome:
        assert outcome.ok, f"the engine's own call was refused: {outcome.reason}"
        return outcome

    # The keeper

    def _keeps(self) -> bool:
        keeper = self.attack.keeper
        if any(start <= self.t < end for start, end in keeper.off):
            return False
        return keeper.every == 0 or self.t % keeper.every == 0

    def _poke(self) -> None:
        for book in sorted(self.attack.books, reverse=True):  # the quote first: markets look at it
            outcome = self.twin.call("PriceOracle", "poke", KEEPER, book)
            self.meter.poked(outcome)
            self._note("poke", f"poke {self.attack.books[book].name}", outcome)

    def _note(self, kind: str, what: str, outcome: Outcome) -> bool:
        """Tell a refusal of the keeper once, until it goes through again or is refused otherwise."""
        if outcome.ok:
            self._refusals.pop(what, None)
            return True
        reason = outcome.reason or "no reason"
        if reason == WAIT:
            return False
        if self._refusals.get(what) != reason:
            self._refusals[what] = reason
            self.tell("blocked", f"{what}: {reason}")
        return False

    def _keep(self) -> None:
        """Liquidate whom that can be done to, resolve the bankrupt, cut claims where that is left to do."""
        for _ in range(ROUNDS):
            if not self._round():
                break
        self._rebase()

    def _round(self) -> bool:
        """One look at everybody; whether anything was done."""
        done = False
        for id_ in self.names:
            sizes = self.accounts.sizes(id_)
            if not sizes or not any(self.state(m) in (c.STATE_LIVE, c.STATE_DEGRADED) for m in sizes):
                continue
            r = self.accounts.judged(id_)
            if r is None:
                continue
            if r.e_kind < 0:
                done |= self.resolve(id_)
            elif r.e_kind < r.m_kind and id_ != self.ids[LIQUIDATOR]:
                market = max(sizes, key=lambda m: abs(sizes[m]) * self.truth(m))
                done |= self.liquidate(id_, market, LIQUIDATOR) or self._take_over(id_, market)
        return done

    def liquidate(self, id_: bytes, market: int, taker: str) -> bool:
        """One liquidation; whether it went through."""
        what = f"liquidate {self.names[id_]}"
        args = (id_, market, self.ids[taker], UNLIMITED)
        outcome = self.meter.closing(
            id_, "liquidation", lambda: self.system.call("liquidate", self.owners[taker], *args)
        )
        return self._note("liquidation", what, outcome)

    def _take_over(self, id_: bytes, market: int) -> bool:
        """The fund inherits whom nobody takes, where it may."""
        if not self.accounts.would("ClearingHouse", "take_over", KEEPER, id_, market):
            return False
        outcome = self.meter.closing(id_, "takeover", lambda: self.system.call("take_over", KEEPER, id_, market))
        return self._note("takeover", f"take over {self.names[id_]}", outcome)

    def resolve(self, id_: bytes) -> bool:
        """Resolve a bankrupt, netted against opposite bankrupts; whether anything came of it."""
        sizes = self.accounts.sizes(id_)
        opposite = []
        for other in self.names:
            if other != id_ and len(opposite) < NET_WITH_MOST:
                theirs = self.accounts.sizes(other)
                if any(sizes.get(m, 0) * size < 0 for m, size in theirs.items()):
                    judged = self.accounts.judged(other)
                    if judged is not None and judged.e_kind < 0:
                        opposite.append(other)
        for net_with in (tuple(opposite), *((),) * 40):
            outcome = self.meter.closing(id_, "resolve", lambda net=net_with: self._call_resolve(id_, net), net_with)
            if not self._note("resolve", f"resolve {self.names[id_]}", outcome):
                return False
            if outcome.value:
                return True
        raise AssertionError(f"resolve of {self.names[id_]} does not end")

    def _call_resolve(self, id_: bytes, net_with: tuple[bytes, ...]) -> Outcome:
        return self.system.call("resolve", KEEPER, id_, net_with)

    def _rebase(self) -> None:
        domain = self.system.clearing_house.load_globals_words()
        if domain.bad_debt == 0 or domain.open_receipts:
            return
        outcome = self.twin.call("ClearingHouse", "rebase_claims", KEEPER)
        if self._note("rebase", "rebase", outcome):
            after = self.system.clearing_house.load_globals_words().claim_index
            cut = 1 - after / domain.claim_index
            self.tell("rebase", f"claims of everybody exposed cut by {cut:.4%}", size=cut)

    # The actors

    def _act(self, early: bool) -> None:
        for number, step in enumerate(self.attack.steps):
            if step.early != early or self.t not in self._times(number):
                continue
            if step.once and step.path in self._done:
                continue
            if step.when and self.state(step.args["market"]) not in [STATES.index(name) for name in step.when]:
                continue
            if self.actions.do(step):
                self._done.add(step.path)

    def _times(self, number: int) -> frozenset[int]:
        if not hasattr(self, "_step_times"):
            self._step_times = [frozenset(step.times(self.attack.length)) for step in self.attack.steps]
        return self._step_times[number]

    # What the feeds say

    def codes(self, market: int) -> list[int]:
        """Why each feed was not counted at the last poke; -1 where the deployment keeps no codes."""
        n = self.attack.markets[market].n_feeds
        if self.deployment != "defended":
            return [-1] * n
        words = [self.twin.world.get(("PriceOracle", "observations", market, i)) for i in range(n)]
        return [word >> CODE_AT & CODE_BITS for word in words]

    def answers(self, market: int) -> list[float]:
        """What each feed answers, by its own decimals; 0 for one that does not."""
        found = []
        for i in range(self.attack.markets[market].n_feeds):
            feed = self.twin.model(self.system.feed_name(market, i))
            word = {name: self.twin.world.get((feed.name, name)) for name in ("mode", "answer", "decimals")}
            answer = (word["answer"] ^ 1 << 255) - (1 << 255)
            found.append(float(Fraction(answer, 10 ** word["decimals"])) if word["mode"] == FEED_NORMAL else 0.0)
        return found

    def last_fault_ends(self) -> int | None:
        """Second at which nothing is wrong any more; None without faults or if they never end."""
        ends = [fault.end for fault in self.attack.faults] + [up for _, up in self.attack.sequencer or ()]
        return max(ends) if ends and max(ends) < FOREVER else None

    def first_fault(self) -> int | None:
        """Second at which the first thing goes wrong."""
        starts = [fault.start for fault in self.attack.faults] + [down for down, _ in self.attack.sequencer or ()]
        return min(starts, default=None)


def judge_runs(attack: Attack, runs: Mapping[str, Run]) -> None:
    """Hold the runs of one attack against the file's expectations."""
    for deployment, run in runs.items():
        run.expected += [judge(wish, run, runs) for wish in attack.wishes[deployment]]
        run.lost_known = any(line.known for line in run.expected)


def perform(attack: Attack, deployments: tuple[str, ...], open_chain: Callable[[], Chain]) -> dict[str, Run]:
    """The attack against each deployment, each on a fresh chain, with its verdict."""
    runs = {}
    for deployment in deployments:
        with open_chain() as chain:
            runs[deployment] = Runner(attack, deployment, chain).play()
    judge_runs(attack, runs)
    return runs
