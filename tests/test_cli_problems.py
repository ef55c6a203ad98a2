"""What the command line tells of single crystals, and what it keeps when a disk is full."""

from __future__ import annotations

import csv
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure
from safetensors import SafetensorError
from typer.testing import CliRunner, Result

from ssatom import load_estimator, load_pretrained
from ssatom.cli import _items, app
from ssatom.cli._disk import disk_error
from ssatom.corpora import StructureRecord, UnreadPiece, write_structures
from ssatom.exceptions import GraphWarning, StructureError, StructureWarning
from ssatom.storage import folder

N = 8
FULL = OSError(errno.ENOSPC, "No space left on device")
TINY = ["--hidden-dim", 8, "--n-conv", 2, "--max-epochs", 1, "--no-progress"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def featurize(*arguments: object) -> Result:
    return run("featurize", *arguments, "--weights", "random", "--layers", "0", "--no-progress")


def fit(*arguments: object) -> Result:
    options = ["--model", "negnn", "--weights", "random", "--max-epochs", 1, "--no-progress"]
    return run("fit", *arguments, *options)


def problems(path: str = "x.csv.problems.csv") -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["source", "kind", "reason"]
    return rows


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of CIF files with a table, and an empty working directory."""
    folder = tmp_path / "data"
    cells = [Structure(Lattice.cubic(3 + i / 10), ["Po"], [[0, 0, 0]]) for i in range(N)]
    write_structures(folder, cells, ids=[str(i) for i in range(N)])
    rows = "".join(f"{i}.cif,{i}.5\n" for i in range(N))
    (folder / "t.csv").write_text("path,gap\n" + rows)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def says(monkeypatch: pytest.MonkeyPatch, told: dict[str, list[Warning]]) -> None:
    """Let the reader warn of some sources."""
    read = UnreadPiece.read

    def warned(*arguments: Any, **options: Any) -> Iterator[StructureRecord]:
        for record in read(*arguments, **options):
            for warning in told.get(record.source, []):
                warnings.warn(warning, stacklevel=1)
            yield record

    monkeypatch.setattr(UnreadPiece, "read", warned)


# --- warnings and errors ------------------------------------------------------------------------


def test_warnings_that_matter_come_first(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"]
    told: dict[str, list[Warning]] = {
        f"{i}.cif": [UserWarning(f"harmless {word}")] for i, word in enumerate(words)
    }
    told["7.cif"] = [UserWarning("harmless theta"), StructureWarning("an atom was lost")]
    told["6.cif"].append(StructureWarning("site 3 has been moved by 0.1 Å"))
    told["5.cif"].append(StructureWarning("site 4 has been moved by 0.25 Å"))
    told["4.cif"].append(GraphWarning("is odd"))
    says(monkeypatch, told)
    result = featurize(data, "-o", "x.csv")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: is odd (1 crystal: 4.cif)",
        "warning: site 4 has been moved by 0.25 Å (and the like, 2 crystals: 5.cif, 6.cif)",
        "warning: an atom was lost (1 crystal: 7.cif)",
        *(f"warning: harmless {word} (1 crystal: {i}.cif)" for i, word in enumerate(words[:5])),
        "warning: and 3 more kinds from libraries",
        "all problems are listed in 'x.csv.problems.csv'",
    ]
    rows = problems()
    assert {kind for _, kind, _ in rows} == {"warning"}
    assert rows[0] == ["4.cif", "warning", "is odd"]
    assert [row[0] for row in rows if "harmless" in row[2]] == [f"{i}.cif" for i in range(N)]
    monkeypatch.undo()


def test_table_of_problems_goes_with_the_last_run(data: Path) -> None:
    (data / "bad.cif").write_text("nothing")
    assert featurize(data, "-o", "x.csv").exit_code == 3
    assert [row[:2] for row in problems()] == [["bad.cif", "error"]]
    (data / "bad.cif").unlink()
    result = featurize(data, "-o", "x.csv", "--overwrite")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert os.listdir() == ["x.csv"]


def test_many_bad_rows_fill_no_screen(data: Path) -> None:
    rows = [f"{i}.cif,1" for i in range(N)] + [f"gone{i}.cif,1" for i in range(200)]
    (data / "t.csv").write_text("\n".join(["path,gap", *rows, "0.cif,1,2"]))
    result = featurize(data / "t.csv", "-o", "x.parquet")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) < 8
    assert "gone0.cif, gone1.cif, gone2.cif, gone3.cif, gone4.cif and 195 more" in result.stderr
    assert "201 of 209 structures could not be used" in result.stderr
    assert "3 cells under 2 columns" in result.stderr
    found = problems("x.parquet.problems.csv")
    assert [row[0] for row in found] == [*(f"gone{i}.cif" for i in range(200)), "t.csv[208]"]
    assert all("there is no file 'gone" in row[2] for row in found[:200])


def test_warnings_about_rows_name_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]])
    chunk = [_items.Item(StructureRecord(name, cell, {}), []) for name in "abc"]

    def compute(structures: list) -> Iterator[Any]:
        warnings.warn(GraphWarning("some sites are alone", rows=[0, 2]), stacklevel=1)
        warnings.warn(StructureWarning("was wrapped", [1]), stacklevel=1)
        yield from [1, StructureError("is bad", row=0), StructureError("is bad", source="f:3 'c'")]

    rows, told = _items.apply(chunk, compute)
    assert rows[0] == 1
    assert [tuple(one) for one in told] == [
        ("a", "warning", "some sites are alone"),
        ("c", "warning", "some sites are alone"),
        ("b", "warning", "was wrapped"),
        ("b", "error", "is bad"),
        ("c", "error", "f:3 'c': is bad"),
    ]


def test_names_that_are_no_utf8(data: Path) -> None:
    for name in (b"Gr\xfcn.cif", b"bad\xfc.cif"):
        path = Path(os.fsdecode(os.fsencode(data) + b"/" + name))
        path.write_text("nothing" if b"bad" in name else (data / "0.cif").read_text())
    (data / "dead.cif").symlink_to("nowhere")
    for suffix in ("csv", "parquet", "npz"):
        result = featurize(data, data / "t.csv", "-o", f"x.{suffix}")
        assert result.exit_code == 3, result.output
        found = problems(f"x.{suffix}.problems.csv")
        assert [row[0] for row in found] == [rf"{data}/bad\xfc.cif", "dead.cif"]
    with open("x.csv", encoding="utf-8") as file:
        assert rf"{data}/Gr\xfcn.cif" in [row["source"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_without_any_crystal_there_is_no_table(suffix: str, data: Path) -> None:
    Path("bad").mkdir()
    for i in range(3):
        Path(f"bad/{i}.cif").write_text("data_x")
    assert featurize("bad", "-o", f"x.{suffix}").exit_code == 3
    assert sorted(os.listdir()) == ["bad", f"x.{suffix}.problems.csv"]
    assert len(problems(f"x.{suffix}.problems.csv")) == 3
    result = featurize("bad", "-o", f"x.{suffix}")
    assert result.exit_code == 3
    assert "none, since no structure could be used" in result.stdout
    assert featurize(data, "-o", f"x.{suffix}").exit_code == 0
    assert sorted(os.listdir()) == ["bad", f"x.{suffix}"]
    # The table of other crystals would be taken for the new one.
    assert featurize("bad", "-o", f"x.{suffix}", "--overwrite").exit_code == 3
    assert not Path(f"x.{suffix}").exists()


def test_sites_that_no_crystal_has_are_an_empty_table(data: Path) -> None:
    assert featurize(data, "-o", "x.csv", "--sites", "Fe").exit_code == 0
    assert len(Path("x.csv").read_text().splitlines()) == 1


# --- fit ----------------------------------------------------------------------------------------


def test_fit_lists_problems_in_the_model(data: Path) -> None:
    with (data / "t.csv").open("a") as file:
        file.write("gone.cif,1\n0.cif,\n")
    assert fit(data / "t.csv", "-t", "gap", "-o", "m", "--errors", "skip").exit_code == 3
    sources = [row[:2] for row in problems("m/problems.csv")]
    assert sources == [["gone.cif", "error"], ["0.cif", "error"]]
    rows = "".join(f"{i}.cif,{i}.5\n" for i in range(N))
    (data / "t.csv").write_text("path,gap\n" + rows)
    assert fit(data / "t.csv", "-t", "gap", "-o", "m", "--overwrite").exit_code == 0
    assert not Path("m/problems.csv").exists()


def test_fit_on_tables_without_names(data: Path) -> None:
    (data / "id_prop.csv").write_text("".join(f"{i},{i}.5\n" for i in range(N)))
    result = fit(data / "id_prop.csv", "-t", "gap", "-o", "m")
    assert result.exit_code == 2
    for words in ("no first line of names", "'structure', 'column_1'; give one of these in place"):
        assert words in result.stderr
    result = fit(data / "id_prop.csv", "-t", "column_1", "-o", "m")
    assert result.exit_code == 0
    assert "no first line of names" in problems("m/problems.csv")[0][2]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "path,gap\n{i}.cif,{i}.5,\n",
            [],
            "row 0 (t.csv[0]): this row (line 2 of the file) has",
        ),
        (
            "path,gap\n{i}.cif,{i}.5,\n",
            ["--errors", "skip"],
            "first, t.csv[0]: this row (line 2 of the file) has 3 cells",
        ),
        ("path;gap\n{i}.cif;{i},5\n", [], "is '0,5', which is no number; write decimals with a po"),
        ("path;gap\n{i}.cif;1.{i}00,5\n", [], "is '1.000,5', which is no number; write decimals"),
        ('path,gap\n{i}.cif,"' + "long " * 500 + '"\n', [], "which is no number; for classes"),
        ("path;gap\n{i}.cif;1\n", ["-t", "gaps"], "no column 'gaps'; allowed: 'gap'"),
    ],
)
def test_fit_says_what_is_wrong_with_a_table(
    data: Path, text: str, options: list[str], words: str
) -> None:
    head, line = text.splitlines(keepends=True)
    rows = "".join(line.replace("{i}", str(i)) for i in range(N))
    (data / "t.csv").write_text(head + rows)
    result = fit(data / "t.csv", "-t", "gap", "-o", "m", *options)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 500


# --- disks that are full ------------------------------------------------------------------------


def test_errors_of_the_disk_are_known_in_every_guise() -> None:
    wrapped = ValueError("no")
    wrapped.__cause__ = FULL
    for error in (
        *(FULL, wrapped, SafetensorError("I/O error: No space left on device (os error 28)")),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
    ):
        assert disk_error(error)
    for other in (ValueError("no"), FileNotFoundError(errno.ENOENT, "no"), RuntimeError("no")):
        assert disk_error(other) is None


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    "place", ["PartFolder.add", "pa.ipc.new_file", "PartFolder.tables", "PartFolder._begin"]
)
def test_featurize_goes_on_once_there_is_room(
    suffix: str, place: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_items, "_CHUNK_STRUCTURES", 3)
    whole, cut = f"whole.{suffix}", f"cut.{suffix}"
    assert featurize(data, "-o", whole).exit_code == 0

    def full(*_: Any) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr(f"ssatom.cli._parts.{place}", full)
        result = featurize(data, "-o", cut)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"error: '{cut}" in result.stderr
    assert "cannot be written (No space left on device)" in result.stderr
    if place == "PartFolder.tables":
        assert "8 structures are done and kept in cut" in result.stderr
    assert not Path(cut).exists()
    assert not Path(f"{cut}.part/new").exists()
    assert featurize(data, "-o", cut).exit_code == 0
    assert Path(cut).read_bytes() == Path(whole).read_bytes()
    assert sorted(os.listdir()) == [cut, whole]


def test_half_a_table_is_removed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssatom.cli import _tables

    def full(path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise FULL

    (data / "bad.cif").write_text("nothing")
    with monkeypatch.context() as patched:
        patched.setitem(_tables.WRITERS, ".csv", full)
        assert featurize(data, "-o", "x.csv").exit_code == 1
    assert os.listdir() == ["x.csv.part"]
    assert sorted(os.listdir("x.csv.part")) == ["000000.arrow", "lock", "settings"]
    assert featurize(data, "-o", "x.csv").exit_code == 3
    assert sorted(os.listdir()) == ["x.csv", "x.csv.problems.csv"]


def test_fit_asks_for_room_before_it_trains(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise FULL

    monkeypatch.setattr("ssatom.cli.fit.os.fsync", full)
    monkeypatch.setattr("ssatom.cli.fit._train", None)
    result = fit(data / "t.csv", "-t", "gap", "-o", "m")
    assert result.exit_code == 1
    assert "'m' cannot be written (No space left on device); nothing was trained" in result.stderr
    assert os.listdir() == []


def test_a_trained_model_is_kept_elsewhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert fit(data / "t.csv", "-t", "gap", "-o", "m").exit_code == 0
    before = {path.name: path.read_bytes() for path in Path("m").iterdir()}
    write_file = folder._write_file

    def full(path: Path, data: bytes) -> None:
        if tmp_path / "work" in path.absolute().parents:
            path.write_bytes(b"half")
            raise OSError(errno.EFBIG, "File too large")
        write_file(path, data)

    monkeypatch.setattr(folder, "_write_file", full)
    for output, options in (("m", ["--overwrite"]), ("new", [])):
        result = fit(data / "t.csv", "-t", "gap", "-o", output, *options)
        assert result.exit_code == 1
        assert f"'{output}' cannot be written (File too large); the model is kept" in result.stderr
        kept = result.stderr.split("kept in '")[1].split("'")[0]
        assert load_estimator(kept).target_names_ == ["gap"]
    assert {path.name: path.read_bytes() for path in Path("m").iterdir()} == before
    assert os.listdir() == ["m"]


def test_pretraining_keeps_what_it_has(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["pretrain", data, *TINY, "-o", "w"]

    def full(*_: Any, **__: Any) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr("lightning.pytorch.Trainer.save_checkpoint", full)
        result = run(*command)
    assert result.exit_code == 1
    assert "the epochs that were complete are kept in w.run; make room, and give" in result.stderr
    assert run(*command).exit_code == 0
    before = {path.name: path.read_bytes() for path in Path("w").iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr("matplotlib.figure.Figure.savefig", full)
        result = run(*command, "--overwrite")
    assert result.exit_code == 1
    assert "'w' cannot be written (No space left on device); the training is kept in w.run" in (
        result.stderr
    )
    assert {path.name: path.read_bytes() for path in Path("w").iterdir()} == before
    assert load_pretrained("w").card is not None
    assert sorted(os.listdir()) == ["w", "w.run"]


def test_settings_and_parts_that_are_damaged(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr("ssatom.cli._parts.PartFolder.tables", full)
        assert featurize(data, "-o", "x.csv").exit_code == 1
    part, settings = Path("x.csv.part/000000.arrow"), Path("x.csv.part/settings")
    part.write_bytes(part.read_bytes()[:-100])
    result = featurize(data, "-o", "x.csv")
    assert result.exit_code == 1
    assert "000000.arrow is damaged" in result.stderr
    for text in ("{", "[1]"):
        settings.write_text(text)
        assert "settings is damaged; delete the folder" in featurize(data, "-o", "x.csv").stderr


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.extxyz", "folder"])
def test_written_structures_stay_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]]) for a in (3, 4)]
    path = tmp_path / name
    write_structures(path, cells[:1])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def full(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="cannot be written .No space left on device."):
        write_structures(path, cells)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
