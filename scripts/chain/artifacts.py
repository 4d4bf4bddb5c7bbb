"""Compiled contracts, in process and cached by content.

A contract is compiled once per content of its source and of everything it imports; the result lies in
``.build/artifacts/`` and is shared by all worker processes. Contracts are named by their file stem, which is unique.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
BUILD = ROOT / ".build" / "artifacts"

EVM_VERSION = "cancun"
_FORMAT = "1"  # of the cached files; bump it when their shape changes

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+)?import[ \t]+(\w[\w.]*)", re.MULTILINE)

DELEGATES = ("LiquidationDesk", "DefaultManager", "RebaseManager", "AccountDesk", "MarketAdmin")
FORWARDS = {"ClearingHouse": DELEGATES}
"""Contract: those whose code it runs by delegatecall for selectors it does not know. The ABIs are merged."""


@dataclass(frozen=True)
class Artifact:
    """What the compiler says of one contract."""

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    runtime: bytes  # without the immutables, which the constructor appends
    size: int  # bytes of deployed code, immutables included
    layout: dict[str, Any]  # variable: {"slot", "type"}, or alias: nested layout, see `scripts.chain.layout`


@cache
def paths() -> dict[str, Path]:
    """Deployable contracts (CamelCase stems) by name, mocks included."""
    found: dict[str, Path] = {}
    for path in sorted(CONTRACTS.rglob("*.vy")):
        if path.stem[0].isupper():
            if path.stem in found:
                raise ValueError(f"two contracts are called {path.stem}: {found[path.stem]} and {path}")
            found[path.stem] = path
    return found


@cache
def artifact(name: str) -> Artifact:
    """The contract of that name; a forwarding contract's ABI includes that of the code it forwards to."""
    if name not in paths():
        raise KeyError(f"no contract {name}.vy under {CONTRACTS.relative_to(ROOT)}/")
    own = compile_file(paths()[name])
    if name not in FORWARDS:
        return own
    for delegate in FORWARDS[name]:
        own = merge(own, artifact(delegate))
    return own


def merge(own: Artifact, tail: Artifact) -> Artifact:
    """``own`` with the functions and events of ``tail`` that it does not have itself."""
    known = {_abi_key(entry) for entry in own.abi}
    extra = [e for e in tail.abi if e["type"] in ("function", "event") and _abi_key(e) not in known]
    return Artifact(own.name, own.abi + tuple(extra), own.bytecode, own.runtime, own.size, own.layout)


