"""Custody: deposit, withdraw, transfer, release and late cash (SPEC §2), for tokens of several kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from python_ref import constants as c
from python_ref.mocks import TOKEN_FEE_ON_TRANSFER, TOKEN_RETURNS_FALSE, NoReturnToken
from scripts import system as system_module
from scripts.chain import CallReverted, make_chain
from scripts.system import KEEPER, RISK, WAD, MarketSpec, System, actor, deploy
from tests import books
from tests.books import ALICE, BOB, CAROL, DAVE, ceil_div, domain, event, exposure, leg, move, ok, prices, refused, word

PRICE = 1_000 * WAD
NO_FEES = replace(RISK, taker_fee=0)
MARKETS = (
    MarketSpec("ETH", PRICE, risk=NO_FEES),
    MarketSpec("STEEP", PRICE, risk=replace(NO_FEES, initial=300_000)),
)

deployed = books.deployed_fixture(*MARKETS)
system = books.system_fixture()

EVE = actor("eve")
A, B, C, D, E = (who.account() for who in (ALICE, BOB, CAROL, DAVE, EVE))
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


@pytest.fixture(scope="module", params=[0, 6, 18])
def other_scale(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system whose collateral has so many decimals."""
    with make_chain() as chain:
        yield deploy(chain, MARKETS[:1], request.param)


@pytest.fixture
def scaled(other_scale: System) -> Iterator[System]:
    """``other_scale``, put back after the test."""
    mark = other_scale.twin.snapshot()
    yield other_scale
    books.check(other_scale)
    other_scale.twin.revert(mark)


def tokens(s: System, owner: str) -> int:
    """Atoms of an address."""
    return s.token.balanceOf(KEEPER, owner)


def mint(s: System, who: books.Actor, atoms: int, allowance: int | None = None) -> None:
    """Give atoms and let the ClearingHouse pull them."""
    ok(s.twin.call("Token", "mint", KEEPER, who.address, atoms))
    given = atoms if allowance is None else allowance
    ok(s.twin.call("Token", "approve", who.address, s.clearing_house.address, given))


