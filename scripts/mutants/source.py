"""The sources that are mutated, read with the compiler's own eyes: syntax tree, types and positions."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scripts.chain.artifacts import CONTRACTS, EVM_VERSION, ROOT

SUBSYSTEMS: dict[str, tuple[str, ...]] = {
    "ledger": ("modules/ledger.vy", "AccountDesk.vy", "ClearingHouse.vy"),
    "bands": ("modules/bands.vy",),
    "margin": ("modules/margin.vy",),
    "liquidation": ("LiquidationDesk.vy", "LiquidationEngine.vy"),
    "deleveraging": ("DefaultManager.vy", "ProRata.vy", "BandQueue.vy"),
    "rebase": ("RebaseManager.vy",),
    "arithmetic": ("modules/fixed_math.vy", "modules/words.vy"),
}
"""What is scored together: files under ``contracts/``."""

# Between them these import every file above, so that compiling them types every file.
_ROOTS = ("ClearingHouse.vy", "AccountDesk.vy", "LiquidationDesk.vy", "LiquidationEngine.vy", "DefaultManager.vy")
_ROOTS += ("RebaseManager.vy", "ProRata.vy", "BandQueue.vy")

_REWRITTEN = (("log", "yield"), ("extcall", "await"), ("staticcall", "await"))
_IMPORTED = re.compile(r"^from contracts\.modules import (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Span:
    """Characters ``start`` up to ``end`` of a file."""

    start: int
    end: int


@dataclass
class Module:
    """One file: its text, its annotated tree, and where each function is."""

    file: str  # relative to contracts/
    text: str
    tree: Any
    _line_starts: list[int] = field(default_factory=list)
    _ends: set[int] = field(default_factory=set)  # of tokens

    def __post_init__(self) -> None:
        self._line_starts = [0]
        for line in self.text.split("\n"):
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        self._ends = {self.offset(*token.end) for token in tokens}

    def offset(self, line: int, column: int) -> int:
        """Position of a line (from 1) and column (from 0) in the text."""
        return self._line_starts[line - 1] + column

    def span(self, node: Any) -> Span:
        """Where a node stands."""
        start = self.offset(node.lineno, node.col_offset)
        end = self.offset(node.end_lineno, node.end_col_offset)
        # The compiler rewrites some keywords to others before it parses, and where a space follows a node it
        # forgets to account for that in the column of the node's end.
        line = self.text[self._line_starts[node.end_lineno - 1] : max(start, end)]
        shift = sum(len(word) - len(other) for word, other in _REWRITTEN if re.search(rf"\b{word}\b", line))
        if shift and not (end in self._ends and _parses(self.text[start:end])) and end + shift in self._ends:
            end += shift
        return Span(start, end)

    def source(self, node: Any) -> str:
        """The text of a node."""
        span = self.span(node)
        return self.text[span.start : span.end]

    def line(self, offset: int) -> int:
        """Line, from 1, of a position."""
        return self.text.count("\n", 0, offset) + 1

    def functions(self) -> Iterator[Any]:
        """Function definitions with a body of their own, in order."""
        from vyper import ast as vy_ast

        yield from self.tree.get_children(vy_ast.FunctionDef)


def _parses(text: str) -> bool:
    for word, other in _REWRITTEN:
        text = re.sub(rf"\b{word}\b", other, text)
    try:
        ast.parse(text.strip())
    except SyntaxError:
        return False
    return True


def files(subsystem: str | None = None) -> tuple[str, ...]:
    """The mutated files of one subsystem, or of all."""
    if subsystem is not None:
        return SUBSYSTEMS[subsystem]
    return tuple(file for group in SUBSYSTEMS.values() for file in group)


def subsystem_of(file: str) -> str:
    """Which subsystem a file is scored under."""
    return next(name for name, group in SUBSYSTEMS.items() if file in group)


@cache
def modules() -> dict[str, Module]:
    """Every mutated file by its name, typed."""
    found: dict[str, Module] = {}
    for name in _ROOTS:
        tree = annotate(CONTRACTS / name, ROOT)
        found[name] = Module(name, (CONTRACTS / name).read_text(), tree)
        for info in tree._metadata["type"].imported_modules.values():
            path = Path(info.module_node.resolved_path)
            file = str(path.relative_to(CONTRACTS)) if path.is_relative_to(CONTRACTS) else ""
            if file in files() and file not in found:
                found[file] = Module(file, path.read_text(), info.module_node)
    return {file: found[file] for file in files()}


@cache
def importers(file: str) -> frozenset[str]:
    """Names of the contracts that are, or import at any remove, this file."""
    stem = Path(file).stem
    found: set[str] = set()
    stems = {stem}
    texts = {path: path.read_text() for path in CONTRACTS.rglob("*.vy")}
    while True:
        more = {p.stem for p, text in texts.items() if p.stem in stems or stems & set(_IMPORTED.findall(text))}
        if more <= found:
            return frozenset(found)
        found |= more
        # only modules pass code on
        stems |= {name for name in found if name[0].islower()}


def annotate(path: Path, root: Path) -> Any:
    """The typed tree of a contract whose imports are searched from ``root``; raises the compiler's exceptions."""
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
    from vyper.compiler.phases import CompilerData
    from vyper.compiler.settings import OptimizationLevel, Settings

    file = FileInput(contents=path.read_text(), source_id=-1, path=path, resolved_path=path)
    settings = Settings(optimize=OptimizationLevel.GAS, evm_version=EVM_VERSION)
    return CompilerData(file, FilesystemInputBundle([root]), settings=settings).annotated_vyper_module
