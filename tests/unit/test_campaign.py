"""Campaigns: the same by seed, resumable, honest about coverage, and not stopped by a worker that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from click.testing import Result as Ran
from distributed import Client, LocalCluster

from python_ref import constants as c
from python_ref import margin
from python_ref.ideal import IdealFollower
from python_ref.invariants import Snapshot, inv_13_states_allow, inv_16_quorum_agrees
from python_ref.world import Event, Key, World
from scripts.campaign import __main__ as command
from scripts.campaign import workers
from scripts.campaign.journal import Journal, JournalError
from scripts.campaign.operations import Operations
from scripts.campaign.reasons import reasons
from scripts.campaign.regimes import BY_NAME, ORACLES, REGIMES, varied
from scripts.campaign.replay import replay
from scripts.campaign.seed import Pulse, Result, Task, run_seed
from scripts.campaign.setup import ALT, MAJOR, OFF, Setup
from scripts.campaign.steering import Steering
from scripts.campaign.summary import Summary, coverage_errors, merge
from scripts.campaign.versions import digests
from scripts.campaign.workers import ClusterError, Lost, on_cluster
from scripts.chain import Chain, make_chain
from scripts.scenario.finding import Finding
from scripts.twin import Step

ROOT = Path(__file__).parents[2]
SHORT = Task(120, regimes=("rebase", "crumbs"))
ONLY = ("--regime", "rebase", "--regime", "crumbs")


@pytest.fixture
def campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps its directories during a test."""
    monkeypatch.setattr(command, "CAMPAIGNS", tmp_path)
    return tmp_path


def run(*options: str) -> Ran:
    """The command in this process."""
    return CliRunner().invoke(command.main, list(options))


# Walks


def test_run_seed__does_the_same_again() -> None:
    first, again, other = run_seed(SHORT, 7), run_seed(SHORT, 7), run_seed(SHORT, 9)
    assert (first.outcomes, first.marks, first.digest) == (again.outcomes, again.marks, again.digest)
    assert first.failure is None
    assert first.steps >= 120
    assert other.digest != first.digest


def test_run_seed__leaves_the_same_words_on_anvil(open_chain: Callable[[str], Chain]) -> None:
    open_chain("anvil")
    assert run_seed(replace(SHORT, backend="anvil"), 7).digest == run_seed(SHORT, 7).digest


def test_judge__notices_a_snapshot_that_missed_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a call wrote is read anew and the rest carried along; now and then all is read and has to agree."""
    right = Snapshot.after

    def lazy(self: Snapshot, world: World, written: Iterable[Key]) -> Snapshot:
        return right(self, world, [key for key in written if key[1] != "bands"])

    monkeypatch.setattr(Snapshot, "after", lazy)
    failure = run_seed(SHORT, 7).failure
    assert failure is not None
    assert failure.finding.kind == "invariant" or "carried other" in failure.finding.what


def test_run_seed__counts_what_it_did() -> None:
    result = run_seed(SHORT, 7)
    assert sum(result.outcomes.values()) == result.steps < result.calls
    refused = Counter(o.partition(": ")[2] for o in result.outcomes.elements())
    assert refused["ok"] >= result.judged > 0
    assert all(result.marks[f"reason: {reason}"] == n for reason, n in refused.items() if reason != "ok")
    assert result.words > 100 * result.calls
    assert Result.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_run_seed__names_the_step_of_a_planted_bug(campaigns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A requirement that is rounded down instead of up by a unit: found, named, kept, and made small."""
    right = margin.requirement
    monkeypatch.setattr(margin, "requirement", lambda *args: max(0, right(*args) - 10**30))
    failure = run_seed(SHORT, 7).failure
    assert failure is not None
    assert failure.finding.kind == "mismatch"
    assert failure.recorded is not None
    steps = failure.recorded.steps
    assert failure.finding.step == len(steps) - 1
    assert failure.finding.operation == f"{steps[-1].name}.{steps[-1].function}"
    found = replay(failure.recorded.setup, steps, make_chain("revm"))
    assert found is not None
    assert found.step == len(steps) - 1
    assert found.key == failure.finding.key

    def shrink(setup: Setup, trace: tuple[Step, ...], finding: Finding, budget_s: float) -> tuple[object, ...]:
        assert (setup, trace, finding) == (failure.recorded.setup, steps, failure.finding)
        return setup, trace[-1:], finding

    monkeypatch.setattr("scripts.campaign.shrink.shrink", shrink)
    monkeypatch.setattr("scripts.campaign.tell.write_scenario", lambda *args: args[3].write_text("told"))
    ran = run("--steps", "120", "--seeds", "1", "--seed", "7", *ONLY, "--jobs", "1", "--name", "bug", "--no-tour")
    assert ran.exit_code == 1
    assert f"seed 7: {len(steps)} calls made 1" in ran.output
    assert (campaigns / "bug" / "seed-7.yaml").read_text() == "told"


