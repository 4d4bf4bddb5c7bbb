"""What is going on: a live view on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts.campaign.regimes import REGIMES
from scripts.campaign.seed import Pulse
from scripts.campaign.summary import Summary

EVERY_S = 30.0
GONE_S = 10.0
"""Seconds without a pulse after which a seed is no longer shown as being walked."""


class Progress:
    """Shows a summary that grows, and the seeds under way; use it as a context manager."""

    def __init__(self, console: Console, summary: Summary, seeds: int, steps: int, workers: int) -> None:
        """``steps`` that each of ``seeds`` will take; seeds in ``summary`` from an earlier run count as done."""
        self.console, self.summary, self.seeds, self.steps, self.workers = console, summary, seeds, steps, workers
        self._pulses: dict[int, tuple[float, Pulse]] = {}
        self._began, self._before = time.monotonic(), summary.steps
        self._printed = self._began
        self._lock = threading.Lock()
        self._live: Live | None = None

    def pulse(self, pulse: Pulse) -> None:
        """A seed has come so far; may be told by another thread."""
        with self._lock:
            self._pulses[pulse.seed] = time.monotonic(), pulse
        self.tick()

    def done(self, seed: int) -> None:
        """A seed is in the summary or lost."""
        with self._lock:
            self._pulses.pop(seed, None)
        self.tick()

    def tick(self) -> None:
        """Show what is new, if it is time to."""
        if self._live is not None:
            self._live.update(self._view())
        elif time.monotonic() - self._printed >= EVERY_S:
            self._printed = time.monotonic()
            self.console.print(self._line(), markup=False, highlight=False)

    def _under_way(self) -> list[Pulse]:
        since = time.monotonic() - GONE_S
        with self._lock:
            return [p for at, p in self._pulses.values() if at >= since and p.seed not in self.summary.done]

    def _line(self) -> str:
        pulses, s = self._under_way(), self.summary
        steps = s.steps + sum(p.steps for p in pulses)
        elapsed = time.monotonic() - self._began
        rate = (steps - self._before) / elapsed if elapsed else 0.0
        total = self.seeds * self.steps
        left = (total - steps) / rate if rate > 0 else 0.0
        hits, given = s.regime_hits(), s.reason_hits()
        return (
            f"{steps:,} of {total:,} steps, {rate:,.0f}/s, {left / 60:,.1f} min left; "
            f"seeds {s.seeds}/{self.seeds}; regimes {sum(map(bool, hits.values()))}/{len(hits)}; "
            f"reasons {sum(map(bool, given.values()))}/{len(given)}; "
            f"worst dust {max([s.dust, *(p.dust for p in pulses)]):,.1f} wei; "
            f"{len(pulses)} of {self.workers} workers walking; "
            f"{len(s.failures)} failed, {len(s.lost)} lost"
        )

    def _view(self) -> Group:
        regimes = Table.grid(padding=(0, 2))
        cells = [
            Text(f"{r.name} {self.summary.reached[r.name]}", "green" if self.summary.reached[r.name] else "dim")
            for r in REGIMES
        ]
        for i in range(0, len(cells), 6):
            regimes.add_row(*cells[i : i + 6])
        walking = Text(
            "  ".join(f"#{p.seed} {p.regime} {p.steps * 100 // max(1, self.steps)}%" for p in self._under_way()), "cyan"
        )
        return Group(Text(self._line()), regimes, walking)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
