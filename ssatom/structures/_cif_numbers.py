"""Numbers as CIF files write them."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_WORD = 60
"""Characters of a number, a symbol or a label; what is longer is none, and takes long to match."""

_NUMBER = re.compile(r"([+-]?(?:\d+\.?(\d*)|\.(\d+)))(?:[eEdD]([+-]?\d+))?(\(\d*\))?")


@lru_cache(maxsize=65536)
def parse_number(text: str) -> tuple[float, int] | None:
    """A number less its uncertainty, and how many decimals it has; None if it is no number.

    Of fractions that no decimals express, such as 0.3333 for 1/3, the fraction itself, from four
    decimals on.
    """
    found = _NUMBER.fullmatch(text) if len(text) <= LONGEST_WORD else None
    if not found:
        return None
    exponent = int(found[4] or 0)
    if abs(exponent) > 300:
        return None
    value = float(f"{found[1]}e{exponent}")
    decimals = max(len(found[2] or found[3] or "") - exponent, 0)
    if 4 <= decimals <= 15 and not found[5]:
        nearest = round(value * 12) / 12
        unit = 10.0**-decimals
        if abs(value - nearest) < unit and value != nearest:
            cut = int(nearest / unit + (1e-9 if nearest > 0 else -1e-9)) * unit
            if min(abs(value - cut), abs(value - round(nearest, decimals))) < 1e-3 * unit:
                value = nearest
    return value, decimals
