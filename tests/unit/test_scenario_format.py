"""The scenario file's format: exact numbers, and complaints that name the field and the fix."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import constants as c
from python_ref.constants import WAD
from scripts.rules import PROFILES
from scripts.scenario import ScenarioError, load, parse
from scripts.scenario.nodes import Node, parse_yaml
from scripts.scenario.report import show, write_json
from scripts.scenario.result import show_exactly

GOOD = """
name: good
token: {decimals: 6}
markets:
  CVX:
    price: 2.30
    policy: band_profit
    risk: {initial: 2 %, maintenance: 10000 ppm}
    limits: {min_size: 0.5, lot: 0.001, bands_per_octave: 16}
    oracle: {max_age: 30 min, width: 0.1 %}
  BTC:
    price: 43_500
    oracle: {feeds: 5, heartbeat: 1 min, quote: USDC, rules: {profile: major, jump: 20 %, hold: 5 min}}
quotes: {USDC: {price: 1, oracle: {feeds: 7, rules: alt, outlier: 1 %}}}
fund:
  providers: {lena: 10_000.5}
  buckets: {CVX: {top_up: 500}}
actors:
  alice: 1_000
  bob: {deposit: "2e3", owner: bob, subaccount: 7}
  zoe: {deposit: 1, bystander: true}
steps:
  - stage: one
  - trade: {market: CVX, buyer: alice, seller: bob, size: 10, price: 2.3}
  - advance: 1.5 h
  - price: {CVX: [2.1, silent, 2.2]}
  - expect: {accounts: {alice: {size: {CVX: 10}, equity: {is: 998, within: 0.1}}}}
