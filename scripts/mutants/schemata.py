"""Many mutants in one build: each behind a number that the block carries and the contracts never read.

An expression ``a + b`` becomes ``((a - b) if <the block says 7> else (a + b))``, a dropped statement
``if <the block does not say 8>:`` before it. A build therefore serves hundreds of mutants; number 0 is the original.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scripts.mutants.operators import Mutant
from scripts.mutants.source import Span

NUMBER = "convert(block.prevrandao, uint256)"

_PURE = re.compile(r"^@pure$", re.MULTILINE)
_SELECTED = re.compile(re.escape(NUMBER) + r" [!=]= (\d+)")
_LOOP = re.compile(r"for\s+(\w+)\s*:")


@dataclass
class _Statement:
    """What is done to one statement."""

    skipped: list[int] = field(default_factory=list)  # by the mutants of these numbers
    instead: list[tuple[int, str]] = field(default_factory=list)  # text that runs before it, for these numbers


@dataclass
class _Node:
    """Mutants of one expression, and the expressions inside."""

    span: Span
    choices: list[tuple[int, str]]
    inner: list[_Node] = field(default_factory=list)


def instrument(text: str, numbered: Mapping[int, Mutant]) -> str:
    """The text of a file with all these mutants of it in place, each asleep unless the block says its number."""
    expressions: dict[Span, list[tuple[int, str]]] = defaultdict(list)
    statements: dict[Span, _Statement] = defaultdict(_Statement)
    for number, mutant in numbered.items():
        if mutant.form in ("expression", "range"):
            expressions[mutant.span].append((number, mutant.text))
        elif mutant.form == "statement":
            statements[mutant.span].skipped.append(number)
            if mutant.text:
                statements[mutant.span].instead.append((number, mutant.text))
        else:
            assert mutant.other is not None
            second = text[mutant.other.start : mutant.other.end]
            statements[mutant.span].instead.append((number, second))
            statements[mutant.other].skipped.append(number)
    ranges = {m.span for m in numbered.values() if m.form == "range"}
    nodes = _nest([_Node(span, choices) for span, choices in expressions.items() if span not in ranges])
    edits: list[tuple[int, int, str]] = []
    claimed: list[Span] = []
    for span in sorted(statements, key=lambda s: s.start):
        inside = [node for node in nodes if span.start <= node.span.start and node.span.end <= span.end]
        edits.append((span.start, span.end, _statement(text, span, statements[span], inside)))
        claimed.append(span)
    for node in nodes:
        if not any(span.start <= node.span.start and node.span.end <= span.end for span in claimed):
            edits.append((node.span.start, node.span.end, _render(text, node)))
    for span in ranges:
        edits += _loop(text, span, expressions[span])
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def impure(text: str) -> str:
    """The text of any file of a build: pure functions may not read the block, nor call those that do."""
    return _PURE.sub("@view", text)


def numbers_in(text: str) -> set[int]:
    """Numbers of the mutants in a piece of instrumented text."""
    return {int(number) for number in _SELECTED.findall(text)}


def _nest(nodes: Iterable[_Node]) -> list[_Node]:
    """Outermost nodes, the others inside them."""
    roots: list[_Node] = []
    stack: list[_Node] = []
    for node in sorted(nodes, key=lambda n: (n.span.start, -n.span.end)):
        while stack and node.span.start >= stack[-1].span.end:
            stack.pop()
        (stack[-1].inner if stack else roots).append(node)
        stack.append(node)
    return roots


def _render(text: str, node: _Node) -> str:
    """The expression with its choices, and those inside it where it is the original."""
    new = f"({_fill(text, node.span, node.inner)})"
    for number, choice in node.choices:
        new = f"(({choice}) if {NUMBER} == {number} else {new})"
    return new


def _fill(text: str, span: Span, inner: Iterable[_Node]) -> str:
    """The text of a span with the expressions inside it rendered."""
    new, at = "", span.start
    for node in sorted(inner, key=lambda n: n.span.start):
        new += text[at : node.span.start] + _render(text, node)
        at = node.span.end
    return new + text[at : span.end]


def _statement(text: str, span: Span, done: _Statement, inside: list[_Node]) -> str:
    indent = " " * (span.start - text.rindex("\n", 0, span.start) - 1)
    new = ""
    for number, instead in done.instead:
        new += f"if {NUMBER} == {number}:\n{indent}    {instead}\n{indent}"
    body = _fill(text, span, inside)
    if done.skipped:
        condition = " and ".join(f"{NUMBER} != {number}" for number in done.skipped)
        return f"{new}if {condition}:\n{indent}    {body}"
    return new + body


def _loop(text: str, span: Span, choices: list[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """A loop over a constant range: it may take one turn more, and stops at its own bound or the mutant's."""
    bound = text[span.start : span.end]
    limit = bound
    for number, choice in choices:
        limit = f"(({choice}) if {NUMBER} == {number} else {limit})"
    line = text.rindex("\n", 0, span.start) + 1
    start = text.index("for", line)
    found = _LOOP.match(text, start)
    assert found is not None, f"no loop at {text[line : span.end]!r}"
    variable = "turn_" if found[1] == "_" else found[1]
    indent = " " * (start - line + 4)
    colon = text.index(":\n", span.end)
    return [
        (found.start(1), found.end(1), variable),
        (span.start, span.end, f"{bound} + 1"),
        (colon, colon + 1, f":\n{indent}if {variable} >= {limit}:\n{indent}    break"),
    ]
