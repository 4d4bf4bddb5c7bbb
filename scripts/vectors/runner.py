"""Plays a vector file against a target and says of each vector whether it holds, and if not, where it first fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.vectors import VectorError
from scripts.vectors.observe import State, is_judgement
from scripts.vectors.target import Done, Missing, Target

PASS, FAIL, MISSING = "pass", "fail", "not implemented"


@dataclass
class Result:
    """One vector: ``detail`` names the first differing field and both values, or what is not implemented."""

    name: str
    verdict: str
    detail: str = ""
    operations: int = 0


@dataclass
class Play:
    """How to play: ``allow_missing`` passes over what the target has not; ``full`` reads all state every time."""

    allow_missing: bool = False
    full: bool = False
    known: set[tuple[str, str]] = field(default_factory=set)
    """Functions that have answered: an empty revert of theirs is no sign that they are missing."""


class Differs(Exception):
    """The target differs from the vector."""

    def __init__(self, where: str, target: Any, vector: Any) -> None:
        super().__init__(f"{where}: target {_show(target)}, vector {_show(vector)}")


def check_setup(target: Target, name: str, setup: Mapping[str, Any], senders: set[str], play: Play) -> None:
    """Raise :class:`VectorError` where the target is not set up as the file says."""
    target.prepare(sorted(senders))
    for role in (setup["governor"], setup["governor_contract"]["guardian"], *setup["fillers"]):
        target.book.role(role)
    try:
        _compare_state(target, setup["state"], "", play)
    except Differs as difference:
        raise VectorError(
            f"setup {name!r}: the target is not set up as the file says: {difference}; "
            "play the set-up's calls on it, or use --deploy"
        ) from None
    except Missing as missing:
        raise VectorError(f"setup {name!r}: {missing}: add it, or use --allow-missing") from None


def run_vector(target: Target, vector: Mapping[str, Any], start: State, play: Play) -> Result:
    """Play one sequence from the set-up and return to it. ``start`` is the state of the set-up."""
    mark = target.snapshot()
    target.book.know(vector["orders"])
    state = {key: dict(fields) for key, fields in start.items() if not is_judgement(key)}
    done = 0
    try:
        for done, operation in enumerate(vector["operations"]):
            where = f"operation {done} ({operation['to']}.{operation['call'].partition('(')[0]} by {operation['from']})"
            _run_operation(target, operation, where, state, play)
        done += 1
        for wanted in (vector["final"]["state"], vector["final"]["judgements"]):
            _compare_state(target, wanted, "final", play)
        _compare_state(target, state, "final, what no operation touches", play)
    except Differs as difference:
        return Result(vector["name"], FAIL, str(difference), done)
    except Missing as missing:
        return Result(vector["name"], MISSING if play.allow_missing else FAIL, str(missing), done)
    finally:
        target.revert(mark)
    return Result(vector["name"], PASS, operations=done)


def _run_operation(target: Target, operation: Mapping[str, Any], where: str, state: State, play: Play) -> None:
    try:
        outcome = target.call(operation)
    except Missing as missing:
        raise Missing(f"{where}: not implemented: no contract {missing}") from None
    wanted = operation.get("revert")
    function = operation["to"], operation["call"]
    if outcome.empty and function not in play.known and wanted != "" and (outcome.reason is not None or wanted is None):
        raise Missing(f"{where}: not implemented, or reverted without a reason: {'.'.join(function)}")
    play.known.add(function)
    _compare_outcome(operation, outcome, where)
    for key, fields in operation.get("post", {}).items():
        if not is_judgement(key):
            state.setdefault(key, {}).update(fields)
    _compare_state(target, operation.get("post", {}), where, play)
    if play.full:
        _compare_state(target, state, f"{where}, state that it does not touch", play)


def _compare_outcome(operation: Mapping[str, Any], outcome: Done, where: str) -> None:
    wanted = operation.get("revert")
    if outcome.reason != wanted:
        accepted = "accepted"
        raise Differs(
            f"{where}: outcome",
            accepted if outcome.reason is None else f"revert {outcome.reason!r}",
            accepted if wanted is None else f"revert {wanted!r}",
        )
    if wanted is not None:
        return
    _compare(f"{where}: return value", outcome.value, operation["returns"])
    for i, (ours, theirs) in enumerate(zip(outcome.events, operation["events"], strict=False)):
        name = f"{where}: event {i}"
        _compare(name, f"{ours['contract']}.{ours['event']}", f"{theirs['contract']}.{theirs['event']}")
        name += f" {theirs['contract']}.{theirs['event']}"
        for key, value in theirs["fields"].items():
            _compare(f"{name} {key}", ours["fields"].get(key), value)
    counts = [[f"{e['contract']}.{e['event']}" for e in events] for events in (outcome.events, operation["events"])]
    _compare(f"{where}: events", *counts)


def _compare_state(target: Target, wanted: State, where: str, play: Play) -> None:
    """Fields that ``wanted`` has, against what the target shows; what it cannot show is missing."""
    seen, missing = target.observe(wanted)
    for key, fields in wanted.items():
        for name, value in fields.items():
            if key in seen:
                _compare(f"{where}: {key} {name}".removeprefix(": "), seen[key].get(name), value)
    if missing and not play.allow_missing:
        view = missing[0]
        raise Missing(f"{where}: not implemented: view {view.contract}.{view.signature}".removeprefix(": "))


def _compare(where: str, target: Any, vector: Any) -> None:
    if target != vector:
        raise Differs(where, target, vector)


def _show(value: Any) -> str:
    return value if isinstance(value, str) and value else repr(value)


def run_file(data: Mapping[str, Any], targets: Mapping[str, Target], play: Play) -> Iterator[Result]:
    """Every vector of a file in turn, functions last. ``targets`` by set-up; those there are none for are missing."""
    senders: dict[str, set[str]] = {}
    for vector in data["vectors"]:
        senders.setdefault(vector["setup"], set()).update(operation["from"] for operation in vector["operations"])
    checked: set[str] = set()
    for vector in data["vectors"]:
        setup = vector["setup"]
        if setup not in targets:
            yield Result(vector["name"], MISSING if play.allow_missing else FAIL, f"no addresses for set-up {setup!r}")
            continue
        target = targets[setup]
        if setup not in checked:
            check_setup(target, setup, data["setups"][setup], senders[setup], play)
            checked.add(setup)
        yield run_vector(target, vector, data["setups"][setup]["state"], play)
    if data["functions"]:
        yield from _run_functions(next(iter(targets.values())), data["functions"], play)


def _run_functions(target: Target, vectors: list[Mapping[str, Any]], play: Play) -> Iterator[Result]:
    """Function vectors, asked in blocks of the seconds that they name; the chain is as before afterwards."""
    mark = target.snapshot()
    second = ""
    try:
        for vector in vectors:
            if vector["at"] != second:
                second = vector["at"]
                target.mine(int(second))
            yield _run_function(target, vector, play)
    finally:
        target.revert(mark)


def _run_function(target: Target, vector: Mapping[str, Any], play: Play) -> Result:
    contract, _, signature = vector["function"].partition(".")
    name = f"{contract}.{signature.partition('(')[0]} #{vector['number']}"
    answer = target.ask_function(contract, signature, vector["inputs"])
    wanted = {"revert": vector["revert"]} if "revert" in vector else {"returns": vector["returns"]}
    function = contract, signature
    if answer is None or (answer == {"revert": ""} and "returns" in wanted and function not in play.known):
        return Result(name, MISSING if play.allow_missing else FAIL, f"not implemented: {vector['function']}", 1)
    play.known.add(function)
    if answer != wanted:
        return Result(name, FAIL, f"inputs {vector['inputs']}: target {answer}, vector {wanted}", 1)
    return Result(name, PASS, operations=1)
