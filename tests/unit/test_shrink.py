"""Bugs planted in the model, in a contract and in an invariant: found by a walk, shrunk, told, replayed, and gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from python_ref import bands, invariants
from python_ref.backstop_fund import BackstopFund
from python_ref.constants import ONE_A
from python_ref.ledger import account_id
from python_ref.orders import Order, Signature, sign_order
from scripts import demo
from scripts.campaign.alter import leaves_of, markets_of, renumber, retime, sign_again, simpler, unsigned
from scripts.campaign.replay import (
    Recorded,
    Replay,
    TraceError,
    decode_trace,
    dump_trace,
    encode_trace,
    fast_chain,
    load_trace,
    replay,
)
from scripts.campaign.seed import Task, run_seed
from scripts.campaign.setup import SPECS, Setup
from scripts.campaign.shrink import NothingFails, shrink
from scripts.campaign.shrink import main as shrink_command
from scripts.campaign.tell import perform, write_scenario
from scripts.chain import CHAIN_ID, START, Chain, artifact, compile_source
from scripts.chain.artifacts import paths
from scripts.scenario import load, play
from scripts.scenario.finding import Finding, finding_of
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD, actor
from scripts.twin import Step

Plant = Callable[[pytest.MonkeyPatch], None]

A, B = actor("trader 0"), actor("trader 1")
HOUSE = "ClearingHouse"
MOVES = ("fill", "price", "resolve", "rebase", "withdraw", "deposit")


def plant_in_model(patch: pytest.MonkeyPatch) -> None:
    """Bands shrink shorts down instead of up."""
    patch.setattr(bands, "mul_div_up", lambda x, y, d: x * y // d)


def plant_in_contract(patch: pytest.MonkeyPatch) -> None:
    """A withdrawal is charged down instead of up once claims were cut: Vyper source with one word changed."""
    source = paths()["AccountDesk"].read_text()
    right = "fixed_math._mul_div_up(units, c.INDEX_ONE, domain.claim_index)"
    assert source.count(right) == 1
    wrong = compile_source("AccountDesk", source.replace(right, right.replace("_up", "_down")))
    patch.setattr("scripts.chain.base.artifact", lambda name: wrong if name == "AccountDesk" else artifact(name))


def plant_in_invariant(patch: pytest.MonkeyPatch) -> None:
    """An invariant that every deleveraging breaks."""
    patch.setattr(invariants, "MIN_A", ONE_A * 9 // 10)


def plant_a_crash(patch: pytest.MonkeyPatch) -> None:
    """The model divides by zero where a band is emptied."""
    right = bands.Bands._clear_bit

    def wrong(self: bands.Bands, *where: Any) -> None:
        right(self, *where)
        _ = 1 // self.world.get(("ClearingHouse", "nothing"))

    patch.setattr(bands.Bands, "_clear_bit", wrong)


def walk(seed: int, calls: int) -> Recorded | None:
    """Six traders who open too much, jumps of the price, defaults, cuts, withdrawals; None if nothing is wrong.

    A walk of its own: what a shrinker makes of it does not change with how campaigns steer theirs.
    """
    r, people, setup = Random(seed), [actor(f"trader {i}") for i in range(6)], Setup(specs=(SPECS[0], SPECS[2]))
    trace: list[Step] = []
    with fast_chain() as chain:
        stage = Replay(setup, chain)
        house = stage.system.clearing_house.address

        def do(name: str, function: str, sender: str, *args: Any) -> None:
            trace.append(Step(chain.now + r.choice((0, 0, 1, 20)), name, function, sender, args))
            stage.go(trace[-1:])

        try:
            prices = [spec.price for spec in setup.specs]
            for person in people:
                do("Token", "mint", KEEPER, person.address, 10**11)
                do("Token", "approve", person.address, house, 2**255)
                do(HOUSE, "deposit", person.address, person.account(), r.choice((10**9, 10**10)))
            while len(trace) < calls:
                market, (one, other) = r.randrange(2), r.sample(people, 2)
                match r.choices(MOVES, (55, 12, 18, 3, 6, 6))[0]:
                    case "fill":
                        size = r.randrange(1, 40) * 1_000 * WAD * WAD // prices[market] // 10**12 * 10**12
                        do(HOUSE, "fill", FILLER, market, one.account(), other.account(), size, prices[market], 0)
                    case "price":
                        prices[market] = prices[market] * r.choice((7, 9, 10, 11, 13)) // 10 // 10**10 * 10**10
                        for feed in range(3):
                            do(f"MockFeed{market}.{feed}", "set_answer", KEEPER, prices[market] // 10**10)
                        do("PriceOracle", "poke", KEEPER, market)
                    case "resolve":
                        do(HOUSE, "resolve", KEEPER, one.account(), ())
                    case "rebase":
                        do(HOUSE, "rebase_claims", KEEPER)
                    case "withdraw":
                        do(HOUSE, "withdraw", one.address, one.account(), r.randrange(10**8), one.address)
                    case _:
                        do(HOUSE, "deposit", one.address, one.account(), r.randrange(1, 10**10))
        except Exception as error:
            last = trace[-1]
            finding = finding_of(error, f"{last.name}.{last.function}", len(trace) - 1)
            return Recorded(setup, tuple(trace), finding, {"seed": seed})
    return None


@dataclass(frozen=True)
class Found:
    """A planted bug's failure as a campaign keeps it, and what became of it."""

    recorded: Recorded
    small: Recorded
    text: str

    @property
    def finding(self) -> Finding:
        """How the small trace fails."""
        assert self.small.finding is not None
        return self.small.finding


