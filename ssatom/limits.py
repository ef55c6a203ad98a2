"""Bounds on what one crystal, one record or one packed file may cost, in one place."""

from __future__ import annotations

MAX_SITES = 1_000_000
"""Sites of a crystal that is read."""

MAX_PAIRS = 10_000_000
"""Pairs of neighbours of a crystal: about 250,000 sites at ordinary densities and 5 Å."""

MAX_RECORD = 32 * 2**20
"""Bytes of a line, a frame or a cell; Python takes about twenty times as many to parse it."""

SMALL_FILE = 64 * 2**20
"""Bytes that any file may unpack to."""

MAX_RATIO = 100
"""How many times its size a larger file may unpack to; files of crystals reach about 15."""


def unpacked_limit(packed: int) -> int:
    """Most bytes that a packed file of so many is unpacked to, where it is read as a whole."""
    return max(SMALL_FILE, MAX_RATIO * packed)
