"""Scales and bounds. Mirror of ``contracts/modules/constants.vy``; a test compares the two files."""

WAD = 10**18
"""One unit of money, price, size or a ratio (SPEC §1)."""

PPM = 10**6
"""One, for rates that governance sets (parts per million)."""

BPS = 10_000
"""One, for distances of prices."""

ONE_A = 10**36
"""Size index ``A`` of a fresh band (SPEC §4)."""

MIN_A = 10**27
"""Lower edge of the window of ``A``; below it the scale is bumped."""

SCALE_STEP = 10**9
"""Factor between two scales of a band."""

SCALE_SPAN = 8
"""Scales that a settlement looks back over; four are needed for exactness (research T4d)."""

INDEX_ONE = 10**36
"""``claim_index`` at birth; it only falls."""

MIN_CLAIM_INDEX = 10**33
"""Below this the domain must settle instead of rebasing again (rule 8)."""

MAX_MARKETS = 16
MAX_LEGS = 8
"""Markets per account."""

N_BANDS = 256
BAND_CENTRE = 128
"""Band that holds a market's anchor price."""

DUST_SIZE = 10**6
"""A long band with no more open interest than this hands it to the house residue (SPEC §4.4)."""

RESIDENCY_S = 60
"""Seconds between an account's last close and its release (rule 4)."""

RERANK_DELAY_S = 60
"""Seconds before a move to a safer band is accepted (rule 31)."""

LIQUIDATION_DELAY_S = 60
"""Seconds between two liquidations of one account in DEGRADED markets (SPEC §7)."""

FUNDING_PERIOD_S = 28_800
"""A premium of one is paid in full over eight hours."""

PREMIUM_TAU_S = 3_600
"""Time constant of the premium average."""

MAX_PREMIUM_PPM = 50_000
"""Clamp of one premium sample: 5 %."""

WITHDRAW_RATIO_PPM = 200_000
"""Least equity, as a share of notional, that a withdrawal leaves behind a position (20 %)."""

MAX_PRICE = 10**26
"""Highest price the ledger accepts: 1e8 money units per base unit."""

MAX_SIZE = 10**30
"""Largest size of one order, in base wei."""

MAX_PLAN = 32
"""Bands after which a call asks its policy for no more; a longer walk stays open as a receipt (rule 26)."""

WORN_SCALE = 248
"""A band bumped so often takes nobody in: who is in it can bump it some four times more, and a scale has 8 bits."""

BUCKET_RESERVE = 10**12
"""Gons a bucket never pays out: they back the dust of funding and rounding (rule 29)."""

STATE_LIVE = 0
STATE_DEGRADED = 1
STATE_FROZEN = 2
STATE_RECOVERY = 3
STATE_SETTLEMENT = 4

RANK_SINGLE = 0
RANK_PROFIT = 1
RANK_LEVERAGE = 2

FLAG_BUYER_REDUCE_ONLY = 1
FLAG_SELLER_REDUCE_ONLY = 2
FLAG_BUYER_IS_TAKER = 4
