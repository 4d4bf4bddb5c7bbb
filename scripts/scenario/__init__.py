"""Scenarios: a market's story in a file, played on contracts and model, and told in tables.

``nodes`` reads YAML, ``story`` says what a file may contain, ``runner`` plays it under the eyes of ``watch``,
``rows`` puts events into words, ``view`` reads the ledger, ``result`` is what remains, ``report`` prints and writes
it. ``calls`` reads raw calls, ``finding`` says what a step showed to be wrong, and ``writing`` makes a file of a
campaign's calls.

A file has ``name``, ``about``, ``token`` (decimals), ``markets``, ``fund``, ``governor`` (delay), ``actors``,
``steps``::

    markets: {CVX: {price: 2.30, policy: pro_rata, risk: {initial: 2 %}, limits: {lot: 0.001}, oracle: {width: 0.1 %}}}
    fund:    {providers: {lena: 5_000}, buckets: {CVX: {cap: 2_000, top_up: 500}}, cooldown: 1 d}
    actors:  {alice: 1_000, bob: {deposit: 500, owner: alice, subaccount: 1}, zoe: {deposit: 9, bystander: true}}

Money, sizes and prices are decimals; rates carry ``%`` or ``ppm``, times ``s``, ``min``, ``h`` or ``d``. A step is
one action of ``story.ACTIONS``, or ``stage: title``, ``advance: 5 min``, ``price: {CVX: 1.95}`` (or a list, one answer
per feed; ``silent`` for none), or ``expect``. With ``revert: reason`` beside it an action has to be refused. The
actions on ``_all`` try every account that they may concern; what the contracts refuse is told and left. ``expect``
names ``accounts``, ``buckets``, ``markets`` (``state: FROZEN`` among them, and every price), ``providers``, the last
``receipt``, ``bad_debt``, ``claim_index``, ``claim_epoch`` and ``receipts``; a value is a number, or a mapping of
``is`` with ``within``, ``above``, ``below``.

An oracle has ``feeds`` (3, 5 or 7), ``decimals``, ``max_age``, ``heartbeat``, ``outlier``, ``width`` and ``rules``: a
profile of ``scripts/rules.py`` (``off`` unless said, ``major``, ``alt``), or what differs from one. A market may have
its price in a collateral that itself has a price, and the chain a sequencer, whose feed is ``MockFeed32.0``::

    quotes:    {USDC: {price: 1, oracle: {rules: major}}}
    sequencer: true
    markets:   {BTC: {price: 43_500, oracle: {feeds: 5, quote: USDC, rules: {profile: major, jump: 20 %, hold: 5 min}}}}

``price``, ``poke``, ``feed``, ``replace_feed`` (by the book's spare one) and ``tighten_rules`` take quotes as well;
``settle_market`` ends a market, ``claim`` and ``claim_all`` close what is open there.

A market may combine its policy's halves, ``policy: {rank: leverage, plan: ProRata}``. An actor's ``owner`` may be a
name or an address. Trades need no signatures with ``fill``, which the test filler sends; ``feed: {market: CVX, feed: 0,
mode: reverts}`` breaks a feed, ``poke`` lets the oracle look. Anything else is a raw call, in the contract's own units,
after which every word is compared::

    - call: {contract: BackstopFund, function: set_cap, by: governor, args: [CVX, 2.5e18]}
    - {call: {contract: ClearingHouse, function: release, by: keeper, args: [bob]}, revert: "release: not flat"}
    - {call: {contract: MockFeed0.2, function: set_decimals, by: keeper, args: [6]}, outcome: any}

``by`` and addresses are owners, ``governor``, ``guardian``, ``keeper``, ``filler``, ``provider lena``, ``account
7001`` (a numbered address without a key), contracts, or ``0x…``; accounts are actors, ``bucket CVX``, ``treasury``,
or ``0x…``. An order is a mapping of its fields, a signature ``{v, r, s}`` or ``{signed_by: alice}``. ``revert: ""``
is a refusal without a reason, ``outcome: any`` leaves open how a step goes: then only contract and model have to
agree.
"""

from __future__ import annotations

from scripts.scenario.nodes import ScenarioError
from scripts.scenario.result import Result
from scripts.scenario.runner import ScenarioFailed, play
from scripts.scenario.story import POLICIES, Scenario, load, parse

__all__ = ["POLICIES", "Result", "Scenario", "ScenarioError", "ScenarioFailed", "load", "parse", "play"]
