"""From a variable's name and indices to its storage slot, by the compiler's own layout."""

from __future__ import annotations

from typing import Any

from eth_utils import keccak

_WORD = 1 << 256


def slot(layout: dict[str, Any], variable: str, *indices: Any) -> int:
    """Slot of one word of ``variable``.

    The variable may live in a module that the contract initializes; where two modules have the same name in
    use, write ``alias.variable``. Indices go from the outside in: map keys and array indices as ``int``,
    ``bytes`` or 0x ``str`` (address), struct members by name. A dynamic array without an index is its length.
    """
    found = _find(layout, variable)
    if len(found) != 1:
        raise KeyError(f"{len(found)} storage variables are called {variable}")
    at, kind = found[0]["slot"], found[0]["type"]
    for index in indices:
        if kind["kind"] == "map":
            at = int.from_bytes(keccak(at.to_bytes(32, "big") + _key(index)), "big")
            kind = kind["value"]
        elif kind["kind"] in ("array", "list"):
            if not 0 <= index < kind["length"]:
                raise IndexError(f"{variable} {indices}: {index} is outside 0 … {kind['length'] - 1}")
            at += index * kind["value"]["words"] + (kind["kind"] == "list")
            kind = kind["value"]
        elif kind["kind"] == "struct":
            before = list(kind["members"]).index(index)
            at += sum(member["words"] for member in list(kind["members"].values())[:before])
            kind = kind["members"][index]
        elif kind["kind"] == "bytes":
            at += index
            kind = {"kind": "word"}
        else:
            raise IndexError(f"{variable} {indices}: too many indices")
        at %= _WORD
    if kind["kind"] not in ("word", "list", "bytes"):
        raise IndexError(f"{variable} {indices}: names a {kind['kind']}, not a word")
    return int(at)


def text_slots(layout: dict[str, Any]) -> set[int]:
    """Slots of plain variables that hold strings or bytes, which models do not keep as words."""
    slots: set[int] = set()
    for entry in layout.values():
        if "slot" not in entry:
            slots |= text_slots(entry)
        elif entry["type"]["kind"] == "bytes":
            slots |= set(range(entry["slot"], entry["slot"] + entry["type"]["words"]))
    return slots


def _find(layout: dict[str, Any], variable: str) -> list[dict[str, Any]]:
    alias, _, rest = variable.partition(".")
    if rest:
        return _find(layout[alias], rest) if alias in layout else []
    found = []
    for name, entry in layout.items():
        if "slot" not in entry:
            found += _find(entry, variable)
        elif name == variable:
            found.append(entry)
    return found


def _key(index: Any) -> bytes:
    """A map key as the 32 bytes that are hashed."""
    if isinstance(index, bytes):
        return index.ljust(32, b"\0")
    if isinstance(index, str):
        return bytes.fromhex(index.removeprefix("0x")).rjust(32, b"\0")
    return int(index % _WORD).to_bytes(32, "big")
