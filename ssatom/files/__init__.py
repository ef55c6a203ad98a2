"""Files: written in one step, hashes, sealed folders, and the settings of runs that are resumed."""

from ssatom.files.atomic import filling, is_leftover, replacing, write_json
from ssatom.files.runs import differing, keep_settings
from ssatom.files.sealed import CardFormat, check_name, file_sha256

__all__ = [
    "CardFormat",
    "check_name",
    "differing",
    "file_sha256",
    "filling",
    "is_leftover",
    "keep_settings",
    "replacing",
    "write_json",
]