def hunt(file: Path) -> Found:
    """Walk until something is wrong, shrink it, and write ``file``."""
    recorded = next(found for seed in range(20) if (found := walk(seed, 400)) is not None)
    setup, trace, finding = shrink(recorded.setup, recorded.steps, recorded.finding, budget_s=600)
    text = write_scenario(setup, trace, finding, file, recorded.origin)
    return Found(recorded, Recorded(setup, trace, finding, recorded.origin), text)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The bug in the model, which is out again."""
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)
        return hunt(tmp_path_factory.mktemp("found") / "found.yaml")


# From a walk to a file


@pytest.mark.parametrize(
    ("plant", "key", "most"),
    [
        (plant_in_model, "word ClearingHouse.bands[#]: a", 10),
        (plant_in_contract, "word ClearingHouse.accounts[#][#]: cash", 12),
        (plant_in_invariant, "INV-11: A of market #", 10),
        (plant_a_crash, "ZeroDivisionError in test_shrink.py wrong", 5),
    ],
    ids=["model", "contract", "invariant", "crash"],
)
def test_shrink__makes_a_scenario_that_fails_alike_and_passes_without_the_bug(
    plant: Plant,
    key: str,
    most: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "found.yaml"
    with monkeypatch.context() as patch:
        plant(patch)
        found = hunt(file)

        scenario, finding = load(file), found.finding
        assert finding.key[2].startswith(key)
        assert len(scenario.steps) <= most < len(found.recorded.steps)
        assert file.read_text() == found.text
        assert f"seed {found.recorded.origin['seed']}" in scenario.about
        assert demo.main(["--scenario", str(file)]) == 1
        report = capsys.readouterr().err
        assert report.count("\n") == 1
        assert f"{finding.kind} at {finding.operation}: " in report
        assert finding.chain in report
        assert finding.model in report
    assert replay(found.small.setup, found.small.steps, fast_chain()) is None
    assert demo.main(["--scenario", str(file)]) == 0
    assert play(scenario, fast_chain()).checks >= 1


def test_shrink__makes_a_scenario_of_what_a_campaign_keeps(tmp_path: Path) -> None:
    """From a campaign's failure to a file that fails alike, and passes without the bug."""
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)
        task = Task(400, regimes=("adl_leverage",))
        failure = next(failure for seed in range(10) if (failure := run_seed(task, seed).failure) is not None)
        recorded = failure.recorded
        assert recorded is not None
        setup, trace, finding = shrink(recorded.setup, recorded.steps, recorded.finding, budget_s=20)

        text = write_scenario(setup, trace, finding, tmp_path / "found.yaml", recorded.origin)

        seen = perform(text, fast_chain())
        assert seen is not None
        assert seen.key == finding.key
    assert len(trace) < len(recorded.steps)
    assert "regime adl_leverage" in load(tmp_path / "found.yaml").about
    assert perform(text, fast_chain()) is None


def test_found_scenario__fails_alike_on_every_chain(found: Found, any_chain: Chain) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)

        seen = perform(found.text, any_chain)

    assert seen is not None
    assert (seen.key, seen.what) == (found.finding.key, found.finding.what)
    assert (seen.chain, seen.model) != ("", "")


def test_found_scenario__passes_on_every_chain_without_the_bug(found: Found, any_chain: Chain) -> None:
    assert perform(found.text, any_chain) is None


def test_shrink__gives_the_same_again(found: Found) -> None:
    """Two searches from the same trace."""
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)

        again = shrink(found.recorded.setup, found.recorded.steps, found.recorded.finding)

    assert Recorded(*again, found.recorded.origin) == found.small


