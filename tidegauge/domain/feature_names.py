"""The names of the features, in their order, and the spans that they are made of.

Apart from the features themselves, which take numpy: who only names them is deployed without it.
"""

from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
# The epoch was a Thursday: three days after a Monday.
EPOCH_AFTER_MONDAY_MS: Final = 3 * DAY_MS

LAGS: Final = (1, 2, 3, 4, 5, 6, 12)
HALF_LIVES_MS: Final = (15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, WEEK_MS)
DAILY_HARMONICS: Final = 4
WEEKLY_HARMONICS: Final = 3

FEATURE_NAMES: Final[tuple[str, ...]] = (
    *(f"lag_{lag}" for lag in LAGS),
    "mean_15min",
    "mean_1h",
    "mean_6h",
    "mean_1d",
    "mean_7d",
    "yesterday",
    "last_week",
    "profile_time_of_day",
    "profile_hour_of_week",
    *(f"day_{part}_{k}" for k in range(1, DAILY_HARMONICS + 1) for part in ("sin", "cos")),
    *(f"week_{part}_{k}" for k in range(1, WEEKLY_HARMONICS + 1) for part in ("sin", "cos")),
    "weekend",
)