"""

CVX_FILE = Path(__file__).parent.parent / "scenarios" / "cvx_2025_10_10.yaml"


def test_parse__reads_what_the_file_says() -> None:
    """Every number arrives exactly, in the contracts' units; what is left out has its default."""
    scenario = parse(GOOD)

    spec, quoted = scenario.markets
    assert spec.price == 23 * WAD // 10
    assert (spec.limits.rank, spec.policy) == (c.RANK_PROFIT, "BandQueue")
    assert (spec.risk.initial, spec.risk.maintenance, spec.risk.penalty) == (20_000, 10_000, 5_000)
    assert (spec.limits.min_size, spec.limits.lot_exp, spec.limits.octave_bits) == (WAD // 2, 15, 4)
    assert (spec.max_age_s, spec.width_bps, spec.outlier_bps) == (1_800, 10, 500)
    assert (spec.n_feeds, spec.heartbeat_s, spec.rules) == (3, None, PROFILES["off"])
    assert (quoted.n_feeds, quoted.heartbeat_s, quoted.outlier_bps) == (5, 60, 200)
    assert quoted.rules == replace(PROFILES["major"], jump=2_000, hold=300, quote=16)
    (quote,) = scenario.quotes
    assert (quote.name, quote.price, quote.n_feeds, quote.rules) == ("USDC", WAD, 7, PROFILES["alt"])
    assert quote.outlier_bps == 100
    assert not scenario.sequencer
    assert scenario.fund.providers == {"lena": 100_005 * WAD // 10}
    assert (scenario.fund.top_ups, scenario.fund.caps) == ({0: 500 * WAD}, {0: 500 * WAD})
    assert scenario.holders["bob"].deposit == 2_000 * WAD
    assert scenario.holders["bob"].subaccount == 7
    assert scenario.holders["zoe"].bystander
    trade, advance, price = scenario.steps[1:4]
    assert trade.args == {"market": 0, "buyer": "alice", "seller": "bob", "size": 10 * WAD, "price": 23 * WAD // 10}
    assert advance.args == {"seconds": 5_400}
    assert price.args == {"prices": {0: (21 * WAD // 10, None, 22 * WAD // 10)}}
    size, equity = scenario.steps[4].args["checks"]
    assert (size.exact, size.within, size.path) == (10 * WAD, 0, "steps[4].expect.accounts.alice.size.CVX")
    assert (equity.exact, equity.within) == (998 * WAD, WAD // 10)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        # wrong type
        (
            "actors:\n  alice: 1_000",
            "actors:\n  alice: [1]",
            "actors.alice: a mapping is wanted (key: value), not a list",
        ),
        ("  - stage: one", "  - stage: [one]", "steps[0].stage: a text is wanted, not a list"),
        (
            "markets:\n  CVX:\n",
            "markets:\n  CVX: 3\n  ETH:\n",
            "markets.CVX: a mapping is wanted (key: value), not '3'",
        ),
        (
            "fund:\n",
            "fund: 5\nrest:\n",
            "rest: unknown key; there are name, markets, actors, steps, about, token, fund",
        ),
        ("bystander: true", "bystander: 1", "actors.zoe.bystander: unknown answer '1'; there are true, false"),
        (
            "{CVX: [2.1, silent, 2.2]}",
            "{CVX: [2.1, 2.2]}",
            "steps[3].price.CVX: one price for all feeds or a list of 3 is wanted",
        ),
        # unknown keys and names
        ("decimals: 6", "decimal: 6", "token.decimal: unknown key; did you mean 'decimals'?"),
        ("initial: 2 %", "initail: 2 %", "markets.CVX.risk.initail: unknown key; did you mean 'initial'?"),
        ("seller: bob", "saler: bob", "steps[1].trade.saler: unknown key; did you mean 'seller'?"),
        ("- trade:", "- trads:", "steps[1].trads: unknown key; did you mean 'trade'?"),
        (
            "policy: band_profit",
            "policy: bands",
            "markets.CVX.policy: unknown policy 'bands'; there are pro_rata,",
        ),
        ("buyer: alice", "buyer: alic", "steps[1].trade.buyer: unknown actor 'alic'; did you mean 'alice'?"),
        ("market: CVX", "market: DOGE", "steps[1].trade.market: unknown market 'DOGE'; there are CVX"),
        (
            "accounts: {alice:",
            "accounts: {carl:",
            "steps[4].expect.accounts.carl: unknown actor 'carl'; there are alice,",
        ),
        (
            "expect: {",
            "expect: {providers: {leni: 1}, ",
            "steps[4].expect.providers.leni: unknown provider; let it pay in first",
        ),
        (
            "  - stage: one",
            "  - match: {maker: a, taker: b, size: 1}",
            "steps[0].match.maker: no order 'a' is signed before",
        ),
        ("  - stage: one", "  - rebase: {now: true}", "steps[0].rebase.now: unknown key; remove it"),
        # missing and double
        ("price: 2.30\n", "\n", "markets.CVX: price is missing; add it"),
        ("name: good", "about: good", "name is missing; add it"),
        (", size: 10, price: 2.3}", ", size: 10}", "steps[1].trade: price is missing; add it"),
        ("  alice: 1_000", "  alice: 1_000\n  alice: 2", "line 20: 'alice' comes twice; keep one"),
        (
            "owner: bob, subaccount: 7",
            "owner: alice",
            "actors.bob: is the same account as alice; give it another subaccount",
        ),
        (
            "  - stage: one",
            "  - {stage: one, advance: 1}",
            "steps[0]: one action per step is wanted, not stage, advance",
        ),
        ("  - stage: one", "  - {advance: 1, revert: no}", "steps[0].revert: advance is never refused; remove it"),
        # bad numbers
        ("alice: 1_000", "alice: many", "actors.alice: a number is wanted like 1_000 or 2.30, not 'many'"),
        ("alice: 1_000", "alice: -1", "actors.alice: -1 is too small; it has to be zero or more"),
        ("alice: 1_000", "alice: .nan", "actors.alice: a number is wanted like 1_000 or 2.30, not '.nan'"),
        ("alice: 1_000", "alice: 1e999999999", "actors.alice: 1e999999999 is out of range"),
        ("alice: 1_000", "alice: 0.0000001", "actors.alice: the token cannot express 0.0000001; use fewer decimals"),
        ("decimals: 6", "decimals: 19", "token.decimals: a whole number from 0 to 18 is wanted, not '19'"),
        ("price: 2.30\n", "price: 0\n", "markets.CVX.price: 0 is too small; it has to be positive"),
        ("price: 2.30\n", "price: 2.123456789\n", "markets.CVX.price: a price below 100,000,000 of at most 8 decimals"),
        (
            "initial: 2 %",
            "initial: 0.02",
            "markets.CVX.risk.initial: a rate with its unit, like '2 %' or '20000 ppm' is wanted",
        ),
        (
            "initial: 2 %",
            "initial: 0.00001 %",
            "markets.CVX.risk.initial: a rate with its unit, like '2 %' or '20000 ppm' is wanted",
        ),
        ("initial: 2 %", "initial: 1 %", "markets.CVX.risk.maintenance: has to lie between zero and initial"),
        ("lot: 0.001", "lot: 0.002", "markets.CVX.limits.lot: has to be a power of ten, like 0.001"),
        (
            "bands_per_octave: 16",
            "bands_per_octave: 12",
            "markets.CVX.limits.bands_per_octave: has to be 1, 2, 4, 8, 16, 32 or 64",
        ),
        ("width: 0.1 %", "width: 11 %", "markets.CVX.oracle.width: has to be 0 % to 10 %, in steps of 0.01 %"),
        # the oracle
        ("feeds: 5", "feeds: 4", "markets.BTC.oracle.feeds: unknown number of feeds '4'; there are 3, 5, 7"),
        ("heartbeat: 1 min", "heartbeat: 3 d", "markets.BTC.oracle.heartbeat: has to lie between 1 s and 172800 s"),
        ("quote: USDC", "quote: USDT", "markets.BTC.oracle.quote: unknown quote 'USDT'; did you mean 'USDC'?"),
        (
            "profile: major",
            "profile: minor",
            "oracle.rules.profile: unknown profile 'minor'; did you mean 'major'?",
        ),
        ("rules: alt", "rules: old", "quotes.USDC.oracle.rules: unknown profile 'old'; there are off, major, alt"),
        ("jump: 20 %", "jumps: 20 %", "markets.BTC.oracle.rules.jumps: unknown key; did you mean 'jump'?"),
        ("jump: 20 %", "jump: 101 %", "markets.BTC.oracle.rules.jump: has to be 0 % to 100 %, in steps of 0.01 %"),
        ("jump: 20 %", "speed: 0 %", "markets.BTC.oracle.rules: speed and step go together: both, or neither"),
        ("hold: 5 min", "hold: 1 d", "markets.BTC.oracle.rules.hold: has to be 65535 s at most"),
        ("hold: 5 min", "tau_ref: 0", "markets.BTC.oracle.rules.tau_ref: has to be 65535 s at most and more than none"),
        ("rules: alt, outlier", "quote: USDC, outlier", "quotes.USDC.oracle.quote: unknown key"),
        ("quotes: {USDC: {price: 1,", "quotes: {USDC: {policy: x, price: 1,", "quotes.USDC.policy: unknown key"),
        ("  BTC:\n", "  USDC:\n", "quotes.USDC: is a market's name too; use another"),
        ("expect: {", "expect: {markets: {CVX: {state: DEAD}}, ", "CVX.state: unknown state 'DEAD'; did you mean"),
        (
            "advance: 1.5 h",
            "advance: soon",
            "steps[2].advance: a time like '90 s', '15 min' or '1 h' is wanted, not 'soon'",
        ),
        ("size: 10, price", "size: 0, price", "steps[1].trade.size: 0 is too small; it has to be positive"),
        ("{is: 998, within: 0.1}", "{within: 0.1}", "alice.equity: a number, or a mapping of 'is' with 'within'"),
        ("{is: 998, within: 0.1}", "about 5", "alice.equity: a number is wanted like 1_000 or 2.30, not 'about 5'"),
        # not YAML
        ("name: good", "name: [good", "not YAML"),
        ("name: good", "name: good\n\tx: 1", "not YAML"),
    ],
)
def test_parse__names_the_field_and_the_fix(old: str, new: str, complaint: str) -> None:
    """One slip in a good file."""
    assert GOOD.count(old) >= 1
    with pytest.raises(ScenarioError) as error:
        parse(GOOD.replace(old, new, 1))

    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"\xff\xfe\x00", "is not UTF-8 text"), (b"", "a mapping is wanted (key: value), not"), (b"- 1", "not a list")],
)
def test_load__refuses_what_is_no_scenario(content: bytes, complaint: str, tmp_path: Path) -> None:
    """An empty file, a list, or bytes."""
    file = tmp_path / "scenario.yaml"
    file.write_bytes(content)

    with pytest.raises(ScenarioError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        load(file)


def test_load__says_that_a_file_is_missing(tmp_path: Path) -> None:
    """The operating system's reason, in one line."""
    with pytest.raises(ScenarioError, match=r"cannot read .*nowhere\.yaml: No such file or directory"):
        load(tmp_path / "nowhere.yaml")


@given(st.integers(-(10**40), 10**40))
def test_number__passes_exactly_through_text(value: int) -> None:
    """What the JSON says, the format reads: no digit is lost on the way, however many there are."""
    node = parse_yaml(f"x: {show_exactly(value)}").fields(("x",))["x"]

    assert node.wad(least=None) == value
    assert node.number() == Fraction(value, WAD)


@given(st.integers(-(10**30), 10**30), st.integers(0, 6))
def test_show__rounds_to_the_nearest(value: int, digits: int) -> None:
    """What a table shows is within half a unit of its last digit."""
    shown = Fraction(show(value, digits).replace(",", ""))

    assert abs(shown - Fraction(value, WAD)) <= Fraction(1, 2 * 10**digits)


@given(st.integers(0, 130), st.text(max_size=30))
def test_parse__never_fails_otherwise_than_with_a_complaint(line: int, text: str) -> None:
    """Any line of the largest file replaced by anything: it is read, or it is refused with a reason."""
    lines = CVX_FILE.read_text(encoding="utf-8").splitlines()
    indent = len(lines[line % len(lines)]) - len(lines[line % len(lines)].lstrip())
    lines[line % len(lines)] = " " * indent + text
    with suppress(ScenarioError):  # nothing else may be raised
        parse("\n".join(lines))


def test_node__refuses_a_key_that_is_no_word() -> None:
    """A mapping or a list as a key."""
    with pytest.raises(ScenarioError, match="line 1: a key must be a plain word"):
        parse_yaml("{[a]: 1}")


def test_seconds__accept_plain_numbers_and_units() -> None:
    """The ways to say ninety seconds."""
    assert {Node(text, "").seconds() for text in ("90", "90 s", "90s", "1.5 min", "0.025 h")} == {90}


def test_write_json__leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    """A target that cannot be replaced keeps its content, and the temporary file goes."""
    target = tmp_path / "taken"
    target.mkdir()

    with pytest.raises(IsADirectoryError):
        write_json(target, {"a": 1})

    assert list(tmp_path.iterdir()) == [target]
