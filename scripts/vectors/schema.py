"""The shape of a vector file by ``schema.json``, its one description, and one clear line for what does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from scripts.vectors import VectorError

SCHEMA = Path(__file__).with_name("schema.json")
_LONGEST = 60


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check(data: Any) -> None:
    """Raise :class:`VectorError` for the field that the schema does not allow; of several, the outermost."""
    error = best_match(_validator().iter_errors(data))
    while error is not None and error.context:
        error = _of_closest_form(error.context)
    if error is not None:
        raise VectorError(_line(error))


def _of_closest_form(errors: Sequence[ValidationError]) -> ValidationError | None:
    """Of several forms that are allowed, none of which fits: what the one that lacks the fewest fields lacks."""
    forms: dict[Any, list[ValidationError]] = {}
    for error in errors:
        forms.setdefault(error.schema_path[0], []).append(error)

    def lack(form: list[ValidationError]) -> tuple[bool, int, int]:
        here = len(form[0].parent.absolute_path) if form[0].parent else 0
        missing = sum(error.validator in ("required", "additionalProperties") for error in form)
        return any(e.validator == "type" and len(e.absolute_path) == here for e in form), missing, len(form)

    return best_match(min(forms.values(), key=lack))


def _line(error: ValidationError) -> str:
    """Which field, and what is wrong with it."""
    where = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{where}.{missing}: is missing".removeprefix(".")
    if error.validator == "additionalProperties":
        extra = next(name for name in error.instance if name not in error.schema.get("properties", {}))
        return f"{where}.{extra}: is no field of this format".removeprefix(".")
    shown = json.dumps(error.instance)
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    if error.validator == "pattern":
        return f"{where}: {shown} is no {error.schema.get('description', error.validator_value)}"
    wanted = error.validator_value if error.validator == "type" else error.schema.get("description", error.message)
    return f"{where or 'the file'}: is {shown}, wanted {wanted}"
