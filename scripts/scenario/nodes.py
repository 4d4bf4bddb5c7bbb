"""Reading YAML so that every complaint names the field and the fix, and no number passes through a binary float."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from python_ref.constants import PPM, WAD

SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
RATES = {"%": PPM // 100, "ppm": 1}
MAX_MAGNITUDE = 40
"""Powers of ten beyond which a number is surely a slip."""


class ScenarioError(ValueError):
    """A scenario file that cannot be used: ``path`` of the field and what to do about it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path


class _Loader(yaml.BaseLoader):
    """Leaves every scalar a string and refuses a key that comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ScenarioError("", f"line {key.start_mark.line + 1}: a key must be a plain word")
            if key.value in seen:
                raise ScenarioError("", f"line {key.start_mark.line + 1}: {key.value!r} comes twice; keep one")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep=deep))


def read_yaml(path: Path) -> Node:
    """The root of a YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError("", f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError("", f"{path} is not UTF-8 text") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Node:
    """The root of a YAML text."""
    try:
        return Node(yaml.load(text, _Loader), "")  # a BaseLoader makes strings only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ScenarioError("", f"{where}not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise ScenarioError("", "not YAML that can be read: nested too deeply") from None


@dataclass(frozen=True)
class Node:
    """One value of the file and where it is."""

    value: Any
    path: str

    def fail(self, problem: str) -> ScenarioError:
        """A complaint about this field, to be raised."""
        return ScenarioError(self.path, problem)

    def _join(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether a mapping has the key."""
        return isinstance(self.value, dict) and key in self.value

    def items(self) -> Iterator[tuple[str, Node]]:
        """Keys and values of a mapping."""
        if not isinstance(self.value, dict):
            raise self.fail(f"a mapping is wanted (key: value), not {_describe(self.value)}")
        for key, value in self.value.items():
            yield key, Node(value, self._join(key))

    def fields(self, known: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Node]:
        """The values of a mapping; a key that is not in ``known`` or ``required`` is refused."""
        found = dict(self.items())
        for key in found:
            if key not in known and key not in required:
                raise ScenarioError(self._join(key), f"unknown key; {_suggest(key, (*required, *known))}")
        for key in required:
            if key not in found:
                raise self.fail(f"{key} is missing; add it")
        return found

    def elements(self) -> list[Node]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.fail(f"a list is wanted, not {_describe(self.value)}")
        return [Node(value, f"{self.path}[{i}]") for i, value in enumerate(self.value)]

    def text(self) -> str:
        """A string that is not empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.fail(f"a text is wanted, not {_describe(self.value)}")
        return self.value.strip()

    def choice(self, options: tuple[str, ...], what: str) -> str:
        """One of the options."""
        text = self.text()
        if text not in options:
            raise self.fail(f"unknown {what} {text!r}; {_suggest(text, options)}")
        return text

    def flag(self) -> bool:
        """true or false."""
        return self.choice(("true", "false"), "answer") == "true"

    def number(self) -> Fraction:
        """A decimal number, exactly."""
        text = self.text().replace("_", "")
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite():
            raise self.fail(f"a number is wanted like 1_000 or 2.30, not {self.value!r}")
        if value and abs(value.adjusted()) > MAX_MAGNITUDE:
            raise self.fail(f"{self.value} is out of range")
        return Fraction(value)

    def wad(self, least: int | None = 0) -> int:
        """Money, size or price as an integer of 18 decimals; at least ``least`` (units) unless None."""
        scaled = self.number() * WAD
        if scaled.denominator != 1:
            raise self.fail(f"{self.value} has more than 18 decimals; shorten it")
        if least is not None and scaled < least:
            raise self.fail(f"{self.value} is too small; it has to be {'positive' if least else 'zero or more'}")
        return int(scaled)

    def whole(self, least: int, most: int) -> int:
        """An integer within bounds."""
        value = self.number()
        if value.denominator != 1 or not least <= value <= most:
            raise self.fail(f"a whole number from {least} to {most} is wanted, not {self.value!r}")
        return int(value)

    def rate(self) -> int:
        """Parts per million from ``2.5 %`` or ``25000 ppm``."""
        return self._with_unit(RATES, "a rate with its unit, like '2 %' or '20000 ppm'")

    def seconds(self) -> int:
        """Seconds from ``90``, ``90 s``, ``15 min``, ``1 h`` or ``1 d``."""
        if isinstance(self.value, str) and self.value.strip().replace("_", "").isdecimal():
            return self.whole(0, 2**31)
        return self._with_unit(SECONDS, "a time like '90 s', '15 min' or '1 h'")

    def _with_unit(self, units: dict[str, int], wanted: str) -> int:
        text = self.text()
        unit = next((u for u in sorted(units, key=len, reverse=True) if text.endswith(u)), None)
        if unit is None:
            raise self.fail(f"{wanted} is wanted, not {text!r}")
        value = Node(text[: -len(unit)], self.path).number() * units[unit]
        if value.denominator != 1 or not 0 <= value < 2**31:
            raise self.fail(f"{wanted} is wanted: {text!r} is no whole number of the smallest unit, or out of range")
        return int(value)


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value == "" else repr(value)


def _suggest(word: str, options: tuple[str, ...]) -> str:
    if not options:
        return "remove it"
    close = get_close_matches(word, options, 1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(options)}"
