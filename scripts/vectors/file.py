"""The vector file as a whole: put together, checked against its schema, read with one clear line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from scripts.chain.artifacts import ROOT, artifact
from scripts.vectors import VERSION, VectorError
from scripts.vectors.domain import code_of
from scripts.vectors.functions import FUNCTIONS
from scripts.vectors.play import Stage
from scripts.vectors.schema import check

CONTRACTS = ("Token", "MockFeed", "PriceOracle", "ClearingHouse", "Orders", "BackstopFund", "Governor", "Lens")
_ADDRESS_VERSION = "waterfall-addresses/1"


def model_digest() -> str:
    """SHA-256 over the model's sources: each file's name, a zero byte, its bytes, a zero byte, by name."""
    total = sha256()
    for path in sorted((ROOT / "python_ref").glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def assemble(
    generator: Mapping[str, Any],
    stages: Mapping[str, Stage],
    vectors: Sequence[Mapping[str, Any]],
    functions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Everything that one file holds, as the schema has it."""
    data = {
        "version": VERSION,
        "model": model_digest(),
        "generator": dict(generator),
        "abi": abi(),
        "setups": {name: {**stage.setup, "state": stage.state} for name, stage in stages.items()},
        "vectors": list(vectors),
        "functions": list(functions),
    }
    check(data)
    return data


def abi() -> dict[str, Any]:
    """Functions and events of every contract that vectors name."""
    section = {name: _entries(code_of(name)) for name in CONTRACTS}
    for contract in dict.fromkeys(function.contract for function in FUNCTIONS):
        used = {function.name for function in FUNCTIONS if function.contract == contract}
        section[contract] = [entry for entry in _entries(contract) if entry["name"] in used]
    return section


def _entries(contract: str) -> list[dict[str, Any]]:
    return [entry for entry in artifact(contract).abi if entry["type"] in ("function", "event")]


def dump(data: Mapping[str, Any]) -> str:
    """The text of a file: one vector, function or set-up a line, so that differences are readable."""

    def line(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            rows = ",\n".join(line(one) for one in value)
            parts.append(f"{line(key)}:[\n{rows}\n]")
        elif key in ("setups", "abi"):
            rows = ",\n".join(f"{line(name)}:{line(one)}" for name, one in value.items())
            parts.append(f"{line(key)}:{{\n{rows}\n}}")
        else:
            parts.append(f"{line(key)}:{line(value)}")
    return "{" + ",\n".join(parts) + "}\n"


def read(path: Path) -> dict[str, Any]:
    """A vector file; :class:`VectorError` names the first thing that is wrong with it."""
    data = _json(path)
    if not isinstance(data, dict):
        raise VectorError(f"{path}: is no object; make a file with `make vectors`")
    version = data.get("version")
    if version != VERSION:
        wanted = f"this runner plays {VERSION!r}: use the runner of that file"
        raise VectorError(f"{path}: version: is {version!r}, {wanted}")
    try:
        check(data)
    except VectorError as error:
        raise VectorError(f"{path}: {error}") from None
    return data


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise VectorError(f"{path}: no such file") from None
    except OSError as error:
        raise VectorError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise VectorError(f"{path}: is not JSON ({error})") from None


def read_addresses(path: Path, setups: Sequence[str]) -> dict[str, dict[str, str]]:
    """Addresses by name, by set-up. One flat book, or a deployment's state file, stands for every set-up."""
    data = _json(path)
    if not isinstance(data, dict):
        raise VectorError(f"{path}: is no object of names and addresses")
    if data.get("version") == _ADDRESS_VERSION:
        given = data.get("setups")
        if not isinstance(given, dict):
            raise VectorError(f"{path}: setups: is missing")
        books = {name: _book(path, f"setups.{name}.", given[name]) for name in setups if name in given}
        if not books:
            raise VectorError(f"{path}: setups: has none of {', '.join(setups)}")
        return books
    if "version" in data:
        raise VectorError(f"{path}: version: is {data['version']!r}, not {_ADDRESS_VERSION!r}")
    if isinstance(data.get("contracts"), dict):
        data = {name: entry.get("address") for name, entry in data["contracts"].items() if isinstance(entry, dict)}
    book = _book(path, "", data)
    return dict.fromkeys(setups, book)


def _book(path: Path, where: str, given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise VectorError(f"{path}: {where.rstrip('.')}: is no object of names and addresses")
    for name, address in given.items():
        if not _is_address(address):
            raise VectorError(f"{path}: {where}{name}: {address!r} is no address: write 0x and 40 digits")
    return dict(given)


def _is_address(text: Any) -> bool:
    if not isinstance(text, str) or len(text) != 42 or not text.startswith("0x"):
        return False
    return all(digit in "0123456789abcdefABCDEF" for digit in text[2:])


def dump_addresses(books: Mapping[str, Mapping[str, str]]) -> str:
    """The text of an address book."""
    return json.dumps({"version": _ADDRESS_VERSION, "setups": books}, indent=1) + "\n"