def trade(s: System, who: bytes, other: bytes, change: int, market: int = 0) -> None:
    """``who``'s position changes by signed ``change`` at the index."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    ok(s.trade(market, buyer, seller, abs(change), prices(s, market).index))


def bad_debt(s: System) -> None:
    """Dave defaults beyond the gap cap; Bob, Carol and Eve are exposed, Eve is flat."""
    books.rich(s, BOB, CAROL, EVE, amount=10**5 * WAD)
    trade(s, E, B, WAD)
    trade(s, E, B, -WAD)
    books.fund(s, DAVE, 2_500 * WAD)
    trade(s, C, B, WAD)
    trade(s, D, B, 100 * WAD)
    move(s, 0, PRICE * 940 // 1_000)
    ok(s.call("resolve", KEEPER, D, ()))
    assert domain(s).bad_debt > 0


# ---- decimals --------------------------------------------------------------------------------------


def test_deposit_withdraw__units_per_atom(scaled: System) -> None:
    unit = scaled.unit
    mint(scaled, ALICE, 7)
    outcome = ok(scaled.call("deposit", ALICE.address, A, 7))
    assert event(outcome, "Deposited") == {"account": A, "amount": 7, "late": False}
    assert (word(scaled, A).cash, domain(scaled).exempt) == (7 * unit, 7 * unit)
    outcome = ok(scaled.call("withdraw", ALICE.address, A, 3, BOB.address))
    assert event(outcome, "Withdrawn") == {"account": A, "to": BOB.address.lower(), "amount": 3}
    assert (word(scaled, A).cash, domain(scaled).exempt) == (4 * unit, 4 * unit)
    assert (tokens(scaled, BOB.address), tokens(scaled, scaled.clearing_house.address)) == (3, 4)
    refused(scaled.call("withdraw", ALICE.address, A, 5, BOB.address), "ledger: insufficient cash")
    ok(scaled.call("withdraw", ALICE.address, A, 4, BOB.address))
    assert domain(scaled).exempt == 0


def test_transfer__moves_units_not_atoms(scaled: System) -> None:
    mint(scaled, ALICE, 2)
    ok(scaled.call("deposit", ALICE.address, A, 2))
    ok(scaled.call("transfer", ALICE.address, A, ALICE.account(1), 1))
    assert (word(scaled, A).cash, word(scaled, ALICE.account(1)).cash) == (2 * scaled.unit - 1, 1)
    # what is less than an atom cannot leave, but can come back
    if scaled.unit > 1:
        refused(scaled.call("withdraw", ALICE.address, A, 2, ALICE.address), "ledger: insufficient cash")
    ok(scaled.call("transfer", ALICE.address, ALICE.account(1), A, 1))
    ok(scaled.call("withdraw", ALICE.address, A, 2, ALICE.address))


# ---- kinds of token --------------------------------------------------------------------------------


def test_deposit__token_without_return_values(monkeypatch: pytest.MonkeyPatch) -> None:
    with make_chain() as chain:
        put = chain.deploy

        def deploy_other(contract: Any, *args: Any, **more: Any) -> str:
            return put("NoReturnToken" if contract == "MockToken" else contract, *args, **more)

        monkeypatch.setattr(chain, "deploy", deploy_other)
        monkeypatch.setattr(system_module, "MockToken", NoReturnToken)
        s = deploy(chain, MARKETS[:1], 6)
        assert chain.contract(s.addresses["Token"]).artifact.name == "NoReturnToken"
        mint(s, ALICE, 10)
        ok(s.call("deposit", ALICE.address, A, 10))
        ok(s.call("withdraw", ALICE.address, A, 4, BOB.address))
        assert (tokens(s, BOB.address), tokens(s, s.clearing_house.address)) == (4, 6)
        books.check(s)


def test_deposit__fee_on_transfer_is_refused_with_nothing_changed(system: System) -> None:
    books.rich(system, ALICE)
    mint(system, ALICE, 1_000)
    ok(system.twin.call("Token", "set_mode", KEEPER, TOKEN_FEE_ON_TRANSFER))
    house = system.chain.dump(system.clearing_house.address)
    token = system.chain.dump(system.addresses["Token"])
    refused(system.call("deposit", ALICE.address, A, 1_000), "token: fee on transfer")
    assert system.chain.dump(system.clearing_house.address) == house
    assert system.chain.dump(system.addresses["Token"]) == token
    # a fee that rounds to nothing is none
    ok(system.call("deposit", ALICE.address, A, 99))


def test_deposit__token_that_returns_false(system: System) -> None:
    mint(system, ALICE, 10, allowance=9)
    ok(system.twin.call("Token", "set_mode", KEEPER, TOKEN_RETURNS_FALSE))
    refused(system.call("deposit", ALICE.address, A, 10), "token: transfer failed")
    assert word(system, A).cash == 0
    ok(system.call("deposit", ALICE.address, A, 9))


def test_deposit__token_that_reverts(system: System) -> None:
    mint(system, ALICE, 10, allowance=9)
    refused(system.call("deposit", ALICE.address, A, 10), "token: allowance")
    mint(system, ALICE, 0, allowance=11)
    refused(system.call("deposit", ALICE.address, A, 11), "token: balance")


@pytest.mark.parametrize("function", ["deposit", "withdraw", "transfer"])
def test_custody__zero_amount(system: System, function: str) -> None:
    books.rich(system, ALICE)
    arguments: dict[str, tuple[Any, ...]] = {
        "deposit": (A, 0),
        "withdraw": (A, 0, ALICE.address),
        "transfer": (A, ALICE.account(1), 0),
    }
    refused(system.call(function, ALICE.address, *arguments[function]), "ledger: zero amount")


def test_transfer__same_account(system: System) -> None:
    books.rich(system, ALICE)
    refused(system.call("transfer", ALICE.address, A, A, 1), "ledger: same account")


def test_deposit__more_than_the_word_holds(system: System) -> None:
    mint(system, ALICE, 2**255)
    for amount in (2**159, 2**104, 2**255):
        refused(system.call("deposit", ALICE.address, A, amount), "")
    assert word(system, A).cash == 0


@pytest.mark.parametrize("amount", [2**160, 2**255 - 1, 2**255, 2**256 - 1])
def test_custody__absurd_amounts(system: System, amount: int) -> None:
    """Both sides refuse alike, also where a conversion leaves the word."""
    books.rich(system, ALICE)
    assert not system.call("withdraw", ALICE.address, A, amount, ALICE.address).ok
    assert not system.call("transfer", ALICE.address, A, ALICE.account(1), amount).ok
    assert not system.call("repay_bad_debt", ALICE.address, A, amount).ok


# ---- withdrawing from exposure ---------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("market", [0, 1])
def test_withdraw__leaves_initial_margin_and_a_fifth_of_the_notional(system: System, market: int, side: int) -> None:
    """Market 0: 20 % of the notional binds; market 1: its initial margin of 30 %."""
    books.rich(system, BOB)
    books.fund(system, ALICE, 5_000 * WAD)
    trade(system, A, B, side * 10 * WAD, market)
    move(system, market, PRICE + 7, c.RESIDENCY_S)
    r = exposure(system, A)
    least = max(r.im_credit, ceil_div(r.n_credit * c.WITHDRAW_RATIO_PPM, c.PPM))
    assert (least == r.im_credit) == (market == 1)
    free = (r.e_credit - least) // WAD
    refused(system.call("withdraw", ALICE.address, A, free + 1, ALICE.address), "margin: below withdrawal")
    refused(system.call("transfer", ALICE.address, A, ALICE.account(1), free + 1), "margin: below withdrawal")
    ok(system.call("withdraw", ALICE.address, A, free, ALICE.address))
    refused(system.call("withdraw", ALICE.address, A, 1, ALICE.address), "margin: below withdrawal")


def test_withdraw__in_residency(system: System) -> None:
    books.rich(system, ALICE, BOB)
    trade(system, A, B, WAD)
    system.twin.advance(c.RESIDENCY_S - 1)
    system.set_price(0, PRICE)
    refused(system.call("withdraw", ALICE.address, A, 1, ALICE.address), "ledger: in residency")
    system.twin.advance(1)
    ok(system.call("withdraw", ALICE.address, A, 1, ALICE.address))
    books.fund(system, ALICE, 1)  # a deposit touches
    refused(system.call("transfer", ALICE.address, A, ALICE.account(1), 1), "ledger: in residency")


def test_withdraw__flat_must_be_released_first(system: System) -> None:
    books.rich(system, ALICE, BOB)
    trade(system, A, B, WAD)
    trade(system, A, B, -WAD)
    move(system, 0, PRICE, c.RESIDENCY_S)
    refused(system.call("withdraw", ALICE.address, A, 1, ALICE.address), "ledger: not released")
    refused(system.call("transfer", ALICE.address, A, ALICE.account(1), 1), "ledger: not released")
    ok(system.call("release", DAVE.address, A))
    ok(system.call("withdraw", ALICE.address, A, word(system, A).cash, ALICE.address))


def test_withdraw__frozen(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    trade(system, A, B, WAD)
    books.feeds_down(system, 0, 2)
    refused(system.call("withdraw", ALICE.address, A, 1, ALICE.address), "margin: frozen")
    # whoever is not exposed is not touched by it
    ok(system.call("withdraw", CAROL.address, C, word(system, C).cash, CAROL.address))
    books.fund(system, ALICE, 1)


def test_withdraw__locked_while_bad_debt(system: System) -> None:
    bad_debt(system)
    books.rich(system, ALICE)
    refused(system.call("withdraw", BOB.address, B, 1, BOB.address), "ledger: locked")
    refused(system.call("transfer", BOB.address, B, BOB.account(1), 1), "ledger: locked")
    ok(system.call("withdraw", ALICE.address, A, word(system, A).cash, ALICE.address))


def test_withdraw__exempt_is_whole_after_a_rebase(system: System) -> None:
    books.fund(system, ALICE, 1_000 * WAD)
    bad_debt(system)
    system.must("rebase_claims", KEEPER)
    assert word(system, A).cash == 1_000 * WAD
    ok(system.call("withdraw", ALICE.address, A, 1_000 * WAD, ALICE.address))


# ---- gons ------------------------------------------------------------------------------------------


def test_custody__gons_after_a_rebase_round_against_the_account(system: System) -> None:
    bad_debt(system)
    system.must("rebase_claims", KEEPER)
    index = domain(system).claim_index
    assert index < c.INDEX_ONE
    cash = word(system, B).cash
    books.fund(system, BOB, 10)
    assert word(system, B).cash - cash == 10 * c.INDEX_ONE // index
    move(system, 0, PRICE * 940 // 1_000, c.RESIDENCY_S)
    cash, exposed = word(system, B).cash, domain(system).exposed
    ok(system.call("withdraw", BOB.address, B, 10, BOB.address))
    assert cash - word(system, B).cash == ceil_div(10 * c.INDEX_ONE, index)
    assert exposed - domain(system).exposed == cash - word(system, B).cash
    books.fund(system, ALICE, 1_000 * WAD)
    trade(system, A, B, WAD)
    assert word(system, A).exposed
    trade(system, A, B, -WAD)
    move(system, 0, PRICE * 940 // 1_000, c.RESIDENCY_S)
    gons = word(system, A).cash
    fields = event(ok(system.call("release", DAVE.address, A)), "Released")
    assert (fields["gons"], fields["units"]) == (gons, gons * index // c.INDEX_ONE)
    assert word(system, A).cash == fields["units"]
    assert 1_000 * WAD - 3 * WAD <= fields["units"] <= 1_000 * WAD


# ---- late cash -------------------------------------------------------------------------------------


def test_deposit__late_while_bad_debt(system: System) -> None:
    bad_debt(system)
    cash, exempt, e = word(system, B).cash, domain(system).exempt, exposure(system, B).e_index
    outcome = ok(system.fund_account(BOB.address, 40))
    assert event(outcome, "Deposited")["late"] is True
    assert (word(system, B).cash, word(system, B).has_late) == (cash, True)
    assert domain(system).exempt == exempt + 40
    books.fund(system, BOB, 2)
    assert system.twin.view("ClearingHouse", "load_account", B)[33] == 42
    assert exposure(system, B).e_index == e + 42 * WAD, "late cash is equity"


def test_late__survives_the_cut_and_is_folded_by_the_first_touch(system: System) -> None:
    bad_debt(system)
    books.fund(system, BOB, 42 * WAD)
    system.must("rebase_claims", KEEPER)
    index = domain(system).claim_index
    assert word(system, B).has_late
    cash, exempt = word(system, B).cash, domain(system).exempt
    buyer_before = leg(system, B)
    ok(system.trade(0, C, B, WAD, prices(system).index))
    gons = 42 * WAD * c.INDEX_ONE // index
    assert not word(system, B).has_late
    assert system.twin.view("ClearingHouse", "load_account", B)[33] == 0
    assert domain(system).exempt == exempt - 42 * WAD
    quote = (WAD * c.INDEX_ONE // index) * prices(system).index // WAD
    assert word(system, B).cash == cash + gons + buyer_before.pending + quote
    assert gons * index // c.INDEX_ONE in (42 * WAD, 42 * WAD - 1), "not cut"


def test_late__folded_by_a_withdrawal(system: System) -> None:
    bad_debt(system)
    books.fund(system, BOB, 42 * WAD)
    system.must("rebase_claims", KEEPER)
    move(system, 0, PRICE * 940 // 1_000, c.RESIDENCY_S)
    fields = event(ok(system.call("withdraw", BOB.address, B, WAD, BOB.address)), "LateFolded")
    assert (fields["account"], fields["units"]) == (B, 42 * WAD)
    assert not word(system, B).has_late


def test_late__folded_by_a_release(system: System) -> None:
    bad_debt(system)
    books.fund(system, EVE, 5 * WAD)
    system.must("rebase_claims", KEEPER)
    system.twin.advance(c.RESIDENCY_S)
    outcome = ok(system.call("release", DAVE.address, E))
    assert event(outcome, "LateFolded")["units"] == 5 * WAD
    assert not word(system, E).exposed
    assert word(system, E).cash == event(outcome, "Released")["units"]


def test_transfer__into_exposure_is_late_while_bad_debt(system: System) -> None:
    bad_debt(system)
    books.fund(system, BOB, 9 * WAD, 5)
    outcome = ok(system.call("transfer", BOB.address, BOB.account(5), B, 9 * WAD))
    assert event(outcome, "Transferred")["late"] is True
    assert system.twin.view("ClearingHouse", "load_account", B)[33] == 9 * WAD


# ---- transfer --------------------------------------------------------------------------------------


def test_transfer__exposed_to_exempt_and_back(system: System) -> None:
    books.rich(system, BOB)
    books.fund(system, ALICE, 5_000 * WAD)
    trade(system, A, B, WAD)
    move(system, 0, PRICE, c.RESIDENCY_S)
    before = domain(system)
    ok(system.call("transfer", ALICE.address, A, ALICE.account(1), 100 * WAD))
    after = domain(system)
    assert (after.exposed, after.exempt) == (before.exposed - 100 * WAD, before.exempt + 100 * WAD)
    assert not word(system, ALICE.account(1)).exposed
    ok(system.call("transfer", ALICE.address, ALICE.account(1), A, 100 * WAD))
    assert domain(system) == before
    # a transfer in touches the receiver and not the giver
    assert word(system, A).touched == system.chain.now
    refused(system.call("transfer", ALICE.address, ALICE.account(1), A, 1), "ledger: insufficient cash")


# ---- release ---------------------------------------------------------------------------------------


def test_release__each_reason(system: System) -> None:
    books.rich(system, ALICE, BOB)
    refused(system.call("release", DAVE.address, A), "release: exempt")
    trade(system, A, B, WAD)
    refused(system.call("release", DAVE.address, A), "release: not flat")
    trade(system, A, B, -WAD)
    system.twin.advance(c.RESIDENCY_S - 1)
    refused(system.call("release", DAVE.address, A), "ledger: in residency")
    system.twin.advance(1)
    ok(system.call("release", DAVE.address, A))
    refused(system.call("release", DAVE.address, A), "release: exempt")
    refused(system.call("release", DAVE.address, system.bucket(0)), "release: fund bucket")


def test_release__locked_while_bad_debt(system: System) -> None:
    bad_debt(system)
    system.twin.advance(c.RESIDENCY_S)
    refused(system.call("release", DAVE.address, E), "ledger: locked")


def test_release__of_one_who_was_written_off(system: System) -> None:
    bad_debt(system)
    system.must("rebase_claims", KEEPER)
    system.twin.advance(c.RESIDENCY_S)
    outcome = ok(system.call("release", DAVE.address, D))
    assert event(outcome, "Released")["units"] == 0
    books.fund(system, DAVE, WAD)
    ok(system.call("withdraw", DAVE.address, D, WAD, DAVE.address))


def test_expose__by_the_first_trade(system: System) -> None:
    books.rich(system, ALICE, BOB)
    before = domain(system)
    outcome = ok(system.trade(0, A, B, WAD, PRICE))
    assert {fields["account"] for fields in books.events(outcome, "Exposed")} == {A, B}
    assert domain(system).exempt == before.exempt - 2 * 10**9 * WAD
    assert domain(system).exposed == before.exposed + 2 * 10**9 * WAD
    assert books.events(ok(system.trade(0, A, B, WAD, PRICE)), "Exposed") == []


def test_constructor__token_decimals() -> None:
    """More than 18 decimals cannot be scaled to money."""
    with make_chain() as chain:
        token = chain.deploy("MockToken", "USD", 19, sender=KEEPER)
        for decimals, fine in ((18, True), (19, False)):
            if fine:
                chain.deploy("MarketAdmin", token, decimals, KEEPER, sender=KEEPER)
            else:
                with pytest.raises(CallReverted, match="ledger: token decimals"):
                    chain.deploy("MarketAdmin", token, decimals, KEEPER, sender=KEEPER)


def test_constructor__delegates_must_be_contracts() -> None:
    with make_chain() as chain:
        code = (chain.deploy("MockToken", "USD", 6, sender=KEEPER), 6, KEEPER)
        admin = chain.deploy("MarketAdmin", *code, sender=KEEPER)
        with pytest.raises(CallReverted, match="ledger: next delegate"):
            chain.deploy("AccountDesk", *code, KEEPER, sender=KEEPER)
        for missing in range(4):
            delegates = [admin] * 4
            delegates[missing] = actor("nobody").address
            with pytest.raises(CallReverted, match="ledger: delegate"):
                chain.deploy("ClearingHouse", *code, KEEPER, *delegates, sender=KEEPER)
