"""The metrics of a run, taken step by step. Definitions: ``result.Metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from python_ref import constants as c
from scripts.attacks.accounts import Standing
from scripts.attacks.result import Metrics
from scripts.chain import Outcome
from scripts.rules import CAUSES, CODES, STATES
from scripts.system import KEEPER, WAD

if TYPE_CHECKING:
    from scripts.attacks.runner import Runner

REGRET_S = 600
"""Seconds after a deleveraging over which its price is compared with the truth."""

NO_ANSWER = -1
CLOSED = (NO_ANSWER, c.STATE_FROZEN)
"""States in which nobody may reduce."""


def money(wad: int) -> float:
    """Plain units."""
    return wad / WAD


def _adl_prices(outcome: Outcome) -> dict[tuple[int, bool], int]:
    """Mean price (WAD) at which each side of a market was deleveraged in one call."""
    sums: dict[tuple[int, bool], list[int]] = {}
    for log in outcome.events:
        if log.name == "BandDeleveraged":
            found = sums.setdefault((log.fields["market"], log.fields["is_long"]), [0, 0])
            found[0] += log.fields["quote"]
            found[1] += log.fields["size"]
    return {side: quote * WAD // size for side, (quote, size) in sums.items() if size}


class Meter:
    """Takes the metrics of a runner's run."""

    def __init__(self, runner: Runner) -> None:
        """At the start, everybody funded."""
        self.runner = runner
        self.metrics: Metrics = runner.run.metrics
        truths = runner.truths()
        self._fund_before = runner.accounts.fund(truths)
        self._wronged: dict[bytes, set[int]] = {}  # sides on which an account was wrongfully closed
        self._before = c.STATE_LIVE
        self._attackers = [runner.ids[name] for name in runner.attack.attackers]
        self._stake = sum(runner.attack.attackers.values())

    # At each step

    def poked(self, outcome: Outcome) -> None:
        """A poke of the keeper; gas is a receipt's only on a node."""
        if self.runner.run.chain != "revm":
            self.metrics.gas_poke_max = max(self.metrics.gas_poke_max or 0.0, float(outcome.gas))

    def record(self, seconds: int) -> None:
        """Write the series down; what is now lasts ``seconds``."""
        runner, run, m = self.runner, self.runner.run, self.metrics
        prices = runner.peek(0)
        truth = money(runner.truth(0))
        state = NO_ANSWER if prices is None else prices.state
        run.t.append(float(runner.t))
        run.truth.append(truth)
        for name in ("index", "mark", "low", "high", "credit_low", "credit_high"):
            getattr(run, name).append(0.0 if prices is None else money(getattr(prices, name)))
        run.state.append(state)
        run.codes.append(runner.codes(0))
        run.feeds.append(runner.answers(0))
        if state != self._before:
            names = [STATES[s] if s >= 0 else "no answer" for s in (self._before, state)]
            runner.tell("state", f"{names[0]} → {names[1]}{self._why(state)}")
            self._before = state
        if state >= 0:
            m.time_in_state[state] += seconds
        holders = any(runner.accounts.sizes(id_) for id_ in runner.ids.values())
        if state in CLOSED and holders:
            m.user_lockout_seconds += seconds
        self._errors(seconds, state)
        drawn = self._fund_before - runner.accounts.fund(runner.truths())
        m.insurance_drawdown = max(m.insurance_drawdown, money(drawn))

    def _why(self, state: int) -> str:
        """The cause of the last change of state, and which feeds did not count."""
        cause = CAUSES.get(self.runner.causes.get(0, 0), "")
        codes = self.runner.codes(0)
        out = [f"feed {feed} {CODES[code]}" for feed, code in enumerate(codes) if code > 0]
        return "".join(f"; {text}" for text in (cause, ", ".join(out)) if text and state >= 0)

    def _errors(self, seconds: int, state: int) -> None:
        run, m = self.runner.run, self.metrics
        truth = run.truth[-1]
        if state in (*CLOSED, c.STATE_SETTLEMENT) or truth == 0:
            return
        error = abs(run.mark[-1] / truth - 1)
        m.mark_err_peak = max(m.mark_err_peak, error)
        m.mark_err_area += error * seconds
        if state == c.STATE_LIVE:
            over = run.credit_low[-1] / truth - 1
            under = truth / run.credit_high[-1] - 1 if run.credit_high[-1] else 0.0
            m.overcredit_peak = max(m.overcredit_peak, over, under)

    # Closings

    def closing(self, id_: bytes, kind: str, call: Callable[[], Outcome], others: tuple[bytes, ...] = ()) -> Outcome:
        """Make the call that liquidates, inherits or resolves an account, and count what it does to everybody."""
        runner = self.runner
        truths = runner.truths()
        involved = (id_, *others)
        standings = {account: runner.accounts.standing(account, truths) for account in involved}
        before = {account: runner.accounts.sizes(account) for account in runner.names}
        deficit = self._deficit(id_) if kind == "resolve" else 0
        outcome = call()
        after = {account: runner.accounts.sizes(account) for account in runner.names}
        if before == after:
            return outcome
        for account in involved:
            self._count(account, kind, before[account], after[account], standings[account], truths)
        if kind != "resolve":
            return outcome
        standing = standings[id_]
        self.metrics.bad_debt += money(deficit)
        if standing.bankrupt:
            self.metrics.late_liq_bad_debt += money(deficit)
        false = standing.healthy
        buckets = {runner.system.bucket(market) for market in range(len(runner.system.specs))}
        prices = _adl_prices(outcome)
        for account in before.keys() - set(involved) - buckets:
            self._count_adl(account, before[account], after[account], false, prices)
        return outcome

    def _deficit(self, id_: bytes) -> int:
        """What an account lacks at the deployment's own index."""
        judged = self.runner.accounts.judged(id_)
        return 0 if judged is None else self.runner.accounts.real(max(0, -(judged.e_index // WAD)))

    def _count(
        self,
        account: bytes,
        kind: str,
        before: dict[int, int],
        after: dict[int, int],
        standing: Standing,
        truths: dict[int, int],
    ) -> None:
        runner = self.runner
        for market, size in before.items():
            closed = abs(size) - abs(after.get(market, 0))
            if closed <= 0:
                continue
            wrongful = standing.healthy
            if wrongful:
                sides = self._wronged.setdefault(account, set())
                sides.add(1 if size > 0 else -1)
                self.metrics.wrongful_count = len(self._wronged)
                self.metrics.double_liq = sum(len(found) == 2 for found in self._wronged.values())
                self.metrics.wrongful_notional += money(closed * truths[market] // WAD)
            prices = runner.peek(market)
            worth = money(standing.equity)
            runner.tell(
                kind,
                f"{runner.names[account]}: {money(closed):,.6g} of {money(abs(size)):,.6g} "
                f"{'long' if size > 0 else 'short'}; worth {worth:,.0f} at the true price",
                runner.names[account],
                money(closed if size > 0 else -closed),
                0.0 if prices is None else money(prices.index),
                wrongful,
            )

    def _count_adl(
        self,
        account: bytes,
        before: dict[int, int],
        after: dict[int, int],
        false: bool,
        prices: dict[tuple[int, bool], int],
    ) -> None:
        runner, m = self.runner, self.metrics
        for market, size in before.items():
            closed = abs(size) - abs(after.get(market, 0))
            if closed <= 1:  # a wei of rounding
                continue
            truth = runner.truth(market)
            later = [runner.truth(market, runner.t + s) for s in range(0, REGRET_S + 1, 60)]
            mean = sum(later) // len(later)
            price = prices[market, size > 0]
            m.adl_count += 1
            m.adl_notional += money(closed * truth // WAD)
            m.adl_regret += money(closed * (mean - price) // WAD) * (1 if size > 0 else -1)
            runner.tell(
                "adl",
                f"{runner.names[account]}: {money(closed):,.6g} of {money(abs(size)):,.6g} "
                f"{'long' if size > 0 else 'short'} deleveraged",
                runner.names[account],
                money(closed if size > 0 else -closed),
                money(price),
                false,
            )

    # At the end

    def finish(self) -> None:
        """What is only known when everything is over."""
        runner, run, m = self.runner, self.runner.run, self.metrics
        truths = runner.truths()
        for account in runner.ids.values():
            owed = -runner.accounts.standing(account, truths).equity
            if owed > 0 and account not in self._attackers:
                m.bad_debt += money(owed)
                m.late_liq_bad_debt += money(owed)
        worth = sum(max(0, runner.accounts.standing(account, truths).equity) for account in self._attackers)
        vault = runner.system.token.balanceOf(KEEPER, runner.system.clearing_house.address) * runner.system.unit
        worth = min(worth, vault)  # a claim that nobody can pay is worth nothing
        owners = {runner.owners[name] for name in runner.attack.attackers}
        m.attacker_profit = money(worth + sum(map(runner.accounts.wallet, owners)) - self._stake)
        first, last = runner.first_fault(), runner.last_fault_ends()
        if first is not None:
            seen = [t for t, state in zip(run.t, run.state, strict=True) if t >= first and state != c.STATE_LIVE]
            m.t_detect = seen[0] - first if seen else None
        if last is not None and run.state[-1] == c.STATE_LIVE:
            bad = [t for t, state in zip(run.t, run.state, strict=True) if state != c.STATE_LIVE]
            after = [t for t in run.t if t >= last and (not bad or t > bad[-1])]
            m.t_recover = after[0] - last if bad and after else None
