"""Every scenario file on every kind of chain, and the command that plays them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import demo
from scripts.chain import Chain
from scripts.scenario import POLICIES, Result, ScenarioFailed, load, parse, play
from scripts.scenario.report import to_json
from scripts.scenario.runner import Player

FILES = sorted((Path(__file__).parent.parent / "scenarios").glob("*.yaml"))
DEMO = demo.DEFAULT

SMALL = """
name: small
markets: {CVX: {price: 100, policy: band_leverage}}
actors: {alice: 1_000, bob: 1_000, "[zoe]": {deposit: 5, bystander: true}}
steps:
  - stage: open
  - trade: {market: CVX, buyer: alice, seller: bob, size: 10, price: 100}
  - expect: {accounts: {alice: {size: {CVX: EXPECTED}}}}
"""


def assert_conserved(result: Result) -> None:
    """Every unit is somewhere: final equity, pots and bad debt make up the deposits; causes add up per account."""
    deposits = sum(p.changes["deposits"] for p in result.paid)
    held = sum(p.equity for p in result.paid) + result.in_transit - result.bad_debt
    assert 0 <= deposits - held <= 10_000
    for p in result.paid:
        assert sum(p.changes.values()) == p.equity
    for r in result.receipts:
        assert abs(r.cover + r.seized + r.booked - r.deficit) <= r.legs + 4


@pytest.mark.parametrize("kind", ["revm", "anvil"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario__goes_as_told(file: Path, kind: str, open_chain: Callable[[str], Chain]) -> None:
    """Contracts, model, exact ledger and invariants agree after each step, and all expectations are met."""
    scenario = load(file)

    result = play(scenario, open_chain(kind))

    assert result.checks >= 1
    assert 0 <= result.surplus <= 10_000
    assert all(result.bystanders.values())
    assert_conserved(result)


@pytest.mark.parametrize("policy", POLICIES)
def test_demo__shows_all_stages_under_every_policy(policy: str, chain: Chain) -> None:
    """Fund exhaustion, deleveraging, the gap cap, bad debt and the rebase all happen, whoever pays."""
    scenario = load(DEMO).with_policy(policy)
    assert len(scenario.holders) + len(scenario.fund.providers) >= 24

    result = play(scenario, chain)

    rows = [row.what for stage in result.stages for row in stage.rows]
    for what in ("buys", "liquidated", "taken over", "covered", "closed", "bad debt", "released"):
        assert what in rows
    assert any(what.startswith("ADL") for what in rows)
    assert any(what.startswith("claims cut") for what in rows)
    assert any(r.cover == r.deficit for r in result.receipts), "the fund never pays whole"
    assert any(r.cover == 0 and r.seized > 0 for r in result.receipts), "the fund is never empty"
    assert any(r.seized > 0 and r.booked > 0 for r in result.receipts), "the gap cap never binds"
    assert result.bystanders == {"zoe": True}
    assert_conserved(result)


def test_demo__who_is_deleveraged_depends_on_the_policy(open_chain: Callable[[str], Chain]) -> None:
    """Pro rata charges all shorts; the queues charge different ones, and the total is the same."""
    payers, totals = {}, {}
    for policy in POLICIES:
        result = play(load(DEMO).with_policy(policy), open_chain("revm"))
        payers[policy] = {p.name for p in result.paid if p.changes["ADL"] < -(10**15)}
        totals[policy] = sum(r.seized for r in result.receipts)

    shorts = {row.who.split(" from ")[1] for row in result.stages[1].rows if row.what == "buys"} - {"nils cross"}
    assert payers["pro_rata"] == shorts | {"yuri late"}
    assert payers["band_profit"] < shorts | {"yuri late"}
    assert payers["band_leverage"] < shorts | {"yuri late"}
    assert payers["band_profit"] != payers["band_leverage"]
    assert max(totals.values()) - min(totals.values()) < 10**6


def test_fat_finger__tells_every_state(chain: Chain) -> None:
    """The whole way of the breaker is told in order, each with its cause, and the report ends with the state."""
    result = play(load(FILES[0].with_name("fat_finger.yaml")), chain)

    rows = [(row.what, row.who) for stage in result.stages for row in stage.rows if "→" in row.what]
    assert rows == [
        ("LIVE → FROZEN", "BTC: the price jumped"),
        ("FROZEN → RECOVERY", "BTC: the feeds are back where they were"),
        ("RECOVERY → DEGRADED", "BTC: the time to add margin is over"),
        ("DEGRADED → LIVE", "BTC: nothing was wrong for long enough"),
    ]
    told = [row.what for stage in result.stages for row in stage.rows if row.what.startswith("price")]
    assert {"price", "price, FROZEN", "price, RECOVERY", "price, DEGRADED"} == set(told)
    assert to_json(result)["markets"] == {"BTC": {"state": "LIVE", "index": "43500", "mark": "43500"}}


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("- expect: {markets: {CVX: {state: FROZEN}}}", "markets.CVX.state: is LIVE, expected FROZEN"),
        ("- expect: {markets: {CVX: {high: 100}}}", "markets.CVX.high: is 100.1, expected 100"),
        ("- settle_market: {market: CVX}", "settle_market: refused: 'oracle: not settleable'"),
        ("- claim: {account: bob, market: CVX}", "claim: refused: 'claim: not settled'"),
        ("- tighten_rules: {market: CVX, rules: {tau_ref: 1 h}}", "tighten_rules: refused: 'oracle: loosens'"),
        ("- replace_feed: {market: CVX, feed: 0}", "replace_feed: refused: 'oracle: not replaceable'"),
        ("- expect: {accounts: {alice: {size: {CVX: 9}}}}", "expect.accounts.alice.size.CVX: is 10, expected 9"),
        ("- expect: {accounts: {bob: {equity: {above: 1_000}}}}", "bob.equity: is 1000, expected above 1000"),
        ("- expect: {bad_debt: {is: 1, within: 0.5}}", "bad_debt: is 0, expected 1 ± 0.5"),
        ("- expect: {receipt: {booked: 0}}", "no account has been resolved yet"),
        ("- rebase:", "rebase: refused: 'rebase: no bad debt'"),
        ("- {settle: {account: bob, market: CVX}, revert: 'x'}", "went through, but 'x' was expected"),
        ("- {rebase: {}, revert: 'x'}", "refused with 'rebase: no bad debt', not 'x'"),
    ],
)
def test_play__says_which_step_went_otherwise(step: str, complaint: str, chain: Chain) -> None:
    """An expectation that is not met names the step, the value and what was expected."""
    scenario = parse(SMALL.replace("EXPECTED", "10") + f"  {step}\n")

    with pytest.raises(ScenarioFailed) as failure:
        play(scenario, chain)

    assert str(failure.value).startswith("steps[3].")
    assert complaint in str(failure.value)


def test_play__stops_when_the_exact_ledger_disagrees(chain: Chain) -> None:
    """A unit too many in the exact ledger is found by the next call."""
    scenario = parse(SMALL.replace("EXPECTED", "10"))
    player = Player(scenario, chain)
    player.watch.follower.ledger.account(player.ids["bob"]).cash += 1

    with pytest.raises(AssertionError, match="ideal: "):
        player.play(scenario.steps[1])


def test_play__reports_a_bystander_that_changed(chain: Chain) -> None:
    """The check of the bystander can fail."""
    scenario = parse(SMALL.replace("EXPECTED", "10") + '  - deposit: {account: "[zoe]", amount: 1}\n')

    assert play(scenario, chain).bystanders == {"[zoe]": False}


def test_command__plays_a_file_of_ones_own_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command, a scenario from anywhere, tables on the console and the same as JSON."""
    file, out = tmp_path / "mine.yaml", tmp_path / "out.json"
    file.write_text(SMALL.replace("EXPECTED", "10"))

    code = demo.main(["--scenario", str(file), "--json", str(out), "--policy", "pro_rata"])

    told = capsys.readouterr().out
    assert code == 0
    assert "chain: revm" in told
    assert "alice from bob" in told
    assert "bystander unchanged: [zoe]" in told
    assert "assets - claims: 0 wei" in told
    assert "mismatches: 0" in told
    content = json.loads(out.read_text())
    assert content["policies"] == {"CVX": "pro_rata"}
    assert content["backend"] == "revm"
    assert content["mismatches"] == 0
    assert f"steps compared: {content['steps_compared']}" in told
    row = content["stages"][1]["rows"][0]
    assert (row["who"], row["size"], row["price"]) == ("alice from bob", "10", "100")
    assert [p["final"] for p in content["who_paid"][:3]] == ["999.5", "1000", "5"]
    assert list(tmp_path.iterdir()) in ([file, out], [out, file])


