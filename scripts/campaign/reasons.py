"""Every revert reason that the production sources can give, read from the compiler's own syntax tree."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scripts.chain.artifacts import CONTRACTS, ROOT

ASIDE = (CONTRACTS / "mocks", CONTRACTS / "baselines")
"""Contracts that are there to be tested with, or compared with."""


@cache
def sources() -> tuple[Path, ...]:
    """The Vyper files of production: contracts and modules, no interfaces, no mocks, no baselines."""
    return tuple(path for path in sorted(CONTRACTS.rglob("*.vy")) if not {*ASIDE} & {*path.parents})


@cache
def _reasons() -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for path in sources():
        for reason in reasons_of(path.read_text()):
            found.setdefault(reason, set()).add(str(path.relative_to(ROOT)))
    return {reason: tuple(sorted(found[reason])) for reason in sorted(found)}


def reasons() -> dict[str, list[str]]:
    """Literals of ``assert`` and ``raise``: reason to the files that give it, relative to the repository.

    An ``assert`` without a reason counts as ``""``, and so do the compiler's own checks (overflow, bounds),
    which leave no trace in the tree: a campaign sees both as the same empty reason.
    """
    return {reason: list(files) for reason, files in _reasons().items()}


def reasons_of(source: str) -> set[str]:
    """The same of one source text; ``UNREACHABLE`` is no reason, and a reason that is no literal an error."""
    # Imported late: the compiler takes half a second to load and campaigns that only run do not need it.
    from vyper import ast as vy_ast

    tree = vy_ast.parse_to_ast(source)
    found: set[str] = set()
    for node in tree.get_descendants((vy_ast.Assert, vy_ast.Raise)):
        given = node.msg if isinstance(node, vy_ast.Assert) else node.exc
        if given is None:
            found.add("")
        elif isinstance(given, vy_ast.Str):
            found.add(given.value)
        elif not (isinstance(given, vy_ast.Name) and given.id == "UNREACHABLE"):
            raise ValueError(f"line {node.lineno}: a reason that is no literal: {given.node_source_code}")
    return found