def test_run_seed__notices_an_exact_ledger_that_goes_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IdealFollower, "_netted", lambda self, fields: None)
    monkeypatch.setattr(IdealFollower, "_leg_closed", lambda self, fields: None)
    failure = run_seed(SHORT, 9).failure
    assert failure is not None
    assert failure.finding.kind == "drift"


ORACLE_TASK = Task(150, regimes=("quotes", "custody", "settlement"))


@pytest.fixture(scope="module")
def priced() -> Operations:
    """A walk in markets with a quote and an uptime feed, and one position."""
    regime = BY_NAME["quotes"]
    ops = Operations(make_chain("revm"), regime.setup, traders=2, seconds=0)
    for who in range(2):
        ops.deposit(who, 10_000_000)
    assert ops.trade(0, 0, 1, 1_000, 0, 0, 0)
    return ops


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_run_seed__walks_of_the_oracle_agree_and_repeat(seed: int) -> None:
    first, again = run_seed(ORACLE_TASK, seed), run_seed(ORACLE_TASK, seed)
    assert first.failure is None, first.failure
    assert first.digest == again.digest
    assert first.outcomes["PriceOracle.poke: ok"] > 20


def test_inv_16__notices_an_index_that_its_feeds_do_not_bear(priced: Operations) -> None:
    """The index is right; then one feed after the other would have said something else."""
    world, names = priced.twin.world, priced.judge._sources
    inv_16_quorum_agrees(world, 0, names)
    right = dict(world.words)
    try:
        for name in priced.sources(0)[:2]:
            world.words[name, "answer"] = world.get((name, "answer")) * 2
        inv_16_quorum_agrees(world, 0, names)
        for variable, wrong in (("answer", 1), ("decimals", 6), ("mode", 1), ("updated_at", 5)):
            name = priced.sources(0)[2]
            held, world.words[name, variable] = world.get((name, variable)), wrong
            with pytest.raises(AssertionError, match="of the 5 feeds of book 0 2 agree"):
                inv_16_quorum_agrees(world, 0, names)
            world.words[name, variable] = held
        group = 0xF << 232
        for place in range(5):
            world.words["PriceOracle", "feeds", 0, place] &= ~group
        with pytest.raises(AssertionError, match="one provider alone"):
            inv_16_quorum_agrees(world, 0, names)
    finally:
        world.words.clear()
        world.words.update(right)


