"""Conformance vectors: the model writes the same every time, and the runner tells right from wrong.

The small file ``tests/vectors/small.json`` is one that an earlier state of the model wrote: if it no longer holds,
the mechanism has changed. ``python -m tests.unit.test_vectors`` writes it anew.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.campaign.setup import SPECS, Setup
from scripts.chain.anvil import AnvilChain
from scripts.chain.artifacts import CONTRACTS, Artifact, artifact, compile_source
from scripts.vectors import VectorError, setups
from scripts.vectors.__main__ import main
from scripts.vectors.deploy import deploy
from scripts.vectors.domain import digest
from scripts.vectors.file import assemble, dump, read
from scripts.vectors.functions import FUNCTIONS, write_functions
from scripts.vectors.observe import KINDS, is_judgement
from scripts.vectors.play import Stage
from scripts.vectors.refusals import refusals
from scripts.vectors.rpc import Rpc
from scripts.vectors.runner import FAIL, MISSING, PASS, Play, run_file
from scripts.vectors.select import features, shorten
from scripts.vectors.sources import SCENARIOS, Story, scenario_stories
from scripts.vectors.target import Abi, Target

SMALL = Path(__file__).parent.parent / "vectors" / "small.json"


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    """The committed file."""
    return read(SMALL)


def write_small() -> dict[str, Any]:
    """A few scenarios, orders and the timelock, and some functions: the committed file."""
    stages: dict[str, Stage] = {}
    vectors = []

    def add(story: Story, setup: dict[str, Any]) -> None:
        if story.setup not in stages:
            stages[story.setup] = Stage(setup)
        vectors.append(stages[story.setup].record(story.name, story.setup, story.operations, story.orders))

    for story, setup in scenario_stories([SCENARIOS / f"{name}.yaml" for name in ("both_bankrupt", "takeover")]):
        add(story, setup)
    plain = setups.describe(Setup(specs=SPECS[:2]))
    for trader in ("trader 0", "trader 1"):
        call = {"at": plain["time"], "to": "Token"}
        plain["calls"] += [
            {**call, "from": "keeper", "call": "mint(address,uint256)", "args": [trader, str(10**15)]},
            {**call, "from": trader, "call": "approve(address,uint256)", "args": ["ClearingHouse", str(10**15)]},
        ]
    for story in refusals("plain", plain):
        if story.name in ("orders", "governor timelock"):
            add(story, plain)
    return assemble({"seed": "7"}, stages, vectors, write_functions(7, 3))


@pytest.fixture
def node(open_chain: Callable[[str], Any]) -> AnvilChain:
    """A node of its own; only its URL is used."""
    chain = open_chain("anvil")
    chain.rpc("evm_setAutomine", True)
    return chain


def targets(data: dict[str, Any], url: str, compile_: Callable[[str], Artifact] = artifact) -> dict[str, Target]:
    """Our contracts, or what ``compile_`` makes of them, behind a node."""
    rpc, described = Rpc(url), Abi(data["abi"])
    return {
        name: Target(rpc, deploy(rpc, setup, described, compile_), described) for name, setup in data["setups"].items()
    }


# ---- what the model writes -----------------------------------------------------------------------


def test_small_file__is_what_the_model_writes_today(small: dict[str, Any]) -> None:
    again = write_small()
    assert again["setups"] == small["setups"]
    assert again["vectors"] == small["vectors"]
    assert again["functions"] == small["functions"]


def test_record__digest_is_that_of_the_state_that_posts_add_up_to(small: dict[str, Any]) -> None:
    """What FORMAT.md tells a runner to keep, and nothing else, gives every digest and the final state."""
    for vector in small["vectors"]:
        start = small["setups"][vector["setup"]]["state"]
        state = {key: dict(fields) for key, fields in start.items() if not is_judgement(key)}
        for operation in vector["operations"]:
            for key, fields in operation.get("pre", {}).items():
                assert key not in state or {f: state[key][f] for f in fields} == fields
            for key, fields in operation.get("post", {}).items():
                if not is_judgement(key):
                    state.setdefault(key, {}).update(fields)
            assert digest(state) == operation["digest"]
        assert {key: state[key] for key in vector["final"]["state"]} == vector["final"]["state"]


def test_write_functions__same_seed_same_vectors_and_all_functions() -> None:
    written = write_functions(5, 6)
    assert written == write_functions(5, 6) != write_functions(6, 6)
    named = {vector["function"].partition("(")[0] for vector in written}
    assert named == {f"{function.contract}.{function.name}" for function in FUNCTIONS}
    assert sum("revert" in vector for vector in written) > 5


def test_shorten__keeps_the_feature_and_only_what_it_needs() -> None:
    (story, setup), *_ = scenario_stories([SCENARIOS / "takeover.yaml"])
    stage = Stage(setup)
    wanted = "ClearingHouse.take_over: ok"
    told = stage.run(story.operations, story.orders)
    at = next(i for i, (o, t) in enumerate(zip(story.operations, told, strict=True)) if wanted in features(o, t))
    short = shorten(stage, story.operations[: at + 1], story.orders, wanted)
    assert wanted in features(short[-1], stage.run(short, story.orders)[-1])
    assert len(short) < at + 1
    for i in range(len(short) - 1):
        without = short[:i] + short[i + 1 :]
        assert wanted not in features(without[-1], stage.run(without, story.orders)[-1])


def test_format__names_every_kind_and_function_of_the_file() -> None:
    text = (Path(setups.__file__).parent / "FORMAT.md").read_text()
    table = text[text.index("## 7") : text.index("## 8")]
    assert [kind for kind in KINDS if f"`{kind}" not in table] == []
    missing = [
        f.name for f in FUNCTIONS if f.name not in text and not f.name.startswith(("pack_", "unpack_", "mul_div"))
    ]
    assert missing == []


# ---- files that cannot be used -------------------------------------------------------------------

SPOILT: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
    ("version: is 'waterfall-vectors/3'", lambda d: d.update(version="waterfall-vectors/3")),
    ("model: is missing", lambda d: d.pop("model")),
    ("surplus: is no field of this format", lambda d: d.update(surplus=1)),
    ("vectors[0].setup: is missing", lambda d: d["vectors"][0].pop("setup")),
    ("vectors[0].operations[0].digest: is missing", lambda d: d["vectors"][0]["operations"][0].pop("digest")),
    ("operations[0].at: is 5, wanted string", lambda d: d["vectors"][0]["operations"][0].update(at=5)),
    ('operations[0].at: "05" is no natural number', lambda d: d["vectors"][0]["operations"][0].update(at="05")),
    ("functions[0].inputs: is missing", lambda d: d["functions"][0].pop("inputs")),
)


@pytest.mark.parametrize(("said", "spoil"), SPOILT, ids=[said.partition(":")[0] for said, _ in SPOILT])
def test_run__bad_file_is_one_line_and_exit_code_2(
    small: dict[str, Any], tmp_path: Path, said: str, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    data = copy.deepcopy(small)
    spoil(data)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(data))
    result = CliRunner().invoke(main, ["run", str(path), "--rpc", "http://127.0.0.1:1", "--deploy"])
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("said", "options", "book"),
    [
        ("no node answers at http://127.0.0.1:1", ["--deploy"], None),
        ("give a file of addresses, or --deploy", [], None),
        ("no vector is called 'nothing'", ["--deploy", "--only", "nothing"], None),
        ("is not JSON", ["--addresses"], "{"),
        ("Token: '0x12' is no address", ["--addresses"], '{"Token": "0x12"}'),
        ("setups: has none of", ["--addresses"], '{"version": "waterfall-addresses/1", "setups": {}}'),
    ],
)
def test_run__bad_options_are_one_line_and_exit_code_2(
    tmp_path: Path, said: str, options: list[str], book: str | None, open_chain: Callable[[str], Any]
) -> None:
    url = "http://127.0.0.1:1"
    if book is not None:
        (tmp_path / "book.json").write_text(book)
        options = [*options, str(tmp_path / "book.json")]
        url = open_chain("anvil").url
    result = CliRunner().invoke(main, ["run", str(SMALL), "--rpc", url, *options])
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


def test_read__not_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1,")
    with pytest.raises(VectorError, match="is not JSON"):
        read(path)
    with pytest.raises(VectorError, match="no such file"):
        read(tmp_path / "none.json")


# ---- the runner ----------------------------------------------------------------------------------


def test_run__our_contracts_hold_and_a_saved_book_serves_again(
    small: dict[str, Any], node: AnvilChain, tmp_path: Path
) -> None:
    book = tmp_path / "book.json"
    first = CliRunner().invoke(main, ["run", str(SMALL), "--rpc", node.url, "--deploy", "--full", "--save", str(book)])
    assert first.exit_code == 0, first.output
    assert f"{len(small['vectors']) + len(small['functions'])} pass, 0 fail" in first.output
    again = CliRunner().invoke(main, ["run", str(SMALL), "--rpc", node.url, "--addresses", str(book)])
    assert again.exit_code == 0, again.output


def wrong(name: str, old: str, new: str) -> Callable[[str], Artifact]:
    """Our contracts, one of them with one line changed."""

    def compile_(contract: str) -> Artifact:
        if contract != name:
            return artifact(contract)
        source = (CONTRACTS / f"{name}.vy").read_text()
        assert source.count(old) == 1
        return compile_source(name, source.replace(old, new))

    return compile_


def only(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The file with one vector."""
    vectors = [vector for vector in data["vectors"] if vector["name"] == name]
    used = {vector["setup"]: data["setups"][vector["setup"]] for vector in vectors}
    return {**data, "vectors": vectors, "setups": used, "functions": []}


