"""JSON Schema, as much of it as ``schema.json`` uses: the file stays the one description of the format's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from scripts.vectors import VectorError

SCHEMA = Path(__file__).with_name("schema.json")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required", "pattern", "items",
    "additionalProperties", "propertyNames", "const", "enum", "oneOf", "minItems", "maxItems",
}  # fmt: skip


@cache
def schema() -> dict[str, Any]:
    """The schema; every word it uses is one that :func:`check` knows."""
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text())
    _only_known(loaded)
    return loaded


def _only_known(part: Mapping[str, Any]) -> None:
    unknown = set(part) - _KNOWN
    assert not unknown, f"schema.json: {unknown} would not be checked"
    for name in ("properties", "$defs"):
        for one in part.get(name, {}).values():
            _only_known(one)
    for name in ("items", "additionalProperties", "propertyNames"):
        if isinstance(part.get(name), dict):
            _only_known(part[name])
    for one in part.get("oneOf", []):
        _only_known(one)


def check(data: Any) -> None:
    """Raise :class:`VectorError` for the first field that the schema does not allow."""
    error = find_error(schema(), data, "")
    if error:
        raise VectorError(error)


def find_error(part: Mapping[str, Any], data: Any, where: str) -> str | None:
    """The first thing wrong with ``data``, at which path; None if it fits."""
    if "$ref" in part:
        return find_error(schema()["$defs"][part["$ref"].rsplit("/", 1)[1]], data, where)
    if "oneOf" in part:
        return _one_of(part, data, where)
    at = where or "the file"
    kind = part.get("type")
    if kind is not None and not _is(kind, data):
        return f"{at}: is {_shown(data)}, wanted {kind}"
    if "const" in part and data != part["const"]:
        return f"{at}: is {_shown(data)}, wanted {part['const']!r}"
    if "enum" in part and data not in part["enum"]:
        return f"{at}: is {_shown(data)}, wanted one of {', '.join(part['enum'])}"
    if isinstance(data, str) and "pattern" in part and not re.search(part["pattern"], data):
        return f"{at}: {_shown(data)} is no {part.get('description', part['pattern'])}"
    if isinstance(data, dict):
        return _object(part, data, where)
    if isinstance(data, list):
        return _array(part, data, where)
    return None


def _one_of(part: Mapping[str, Any], data: Any, where: str) -> str | None:
    """Forms differ by their type, objects by the fields that they must have: the closest is what was meant."""
    forms = [(lacking, form) for form in part["oneOf"] if (lacking := _lacking(form, data)) is not None]
    if not forms:
        return f"{where or 'the file'}: is {_shown(data)}: {part['description']}"
    return find_error(min(forms, key=lambda one: one[0])[1], data, where)


def _lacking(part: Mapping[str, Any], data: Any) -> int | None:
    """How many fields of a form ``data`` lacks; None if it is of another type."""
    if "$ref" in part:
        return _lacking(schema()["$defs"][part["$ref"].rsplit("/", 1)[1]], data)
    if "oneOf" in part:
        return min((lacking for one in part["oneOf"] if (lacking := _lacking(one, data)) is not None), default=None)
    if not _is(part["type"], data):
        return None
    return len(set(part.get("required", ())) - data.keys()) if isinstance(data, dict) else 0


def _object(part: Mapping[str, Any], data: Mapping[str, Any], where: str) -> str | None:
    prefix = f"{where}." if where else ""
    for name in part.get("required", []):
        if name not in data:
            return f"{prefix}{name}: is missing"
    known, rest = part.get("properties", {}), part.get("additionalProperties", True)
    for name, value in data.items():
        if "propertyNames" in part and (error := find_error(part["propertyNames"], name, f"{prefix}{name}")):
            return error
        if name in known:
            error = find_error(known[name], value, f"{prefix}{name}")
        elif rest is False:
            error = f"{prefix}{name}: is no field of this format"
        else:
            error = find_error(rest, value, f"{prefix}{name}") if isinstance(rest, dict) else None
        if error:
            return error
    return None


def _array(part: Mapping[str, Any], data: list[Any], where: str) -> str | None:
    low, high = part.get("minItems", 0), part.get("maxItems", len(data))
    if not low <= len(data) <= high:
        return f"{where}: has {len(data)} items, wanted {low} to {high}"
    for i, value in enumerate(data):
        if "items" in part and (error := find_error(part["items"], value, f"{where}[{i}]")):
            return error
    return None


def _is(kind: str, data: Any) -> bool:
    return isinstance(data, _TYPES[kind])


def _shown(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 60 else text[:57] + "..."
