"""Every conditional jump of a contract's bytecode, and the construct of the source that it comes from.

The compiler is asked for its final assembly, in which each instruction still knows its syntax node. One of its
optimizations forgets the node of a jump it inverts; here it is replaced by one that remembers, and the bytecode that
comes out is compared with the artifact's, so what is described is what runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from scripts.chain import artifacts
from scripts.chain.artifacts import ROOT

PRODUCTION = (
    "AccountDesk",
    "BackstopFund",
    "BandQueue",
    "ClearingHouse",
    "DefaultManager",
    "Governor",
    "Lens",
    "LiquidationDesk",
    "LiquidationEngine",
    "MarketAdmin",
    "Orders",
    "PriceOracle",
    "ProRata",
    "RebaseManager",
)
"""The contracts of a deployment, in the order in which their probes are numbered."""

CACHE = ROOT / ".build" / "branches"
_FORMAT = "3"  # of the cached files; bump it when their shape or the rules below change

JUMPI = 0x57
_CALLS = ("CALL", "DELEGATECALL", "STATICCALL")

COMPILER = {
    "overflow": "arithmetic that does not fit 256 bits (add, sub, mul, pow)",
    "conversion": "a conversion between signed and unsigned or to fewer bits, a divisor of zero, a negated minimum",
    "index": "an index beyond a static array, a dynamic array or a byte string",
    "loop bound": "more rounds than the bound of a loop",
    "call data": "short call data, money sent along, a word too large for its type",
    "returned data": "an answer of another contract that is short or does not decode",
    "external call": "a call that reverts, or an address without code",
    "reentrancy lock": "a function entered while the lock is held",
    "dispatch": "selector of the call",
    "copy": "loops that copy arrays, empty or not",
}
"""Classes of the checks and loops that the compiler writes of its own accord."""


@dataclass(frozen=True)
class Site:
    """A conditional jump."""

    contract: str
    index: int  # among the contract's, in the order of the creation code
    constructor: bool  # runs when the contract is deployed
    pc: int  # from the start of the creation or the runtime code
    construct: str  # if, assert, and, or, for, ternary, abs, in; or a class of COMPILER
    file: str  # relative to the repository; "" where the compiler names none
    line: int
    function: str
    text: str  # of the condition, on one line
    taken: str  # what a jump means: "true", "false", ...
    passed: str  # and what it means to go on

    @property
    def from_source(self) -> bool:
        """Whether somebody wrote this branch."""
        return self.construct not in COMPILER

    def outcome(self, taken: bool) -> str:
        """Name of an outcome."""
        return self.taken if taken else self.passed


@dataclass(frozen=True)
class Probed:
    """A contract's jumps, and its creation code with a probe before each of them."""

    sites: tuple[Site, ...]
    bytecode: bytes


@dataclass(frozen=True)
class Op:
    """One instruction of bytecode."""

    pc: int
    code: int
    data: bytes


def disassemble(code: bytes) -> list[Op]:
    """Instructions from the first byte on; what follows the last of them as data is not told from code."""
    ops, pc = [], 0
    while pc < len(code):
        width = code[pc] - 0x5F if 0x60 <= code[pc] <= 0x7F else 0
        ops.append(Op(pc, code[pc], code[pc + 1 : pc + 1 + width]))
        pc += 1 + width
    return ops


def base_address(contract: str) -> int:
    """Where a contract's probes begin: jump i touches the address base + 2 i if taken, one more if not."""
    return (PRODUCTION.index(contract) + 1) << 16


@cache
def probed(contract: str) -> Probed:
    """Jumps of a production contract, compiled once per content and then read from the cache."""
    path = artifacts.paths()[contract]
    # the creation code ends with the compiler's hash over all sources
    digest = hashlib.sha256(artifacts.artifact(contract).bytecode).hexdigest()[:24]
    target = CACHE / f"{contract}-{_FORMAT}-{digest}.json"
    try:
        data = json.loads(target.read_text())
    except FileNotFoundError:
        found = analyse(contract, path.read_text(), path, base_address(contract))
        data = {"sites": [asdict(site) for site in found.sites], "bytecode": found.bytecode.hex()}
        CACHE.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=CACHE, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
        os.replace(temporary, target)
    return Probed(tuple(Site(**site) for site in data["sites"]), bytes.fromhex(data["bytecode"]))