def test_command__leaves_an_old_json_alone_when_the_story_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is half-written: the file is replaced at the end or not at all."""
    file, out = tmp_path / "mine.yaml", tmp_path / "out.json"
    file.write_text(SMALL.replace("EXPECTED", "9"))
    out.write_text("old")

    code = demo.main(["--scenario", str(file), "--json", str(out)])

    assert code == 1
    assert "expected 9" in capsys.readouterr().err
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--scenario", "nowhere.yaml"], 2, "nowhere.yaml: cannot read nowhere.yaml: No such file or directory"),
        (["--json", "nowhere/out.json"], 2, "nowhere/out.json: there is no such directory to write to"),
    ],
)
def test_command__says_in_one_line_what_is_missing(
    arguments: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file or a directory that is not there."""
    assert demo.main(arguments) == code
    assert capsys.readouterr().err.strip() == complaint


def test_command__says_in_one_line_that_anvil_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A backend that this machine does not have."""
    monkeypatch.delenv("ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("scripts.chain.anvil.ROOT", tmp_path)  # what npm may have installed lies there

    code = demo.main(["--backend", "anvil"])

    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("anvil: ")


@pytest.mark.parametrize("option", ["--policy", "--backend"])
def test_command__refuses_an_unknown_choice(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The complaint lists what there is."""
    with pytest.raises(SystemExit) as stop:
        demo.main([option, "nothing"])

    assert stop.value.code == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