def test_inv_13__notices_what_the_state_of_a_market_forbids(priced: Operations) -> None:
    before = priced.seen
    a, b = priced.accounts
    states = dict.fromkeys(range(3), c.STATE_LIVE)
    traded = Event("ClearingHouse", "Traded", {"market": 0, "buyer": a, "seller": b})
    inv_13_states_allow(before, before, [traded], states)
    for state in (c.STATE_FROZEN, c.STATE_SETTLEMENT):
        with pytest.raises(AssertionError, match=f"Traded in state {state}"):
            inv_13_states_allow(before, before, [traded], {**states, 0: state})
    empty = Snapshot(World())
    grown = priced.seen
    flat = Snapshot(World())
    flat.__dict__["all_legs"] = {}
    flat.__dict__["markets"] = grown.markets
    for state in (c.STATE_DEGRADED, c.STATE_RECOVERY):
        with pytest.raises(AssertionError, match="went to"):
            inv_13_states_allow(flat, grown, [traded], {**states, 0: state})
    with pytest.raises(AssertionError, match="in market 0"):
        inv_13_states_allow(grown, empty, [], {**states, 0: c.STATE_FROZEN})
    withdrawn = Event("ClearingHouse", "Withdrawn", {"account": a})
    inv_13_states_allow(grown, grown, [withdrawn], {**states, 0: c.STATE_DEGRADED})
    for state in (c.STATE_FROZEN, c.STATE_RECOVERY, c.STATE_SETTLEMENT):
        with pytest.raises(AssertionError, match=f"Withdrawn from .* in state {state}"):
            inv_13_states_allow(grown, grown, [withdrawn], {**states, 0: state})
    held = abs(grown.leg(a, 0).size)
    for size, fine in (((held + 1) // 2, True), (held, False)):
        liquidated = Event("ClearingHouse", "Liquidated", {"market": 0, "account": a, "size": size})
        if fine:
            inv_13_states_allow(grown, grown, [liquidated], {**states, 0: c.STATE_DEGRADED})
        else:
            with pytest.raises(AssertionError, match="liquidated"):
                inv_13_states_allow(grown, grown, [liquidated], {**states, 0: c.STATE_DEGRADED})


def test_judge__notices_a_call_that_a_feed_made_revert(priced: Operations) -> None:
    judge = priced.judge
    judge.refused("ClearingHouse", "fill", "market: frozen")
    for contract, function, reason in (("PriceOracle", "poke", ""), ("ClearingHouse", "fill", "feed: down")):
        with pytest.raises(AssertionError, match="INV-16"):
            judge.refused(contract, function, reason)


def test_varied__turns_through_feeds_and_rules_but_not_where_a_regime_is_about_them() -> None:
    plain, own = BY_NAME["trading"], BY_NAME["quotes"]
    seen = {(v.specs[0].n_feeds, v.specs[0].rules) for v in (varied(plain, turn) for turn in range(len(ORACLES)))}
    assert {n for n, _ in seen} == {3, 5, 7}
    assert {rules.jump for _, rules in seen} == {OFF.jump, MAJOR.jump, ALT.jump}
    assert varied(plain, 0).specs == plain.setup.specs
    assert all(varied(own, turn).specs == own.setup.specs for turn in range(len(ORACLES)))


def test_setup__survives_json_with_quotes_rules_and_an_uptime_feed() -> None:
    for regime in REGIMES:
        assert Setup.from_dict(json.loads(json.dumps(regime.setup.as_dict()))) == regime.setup


def test_regimes__name_moves_and_marks_that_exist() -> None:
    known = {f"reason: {reason}" for reason in reasons()}
    for regime in REGIMES:
        missing = [move for move in regime.mix if not callable(getattr(Steering, move, None))]
        assert not missing, (regime.name, missing)
        unknown = [need for need in regime.needs if need.startswith("reason: ") and need not in known]
        assert not unknown, (regime.name, unknown)


# Journals


HEAD = {"steps": 120, "digests": digests("contracts", "python_ref")}


def test_journal__keeps_what_was_added_and_cuts_off_a_torn_line(tmp_path: Path) -> None:
    result = Result(3, steps=120, outcomes=Counter({"Orders.take: ok": 2}))
    with Journal(tmp_path, HEAD) as journal:
        journal.add(result)
    with journal.path.open("ab") as file:
        file.write(b'{"result": {"seed": 4')
    with Journal(tmp_path, HEAD) as journal:
        assert list(journal.results()) == [result]
        journal.add(Result(4))
    with Journal(tmp_path, HEAD) as journal:
        assert [r.seed for r in journal.results()] == [3, 4]


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 121), ("digests", {"contracts": "another", "python_ref": "tree"})]
)
def test_journal__refuses_another_campaign(tmp_path: Path, field: str, value: object) -> None:
    Journal(tmp_path, HEAD).__exit__()
    with pytest.raises(JournalError, match=f"{field} was .* now .*--fresh"):
        Journal(tmp_path, {**HEAD, field: value})
    Journal(tmp_path, {**HEAD, field: value}, fresh=True).__exit__()


def test_journal__is_opened_by_one_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path, HEAD), pytest.raises(JournalError, match="another campaign is running"):
        Journal(tmp_path, HEAD)


def test_command__refuses_a_directory_of_another_campaign(campaigns: Path) -> None:
    options = ("--seeds", "1", "--jobs", "1", "--regime", "trading", "--name", "one", "--no-tour")
    assert run("--steps", "30", *options).exit_code == 0
    ran = run("--steps", "40", *options)
    assert ran.exit_code == 2
    assert "steps was 30, now 40" in ran.output


def test_command__goes_on_after_a_kill(campaigns: Path, tmp_path: Path) -> None:
    options = ["--steps", "1200", "--seeds", "4", "--seed", "1", "--jobs", "1", "--name", "killed", "--no-tour"]
    code = (
        "from pathlib import Path; import scripts.campaign.__main__ as m; "
        f"m.CAMPAIGNS = Path({str(campaigns)!r}); m.main()"
    )
    journal = campaigns / "killed" / "journal.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = [json.loads(line)["result"]["seed"] for line in journal.read_text().splitlines()[1:]]
    assert 1 <= len(done) < 4, "it was killed too late for this test"

    file = tmp_path / "summary.json"
    ran = run(*options, "--json", str(file))
    assert ran.exit_code == 0, ran.output
    assert f"{len(done)} seeds are done, {4 - len(done)} to go" in ran.output
    summary = json.loads(file.read_text())
    task = Task(300)
    assert summary["seed_digests"] == {str(seed): run_seed(task, seed).digest for seed in range(1, 5)}
    assert (summary["seeds"], summary["mismatches"], summary["lost"]) == (4, [], [])


