"""Files that are written whole or not at all, sealed cards, and runs that are resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ssatom.exceptions import WeightsError
from ssatom.files import (
    CardFormat,
    differing,
    file_sha256,
    filling,
    is_leftover,
    keep_settings,
    replacing,
    write_json,
)

FORMAT = CardFormat(
    2,
    {1: lambda card: {**card, "format_version": 2, "new": True}},
    noun="a thing",
    writers="somebody",
    remedy="write it again",
    kind="thing",
)


def test_a_file_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_json(path, "old")

    def fail() -> None:
        with replacing(path) as new:
            new.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert json.loads(path.read_text()) == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_may_be_written_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with replacing(tmp_path / "a.txt", tmp_path / "work") as new:
        new.write_text("new")
        assert new.parent == tmp_path / "work"
        assert os.listdir(tmp_path) == ["work"]
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "work"]
    assert os.listdir(tmp_path / "work") == []


@pytest.mark.parametrize("name", ["a" * 255, "ä b.json", ".hidden", os.fsdecode(b"\xff.txt")])
def test_any_name_that_the_system_takes(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / name, {"Å": [1, None]})
    assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == {"Å": [1, None]}
    assert os.listdir(tmp_path) == [name]


def test_files_have_the_rights_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_json(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_fails_changes_nothing(exists: bool, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "thing"
    if exists:
        folder.mkdir(parents=True)
        (folder / "card").write_text("old")

    def fail() -> None:
        with filling(folder, last="card") as new:
            (new / "card").write_text("new")
            raise OSError

    with pytest.raises(OSError):
        fail()
    assert folder.exists() == exists
    assert not exists or (os.listdir(folder), (folder / "card").read_text()) == (["card"], "old")
    assert not any(map(is_leftover, tmp_path.rglob("*")))


def test_a_folder_keeps_other_files_and_takes_its_card_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b).name), replace(a, b)))
    folder = tmp_path / "thing"
    (folder / "inner").mkdir(parents=True)
    for name in ("mine", "inner/old"):
        (folder / name).write_text("")
    with filling(folder, last="card") as new:
        (new / "inner").mkdir()
        for name in ("card", "tensors", "inner/new"):
            (new / name).write_text("")
    assert moved[-1] == "card"
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    assert found == ["card", "inner", "inner/new", "mine", "tensors"]


def test_cards(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    (tmp_path / "data").write_text("data")
    content = {"kind": "thing", "format_version": 1, "files": FORMAT.hashes(tmp_path, ["data"])}
    assert content["files"] == {"data": file_sha256(tmp_path / "data")}
    FORMAT.write(path, content)
    assert FORMAT.is_card(path)
    assert FORMAT.read(path) == {**content, "format_version": 2, "new": True}
    FORMAT.verify(tmp_path, content["files"])
    (tmp_path / "data").write_text("Data")
    with pytest.raises(WeightsError, match="data was changed or damaged.*write it again"):
        FORMAT.verify(tmp_path, content["files"])
    (tmp_path / "data").unlink()
    with pytest.raises(WeightsError, match="data is missing.*write it again"):
        FORMAT.verify(tmp_path, content["files"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as a card"),
        ("[]", "is no card of a thing"),
        ("{}", "is no card of a thing"),
        ('{"kind": "other", "format_version": 1}', "is no card of a thing"),
        ('{"kind": "thing", "format_version": 3}', "reads up to 2; install a newer ssatom"),
        ('{"kind": "thing", "format_version": 1}', "changed after it was written"),
        (None, "is no folder of a thing .it has no card.json.; give one that somebody wrote"),
    ],
)
def test_what_is_no_card(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "card.json").write_text(text)
    with pytest.raises(WeightsError, match=words):
        FORMAT.read(tmp_path / "card.json")


def test_settings_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    assert keep_settings(path, {"a": (1, 2), "b": {"c": 1}, "long": [1]}) == ""
    assert keep_settings(path, {"a": [1, 2], "b": {"c": 1}, "long": [1]}) == ""
    told = keep_settings(path, {"a": [1, 2], "b": {"c": 2, "d": 0}, "long": []}, unsaid=["long"])
    assert told == "c was 1 and is 2, d was None and is 0, long"
    assert keep_settings(path, {"b": 1}, upgrade=lambda kept: {"b": 1}) == ""
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no settings"):
        keep_settings(path, {})
    assert differing({"a": 1}, {"a": 1}) == {}
