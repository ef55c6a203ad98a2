"""Sealed folders: files under a card that holds their hashes, and a hash of what it says itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssatom.exceptions import SsatomError, WeightsError
from ssatom.files.atomic import is_leftover, was_cut, write_json

Content = dict[str, Any]
_SEAL = "card_sha256"
_LONGEST_CARD = 64 * 2**20  # bytes


def file_sha256(path: Path) -> str:
    """Sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_name(folder: Path, name: Any) -> None:
    """Refuse a name of a file or folder on a card that would lead out of the card's folder.

    Raises WeightsError if it is no text, empty, too long, or has a separator of paths.
    """
    plain = isinstance(name, str) and len(name) <= 200 and name not in ("", ".", "..")
    if not plain or set(name) & set("/\\\0"):
        raise WeightsError(f"{folder}: the card has the name {name!r:.60}, which is no plain name")


def seal(content: Content) -> str:
    """Sha256 of what a card says, whatever the order in which it is written."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _writer_of(content: Content) -> str:
    """What would read the card of a format that is newer than this package."""
    version = content.get("package_version")
    if isinstance(version, str) and re.fullmatch(r"[\w.+]{1,40}", version):
        return f"ssatom {version}, which wrote it, or a newer one"
    return "a newer ssatom"


@dataclass(frozen=True)
class CardFormat:
    """The card of one kind of folder: its versions, and what messages say of it.

    Attributes
    ----------
    version : int
        The newest, which is written.
    upgrades : mapping of int to callable
        One step from each older version to the next, by the version it starts from.
    noun : str
        What the folder holds, such as "weights".
    writers : str
        What writes such folders.
    remedy : str
        What to do about a damaged one.
    kind : str or None
        Value of the entry "kind", where the card has one.
    """

    version: int
    upgrades: Mapping[int, Callable[[Content], Content]]
    noun: str
    writers: str
    remedy: str
    kind: str | None = None

    def write(self, path: Path, content: Content) -> None:
        """Write a card with a hash of its own text."""
        write_json(path, {**content, _SEAL: seal(content)})

    def is_card(self, path: Path) -> bool:
        """Whether a file is such a card, whole or not."""
        try:
            return json.loads(path.read_text(encoding="utf-8"))["kind"] == self.kind
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return False

    def check_replaced(self, path: Path) -> bool:
        """Whether writing a card would replace one of its kind; refuses a folder of other things.

        SsatomError if the card's folder holds anything else.
        """
        folder = path.parent
        if self.is_card(path):
            return True
        if not folder.exists():
            return False
        free = folder.is_dir() and all(map(is_leftover, folder.iterdir()))
        if not free and not (folder.is_dir() and was_cut(folder, path.name)):
            raise SsatomError(
                f"'{folder}' is in the way: it holds something, and no {path.name} of {self.noun}; "
                "give another name, or move it elsewhere"
            )
        return False

    def read(self, path: Path) -> Content:
        """What a card of this version or an older one says, as this version says it.

        WeightsError if it is missing, no such card, changed by hand or from a newer ssatom.
        """
        content = self._parse(path)
        version = content.get("format_version") if isinstance(content, dict) else None
        if type(version) is not int or version < 1 or content.get("kind") != self.kind:
            raise WeightsError(f"{path} states no format_version; it is no card of {self.noun}")
        if version > self.version:
            raise WeightsError(
                f"{path} has format {version}, this ssatom reads up to {self.version}; install "
                f"{_writer_of(content)}"
            )
        if content.pop(_SEAL, None) != seal(content):
            raise WeightsError(
                f"{path} was changed after it was written (its {_SEAL} does not match); "
                f"{self.remedy}"
            )
        try:
            while content["format_version"] < self.version:
                content = self.upgrades[content["format_version"]](content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise WeightsError(
                f"{path} lacks what a card of format {version} has: {error}"
            ) from None
        return content

    def _parse(self, path: Path) -> Any:
        try:
            if path.exists() and not path.is_file():
                raise OSError("it is no regular file")
            if path.stat().st_size > _LONGEST_CARD:
                raise OSError(f"it has more than {_LONGEST_CARD:,} bytes")
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            folder = path.parent
            problem = f"it has no {path.name}" if folder.is_dir() else "there is no such folder"
            raise WeightsError(
                f"'{folder}' is no folder of {self.noun} ({problem}); give one that "
                f"{self.writers} wrote"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path} cannot be read as a card: {error}") from error

    def hashes(self, folder: Path, names: Iterable[str]) -> dict[str, str]:
        """Hashes of files for the card; all may read the files from now on."""
        for name in names:
            (folder / name).chmod(0o644)  # safetensors writes for the owner alone
        return {name: file_sha256(folder / name) for name in names}

    def verify(self, folder: Path, files: Any, needed: Iterable[str] = ()) -> None:
        """Refuse a folder of which a file has not the hash that its card says, or is missing.

        The card must name the `needed` files, and none outside of the folder.
        """
        if not isinstance(files, dict) or any(name not in files for name in needed):
            raise WeightsError(f"{folder}: the card does not name all files; {self.remedy}")
        for name, expected in files.items():
            check_name(folder, name)
            if not isinstance(expected, str):
                raise WeightsError(f"{folder}: the card has no hash of {name!r:.60}")
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                raise WeightsError(f"{path} is missing, the folder is incomplete; {self.remedy}")
            if (found := file_sha256(path)) != expected:
                raise WeightsError(
                    f"{path} was changed or damaged: its sha256 is {found[:12]}…, the card says "
                    f"{expected[:12]}…; {self.remedy}"
                )
