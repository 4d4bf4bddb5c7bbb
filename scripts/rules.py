"""The oracle's rules, states and causes by the names that files, tables and commands use."""

from __future__ import annotations

from python_ref import price_oracle as o
from python_ref.oracle_words import Rules

STATES = ("LIVE", "DEGRADED", "FROZEN", "RECOVERY", "SETTLEMENT")
"""Names of the oracle's states."""

CODES = (
    "OK", "CALL_FAILED", "SHORT", "NONPOSITIVE", "INCOMPLETE", "FUTURE", "STALE", "OUT_OF_RANGE", "BOUND", "REGRESS",
    "PHASE", "DECIMALS",
)  # fmt: skip
"""Why a feed does not count, by code (SPEC §14.2)."""

PROFILES = {
    "off": Rules(),
    "major": Rules(
        outlier=200, soft=500, jump=1_500, clamp=1_000, speed=20, step=500, tau_fast=60, tau_ref=900, hold=120, calm=60,
        grace=600, freeze=14_400,
    ),
    "alt": Rules(
        outlier=500, soft=1_000, jump=2_500, clamp=2_000, speed=50, step=1_000, tau_fast=60, tau_ref=900, hold=120,
        calm=60, grace=600, freeze=14_400,
    ),
}  # fmt: skip
"""Rules by profile (research: oracles §3.1), bps and seconds. ``off``: quorum and agreement alone, no breaker."""

CAUSES = {
    o.CAUSE_FIRST: "the first price",
    o.CAUSE_QUORUM: "no quorum of feeds agrees",
    o.CAUSE_SEQUENCER: "the sequencer is down or was",
    o.CAUSE_QUOTE: "the quote is in doubt",
    o.CAUSE_TRIP: "the price jumped",
    o.CAUSE_CALM: "the feeds are back where they were",
    o.CAUSE_CONFIRMED: "new rounds confirm the jump",
    o.CAUSE_GRACE: "the time to add margin is over",
    o.CAUSE_FEW: "one more feed may not fail",
    o.CAUSE_SOFT: "the price is far from its past",
    o.CAUSE_OLD: "the answers are old",
    o.CAUSE_HOLD: "nothing was wrong for long enough",
    o.CAUSE_SETTLED: "settled",
}
"""Why a state was entered, by the code in ``StateChanged``."""
