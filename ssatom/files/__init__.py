"""Files: written in one step, claimed, hashed, sealed, and settings of runs that are resumed."""

from ssatom.files.atomic import (
    claim,
    claimed,
    differing,
    filling,
    is_leftover,
    keep_settings,
    replacing,
    write_json,
)
from ssatom.files.sealed import CardFormat, check_name, file_sha256

__all__ = [
    "CardFormat",
    "check_name",
    "claim",
    "claimed",
    "differing",
    "file_sha256",
    "filling",
    "is_leftover",
    "keep_settings",
    "replacing",
    "write_json",
]
