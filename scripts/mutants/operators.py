"""The wrong edits: every place of a source where one operator, constant, argument or statement can go wrong.

A mutant is a text edit that the compiler's tree and types suggest. It is named by content (file, function, statement
before and after), so that what is said about it survives edits elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from vyper import ast as vy_ast

from scripts.mutants.source import Module, Span, subsystem_of

OPERATORS = {
    "arithmetic": "another operator (+ -, * //, << >>, & |), also of unsafe_add and the like; a sign dropped",
    "comparison": "a bound moved onto or off its edge, or the comparison negated",
    "condition": "`and` for `or`, a flag negated",
    "side": "long for short",
    "rounding": "up for down, floor for ceil, min for max",
    "edge": "another price edge, or equity and margin at another edge",
    "constant": "one more or one less",
    "arguments": "two adjacent arguments or fields of one type swapped",
    "assert": "a check dropped",
    "statement": "a write, an accrual or a call dropped",
    "event": "an event dropped, or two of its fields of one type swapped",
    "order": "two adjacent statements that touch the same thing swapped",
}

_ARITHMETIC = {"Add": ("+", "-"), "Sub": ("-", "+"), "Mult": ("*", "//"), "FloorDiv": ("//", "*"), "Mod": ("%", "*")}
_ARITHMETIC |= {"LShift": ("<<", ">>"), "RShift": (">>", "<<"), "BitAnd": ("&", "|"), "BitOr": ("|", "&")}
_UNSAFE = {"unsafe_add": "unsafe_sub", "unsafe_sub": "unsafe_add", "unsafe_mul": "unsafe_div"}
_UNSAFE |= {"unsafe_div": "unsafe_mul"}
_BOUNDARY = {"Lt": ("<", "<="), "LtE": ("<=", "<"), "Gt": (">", ">="), "GtE": (">=", ">")}
_NEGATION = {"Lt": ("<", ">="), "LtE": ("<=", ">"), "Gt": (">", "<="), "GtE": (">=", "<")}
_NEGATION |= {"Eq": ("==", "!="), "NotEq": ("!=", "=="), "In": ("in", "not in"), "NotIn": ("not in", "in")}
_ROUNDING = {"_mul_div_up": "_mul_div_down", "_mul_div_down": "_mul_div_up", "_floor_div": "_ceil_div"}
_ROUNDING |= {"_ceil_div": "_floor_div", "min": "max", "max": "min"}
_EDGES = {"low": "high", "high": "low", "credit_low": "credit_high", "credit_high": "credit_low", "index": "low"}
_EDGES |= {"e_kind": "e_index", "e_index": "e_credit", "e_credit": "e_kind", "m_kind": "m_index", "m_index": "m_kind"}
_EDGES |= {"im_credit": "n_credit", "n_credit": "im_credit"}
_COMMUTATIVE = ("min", "max", "unsafe_add", "unsafe_mul")
_SIDES = ("is_long",)
_SIMPLE = (vy_ast.Assign, vy_ast.AugAssign, vy_ast.Expr, vy_ast.Assert, vy_ast.Log)


@dataclass(frozen=True)
class Mutant:
    """One wrong edit.

    ``form`` says how it is made: an "expression" or a "statement" at ``span`` becomes ``text`` (no text: dropped);
    "order" exchanges it with the statement at ``other``; "range" makes the bound of a loop at ``span`` into ``text``.
    """

    file: str
    function: str
    operator: str
    line: int
    before: str
    after: str
    form: str
    span: Span
    text: str
    other: Span | None = None
    occurrence: int = 1  # among equal edits of equal statements in this function

    @property
    def subsystem(self) -> str:
        """What it is scored under."""
        return subsystem_of(self.file)

    @property
    def name(self) -> str:
        """A short digest of what is edited, independent of where the function stands."""
        parts = (self.file, self.function, self.before, self.after, str(self.occurrence))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def apply(self, text: str) -> str:
        """The file with this one edit."""
        start, end = self.span.start, self.span.end
        if self.form == "order":
            assert self.other is not None
            between = text[end : self.other.start]
            swapped = text[self.other.start : self.other.end] + between + text[start:end]
            return text[:start] + swapped + text[self.other.end :]
        new = f"({self.text})" if self.form == "expression" else self.text or "pass"
        return text[:start] + new + text[end:]


def mutants_of(module: Module) -> list[Mutant]:
    """Every mutant of a file, in the order of the text."""
    effects = Effects(module)
    found = [mutant for function in module.functions() for mutant in _Finder(module, function, effects).find()]
    found.sort(key=lambda m: (m.span.start, m.span.end, m.operator, m.after))
    seen: Counter[tuple[str, str, str]] = Counter()
    numbered = []
    for mutant in found:
        key = (mutant.function, mutant.before, mutant.after)
        seen[key] += 1
        numbered.append(replace(mutant, occurrence=seen[key]))
    return numbered


class Effects:
    """What the functions that a file calls read and write: storage by variable, events, reasons; callees included."""

    def __init__(self, module: Module) -> None:
        imported = [info.module_node for info in module.tree._metadata["type"].imported_modules.values()]
        self.of: dict[str, set[tuple[str, str]]] = {}
        calls: dict[str, set[str]] = {}
        for tree in (module.tree, *imported):
            for node in tree.get_children(vy_ast.FunctionDef):
                self.of.setdefault(node.name, set()).update(self._own(node))
                calls.setdefault(node.name, set()).update(_callee(c) for c in node.get_descendants(vy_ast.Call))
        changed = True
        while changed:
            changed = False
            for name, callees in calls.items():
                more = {effect for callee in callees for effect in self.of.get(callee, ())} - self.of[name]
                self.of[name] |= more
                changed = changed or bool(more)

    @staticmethod
    def _own(function: Any) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for node in function.get_descendants(vy_ast.Attribute):
            variable = _stored(node)
            if variable:
                found.add(("read", variable))
        for node in function.get_descendants((vy_ast.Assign, vy_ast.AugAssign)):
            variable = _stored(node.target)
            if variable:
                found.add(("write", variable))
        if any(a.msg is not None for a in function.get_descendants(vy_ast.Assert)):
            found.add(("write", "reason"))
        if function.get_descendants(vy_ast.Log):
            found.add(("write", "log"))
        if function.get_descendants(vy_ast.ExtCall):
            found |= {("read", "world"), ("write", "world"), ("write", "reason")}
        if function.get_descendants(vy_ast.StaticCall):
            found |= {("read", "world"), ("write", "reason")}
        return found


def _stored(node: Any) -> str:
    """The storage variable that an expression is, or is a part of; "" if none."""
    while isinstance(node, vy_ast.Subscript | vy_ast.Attribute):
        if isinstance(node, vy_ast.Attribute) and getattr(node.value, "id", "") in ("self", "ledger"):
            return f"storage {node.attr}"
        node = node.value
    return ""


def _callee(call: Any) -> str:
    return str(getattr(call.func, "attr", None) or getattr(call.func, "id", ""))


class _Finder:
    """Mutants of one function."""

    def __init__(self, module: Module, function: Any, effects: Effects) -> None:
        self.module = module
        self.function = function
        self.effects = effects
        self.found: list[Mutant] = []
        self._header = Span(0, 0)

    def find(self) -> list[Mutant]:
        """All of them."""
        self._body(self.function.body)
        return self.found

    # Statements

    def _body(self, statements: list[Any]) -> None:
        statements = [s for s in statements if not isinstance(s, vy_ast.DocStr)]
        for first, second in pairwise(statements):
            if isinstance(first, _SIMPLE) and isinstance(second, _SIMPLE) and self._conflict(first, second):
                self._order(first, second)
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: Any) -> None:
        span = self.module.span(node)
        if isinstance(node, vy_ast.If | vy_ast.For):
            condition = node.test if isinstance(node, vy_ast.If) else node.iter
            span = Span(span.start, self.module.text.index(":", self.module.span(condition).end) + 1)
        self._header = span
        if isinstance(node, vy_ast.Assert):
            self._replace_statement(node, "", "assert")
            self._expression(node.test)
        elif isinstance(node, vy_ast.Log):
            self._replace_statement(node, "", "event")
            self._call(node.value, "event")
        elif isinstance(node, vy_ast.AugAssign):
            self._replace_statement(node, "", "statement")
            self._augmented(node)
            self._target(node.target)
            self._expression(node.value)
        elif isinstance(node, vy_ast.Assign):
            self._replace_statement(node, "", "statement")
            self._target(node.target)
            self._expression(node.value)
        elif isinstance(node, vy_ast.Expr):
            self._replace_statement(node, "", "statement")
            # a call that returns nothing cannot be chosen as a value, so its arguments are swapped as a statement
            called = node.value.value if isinstance(node.value, vy_ast.ExtCall) else node.value
            self._call(called, "arguments", whole=node.value, as_statement=True)
        elif isinstance(node, vy_ast.Continue) or (isinstance(node, vy_ast.Return) and node.value is None):
            self._replace_statement(node, "", "statement")
        elif isinstance(node, vy_ast.AnnAssign | vy_ast.Return):
            if node.value is not None:
                self._expression(node.value)
        elif isinstance(node, vy_ast.If):
            self._expression(node.test)
            self._body(node.body)
            self._body(node.orelse)
        elif isinstance(node, vy_ast.For):
            self._range(node)
            self._body(node.body)

    def _target(self, node: Any) -> None:
        while isinstance(node, vy_ast.Subscript | vy_ast.Attribute):
            if isinstance(node, vy_ast.Subscript):
                self._expression(node.slice)
            node = node.value

    def _augmented(self, node: Any) -> None:
        kind = type(node.op).__name__
        if kind in _ARITHMETIC:
            old, new = _ARITHMETIC[kind]
            text = self._between(node, node.target, node.value, f"{old}=", f"{new}=")
            self._replace_statement(node, text, "arithmetic")

    def _range(self, node: Any) -> None:
        call = node.iter
        if not isinstance(call, vy_ast.Call) or len(call.args) != 1 or call.keywords or not _constant(call.args[0]):
            return
        for sign in "+-":
            text = f"{self.module.source(call.args[0])} {sign} 1"
            self._add("constant", "range", self.module.span(call.args[0]), text)

    def _conflict(self, first: Any, second: Any) -> bool:
        """Whether the order of two statements can show."""
        reads_a, writes_a = self._touched(first)
        reads_b, writes_b = self._touched(second)
        pairs = ((writes_a, reads_b), (reads_a, writes_b), (writes_a, writes_b))
        return any(_meet(some, others) for some, others in pairs)

    def _touched(self, node: Any) -> tuple[set[str], set[str]]:
        """Paths like ``m.oi`` that a statement reads and writes; storage, events and reverts count as paths."""
        reads: set[str] = set()
        writes: set[str] = set()
        if isinstance(node, vy_ast.Assign | vy_ast.AugAssign):
            targets = node.target.elements if isinstance(node.target, vy_ast.Tuple) else [node.target]
            writes |= {self.module.source(target) for target in targets}
            reads |= self._paths(node.value)
            if isinstance(node, vy_ast.AugAssign):
                reads |= writes
            for target in targets:
                for inner in target.get_descendants(vy_ast.Subscript):
                    reads |= self._paths(inner.slice)
        else:
            reads |= self._paths(node)
        for inner in (node, *node.get_descendants()):
            if isinstance(inner, vy_ast.Call):
                effects = self.effects.of.get(_callee(inner), set())
                reads |= {what for how, what in effects if how == "read"}
                writes |= {what for how, what in effects if how == "write"}
            elif isinstance(inner, vy_ast.Attribute) and _stored(inner):
                reads.add(_stored(inner))
            elif isinstance(inner, vy_ast.Log):
                writes.add("log")
            elif isinstance(inner, vy_ast.Assert):
                writes.add("reason")
            elif isinstance(inner, vy_ast.ExtCall | vy_ast.StaticCall):
                reads.add("world")
                writes |= {"reason", "world"} if isinstance(inner, vy_ast.ExtCall) else {"reason"}
        if isinstance(node, vy_ast.Assign | vy_ast.AugAssign):
            writes |= {_stored(target) for target in targets} - {""}
        return reads, writes

    def _paths(self, node: Any) -> set[str]:
        """Variables and the parts of them that an expression reads, each as long as it is written."""
        if isinstance(node, vy_ast.Attribute | vy_ast.Name):
            return {self.module.source(node)}
        if isinstance(node, vy_ast.Subscript):
            return {self.module.source(node)} | self._paths(node.slice)
        return {path for child in node.get_children() for path in self._paths(child)}

    def _order(self, first: Any, second: Any) -> None:
        a, b = self.module.source(first), self.module.source(second)
        span, other = self.module.span(first), self.module.span(second)
        before, after = _tidy(f"{a}; {b}"), _tidy(f"{b}; {a}")
        self._append("order", "order", span, b, before, after, other)

    # Expressions

    def _expression(self, node: Any) -> None:
        if _constant(node):
            self._constant(node)
        elif isinstance(node, vy_ast.NameConstant):
            self._replace(node, str(not node.value), "condition")
        elif isinstance(node, vy_ast.BinOp):
            self._binary(node)
            self._expression(node.left)
            self._expression(node.right)
        elif isinstance(node, vy_ast.Compare):
            self._compare(node)
            self._expression(node.left)
            if not isinstance(node.right, vy_ast.List):
                self._expression(node.right)
        elif isinstance(node, vy_ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, vy_ast.And) else ("or", "and")
            for left, right in pairwise(node.values):
                # one connective at a time: `a or b or c` has two
                self._replace(node, self._between(node, left, right, old, new), "condition")
            for value in node.values:
                self._expression(value)
        elif isinstance(node, vy_ast.UnaryOp):
            operator = "condition" if isinstance(node.op, vy_ast.Not) else "arithmetic"
            self._replace(node, self.module.source(node.operand), operator)
            self._expression(node.operand)
        elif isinstance(node, vy_ast.IfExp):
            for part in (node.test, node.body, node.orelse):
                self._expression(part)
        elif isinstance(node, vy_ast.ExtCall | vy_ast.StaticCall):
            self._call(node.value, "arguments", whole=node)
        elif isinstance(node, vy_ast.Call):
            self._call(node, "arguments")
        elif isinstance(node, vy_ast.Subscript):
            self._expression(node.slice)
            self._expression(node.value)
        elif isinstance(node, vy_ast.Tuple | vy_ast.List):
            for element in node.elements:
                self._expression(element)
        elif isinstance(node, vy_ast.Name | vy_ast.Attribute):
            self._variable(node)

    def _constant(self, node: Any) -> None:
        text = self.module.source(node)
        if isinstance(node, vy_ast.BinOp):
            text = f"({text})"
        unsigned = not str(node._metadata.get("type")).startswith("int")
        self._replace(node, f"{text} + 1", "constant")
        if not (unsigned and node.get_folded_value().value == 0):
            self._replace(node, f"{text} - 1", "constant")

    def _binary(self, node: Any) -> None:
        kind = type(node.op).__name__
        if kind not in _ARITHMETIC:
            return
        old, new = _ARITHMETIC[kind]
        self._replace(node, self._between(node, node.left, node.right, old, new), "arithmetic")
        if kind == "FloorDiv" and str(node._metadata.get("type")) == "uint256":
            span = self.module.span(node)
            at = self.module.text.index("//", self.module.span(node.left).end)
            left, right = self.module.text[span.start : at].strip(), self.module.text[at + 2 : span.end].strip()
            self._replace(node, f"({left} + {right} - 1) // {right}", "rounding")

    def _compare(self, node: Any) -> None:
        kind = type(node.op).__name__
        for table in (_BOUNDARY, _NEGATION):
            if kind in table:
                old, new = table[kind]
                self._replace(node, self._between(node, node.left, node.right, old, new), "comparison")

    def _variable(self, node: Any) -> None:
        text = self.module.source(node)
        kind = str(node._metadata.get("type"))
        last = text.split(".")[-1]
        if kind == "bool":
            self._replace(node, f"not {text}", "side" if last in _SIDES else "condition")
        elif isinstance(node, vy_ast.Attribute) and last in _EDGES and (last != "index" or "prices." in text):
            self._replace(node, f"{text[: -len(last)]}{_EDGES[last]}", "edge")

    def _call(self, node: Any, operator: str, whole: Any = None, as_statement: bool = False) -> None:
        name = _callee(node)
        function = self.module.source(node.func)
        if name in ("empty", "method_id", "range", "slice"):
            return
        swapped = {**_UNSAFE, **_ROUNDING}.get(name)
        rest = self.module.text[self.module.span(node.func).end : self.module.span(node).end]
        if swapped is not None:
            operator_here = "arithmetic" if name in _UNSAFE else "rounding"
            self._replace(node, f"{function[: -len(name)]}{swapped}{rest}", operator_here)
        if name == "abs":
            self._replace(node, self.module.source(node.args[0]), "arithmetic")
        arguments = list(node.args[:1] if name == "convert" else node.args[:2] if name == "raw_call" else node.args)
        if name not in ("raw_call",):
            arguments += [keyword.value for keyword in node.keywords if keyword.arg != "default_return_value"]
        if name not in _COMMUTATIVE:
            factors = name in ("_mul_div_up", "_mul_div_down")  # whose first two may change places
            for first, second in list(pairwise(arguments))[factors:]:
                self._swap(whole or node, first, second, operator, as_statement)
        for argument in arguments:
            self._expression(argument)

    def _swap(self, node: Any, first: Any, second: Any, operator: str, as_statement: bool) -> None:
        kinds = [str(argument._metadata.get("type")) for argument in (first, second)]
        a, b = self.module.source(first), self.module.source(second)
        if kinds[0] != kinds[1] or a == b:
            return
        span, left, right = (self.module.span(n) for n in (node, first, second))
        text = self.module.text
        swapped = text[span.start : left.start] + b + text[left.end : right.start] + a + text[right.end : span.end]
        if operator == "event":
            self._add(operator, "statement", self._header, f"log {swapped}")
        elif as_statement:
            self._add(operator, "statement", self._header, swapped)
        else:
            self._replace(node, swapped, operator)

    # Making them

    def _between(self, node: Any, left: Any, right: Any, old: str, new: str) -> str:
        """The text of ``node`` with the operator between two of its parts replaced."""
        span, first, second = (self.module.span(n) for n in (node, left, right))
        gap = self.module.text[first.end : second.start]
        pattern = rf"\b{old}\b" if old[0].isalpha() else re.escape(old)
        edited, count = re.subn(pattern, new, gap, count=1)
        assert count == 1, f"no {old} between {self.module.source(left)} and {self.module.source(right)}"
        return self.module.text[span.start : first.end] + edited + self.module.text[second.start : span.end]

    def _replace(self, node: Any, text: str, operator: str) -> None:
        self._add(operator, "expression", self.module.span(node), text)

    def _replace_statement(self, node: Any, text: str, operator: str) -> None:
        self._add(operator, "statement", self.module.span(node), text)

    def _add(self, operator: str, form: str, span: Span, text: str) -> None:
        header = self.module.text[self._header.start : self._header.end]
        if form == "statement" and not text:
            after = "(dropped)"
        else:
            inside = f"({text})" if form == "expression" else text
            start, end = span.start - self._header.start, span.end - self._header.start
            after = header[:start] + inside + header[end:]
        self._append(operator, form, span, text, _tidy(header), _tidy(after), None)

    def _append(
        self, operator: str, form: str, span: Span, text: str, before: str, after: str, other: Span | None
    ) -> None:
        line = self.module.line(span.start)
        name = self.function.name
        self.found.append(Mutant(self.module.file, name, operator, line, before, after, form, span, text, other))


def _constant(node: Any) -> bool:
    """Whether the compiler folds an expression to a whole number."""
    return (
        isinstance(node, vy_ast.VyperNode) and node.has_folded_value and isinstance(node.get_folded_value(), vy_ast.Int)
    )


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _meet(some: set[str], others: set[str]) -> bool:
    """Whether a path of one set is, contains or is part of a path of the other."""
    return any(
        a == b or a.startswith((f"{b}.", f"{b}[")) or b.startswith((f"{a}.", f"{a}[")) for a in some for b in others
    )


def all_mutants(found: dict[str, Module]) -> Iterator[Mutant]:
    """Every mutant of every file."""
    for module in found.values():
        yield from mutants_of(module)