def test_shrink__keeps_the_best_when_the_time_is_over(found: Found) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)

        setup, steps, finding = shrink(found.recorded.setup, found.recorded.steps, budget_s=0)

        assert steps == found.recorded.steps[: len(steps)]
        assert replay(setup, steps, fast_chain()) == finding


def test_shrink__says_that_nothing_fails(found: Found) -> None:
    with pytest.raises(NothingFails, match="goes through on a fresh deployment"):
        shrink(found.recorded.setup, found.recorded.steps)


def test_shrink__finds_the_call_that_wrote_what_the_model_never_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that only the chain has shows itself at the end of a replay, whichever call wrote it."""

    def set_cap(self: BackstopFund, sender: str, market: int, cap: int) -> None:
        self._emit("CapSet", market=market, cap=cap)

    monkeypatch.setattr(BackstopFund, "set_cap", set_cap)
    cap = Step(START + 5, "BackstopFund", "set_cap", GOVERNOR, (1, 5 * WAD))
    rest = [Step(START + 5 + i, "Token", "mint", KEEPER, (A.address, 1 + i)) for i in range(20)]

    setup, steps, finding = shrink(Setup(), (*rest[:4], cap, *rest[4:]))

    assert steps == (replace(cap, now=START, args=(0, WAD)),)
    assert [spec.name for spec in setup.specs] == [SPECS[1].name]
    assert (finding.kind, finding.operation) == ("mismatch", "BackstopFund.set_cap")
    assert finding.what.startswith("storage slot 0x")
    assert (finding.chain, finding.model) == (str(WAD), "never written")


# A trace and its file


def test_replay__makes_the_same_calls_again(found: Found, open_chain: Callable[[str], Chain]) -> None:
    """Same reasons and same words, on a chain of its own; and a trial leaves nothing behind."""
    first, second = (Replay(found.recorded.setup, open_chain("revm")) for _ in range(2))
    fresh = dict(second.twin.world.words)

    assert first.run(found.recorded.steps) is None
    assert second.trial(found.recorded.steps) is None
    assert second.twin.world.words == fresh
    assert second.run(found.recorded.steps) is None

    assert first.reasons == second.reasons
    assert first.twin.world.words == second.twin.world.words
    assert len(first.reasons) == len(found.recorded.steps)


def signed() -> tuple[Step, Setup]:
    """Two signed orders that cross in the second market, settled by a stranger."""
    setup = Setup(specs=SPECS[:2])
    with fast_chain() as chain:
        orders = Replay(setup, chain).system.orders.address
    both: list[Any] = []
    for who, is_buy in ((A, True), (B, False)):
        order = Order(who.account(), 1, is_buy, WAD, 4_000 * WAD, False, START + 60, 0, 7)
        both += [order, Signature(*sign_order(order, who.key, CHAIN_ID, orders))]
    return Step(START, "Orders", "settle_orders", KEEPER, (*both, WAD)), setup


def test_trace__is_the_same_after_a_file(tmp_path: Path, found: Found) -> None:
    """Orders, signatures, bytes, lists, set-up and finding."""
    step, _ = signed()
    batch = Step(START, HOUSE, "liquidate_batch", A.address, ((A.account(), B.account()), 0, A.account(), 2**100))
    recorded = replace(found.small, steps=(step, batch, *found.small.steps))

    dump_trace(tmp_path / "trace.json", recorded)

    assert load_trace(tmp_path / "trace.json") == recorded
    assert [file.name for file in tmp_path.iterdir()] == ["trace.json"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "other"}, "not a trace: the field format has to be 'waterfall-trace/1'"),
        ({"setup": {"decimals": 6}}, "setup: not what this version deploys"),
        ({"steps": [[1, "Token", "mint", "0x"]]}, r"steps\[0\]: \[second, contract, function, sender, arguments\]"),
        ({"steps": [[1, "Token", "mint", "0x", [{"bytes": "0g"}]]]}, r"steps\[0\]: .*non-hexadecimal"),
        ({"finding": {"kind": "mismatch"}}, "finding: "),
    ],
)
def test_trace__says_what_is_wrong_with_a_file(found: Found, change: dict[str, Any], complaint: str) -> None:
    data = json.loads(json.dumps(encode_trace(found.small))) | change

    with pytest.raises(TraceError, match=complaint):
        decode_trace(data)


# What a shrinker tries


def test_simpler__offers_only_what_says_less() -> None:
    assert list(simpler("amount", 1_234)) == [0, 1, 1_000, 2_000, 1_200, 1_300, 1_230, 1_240]
    assert list(simpler("size", 7 * WAD)) == [WAD, 3 * WAD]
    assert list(simpler("price", 7 * WAD)) == []
    assert list(simpler("answer", -195)) == [0, -1, -100, -200, -190]
    assert list(simpler("max_size", 2**255)) == []
    assert list(simpler("amount", 0)) == list(simpler("amount", 1))[1:] == []


def test_retime__moves_what_follows() -> None:
    steps = [Step(START + t, "Token", "mint", KEEPER, (A.address, 1)) for t in (10, 70, 75)]

    assert [s.now - START for s in retime(steps, 0, 0)] == [0, 60, 65]
    assert [s.now - START for s in retime(steps, 1, 5)] == [10, 15, 20]


def test_renumber__moves_markets_feeds_and_buckets() -> None:
    fund = "0x" + "ab" * 20
    resolve = Step(START, HOUSE, "resolve", KEEPER, (account_id(fund, 3), (A.account(),)))
    answer = Step(START, "MockFeed2.1", "set_answer", KEEPER, (5,))
    order, _ = signed()
    moved = {1: 0, 2: 1}

    assert [markets_of(s, fund) for s in (resolve, answer, order)] == [{2}, {2}, {1}]
    assert renumber(resolve, moved, fund).args == (account_id(fund, 2), (A.account(),))
    assert renumber(answer, moved, fund).name == "MockFeed1.1"
    assert [v for name, v in leaves_of(renumber(order, moved, fund)) if name == "market"] == [0, 0]


def test_sign_again__keeps_good_signatures_good_and_bad_ones_bad(open_chain: Callable[[str], Chain]) -> None:
    """After a change of both orders the trade still goes through; a forged one is still refused."""
    step, setup = signed()
    stage = Replay(setup, open_chain("revm"))
    orders = stage.system.orders.address
    money = [
        made
        for who in (A, B)
        for made in (
            Step(START, "Token", "mint", KEEPER, (who.address, 10**10)),
            Step(START, "Token", "approve", who.address, (stage.system.clearing_house.address, 10**10)),
            Step(START, HOUSE, "deposit", who.address, (who.account(), 10**10)),
        )
    ]
    changed = sign_again(step, renumber(step, {1: 0}, orders), orders)
    cheap = [replace(changed.args[k], limit_price=2 * WAD) for k in (0, 2)]
    bargain = replace(changed, args=(cheap[0], changed.args[1], cheap[1], *changed.args[3:]))
    changed = sign_again(changed, bargain, orders)
    forged = replace(step, args=(step.args[0], step.args[3], step.args[2], step.args[1], WAD))
    forged = sign_again(forged, renumber(forged, {1: 0}, orders), orders)

    for trade, reason in ((changed, None), (forged, "orders: wrong signer")):
        assert stage.trial([*money, trade]) is None
        assert stage.reasons[-1] == reason


def test_unsigned__books_what_the_orders_would(open_chain: Callable[[str], Chain]) -> None:
    """The maker bought, so the seller is the taker."""
    step, _ = signed()

    assert unsigned(step) == Step(START, HOUSE, "fill", FILLER, (1, A.account(), B.account(), WAD, 4_000 * WAD, 0))
    assert unsigned(Step(START, HOUSE, "rebase_claims", KEEPER, ())) is None


# The command


def test_command__writes_the_scenario_and_tells_the_finding(found: Found, tmp_path: Path) -> None:
    trace, out = tmp_path / "trace-3.json", tmp_path / "out.yaml"
    dump_trace(trace, found.recorded)
    with pytest.MonkeyPatch.context() as patch:
        plant_in_model(patch)

        result = CliRunner().invoke(shrink_command, [str(trace), "--out", str(out)])

    assert result.exit_code == 0, result.output
    assert found.finding.report() in result.output
    assert f"make demo SCENARIO={out}" in result.output
    assert out.read_text().partition("steps:")[2] == found.text.partition("steps:")[2]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "complaint"),
    [
        (None, [], 2, "cannot read"),
        ("[]", [], 2, "not a trace: the field format has to be"),
        ("{", [], 2, "is not JSON"),
        ("{}", ["--out", "nowhere/x.yaml"], 2, "there is no such directory to write to"),
        ("found", [], 1, "goes through on a fresh deployment"),
    ],
)
def test_command__says_in_one_line_what_is_wrong(
    content: str | None, arguments: list[str], code: int, complaint: str, found: Found, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    if content == "found":
        dump_trace(trace, found.small)
    elif content is not None:
        trace.write_text(content)

    result = CliRunner().invoke(shrink_command, [str(trace), *arguments])

    assert result.exit_code == code
    assert complaint in result.output
    assert result.output.count("\n") == 1
    assert not trace.with_suffix(".yaml").exists()
