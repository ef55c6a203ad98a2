"""Files: written in one step, hashes, sealed folders, and runs that can be resumed."""

from ssatom.files.atomic import filling, is_leftover, json_text, replacing, write_json, write_text
from ssatom.files.runs import RunLock, differing, keep_settings
from ssatom.files.sealed import CardFormat, file_sha256, seal

__all__ = [
    "CardFormat",
    "RunLock",
    "differing",
    "file_sha256",
    "filling",
    "is_leftover",
    "json_text",
    "keep_settings",
    "replacing",
    "seal",
    "write_json",
    "write_text",
]
