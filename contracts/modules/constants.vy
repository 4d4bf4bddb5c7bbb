# pragma version 0.4.3
"""
@title Scales and bounds
@license MIT
@notice Every scale and bound of the ledger, and nothing else.
@dev Mirrored by `python_ref/constants.py`; `tests/unit/test_constants.py` compares the two files.
"""

WAD: constant(uint256) = 10**18
PPM: constant(uint256) = 10**6
BPS: constant(uint256) = 10_000
ONE_A: constant(uint256) = 10**36
MIN_A: constant(uint256) = 10**27
SCALE_STEP: constant(uint256) = 10**9
SCALE_SPAN: constant(uint256) = 8
INDEX_ONE: constant(uint256) = 10**36
MIN_CLAIM_INDEX: constant(uint256) = 10**33
MAX_MARKETS: constant(uint256) = 16
MAX_LEGS: constant(uint256) = 8
N_BANDS: constant(uint256) = 256
BAND_CENTRE: constant(uint256) = 128
DUST_SIZE: constant(uint256) = 10**6
RESIDENCY_S: constant(uint256) = 60
RERANK_DELAY_S: constant(uint256) = 60
LIQUIDATION_DELAY_S: constant(uint256) = 60
FUNDING_PERIOD_S: constant(uint256) = 28_800
PREMIUM_TAU_S: constant(uint256) = 3_600
MAX_PREMIUM_PPM: constant(uint256) = 50_000
WITHDRAW_RATIO_PPM: constant(uint256) = 200_000
MAX_PRICE: constant(uint256) = 10**26
MAX_SIZE: constant(uint256) = 10**30
MAX_PLAN: constant(uint256) = 32
WORN_SCALE: constant(uint256) = 248
BUCKET_RESERVE: constant(uint256) = 10**12

STATE_LIVE: constant(uint256) = 0
STATE_DEGRADED: constant(uint256) = 1
STATE_FROZEN: constant(uint256) = 2
STATE_RECOVERY: constant(uint256) = 3
STATE_SETTLEMENT: constant(uint256) = 4

RANK_SINGLE: constant(uint256) = 0
RANK_PROFIT: constant(uint256) = 1
RANK_LEVERAGE: constant(uint256) = 2

FLAG_BUYER_REDUCE_ONLY: constant(uint256) = 1
FLAG_SELLER_REDUCE_ONLY: constant(uint256) = 2
FLAG_BUYER_IS_TAKER: constant(uint256) = 4