def analyse(name: str, source: str, path: Path | None, base: int) -> Probed:
    """Compile a source text and describe its jumps; ``base`` is the address of the first probe."""
    from vyper.ir import compile_ir

    # before the assembly is made: the label of a revert is the compiler's last one
    expected = artifacts.compile_file(path) if path else artifacts.compile_source(name, source)
    with _remembering_optimizer():
        compiled = _compiler_data(source, path or ROOT / f"{name}.vy")
        assembly = compiled.assembly
        metadata = bytes.fromhex(compiled.integrity_sum)
    plain, _ = compile_ir.assembly_to_evm(assembly, compiler_metadata=metadata)
    if plain != expected.bytecode:
        raise RuntimeError(f"{name}: the bytecode described is not the bytecode deployed")
    creation, runtime = _parts(assembly)
    pcs = _jump_pcs(plain, sum(1 for _ in _jumps(creation)))
    runtime_pcs = _jump_pcs(expected.runtime, sum(1 for _ in _jumps(runtime)))
    sites: list[Site] = []
    for part, places in ((creation, pcs), (runtime, runtime_pcs)):
        for at, pc in zip(_jumps(part), places, strict=True):
            sites.append(_describe(name, len(sites), part is creation, pc, part, at))
    sites = _distinct(sites)
    bytecode, _ = compile_ir.assembly_to_evm(_with_probes(assembly, base), compiler_metadata=metadata)
    return Probed(tuple(sites), bytecode)


def _distinct(sites: list[Site]) -> list[Site]:
    """Number conditions that occur more than once in a function, in the order of its lines."""
    seen: dict[tuple[str, ...], int] = {}
    out = list(sites)
    for site in sorted(sites, key=lambda site: (site.line, site.index)):
        key = site.file, site.function, site.construct, site.text, *sorted((site.taken, site.passed))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1 and site.from_source:
            out[site.index] = replace(site, text=f"{site.text} #{seen[key]}")
    return out


# ---- the compiler ----------------------------------------------------------------------------------


def _compiler_data(source: str, path: Path) -> Any:
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
    from vyper.compiler.phases import CompilerData
    from vyper.compiler.settings import OptimizationLevel, Settings

    file = FileInput(contents=source, source_id=-1, path=path, resolved_path=path)
    settings = Settings(optimize=OptimizationLevel.GAS, evm_version=artifacts.EVM_VERSION)
    return CompilerData(file, FilesystemInputBundle([ROOT]), settings=settings)


_INVERTED = "inverted: "


@contextmanager
def _remembering_optimizer() -> Iterator[None]:
    """The compiler's inversion of jumps, with the node of the jump kept and the inversion noted in its message."""
    from vyper.ir import compile_ir

    original = compile_ir._optimize_inefficient_jumps

    def optimize(assembly: list[Any]) -> bool:
        before = [item for item in assembly if item == "JUMPI"]
        inverted = []
        for i in range(len(assembly) - 6):
            if (
                compile_ir.is_symbol(assembly[i])
                and assembly[i + 1] == "JUMPI"
                and compile_ir.is_symbol(assembly[i + 2])
                and assembly[i + 3] == "JUMP"
                and assembly[i] == assembly[i + 4]
                and assembly[i + 5] == "JUMPDEST"
            ):
                inverted.append(assembly[i + 1])
        changed = bool(original(assembly))
        after = [i for i, item in enumerate(assembly) if item == "JUMPI"]
        for at, jump in zip(after, before, strict=True):
            if any(jump is item for item in inverted):
                message = getattr(jump, "error_msg", None) or ""
                jump = compile_ir.Instruction("JUMPI", getattr(jump, "ast_source", None), _INVERTED + message)
            assembly[at] = jump
        return changed

    compile_ir._optimize_inefficient_jumps = optimize
    try:
        yield
    finally:
        compile_ir._optimize_inefficient_jumps = original


def _parts(assembly: list[Any]) -> tuple[list[Any], list[Any]]:
    """Creation and runtime code of an assembly; without data."""
    from vyper.ir.compile_ir import RuntimeHeader

    nested = [item for item in assembly if isinstance(item, list) and item and isinstance(item[0], RuntimeHeader)]
    return assembly, nested[0]


def _jumps(part: list[Any]) -> Iterator[int]:
    """Places of the conditional jumps of one part, not of what is nested in it."""
    return (i for i, item in enumerate(part) if item == "JUMPI")