# Coverage


def test_coverage_errors__tell_what_is_missing_and_what_is_excused_in_vain(tmp_path: Path) -> None:
    result = Result(1, outcomes=Counter({"ClearingHouse.fill: fill: lot": 3}), reached=["trading"])
    summary = merge([result])
    excused = {reason: "argued" for reason in reasons() if reason not in ("fill: lot", "fill: size")}
    regimes = {name: "argued" for name in BY_NAME if name not in ("trading", "grind")}
    file = tmp_path / "unreached.yaml"

    def errors(reasons_of: dict[str, str], regimes_of: dict[str, str]) -> list[str]:
        file.write_text(json.dumps({"reasons": reasons_of, "regimes": regimes_of}))
        return coverage_errors(summary, file)

    first = errors(excused, regimes)
    assert len(first) == 2
    assert "'fill: size' was not reached" in first[0]
    assert "'grind' was not reached" in first[1]
    excused["fill: size"], regimes["grind"] = "argued", "argued"
    assert errors(excused, regimes) == []
    assert "but was reached 3 times" in errors({**excused, "fill: lot": "argued"}, regimes)[0]
    assert "but there is none" in errors({**excused, "no such reason": "argued"}, regimes)[0]
    assert "without an argument" in errors({**excused, "fill: size": " "}, regimes)[0]


def test_summary__of_the_long_run_is_of_a_million_steps_without_a_difference() -> None:
    """It stands for the sources whose digests it carries; ``make fuzz`` with its parameters repeats it."""
    data = json.loads((ROOT / "tests" / "campaigns" / "summary.json").read_text())
    assert data["steps"] >= 1_000_000
    assert data["seeds"] >= 200
    assert len(set(data["seed_digests"].values())) == data["seeds"]
    assert (data["mismatches"], data["lost"]) == ([], [])
    assert all(data["regimes"].values())
    excused = yaml.safe_load((ROOT / "tests" / "campaigns" / "unreached.yaml").read_text())
    assert {reason for reason, count in data["reasons"].items() if not count} == set(excused["reasons"])
    assert sum(data["outcomes"].values()) == sum(operation["all"] for operation in data["operations"].values())
    assert data["steps"] * 100 < data["words_compared"]


def test_summary__counts_a_seed_once() -> None:
    summary = Summary()
    summary.add(Result(1))
    with pytest.raises(ValueError, match="seed 1 is done twice"):
        summary.add(Result(1))


# Clusters


SEEDS = (1, 2, 3, 4, 5)
STEADY = replace(SHORT, steps=700)


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes that somebody else has started."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


def test_on_cluster__a_killed_worker_costs_nothing_but_time(cluster: LocalCluster) -> None:
    address = cluster.scheduler_address
    with Client(address) as client:
        pids = list(client.run(os.getpid).values())
    killed: list[int] = []

    def watch(pulse: Pulse) -> None:
        if not killed and pulse.steps > 0:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    summary = Summary()
    for result in on_cluster(STEADY, SEEDS, watch, address):
        assert isinstance(result, Result), result
        summary.add(result)
    assert killed
    assert summary.done == {seed: run_seed(STEADY, seed).digest for seed in SEEDS}


def deadly(seed: int, task: Task) -> Result:
    """A seed that kills whoever walks it, and others that do not."""
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_seed(task, seed)


def test_on_cluster__gives_up_a_seed_that_kills_every_worker() -> None:
    found = list(on_cluster(SHORT, (1, 2, 3), lambda pulse: None, jobs=2, walk=deadly))
    assert sorted(result.seed for result in found) == [1, 2, 3]
    lost = [result for result in found if isinstance(result, Lost)]
    assert [one.seed for one in lost] == [2]
    assert "killed every worker" in lost[0].reason


def test_on_cluster__refuses_workers_with_other_sources(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "digests", lambda: {**digests(), "contracts": "0123456789abcdef"})
    with pytest.raises(ClusterError, match=r"contracts/ is .* there and 0123456789abcdef here; update it"):
        list(on_cluster(SHORT, SEEDS, lambda pulse: None, cluster.scheduler_address))


def test_command__refuses_a_cluster_that_is_not_there(campaigns: Path) -> None:
    ran = run("--steps", "30", "--seeds", "1", "--cluster", "tcp://127.0.0.1:9")
    assert ran.exit_code == 2
    assert "nobody answers" in ran.output
