"""The tour: a fixed sequence of compared calls that go where random walks do not.

Each stop has a deployment of its own and knows how every one of its calls has to end, on contract and model alike.
"""

from __future__ import annotations

from collections.abc import Callable

from scripts.branches.coverage import CoverageChain
from scripts.branches.stops import (
    defaults,
    deployment,
    extremes,
    funds,
    governance,
    liquidations,
    prices,
    states,
    trading,
)
from scripts.branches.walks import Run

Stop = Callable[[CoverageChain], int]

STOPS: tuple[Stop, ...] = (
    deployment.refused_deployments,
    deployment.unwired_house,
    governance.listing_and_parameters,
    governance.bucket_before_its_market,
    governance.raw_getters,
    prices.feeds_that_will_not_do,
    prices.readings,
    prices.leaps,
    prices.ages,
    prices.quotes,
    prices.replaced_feeds,
    governance.little_gas,
    governance.rules_between_rates,
    governance.tightening,
    governance.timelock,
    governance.owners,
    trading.signed_orders,
    trading.another_chain,
    trading.refused_trades,
    trading.sixteen_markets,
    trading.on_the_edge,
    funds.providers,
    funds.lowest_index,
    funds.auctions,
    funds.lost_fund,
    funds.bad_token,
    funds.stubborn_token,
    defaults.open_receipt,
    defaults.one_band_at_a_time,
    defaults.more_cuts_than_are_listed,
    defaults.rotten_policies,
    defaults.nobody_eligible,
    defaults.a_few_wei_left,
    defaults.netting,
    defaults.inherited,
    defaults.wiped_while_bankrupt,
    defaults.buckets_inherit,
    defaults.settlement_needed,
    defaults.bucket_in_receipt,
    liquidations.engines,
    liquidations.takers,
    liquidations.reducing_takers,
    states.in_doubt,
    states.ended,
    states.ended_poor,
    states.ended_with_crumbs,
    states.ended_in_a_receipt,
    extremes.squeezed,
    extremes.wiped_bucket,
    extremes.prices_near_nothing,
    extremes.funding_beyond_the_price,
    extremes.year_2106,
    extremes.widest_amounts,
    extremes.widest_bucket_and_loss,
    extremes.widest_sizes,
    extremes.widest_price,
    extremes.widest_fees,
    extremes.widest_funding,
    extremes.widest_pot,
    extremes.entry_of_a_liquidation,
    extremes.a_wei_against_nothing,
    extremes.worn_band,
)


def take(stop: Stop) -> Run:
    """Visit one stop."""
    with CoverageChain() as chain:
        calls = stop(chain)
        return Run(stop.__name__, calls, chain.coverage())
