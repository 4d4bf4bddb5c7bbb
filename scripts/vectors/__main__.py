"""``python -m scripts.vectors write`` makes conformance vectors, ``… run`` plays them against a target.

Exit codes: 0 every vector holds; 1 one does not; 2 a file, an option, the node or the target cannot be used.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.vectors import VectorError
from scripts.vectors.deploy import deploy
from scripts.vectors.file import dump, dump_addresses, read, read_addresses
from scripts.vectors.rpc import Rpc
from scripts.vectors.runner import FAIL, MISSING, PASS, Play, Result, run_file
from scripts.vectors.target import Abi, Target
from scripts.vectors.write import DEFAULT_OUT, make

SHOWN = 20
"""Failures that are printed one by one."""


@contextmanager
def _one_line() -> Iterator[None]:
    """What the reader can put right: one line, exit code 2."""
    try:
        yield
    except VectorError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


@click.group()
def main() -> None:
    """Conformance vectors; scripts/vectors/FORMAT.md describes the format."""


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True, help="File to write.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Everything follows from it.")
@click.option(
    "--count", type=click.IntRange(min=0), default=42, show_default=True, help="Walks to search for outcomes."
)
def write(out: Path, seed: int, count: int) -> None:
    """Let the model write a file of vectors."""
    console = Console(highlight=False)
    with _one_line():
        if not out.resolve().parent.is_dir():
            raise VectorError(f"--out: {out.parent} is no directory")
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("walking", total=None)

            def say(what: str, done: int, total: int | None) -> None:
                progress.update(task, description=what, completed=done, total=total)

            data = make(seed, count, say)
        text = dump(data)
        try:
            out.write_text(text)
        except OSError as error:
            raise VectorError(f"--out: {out}: {error.strerror}") from None
    _tell(console, data)
    console.print(f"written: {out}, {len(text) / 1e6:.2f} MB", soft_wrap=True)


def _tell(console: Console, data: dict[str, Any]) -> None:
    operations = [operation for vector in data["vectors"] for operation in vector["operations"]]
    table = Table(title="conformance vectors", title_justify="left")
    table.add_column("what")
    table.add_column("number", justify="right")
    for what, number in (
        ("set-ups", len(data["setups"])),
        ("sequence vectors", len(data["vectors"])),
        ("operations", len(operations)),
        ("functions called", len({(o["to"].split(".")[0], o["call"]) for o in operations})),
        ("revert reasons", len({o["revert"] for o in operations if "revert" in o})),
        ("function vectors", len(data["functions"])),
    ):
        table.add_row(what, str(number))
    console.print(table)


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_OUT)
@click.option("--rpc", "url", required=True, metavar="URL", help="Endpoint of the node, a devnet.")
@click.option("--addresses", type=click.Path(path_type=Path), help="Addresses of contracts that are set up already.")
@click.option("--deploy", "deploying", is_flag=True, help="Deploy and set up this repository's contracts first.")
@click.option("--save", type=click.Path(path_type=Path), help="With --deploy: write the addresses there.")
@click.option("--only", metavar="TEXT", help="Only vectors whose name contains this.")
@click.option("--full", is_flag=True, help="After every operation compare all state, not just what it changes.")
@click.option("--allow-missing", is_flag=True, help="Count what the target does not implement apart.")
def run(
    file: Path,
    url: str,
    addresses: Path | None,
    deploying: bool,
    save: Path | None,
    only: str | None,
    full: bool,
    allow_missing: bool,
) -> None:
    """Play FILE (what `make vectors` wrote, if not given) against a target behind an RPC endpoint."""
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    started = time.monotonic()
    with _one_line():
        if deploying == (addresses is not None):
            raise VectorError("--addresses: give a file of addresses, or --deploy instead")
        data = _chosen(read(file), only)
        rpc = Rpc(url)
        abi = Abi(data["abi"])
        if addresses is not None:
            books = read_addresses(addresses, list(data["setups"]))
        else:
            with console.status("deploying"):
                books = {name: deploy(rpc, setup, abi) for name, setup in data["setups"].items()}
            if save is not None:
                save.write_text(dump_addresses(books))
        targets = {name: Target(rpc, book, abi) for name, book in books.items()}
        play = Play(allow_missing, full)
        results = list(_play(console, data, targets, play))
    sys.exit(_report(console, results, time.monotonic() - started))


def _chosen(data: dict[str, Any], only: str | None) -> dict[str, Any]:
    """The file with the vectors asked for, and the set-ups that they need."""
    if only is not None:
        data["vectors"] = [vector for vector in data["vectors"] if only in vector["name"]]
        data["functions"] = [vector for vector in data["functions"] if only in vector["function"]]
        if not data["vectors"] and not data["functions"]:
            raise VectorError(f"--only: no vector is called {only!r}")
    used = {vector["setup"] for vector in data["vectors"]} or set(list(data["setups"])[:1])
    data["setups"] = {name: setup for name, setup in data["setups"].items() if name in used}
    return data


def _play(console: Console, data: dict[str, Any], targets: dict[str, Target], play: Play) -> Iterator[Result]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    total = len(data["vectors"]) + len(data["functions"])
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("playing", total=total)
        for result in run_file(data, targets, play):
            progress.update(task, advance=1, description=result.name[:40])
            yield result


def _report(console: Console, results: list[Result], seconds: float) -> int:
    counts = Counter(result.verdict for result in results)
    for verdict, style in ((FAIL, "red"), (MISSING, "yellow")):
        chosen = [result for result in results if result.verdict == verdict]
        for result in chosen[:SHOWN]:
            console.print(f"{verdict.upper()}  {result.name}: {result.detail}", style=style, markup=False)
        if len(chosen) > SHOWN:
            console.print(f"… and {len(chosen) - SHOWN} more", style=style)
    played = sum(result.operations for result in results)
    shown = [verdict for verdict in (PASS, FAIL, MISSING) if counts[verdict] or verdict != MISSING]
    parts = [f"{counts[verdict]} {verdict}" for verdict in shown]
    console.print(f"{', '.join(parts)}; {played} operations in {seconds:.1f} s")
    return 1 if counts[FAIL] else 0


if __name__ == "__main__":
    main(prog_name="python -m scripts.vectors")