def _abi_key(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["type"], entry.get("name"), tuple(canonical(i) for i in entry.get("inputs", ()))


def canonical(parameter: dict[str, Any]) -> str:
    """ABI type of a parameter, tuples written out: ``(uint256,address)[2]``."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(canonical(c) for c in parameter["components"]) + ")" + kind[len("tuple") :]


def compile_file(path: Path, root: Path = ROOT, build: Path = BUILD) -> Artifact:
    """Compile a file of this repository, or take it from the cache.

    A copy of the repository's contracts elsewhere has its own ``root`` and keeps its results in its own ``build``.
    """
    return _cached(path.stem, path.read_text(), path, root, build)


def compile_source(name: str, source: str) -> Artifact:
    """Compile a source string as contract ``name``; imports are searched from the repository root."""
    return _cached(name, source, None, ROOT, BUILD)


def _cached(name: str, source: str, path: Path | None, root: Path, build: Path) -> Artifact:
    target = build / f"{name}-{_digest(name, source, path, root)}.json"
    try:
        data = json.loads(target.read_text())
    except FileNotFoundError:
        data = _compile(name, source, path, root)
        build.mkdir(parents=True, exist_ok=True)
        # Workers may compile the same contract at once; a rename is atomic, so a reader sees a whole file or none.
        handle, temporary = tempfile.mkstemp(dir=build, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
        os.replace(temporary, target)
    return Artifact(
        name,
        tuple(data["abi"]),
        bytes.fromhex(data["bytecode"]),
        bytes.fromhex(data["runtime"]),
        data["size"],
        data["layout"],
    )


def _digest(name: str, source: str, path: Path | None, root: Path) -> str:
    """Hash over the compiler, the settings, the source and, in path order, all it imports."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    digest.update(f"{_FORMAT} {version('vyper')} {EVM_VERSION} gas {name}".encode())
    texts: dict[str, str] = {"": source}
    _closure(source, path.parent if path else root, root, texts)
    for key in sorted(texts):
        digest.update(f"\0{key}\0{texts[key]}".encode())
    return digest.hexdigest()[:24]


def _closure(source: str, folder: Path, root: Path, texts: dict[str, str]) -> None:
    for package, name in _IMPORT.findall(source):
        dots = len(package) - len(package.lstrip("."))
        parts = [p for p in package.lstrip(".").split(".") if p] + name.split(".")
        bases = [folder.joinpath(*[".."] * (dots - 1))] if dots else [folder, root]
        for base in bases:
            for suffix in (".vy", ".vyi"):
                file = base.joinpath(*parts).with_suffix(suffix).resolve()
                # Relative, so that two checkouts of the same content share hashes.
                key = os.path.relpath(file, root)
                if file.is_file() and key not in texts:
                    texts[key] = file.read_text()
                    _closure(texts[key], file.parent, root, texts)


def _compile(name: str, source: str, path: Path | None, root: Path) -> dict[str, Any]:
    # Imported late: the compiler takes half a second to load and a warm cache does not need it.
    from vyper.compiler import outputs_from_compiler_data
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
    from vyper.compiler.phases import CompilerData
    from vyper.compiler.settings import OptimizationLevel, Settings

    where = path if path else root / f"{name}.vy"
    file = FileInput(contents=source, source_id=-1, path=where, resolved_path=where)
    settings = Settings(optimize=OptimizationLevel.GAS, evm_version=EVM_VERSION)
    compiled = CompilerData(file, FilesystemInputBundle([root]), settings=settings)
    out = outputs_from_compiler_data(compiled, ("abi", "bytecode", "bytecode_runtime", "layout"))
    immutables = _total_length(out["layout"].get("code_layout", {}))
    runtime = out["bytecode_runtime"].removeprefix("0x")
    return {
        "abi": out["abi"],
        "bytecode": out["bytecode"].removeprefix("0x"),
        "runtime": runtime,
        "size": len(runtime) // 2 + immutables,
        "layout": _describe_module(compiled.annotated_vyper_module),
    }


def _total_length(code_layout: dict[str, Any]) -> int:
    """Bytes of immutables in a code layout, which nests by module."""
    return sum(v["length"] if "length" in v else _total_length(v) for v in code_layout.values())


def _describe_module(module: Any) -> dict[str, Any]:
    """Storage variables of a module and, under their aliases, of the modules it initializes."""
    from vyper import ast as vy_ast
    from vyper.semantics.data_locations import DataLocation

    layout: dict[str, Any] = {}
    for node in module.get_children((vy_ast.InitializesDecl, vy_ast.VariableDecl)):
        if isinstance(node, vy_ast.InitializesDecl):
            info = node._metadata["initializes_info"].module_info
            nested = _describe_module(info.module_node)
            if nested:
                layout[info.alias] = nested
            continue
        variable = node.target._metadata["varinfo"]
        if variable.is_state_variable() and variable.location == DataLocation.STORAGE:
            layout[node.target.id] = {"slot": variable.position.position, "type": _describe_type(variable.typ)}
    return layout


def _describe_type(kind: Any) -> dict[str, Any]:
    """A Vyper type as data: what `scripts.chain.layout` needs to walk from a variable to a word."""
    from vyper.semantics.types import DArrayT, HashMapT, SArrayT, StructT

    if isinstance(kind, HashMapT):
        return {"kind": "map", "value": _describe_type(kind.value_type)}
    words = kind.storage_size_in_words
    if isinstance(kind, SArrayT):
        return {"kind": "array", "words": words, "length": kind.length, "value": _describe_type(kind.value_type)}
    if isinstance(kind, DArrayT):
        return {"kind": "list", "words": words, "length": kind.length, "value": _describe_type(kind.value_type)}
    if isinstance(kind, StructT):
        members = {name: _describe_type(member) for name, member in kind.members.items()}
        return {"kind": "struct", "words": words, "members": members}
    return {"kind": "word" if words == 1 else "bytes", "words": words}