def _jump_pcs(code: bytes, count: int) -> list[int]:
    """Where the first ``count`` conditional jumps of the code are; data comes after all code."""
    places = [op.pc for op in disassemble(code) if op.code == JUMPI][:count]
    if len(places) != count:
        raise RuntimeError(f"{count} conditional jumps in the assembly, {len(places)} in the code")
    return places


def _with_probes(part: list[Any], base: int) -> list[Any]:
    """The assembly with a probe before every jump, creation code first.

    Before ``cond PUSH dest JUMPI`` the condition is on the stack. Asking for the balance of ``base + 2 i``, or of the
    next address if the condition is zero, changes nothing but gas, is allowed where nothing may be written, and
    leaves the address in the machine's list of accounts even if the call is undone.
    """
    count = 0

    def probe(part: list[Any]) -> list[Any]:
        nonlocal count
        out: list[Any] = []
        for item in part:
            if item == "JUMPI":
                out, at = out[:-1], out[-1]
                address = list((base + 2 * count).to_bytes(3, "big"))
                out += ["DUP1", "ISZERO", "PUSH3", *address, "ADD", "BALANCE", "POP", at, item]
                count += 1
            else:
                out.append(item)
        return [probe(item) if _is_code(item) else item for item in out]

    return probe(part)


def _is_code(item: Any) -> bool:
    from vyper.ir.compile_ir import RuntimeHeader

    return isinstance(item, list) and bool(item) and isinstance(item[0], RuntimeHeader)


# ---- what a jump means -----------------------------------------------------------------------------


def _describe(contract: str, index: int, constructor: bool, pc: int, part: list[Any], at: int) -> Site:
    from vyper import ast as vy_ast

    place = _Place(part, at)
    found = _written(place) or (place.compiler_class(), place.near, "", "jumps", "goes on")
    construct, node, text, taken, passed = found
    file, line, function = "", 0, ""
    if node is not None:
        # functions are compiled once more for the constructor
        file = str(Path(node.module_node.resolved_path).relative_to(ROOT))
        line = node.lineno or 0
        owner = node if isinstance(node, vy_ast.FunctionDef) else node.get_ancestor(vy_ast.FunctionDef)
        function = owner.name if owner is not None else ""
        if constructor and function != "__init__":
            function = f"__init__ > {function}"
        text = text or _text(node).split(' """')[0][:80]
    return Site(contract, index, constructor, pc, construct, file, line, function, text, taken, passed)


def _written(place: _Place) -> tuple[str, Any, str, str, str] | None:
    """Construct, node, text and both outcomes of a branch that the source has; None for one of the compiler's."""
    from vyper import ast as vy_ast

    node = place.node
    if isinstance(node, vy_ast.Assert):
        text = _text(node.test) + (f", {_text(node.msg)}" if node.msg else "")
        return "assert", node, text, *(("fails", "holds") if place.to_revert else ("holds", "fails"))
    if isinstance(node, vy_ast.If):
        return "if", node, _text(node.test), *place.truth(node.body, node.orelse)
    if isinstance(node, vy_ast.IfExp):
        return "ternary", node, _text(node.test), *place.truth([node.body], [node.orelse])
    if place.to_revert:
        return None
    if (loop := place.loop()) is not None:
        # two jumps where the number of rounds is known only at run time: past the loop, and back
        outcomes = ("again", "ends") if place.goes_to("loop_start") else ("empty", "enters")
        line = loop.full_source_code.splitlines()[loop.lineno - 1]
        return "for", loop, line.strip().removeprefix("for ").removesuffix(":"), *outcomes
    if isinstance(node, vy_ast.Call) and _text(node.func) == "abs":
        return "abs", node, _text(node), *(("negative", "not negative")[:: 1 if place.after("neg") else -1])
    if (operand := place.operand()) is not None:
        junction, k = operand
        values = junction.values
        conjunction = isinstance(junction.op, vy_ast.And)
        outcomes = ("true", "false") if place.short_cut() == conjunction else ("false", "true")
        return "and" if conjunction else "or", values[k], _text(values[k]), *outcomes
    if (inside := place.membership()) is not None:
        return "in", inside, _text(inside), "differs", "equals"
    return None


def _text(node: Any) -> str:
    return " ".join(str(node.node_source_code).split())


