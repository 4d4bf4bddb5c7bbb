"""Plays a scenario on contracts and model together; what it returns says everything that a report tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from python_ref import constants as c
from python_ref.ledger import account_id
from python_ref.oracle_words import Feed, Rules
from scripts.campaign.setup import build
from scripts.chain import Chain, ChainLost, ChainUnavailable, Log, Outcome
from scripts.rules import STATES
from scripts.scenario.calls import ROLES, Directory, acting_in, cause_of, feeds_of, owner_address
from scripts.scenario.finding import Finding, finding_of
from scripts.scenario.result import CAUSES, Paid, Receipt, Result, Stage, show_exactly
from scripts.scenario.rows import Context, Row, rows_of
from scripts.scenario.story import OF_PRICE, Check, Holder, Scenario, Step, owners_in
from scripts.scenario.view import LedgerView, treasury
from scripts.scenario.watch import Watch
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD, Actor, actor

NET_WITH_MOST = 8
UNLIMITED = 2**255
FLAG_OF_REDUCER = {"buyer": c.FLAG_BUYER_REDUCE_ONLY, "seller": c.FLAG_SELLER_REDUCE_ONLY}
PATIENCE = 1_000
"""Calls after which a loop over accounts is surely stuck."""


class ScenarioFailed(AssertionError):
    """A step went otherwise than the file says: which, and how."""


class StepBroke(ScenarioFailed):
    """A step showed that something is wrong: ``finding`` says what."""

    def __init__(self, path: str, finding: Finding, names: Mapping[bytes, str]) -> None:
        super().__init__(f"{path}: {finding.report(names)}")
        self.finding = finding


class Player:
    """One performance of a scenario on a chain."""

    def __init__(self, scenario: Scenario, chain: Chain) -> None:
        """Deploy, fund the accounts and fill the buckets."""
        self.scenario = scenario
        self._operation = "deployment"
        self.watch = Watch(scenario.decimals)
        self.system = build(chain, scenario.setup, observer=self.watch)
        self.watch.attach(self.system)
        self.ids = {name: account_id(owner_address(h.owner), h.subaccount) for name, h in scenario.holders.items()}
        self._books = scenario.setup.books
        self._sources: dict[tuple[int, int], str] = {}  # of replaced feeds
        self._directory = Directory(self.system, feeds_of(scenario.setup), self.ids, owners_in(scenario.holders))
        self.providers = dict.fromkeys(scenario.fund.providers, 0)
        self._funds = {"fund, treasury": treasury(self.system)}
        self._funds |= {f"fund, {spec.name}": self.system.bucket(m) for m, spec in enumerate(scenario.markets)}
        self._names = {id_: name for name, id_ in {**self.ids, **self._funds}.items()}
        self._changes = {id_: dict.fromkeys(CAUSES, 0) for id_ in self._names}
        self._orders: dict[str, tuple[Any, Any]] = {}
        self.stages: list[Stage] = []
        self.receipts: list[Receipt] = []
        self.checks = 0
        self._begin()
        self._still = {name: self._words(name) for name, h in scenario.holders.items() if h.bystander}

    # The performance

    def play(self, step: Step) -> None:
        """One step; :class:`ScenarioFailed` where it goes otherwise than told, :class:`StepBroke` for a finding."""
        try:
            self._play(step)
        except (ScenarioFailed, ChainLost, ChainUnavailable):
            raise
        except Exception as error:  # a mismatch, an invariant, the exact ledger, or a crash of the model
            raise StepBroke(step.path, finding_of(error, self._operation), self._names) from error

    def _play(self, step: Step) -> None:
        self._operation = step.action
        if step.action == "stage":
            self.stages.append(Stage(step.args["title"]))
        elif step.action == "advance":
            with self._change("prices"):
                self.system.twin.advance(step.args["seconds"])
        elif step.action == "price":
            self._set_prices(step.args["prices"])
        elif step.action == "expect":
            for check in step.args["checks"]:
                self._expect(check)
        elif step.action.endswith("_all"):
            getattr(self, f"_{step.action}")(**step.args)
        elif step.action == "call":
            self._demand(step, self._raw(**step.args))
            self.checks += step.revert is None and not step.open
        else:
            self._demand(step, getattr(self, f"_{step.action}")(**step.args))

    def finish(self) -> Result:
        """Compare every word, and sum up."""
        self.system.twin.check_all()
        view = LedgerView.of(self.system)
        domain = view.snapshot.domain
        return Result(
            scenario=self.scenario,
            backend=self.system.chain.kind,
            stages=self.stages,
            receipts=self.receipts,
            paid=[Paid(self._names[i], changes, view.equity(i)) for i, changes in self._changes.items()],
            providers={
                name: (paid, self.system.fund.balanceOf(KEEPER, self._provider(name)))
                for name, paid in self.providers.items()
            },
            bystanders={name: self._words(name) == words for name, words in self._still.items()},
            markets={spec.name: self.system.oracle.peek(KEEPER, book) for book, spec in self._books.items()},
            surplus=view.surplus(),
            in_transit=view.in_transit(),
            bad_debt=view.real(domain.bad_debt),
            claim_index=domain.claim_index,
            claim_epoch=domain.claim_epoch,
            checks=self.checks,
            steps=self.system.twin.steps,
            compared=self.watch.judged,
            drift=self.watch.widest,
        )

    def _begin(self) -> None:
        self.stages.append(Stage("Funding"))
        for holder in self.scenario.holders.values():
            if holder.deposit:
                self._must(self._deposit(holder.name, holder.deposit))
        fund = self.scenario.fund
        for name, amount in fund.providers.items():
            self._must(self._fund_deposit(name, amount))
        for market, cap in fund.caps.items():
            self._must(self.system.twin.call("BackstopFund", "set_cap", GOVERNOR, market, cap))
            if fund.top_ups[market]:
                self._must(self._top_up(market, fund.top_ups[market]))

    def _demand(self, step: Step, outcome: Outcome) -> None:
        if step.open:
            return
        if step.revert is None and not outcome.ok:
            raise ScenarioFailed(f"{step.path}: refused: {outcome.reason!r}")
        if step.revert is not None:
            if outcome.ok:
                raise ScenarioFailed(f"{step.path}: went through, but {step.revert!r} was expected")
            if outcome.reason != step.revert:
                raise ScenarioFailed(f"{step.path}: refused with {outcome.reason!r}, not {step.revert!r}")
            self.checks += 1

    @staticmethod
    def _must(outcome: Outcome) -> None:
        if not outcome.ok:
            raise ScenarioFailed(f"funding: refused: {outcome.reason!r}")

    # Calls, and what they change

    @contextmanager
    def _change(self, cause: str) -> Iterator[None]:
        """Attribute to ``cause`` what happens to everybody's equity inside."""
        before = LedgerView.of(self.system)
        yield
        after = LedgerView.of(self.system)
        for id_, changes in self._changes.items():
            change = after.equity(id_) - before.equity(id_)
            changes[self._cause_in_default(id_, change) if cause == "default" else cause] += change

    def _cause_in_default(self, id_: bytes, change: int) -> str:
        """Only a bankrupt gains in a default; a bucket that loses covers, anybody else is deleveraged."""
        if change > 0:
            return "unpaid"
        return "fund" if id_ in self._funds.values() else "ADL"

    def _call(
        self,
        cause: str,
        contract: str,
        function: str,
        sender: str,
        *args: Any,
        acting: Sequence[bytes] = (),
        full: bool = False,
    ) -> Outcome:
        before = LedgerView.of(self.system)
        self._operation = f"{contract}.{function}"
        self.watch.acting = acting
        with self._change(cause):
            outcome = self.system.twin.call(contract, function, sender, *args, full=full)
        self.watch.acting = ()
        stage = self.stages[-1]
        stage.calls += 1
        stage.gas += outcome.gas
        if outcome.gas > stage.top:
            stage.top, stage.top_call = outcome.gas, function
        if outcome.ok:
            stage.rows += rows_of(outcome.events, self._context(before))
            self._keep_receipts(outcome.events, before)
        else:
            stage.rows.append(Row(f"refused: {outcome.reason}", self._subject(function, args)))
        return outcome

    def _ledger(self, cause: str, function: str, sender: str, *args: Any, acting: Sequence[bytes] = ()) -> Outcome:
        return self._call(cause, "ClearingHouse", function, sender, *args, acting=acting)

    def _subject(self, function: str, args: tuple[Any, ...]) -> str:
        named = [self._names[a] for a in args if isinstance(a, bytes) and a in self._names]
        if function == "settle_orders":
            named = [self._names[args[0].account], self._names[args[2].account]]
        return f"{function} {', '.join(named)}".strip()

    def _context(self, view: LedgerView) -> Context:
        def members(market: int, is_long: bool, band: int) -> list[str]:
            return [
                self._name(who)
                for who, legs in view.snapshot.all_legs.items()
                if market in legs and legs[market].size and (legs[market].is_long, legs[market].band) == (is_long, band)
            ]

        providers = {self._provider(name): name for name in self.providers}
        return Context(
            name=self._name,
            owner=lambda address: providers.get(address.lower(), address),
            market={book: spec.name for book, spec in self._books.items()},
            index=view.index,
            claim_index=view.snapshot.domain.claim_index,
            unit=self.system.unit,
            silent=(treasury(self.system),),
            members=members,
        )

    def _name(self, account_: bytes) -> str:
        return self._names.get(account_, account_.hex())

    def _keep_receipts(self, logs: list[Log], before: LedgerView) -> None:
        for log in logs:
            if log.name == "ReceiptWritten":
                f, real = log.fields, before.real
                self.receipts.append(
                    Receipt(
                        self._name(f["account"]),
                        real(f["deficit"]),
                        real(f["cover"]),
                        real(f["seized"]),
                        real(f["booked"]),
                        f["bands"],
                        f["legs"],
                    )
                )

    def _words(self, name: str) -> tuple[int, ...]:
        """All words of an account, as the chain has them."""
        words: tuple[int, ...] = self.system.twin.view("ClearingHouse", "load_account", self.ids[name])
        return words

    def _owner(self, name: str) -> str:
        return owner_address(self.scenario.holders[name].owner)

    def _signer(self, name: str) -> tuple[Holder, Actor]:
        holder = self.scenario.holders[name]
        return holder, actor(holder.owner)

    @staticmethod
    def _provider(name: str) -> str:
        return actor(f"provider {name}").address.lower()

    def _mint(self, owner: str, spender: str, amount: int) -> int:
        atoms = amount // self.system.unit
        self._beside("Token", "mint", KEEPER, owner, atoms)
        self._beside("Token", "approve", owner, spender, atoms)
        return atoms

    def _beside(self, contract: str, function: str, sender: str, *args: Any) -> Outcome:
        """A call that tells no story: it has no row, and its gas is not the waterfall's."""
        self._operation = f"{contract}.{function}"
        return self.system.twin.call(contract, function, sender, *args)

    # Steps

    def _set_prices(self, prices: dict[int, tuple[int | None, ...]]) -> None:
        with self._change("prices"):
            self.system.twin.advance(1)  # the oracle reads its feeds once per second
        for market, answers in prices.items():
            with self._change("prices"):
                for feed, price in enumerate(answers):
                    if price is not None:
                        self._answer(market, self._source(market, feed), price)
                told = self._look(market)
            who = self._books[market].name
            if len(set(answers)) > 1:
                who += f": feeds say {', '.join('nothing' if a is None else show_exactly(a) for a in answers)}"
            prices = self.system.oracle.peek(KEEPER, market)
            state = f", {STATES[prices.state]}" * (prices.state != c.STATE_LIVE)
            self.stages[-1].rows += [Row(f"price{state}", who, None, prices.index), *told]

    def _source(self, market: int, feed: int) -> str:
        """Name of the feed in that place."""
        return self._sources.get((market, feed), self.system.feed_name(market, feed))

    def _answer(self, market: int, source: str, price: int) -> None:
        self._beside(source, "set_answer", KEEPER, price // 10 ** (18 - self._books[market].feed_decimals))

    def _look(self, market: int) -> list[Row]:
        """Let the oracle read a market's feeds; what it says of them."""
        outcome = self._beside("PriceOracle", "poke", KEEPER, market)
        return rows_of(outcome.events, self._context(LedgerView.of(self.system))) if outcome.ok else []

    def _trade(
        self,
        market: int,
        buyer: str,
        seller: str,
        size: int,
        price: int,
        maker: str = "seller",
        reduce_only: tuple[str, ...] = (),
    ) -> Outcome:
        orders = {}
        for side, name, signed in (("buyer", buyer, size), ("seller", seller, -size)):
            holder, who = self._signer(name)
            orders[side] = self.system.order(
                who, market, signed, price, subaccount=holder.subaccount, reduce_only=side in reduce_only
            )
        return self._settle_orders(orders[maker], orders["buyer" if maker == "seller" else "seller"], size)

    def _settle_orders(self, maker: tuple[Any, Any], taker: tuple[Any, Any], size: int) -> Outcome:
        acting = [maker[0].account, taker[0].account]
        return self._call("trades", "Orders", "settle_orders", KEEPER, *maker, *taker, size, acting=acting)

    def _fill(
        self,
        market: int,
        buyer: str,
        seller: str,
        size: int,
        price: int,
        maker: str = "seller",
        reduce_only: tuple[str, ...] = (),
    ) -> Outcome:
        """A trade without signatures, by the test filler."""
        flags = c.FLAG_BUYER_IS_TAKER if maker == "seller" else 0
        flags |= sum(FLAG_OF_REDUCER[side] for side in set(reduce_only))
        a, b = self.ids[buyer], self.ids[seller]
        return self._ledger("trades", "fill", FILLER, market, a, b, size, price, flags, acting=[a, b])

    def _poke(self, market: int) -> Outcome:
        with self._change("prices"):
            outcome = self._beside("PriceOracle", "poke", KEEPER, market)
        if outcome.ok:
            self.stages[-1].rows += rows_of(outcome.events, self._context(LedgerView.of(self.system)))
        return outcome

    def _settle_market(self, market: int, by: str = "keeper") -> Outcome:
        return self._call("prices", "PriceOracle", "settle", ROLES[by], market)

    def _tighten_rules(self, market: int, rules: Rules) -> Outcome:
        return self._call("prices", "PriceOracle", "tighten_rules", GOVERNOR, market, rules.as_tuple())

    def _replace_feed(self, market: int, feed: int) -> Outcome:
        """The spare feed, which answers what was last accepted, takes the place and the group of one."""
        spec, spare = self._books[market], self.system.feed_name(market, self._books[market].n_feeds)
        quote = self.system.oracle.peek(KEEPER, spec.rules.quote).index if spec.rules.quote else WAD
        self._answer(market, spare, self.system.oracle.peek(KEEPER, market).index * quote // WAD)
        (new,), _ = spec.feeds([self.system.twin.address(spare)])
        new = replace(Feed(*new), group=feed).as_tuple()
        outcome = self._call("prices", "PriceOracle", "replace_feed", GOVERNOR, market, feed, new)
        if outcome.ok:
            self._sources[market, feed] = spare
        return outcome

    def _claim(self, account: str, market: int) -> Outcome:
        return self._ledger("default", "claim", KEEPER, self.ids[account], market)

    def _claim_all(self, market: int) -> None:
        """Close every position of a settled market at its last price."""
        for name, id_ in self.ids.items():
            if market in LedgerView.of(self.system).snapshot.legs(id_):
                self._claim(name, market)

    def _feed(self, market: int, feed: int, mode: int) -> Outcome:
        return self._beside(self._source(market, feed), "set_mode", KEEPER, mode)

    def _raw(self, contract: str, function: str, by: Any, args: tuple[Any, ...]) -> Outcome:
        sender = self._directory.resolve(by)
        values = self._directory.resolve(args)
        acting = acting_in(function, values)
        return self._call(cause_of(contract, function), contract, function, sender, *values, acting=acting, full=True)

    def _order(self, name: str, account: str, market: int, size: int, price: int, reduce_only: bool = False) -> Outcome:
        holder, who = self._signer(account)
        self._orders[name] = self.system.order(
            who, market, size, price, subaccount=holder.subaccount, reduce_only=reduce_only
        )
        return Outcome(None, None, [], 0)

    def _match(self, maker: str, taker: str, size: int) -> Outcome:
        return self._settle_orders(self._orders[maker], self._orders[taker], size)

    def _liquidate(self, account: str, market: int, taker: str, size: int = UNLIMITED) -> Outcome:
        args = (self.ids[account], market, self.ids[taker], size)
        return self._ledger("liquidations", "liquidate", self._owner(taker), *args, acting=[self.ids[taker]])

    def _liquidate_all(self, market: int, takers: tuple[str, ...]) -> None:
        """Offer every unhealthy account to the takers in turn; what none of them can carry is left."""
        for name, id_ in self.ids.items():
            view = LedgerView.of(self.system)
            if name in takers or market not in view.legs(id_):
                continue
            s = view.standing(id_)
            if 0 <= s.equity < s.maintenance:
                for taker in takers:
                    if self._liquidate(name, market, taker).ok:
                        break

    def _take_over(self, account: str, market: int) -> Outcome:
        return self._ledger("fund", "take_over", KEEPER, self.ids[account], market)

    def _take_over_all(self, market: int) -> None:
        """Let the bucket have every account that is below its threshold."""
        threshold = self.system.specs[market].risk.backstop
        for name, id_ in self.ids.items():
            view = LedgerView.of(self.system)
            if list(view.legs(id_)) == [market]:
                s = view.standing(id_)
                if 0 <= s.equity * c.PPM < s.maintenance * threshold:
                    self._take_over(name, market)

    def _resolve(self, account: str, net_with: tuple[str, ...] = ()) -> Outcome:
        return self._resolve_id(self.ids[account], tuple(self.ids[name] for name in net_with))

    def _resolve_id(self, id_: bytes, net_with: tuple[bytes, ...]) -> Outcome:
        outcome = self._ledger("default", "resolve", KEEPER, id_, net_with)
        for _ in range(PATIENCE):  # a long walk over bands takes several calls
            if not outcome.ok or outcome.value:
                return outcome
            outcome = self._ledger("default", "resolve", KEEPER, id_, ())
        raise ScenarioFailed(f"resolve of {self._name(id_)} does not end")

    def _resolve_all(self) -> None:
        """Resolve until nobody is bankrupt, netting opposite bankrupts first."""
        refused: set[bytes] = set()
        for _ in range(PATIENCE):
            view = LedgerView.of(self.system)
            bankrupt = [i for i in self._names if self._is_bankrupt(view, i) and i not in refused]
            if not bankrupt:
                return
            first, *others = bankrupt
            legs = view.legs(first)
            opposite = [
                other
                for other in others
                if any(m in legs and leg.size * legs[m].size < 0 for m, leg in view.legs(other).items())
            ]
            if not self._resolve_id(first, tuple(opposite[:NET_WITH_MOST])).ok:
                refused.add(first)
        raise ScenarioFailed("resolve_all does not end")

    @staticmethod
    def _is_bankrupt(view: LedgerView, account_: bytes) -> bool:
        word = view.snapshot.accounts.get(account_)
        return word is not None and word.exposed and (word.in_receipt or view.standing(account_).equity < 0)

    def _rebase(self) -> Outcome:
        return self._ledger("rebases", "rebase_claims", KEEPER)

    def _deposit(self, account: str, amount: int) -> Outcome:
        owner, id_ = self._owner(account), self.ids[account]
        atoms = self._mint(owner, self.system.clearing_house.address, amount)
        return self._ledger("deposits", "deposit", owner, id_, atoms, acting=[id_])

    def _withdraw(self, account: str, amount: int) -> Outcome:
        owner, id_ = self._owner(account), self.ids[account]
        atoms = amount // self.system.unit
        return self._ledger("deposits", "withdraw", owner, id_, atoms, owner, acting=[id_])

    def _release(self, account: str) -> Outcome:
        return self._ledger("other", "release", KEEPER, self.ids[account])

    def _release_all(self) -> None:
        """Release every flat account."""
        for id_ in self.ids.values():
            word = LedgerView.of(self.system).snapshot.accounts.get(id_)
            if word is not None and word.exposed and not word.legs and word.cash >= 0:
                self._ledger("other", "release", KEEPER, id_)

    def _settle(self, account: str, market: int) -> Outcome:
        return self._ledger("other", "settle", KEEPER, self.ids[account], market)

    def _settle_all(self) -> None:
        """Clear every position that deleveraging has wiped."""
        for id_ in self.ids.values():
            view = LedgerView.of(self.system)
            for market in view.snapshot.legs(id_).keys() - view.legs(id_).keys():
                self._ledger("other", "settle", KEEPER, id_, market)

    def _rerank(self, account: str, market: int) -> Outcome:
        return self._ledger("other", "rerank", KEEPER, self.ids[account], market)

    def _sweep_fees(self, market: int) -> Outcome:
        return self._ledger("fund", "sweep_fees", KEEPER, market)

    def _fund_deposit(self, provider: str, amount: int) -> Outcome:
        address = self._provider(provider)
        atoms = self._mint(address, self.system.fund.address, amount)
        self.providers.setdefault(provider, 0)
        outcome = self._call("deposits", "BackstopFund", "deposit", address, atoms)
        if outcome.ok:
            self.providers[provider] += amount
        return outcome

    def _top_up(self, market: int, amount: int) -> Outcome:
        return self._call("fund", "BackstopFund", "top_up", KEEPER, market, amount)

    def _recognise(self) -> Outcome:
        """Let the fund value itself, so that its providers' balances show gains and losses."""
        return self._call("fund", "BackstopFund", "recognise", KEEPER)

    # Expectations

    def _expect(self, check: Check) -> None:
        if check.what[0] == "receipt" and not self.receipts:
            raise ScenarioFailed(f"{check.path}: no account has been resolved yet")
        value = self.quantity(check.what)
        show: Callable[[int], str] = str if check.is_count else show_exactly
        if check.what[-1] == "state":
            show = STATES.__getitem__
        if not check.holds(value):
            raise ScenarioFailed(f"{check.path}: is {show(value)}, expected {check.wanted(show)}")
        self.checks += 1

    def quantity(self, what: tuple[str, ...]) -> int:
        """What an expectation names, as it is now."""
        view = LedgerView.of(self.system)
        domain = view.snapshot.domain
        match what:
            case ("account", name, *rest):
                return self._of_account(view, self.ids[name], rest)
            case ("bucket", market, *rest):
                return self._of_account(view, self.system.bucket(int(market)), rest)
            case ("market", market, "fees"):
                return view.real(view.snapshot.markets[int(market)].fees)
            case ("market", market, "open_interest"):
                return view.real(view.snapshot.markets[int(market)].oi)
            case ("market", market, what_) if what_ in OF_PRICE:
                return int(getattr(self.system.oracle.peek(KEEPER, int(market)), what_))
            case ("market", market, side):
                is_long = side == "long_bands"
                return view.snapshot.word("markets", int(market) << 3 | (4 if is_long else 5)).bit_count()
            case ("receipt", field_):
                value: int = getattr(self.receipts[-1], field_)
                return value
            case ("provider", name):
                return self.system.fund.balanceOf(KEEPER, self._provider(name))
            case ("bad_debt",):
                return view.real(domain.bad_debt)
            case ("claim_index",):
                return domain.claim_index * WAD // c.INDEX_ONE
            case ("claim_epoch",):
                return domain.claim_epoch
            case _:
                return domain.receipts

    def holdings(self, name: str) -> dict[str, int]:
        """Cash and sizes of an account, the sizes by the market's name; WAD."""
        view, id_ = LedgerView.of(self.system), self.ids[name]
        sizes = {self.system.specs[m].name: view.size(id_, m) for m in view.legs(id_)}
        return {"cash": view.cash(id_), **sizes}

    def _of_account(self, view: LedgerView, id_: bytes, what: list[str]) -> int:
        word = view.snapshot.accounts.get(id_)
        match what:
            case ["equity"]:
                self._same_as_contract(view, id_)
                return view.equity(id_)
            case ["cash"]:
                return view.cash(id_)
            case ["late"]:
                return view.snapshot.late(id_)
            case ["exposed"]:
                return int(word is not None and word.exposed)
            case ["size", market]:
                return view.size(id_, int(market))
            case [_, market]:
                leg = view.legs(id_).get(int(market))
                return -1 if leg is None else leg.band
        raise AssertionError(what)

    def _same_as_contract(self, view: LedgerView, id_: bytes) -> None:
        """The contract's own word for an account's equity."""
        told = self.system.twin.view("ClearingHouse", "account_equity", id_)[1]
        if told != view.equity(id_):
            raise ScenarioFailed(
                f"equity of {self._name(id_)}: contract {told}, read from the words {view.equity(id_)}"
            )


def play(scenario: Scenario, chain: Chain) -> Result:
    """Play a whole scenario."""
    player = Player(scenario, chain)
    for step in scenario.steps:
        player.play(step)
    return player.finish()