WRONG = (
    (
        "ClearingHouse",
        "_mul_div_up(quote, words._taker_fee(venue.risk_word), c.PPM)",
        "_mul_div_up(quote + 10**9, words._taker_fee(venue.risk_word), c.PPM)",
        "orders",
        "ClearingHouse.PositionChanged cash: target 1001998999999999500000, vector 1001999000000000000000",
    ),
    ("Orders", '"orders: expired"', '"orders: too late"', "orders", "outcome: target revert 'orders: too late'"),
    ("Orders", "DEAD: constant(uint256) = 2**192 - 1", "DEAD: constant(uint256) = 2**192 - 2", "orders", "lane:trader"),
)


@pytest.mark.parametrize(("name", "old", "new", "vector", "said"), WRONG, ids=["fee", "reason", "lane"])
def test_run__one_wrong_line_is_found_and_the_field_named(
    small: dict[str, Any], node: AnvilChain, name: str, old: str, new: str, vector: str, said: str
) -> None:
    data = only(small, vector)
    (result,) = run_file(data, targets(data, node.url, wrong(name, old, new)), Play())
    assert result.verdict == FAIL
    assert said in result.detail, result.detail


def test_run__what_is_missing_stops_unless_it_may_be(small: dict[str, Any], node: AnvilChain) -> None:
    """A target without Orders: its vectors are not implemented, the others hold."""
    data = {**small, "vectors": [v for v in small["vectors"] if v["setup"] == "plain"], "functions": []}
    data["setups"] = {"plain": small["setups"]["plain"]}
    rpc, described = Rpc(node.url), Abi(data["abi"])
    book = deploy(rpc, data["setups"]["plain"], described)
    target = Target(rpc, {name: at for name, at in book.items() if name != "Orders"}, described)
    verdicts = {r.name: r.verdict for r in run_file(data, {"plain": target}, Play(allow_missing=True))}
    assert verdicts == {"governor timelock": PASS, "orders": MISSING}
    with pytest.raises(VectorError, match="not implemented"):
        list(run_file(data, {"plain": target}, Play()))


def test_run__a_set_up_that_differs_is_told_before_anything_is_played(small: dict[str, Any], node: AnvilChain) -> None:
    data = only(small, "scenario takeover")
    prepared = targets(data, node.url)
    (setup,) = data["setups"].values()
    setup = copy.deepcopy(setup)
    setup["state"]["terms:0"]["penalty"] = "1"
    data = {**data, "setups": dict.fromkeys(data["setups"], setup)}
    with pytest.raises(VectorError, match="terms:0 penalty: target 10000, vector 1"):
        list(run_file(data, prepared, Play()))


if __name__ == "__main__":
    SMALL.parent.mkdir(exist_ok=True)
    SMALL.write_text(dump(write_small()))