def _located(item: Any) -> Any:
    """Syntax node of an instruction; constants that the compiler made lie in no file."""
    node = getattr(item, "ast_source", None)
    return node if node is not None and node.module_node is not None else None


def _within(node: Any, outer: list[Any]) -> bool:
    """Whether a node is one of ``outer`` or inside of one."""
    while node is not None:
        if any(node is item for item in outer):
            return True
        node = node.get_ancestor()
    return False


def _child(node: Any, owner: Any) -> Any:
    """The direct child of ``owner`` that a node is or lies in; None if it lies elsewhere."""
    while node is not None:
        parent = node.get_ancestor()
        if parent is owner:
            return node
        node = parent
    return None


_BY_MESSAGE = (
    ("safe", "overflow"),
    ("range()", "loop bound"),
    ("clamp", "conversion"),
    ("uint255 bounds", "conversion"),
    ("bad calldatasize", "call data"),
    ("nonpayable", "call data"),
    ("returndatasize", "returned data"),
    ("extcodesize", "external call"),
    ("external call", "external call"),
)


class _Place:
    """A conditional jump in its assembly."""

    def __init__(self, part: list[Any], at: int) -> None:
        from vyper.ir.compile_ir import _revert_label

        self.part = part
        self.at = at
        self.node = getattr(part[at], "ast_source", None)
        message = getattr(part[at], "error_msg", None) or ""
        self.inverted = message.startswith(_INVERTED)
        self.message = message.removeprefix(_INVERTED)
        self.to_revert = part[at - 1] == _revert_label
        self.near = self._near()

    def _near(self) -> Any:
        """Node of the last instruction up to this one that has one."""
        for item in reversed(self.part[: self.at + 1]):
            if (node := _located(item)) is not None:
                return node
        return None

    def truth(self, body: list[Any], otherwise: list[Any]) -> tuple[str, str]:
        """What taken and passed say of the condition of an ``if``, by whose code comes next.

        The compiler swaps the branches of some conditions, and inverts jumps over a jump.
        """
        for item in self.part[self.at + 1 :]:
            node = _located(item)
            if _within(node, body):
                return "false", "true"
            if _within(node, otherwise):
                return "true", "false"
            if item in ("JUMP", "JUMPI") or (node is not None and not _within(node, [self.node])):
                break
        if otherwise:
            # neither branch has code of its own: constants, or variables on the stack
            if (answer := self.comparison(self.node.test)) is None:
                raise RuntimeError(f"neither branch follows the jump near {_text(self.near)!r}")
            return answer
        return ("true", "false") if self.inverted else ("false", "true")

    def comparison(self, test: Any) -> tuple[str, str] | None:
        """The same from the opcode that has just compared, where the condition is one comparison."""
        from vyper import ast as vy_ast

        before = [str(item) for item in self.part[max(0, self.at - 4) : self.at - 1]]
        negated = False
        while before and before[-1] == "ISZERO":
            before.pop()
            negated = not negated
        same = {
            vy_ast.Eq: ({"EQ"}, {"XOR", "SUB"}),
            vy_ast.NotEq: ({"XOR", "SUB"}, {"EQ"}),
            vy_ast.Gt: ({"GT", "SGT"}, set()),
            vy_ast.Lt: ({"LT", "SLT"}, set()),
            vy_ast.GtE: (set(), {"LT", "SLT"}),
            vy_ast.LtE: (set(), {"GT", "SGT"}),
        }
        if not isinstance(test, vy_ast.Compare) or not before or type(test.op) not in same:
            return None
        alike, opposite = same[type(test.op)]
        if before[-1] not in alike | opposite:
            return None
        return ("true", "false") if (before[-1] in alike) != negated else ("false", "true")

    def short_cut(self) -> bool:
        """Whether the code that comes next is the constant of a decided ``and`` or ``or``, not its next value."""
        after = self.part[self.at + 1 :]
        constant = 1 if after[0] == "PUSH0" else 2 if list(after[:2]) == ["PUSH1", 1] else 0
        return bool(constant) and str(after[constant]).startswith("_sym_") and after[constant + 1] == "JUMP"

    def goes_to(self, label: str) -> bool:
        """Whether the jump's target is one of the compiler's labels of that name."""
        return bool(re.fullmatch(rf"_sym_{label}\d+", str(self.part[self.at - 1])))

    def loop(self) -> Any:
        """The ``for`` that this jump enters or repeats."""
        from vyper import ast as vy_ast

        if self.goes_to("loop_exit") and self.part[self.at - 2] == "ISZERO":
            entry = self
        elif self.goes_to("loop_start"):
            if isinstance(self.node, vy_ast.For):
                return self.node
            # the labels of a loop are numbered start, continue, exit; the jump past it comes before the jump back
            number = int(str(self.part[self.at - 1]).removeprefix("_sym_loop_start")) + 2
            exits = [i for i in _jumps(self.part) if self.part[i - 1] == f"_sym_loop_exit{number}"]
            if not exits or exits[0] > self.at or self.part[exits[0] - 2] != "ISZERO":
                return None
            entry = _Place(self.part, exits[0])
        else:
            return None
        if isinstance(entry.node, vy_ast.For):
            return entry.node
        node = entry.near
        loop = node if isinstance(node, vy_ast.For) else node and node.get_ancestor(vy_ast.For)
        return loop if loop is not None and _within(node, [loop, loop.iter]) and self._heads(loop, node) else None

    @staticmethod
    def _heads(loop: Any, node: Any) -> bool:
        return node is loop or _within(node, [loop.iter, loop.target])

    def after(self, what: str) -> bool:
        """Whether the code that follows negates: ``PUSH0 SUB`` or ``NOT``."""
        return "SUB" in self.part[self.at + 1 : self.at + 8]

    def operand(self) -> tuple[Any, int] | None:
        """The ``and`` or ``or`` that this jump is part of, and which of its values it has just judged."""
        from vyper import ast as vy_ast

        if isinstance(self.node, vy_ast.BoolOp):
            values = self.node.values
            earlier = [i for i in _jumps(self.part) if i < self.at]
            for item in reversed(self.part[max(earlier, default=0) + 1 : self.at]):
                child = _child(_located(item), self.node)
                if child is not None and child is not values[-1]:
                    return self.node, next(k for k, value in enumerate(values) if value is child)
            # the judged value left no trace of its own: the next in order
            return self.node, sum(getattr(self.part[i], "ast_source", None) is self.node for i in earlier)
        if self.node is not None or self.message:
            return None
        child = self.near
        while child is not None:
            parent = child.get_ancestor()
            if isinstance(parent, vy_ast.BoolOp) and child is not parent.values[-1]:
                return parent, next(k for k, value in enumerate(parent.values) if value is child)
            child = parent
        return None

    def membership(self) -> Any:
        """The ``x in [...]`` whose comparison with one element this is."""
        from vyper import ast as vy_ast

        node = self.near
        while node is not None and not isinstance(node, vy_ast.Compare):
            node = None if isinstance(node, vy_ast.FunctionDef) else node.get_ancestor()
        if node is not None and isinstance(node.op, vy_ast.In | vy_ast.NotIn) and self.part[self.at - 2] == "XOR":
            return node
        return None

    def compiler_class(self) -> str:
        """Class of COMPILER."""
        from vyper import ast as vy_ast

        for start, kind in _BY_MESSAGE:
            if self.message.startswith(start):
                return kind
        if self.message.endswith("bounds check"):
            return "index" if "[" in self.message else "conversion"
        before = [str(item) for item in self.part[max(0, self.at - 12) : self.at]]
        text = _text(self.near) if self.near is not None else ""
        outer = self.near
        while outer is not None and not isinstance(outer, vy_ast.ExtCall | vy_ast.StaticCall):
            outer = outer.get_ancestor()
        if any(call in before[-4:] for call in _CALLS) or text.startswith("raw_call("):
            return "external call"
        if isinstance(self.node, vy_ast.FunctionDef | vy_ast.VariableDecl):
            return "reentrancy lock"
        if self.goes_to("loop_exit") or self.goes_to("loop_start"):
            return "copy"
        if outer is not None and (self.to_revert or "RETURNDATASIZE" in before[-3:]):
            return "returned data"
        if self.to_revert and text.startswith("abs("):
            return "overflow"
        if self.to_revert and before[-3:-1] == ["DUP2", "GT"]:
            return "loop bound"
        if self.to_revert and (text.startswith("slice(") or "SGT" in before):
            return "index"
        if self.node is None and ("PUSH4" in before or self.part[self.at - 1] == "_sym_fallback"):
            return "dispatch"
        raise RuntimeError(f"a jump of no known kind near {text!r}: {' '.join(before)} JUMPI {self.message}")
