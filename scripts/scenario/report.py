"""A played scenario as tables on a console and as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from python_ref.constants import INDEX_ONE, WAD
from scripts.rules import STATES
from scripts.scenario.result import CAUSES, Paid, Result, Stage, show_exactly
from scripts.scenario.rows import Row
from scripts.scenario.story import policy_of

GAS_NOTE = {
    "revm": "revm: an indication; BACKEND=anvil gives a node's receipts",
    "anvil": "anvil: from the receipts",
    "ape": "ape: from the receipts",
}
DUST = WAD // 200
"""Money below half a cent is shown as nothing."""


def show(value: int | None, digits: int = 2) -> str:
    """A WAD number with ``digits`` decimals, rounded half up; nothing for None."""
    if value is None:
        return ""
    step = 10 ** (18 - digits)
    scaled = (abs(value) + step // 2) // step
    sign = "-" if value < 0 and scaled else ""
    return f"{sign}{scaled // 10**digits:,}.{scaled % 10**digits:0{digits}d}"


def _money(value: int) -> str:
    return show(value) if abs(value) >= DUST else "·"


def _table(title: str, *columns: str, left: int = 1) -> Table:
    """A table whose first ``left`` columns are text; the others are numbers."""
    table = Table(title=Text(title, no_wrap=True), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, heading in enumerate(columns):
        table.add_column(heading, justify="left" if i < left else "right", no_wrap=i >= left)
    return table


def print_stage(console: Console, stage: Stage, number: int) -> None:
    """One table: what, who, size, price, money, paid by whom."""
    table = _table(f"{number}. {stage.title}", "what", "who", "size", "price", "money", left=2)
    table.add_column("paid by")
    for row in stage.rows:
        style = "dim" if row.what.startswith("refused") else ""
        cells = row.what, row.who, show(row.size), show(row.price, 4), show(row.money), row.paid_by
        table.add_row(*cells, style=style)
    console.print(table)
    if stage.calls:
        console.print(f"{stage.calls} calls, gas {stage.gas:,}, dearest {stage.top_call} {stage.top:,}\n", style="dim")


def print_summary(console: Console, result: Result) -> None:
    """Receipts, who paid, gas per stage, and what was checked."""
    _print_receipts(console, result)
    _print_paid(console, result)
    _print_gas(console, result)
    for name, prices in result.markets.items():
        console.print(f"{name}: {STATES[prices.state]} at {show_exactly(prices.index)}")
    for name, same in result.bystanders.items():
        console.print(f"bystander {'unchanged' if same else 'CHANGED'}: {name}")
    console.print(f"assets - claims: {result.surplus} wei (bad debt {show(result.bad_debt)})")
    console.print(f"claim index: {show_exactly(result.claim_index * WAD // INDEX_ONE)}, rebases: {result.claim_epoch}")
    console.print(
        f"exact ledger: {result.compared} comparisons, furthest {float(result.drift):.3g} wei; "
        f"invariants held after each; expectations met: {result.checks}"
    )
    console.print(f"steps compared: {result.steps}, mismatches: 0")


def _print_receipts(console: Console, result: Result) -> None:
    if not result.receipts:
        return
    title = "Receipts: deficit = fund + winners + bad debt"
    table = _table(title, "who", "deficit", "fund", "winners (ADL)", "bad debt", "bands")
    for r in result.receipts:
        amounts = (show(r.deficit), _money(r.cover), _money(r.seized), _money(r.booked))
        table.add_row(r.account, *amounts, str(r.bands))
    sums = [sum(getattr(r, key) for r in result.receipts) for key in ("deficit", "cover", "seized", "booked")]
    table.add_section()
    table.add_row("all", *map(_money, sums), "", style="bold")
    console.print(table)


def _shown_causes(result: Result) -> list[str]:
    return [cause for cause in CAUSES if any(p.changes[cause] for p in result.paid)]


def _print_paid(console: Console, result: Result) -> None:
    causes = _shown_causes(result)
    table = _table("Who paid: from deposit to final equity", "who", *causes, "final", "profit")
    for p in result.paid:
        table.add_row(p.name, *(_money(p.changes[cause]) for cause in causes), _money(p.equity), _money(p.profit))
    table.add_section()
    sums = [sum(p.changes[cause] for p in result.paid) for cause in causes]
    equity = sum(p.equity for p in result.paid)
    profit = sum(p.profit for p in result.paid)
    table.add_row("all accounts", *map(_money, sums), _money(equity), _money(profit), style="bold")
    transit = result.in_transit
    table.add_row("fees, in the market's pot", *("" for _ in causes), _money(transit), _money(transit))
    if result.bad_debt:
        table.add_row("bad debt, nobody's yet", *("" for _ in causes), _money(-result.bad_debt), "")
    console.print(table)
    console.print(
        "prices: and funding; liquidations: penalties, and what liquidators earned; fund: cover, takeovers, moves "
        "inside the fund;\nADL: closed worse than at the index; unpaid: losses that a bankrupt left to the others\n",
        style="dim",
    )
    if result.providers:
        providers = _table("Liquidity providers of the fund", "who", "deposited", "worth now", "profit")
        for name, (paid, worth) in result.providers.items():
            providers.add_row(name, show(paid), show(worth), _money(worth - paid))
        console.print(providers)


def _print_gas(console: Console, result: Result) -> None:
    note = GAS_NOTE[result.backend]
    table = _table(f"Gas per stage ({note})", "stage", "calls", "gas", "dearest call")
    for stage in result.stages:
        if stage.calls:
            table.add_row(stage.title, str(stage.calls), f"{stage.gas:,}", f"{stage.top_call} {stage.top:,}")
    console.print(table)


# JSON: money, sizes and prices as decimal strings, so that nothing is rounded


def to_json(result: Result) -> dict[str, Any]:
    """Everything that the tables say."""
    return {
        "scenario": result.scenario.name,
        "backend": result.backend,
        "policies": {spec.name: policy_of(spec) for spec in result.scenario.markets},
        "stages": [_stage(stage) for stage in result.stages],
        "receipts": [
            {
                "account": r.account,
                "deficit": show_exactly(r.deficit),
                "cover": show_exactly(r.cover),
                "seized": show_exactly(r.seized),
                "booked": show_exactly(r.booked),
                "bands": r.bands,
                "legs": r.legs,
            }
            for r in result.receipts
        ],
        "who_paid": [_paid(p) for p in result.paid],
        "providers": {
            name: {"deposited": show_exactly(paid), "worth": show_exactly(worth)}
            for name, (paid, worth) in result.providers.items()
        },
        "markets": {
            name: {"state": STATES[p.state], "index": show_exactly(p.index), "mark": show_exactly(p.mark)}
            for name, p in result.markets.items()
        },
        "bystanders_unchanged": result.bystanders,
        "assets_minus_claims_wei": result.surplus,
        "bad_debt": show_exactly(result.bad_debt),
        "fees_and_pots": show_exactly(result.in_transit),
        "claim_index": str(result.claim_index),
        "rebases": result.claim_epoch,
        "expectations_met": result.checks,
        "steps_compared": result.steps,
        "mismatches": 0,
        "exact_ledger": {"comparisons": result.compared, "furthest_wei": float(result.drift)},
        "gas_is": GAS_NOTE[result.backend],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "title": stage.title,
        "calls": stage.calls,
        "gas": stage.gas,
        "dearest_call": {"function": stage.top_call, "gas": stage.top},
        "rows": [_row(row) for row in stage.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    numbers = {"size": row.size, "price": row.price, "money": row.money}
    shown = {key: show_exactly(value) for key, value in numbers.items() if value is not None}
    return {"what": row.what, "who": row.who, **shown, **({"paid_by": row.paid_by} if row.paid_by else {})}


def _paid(p: Paid) -> dict[str, Any]:
    changes = {cause: show_exactly(value) for cause, value in p.changes.items()}
    return {"account": p.name, **changes, "final": show_exactly(p.equity), "profit": show_exactly(p.profit)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
