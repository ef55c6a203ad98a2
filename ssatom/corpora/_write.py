"""Writing collections."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import orjson
from pymatgen.core import Structure

from ssatom.corpora._frames import entry_of_frame
from ssatom.exceptions import (
    MissingFileError,
    ParameterError,
    SsatomError,
    StructureError,
    StructureFileError,
)
from ssatom.files import replacing
from ssatom.structures import StructureLike, formula_of, iter_structures, structure_arrays
from ssatom.structures._dicts import plain_value

BinaryFile: TypeAlias = "IO[bytes] | gzip.GzipFile"
_Row: TypeAlias = tuple[str | None, Structure, Mapping[str, Any]]
_MISSING = object()
_NO_FILE_NAME = re.compile(r'^\.|[/\\:*?"<>|\x00-\x1f]|^$')


def write_structures(
    path: str | os.PathLike[str],
    structures: Iterable[StructureLike],
    ids: Iterable[str] | None = None,
    properties: Iterable[Mapping[str, Any]] | None = None,
) -> None:
    """Write crystals into one file or a folder that `read_structures` reads.

    Parameters
    ----------
    path : str or path-like
        ``.jsonl`` or ``.jsonl.gz`` keeps everything but oxidation states, with None for numbers
        that are not finite; ``.extxyz`` keeps eight decimals, drops charges and properties that
        are None or empty, and takes texts that look like numbers for numbers; a name without
        suffix is a folder of CIF files, which is made if need be and keeps the crystals alone.
        Files are replaced once the new one is complete.
    structures : iterable of Structure, Atoms or path
        As `check_structures` takes them; a generator is streamed.
    ids : iterable of str, default=None
        One for each structure; for CIF the name of its file. Without them JSON lines and frames
        are named by their place, and CIF files are ``000000.cif``, ``000001.cif``, ….
    properties : iterable of dict, or DataFrame, default=None
        Labels to keep with each structure.

    Raises
    ------
    StructureError
        If something is no structure.
    StructureFileError
        If the system cannot write it, for instance to a disk that is full.
    MissingFileError
        If the folder of the new file is not there.
    ParameterError
        If the path has another suffix, the lengths differ, or the format cannot hold what it is
        given.

    Examples
    --------
    >>> import tempfile
    >>> from ssatom.corpora import load_example_crystals, read_structures, write_structures
    >>> structures = load_example_crystals()["structure"].head(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_structures(folder, structures, ids=["one", "two"])
    ...     [record.source for record in read_structures(folder)]
    ['one.cif', 'two.cif']
    """
    path = Path(path)
    rows = _rows(structures, ids, properties)
    if path.is_dir() or not path.suffix:
        _write_folder(path, rows)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        _write_file(path, rows, _write_line)
    elif path.name.endswith(".extxyz"):
        _write_file(path, rows, _write_frame)
    else:
        raise ParameterError(
            f"path is '{path}'; allowed are names that end in .jsonl, .jsonl.gz or .extxyz, and "
            "folders, without suffix, for CIF files"
        )


def _rows(
    structures: Iterable[StructureLike],
    ids: Iterable[str] | None,
    properties: Iterable[Mapping[str, Any]] | None,
) -> Iterator[_Row]:
    frame: Any = properties
    labels = frame.to_dict("records") if hasattr(frame, "to_dict") else frame
    given = {"structures": iter_structures(structures), "ids": ids, "properties": labels}
    columns = {name: values for name, values in given.items() if values is not None}
    for number, values in enumerate(zip_longest(*columns.values(), fillvalue=_MISSING)):
        row = dict(zip(columns, values, strict=True))
        ended = [column for column, value in row.items() if value is _MISSING]
        if ended:
            raise ParameterError(
                f"{' and '.join(ended)} end after {number} rows, before "
                f"{' and '.join(row.keys() - set(ended))}; give one for each structure"
            )
        if isinstance(row["structures"], StructureError):
            raise row["structures"]
        name = row.get("ids")
        yield None if name is None else str(name), row["structures"], row.get("properties") or {}


def _write_file(
    path: Path, rows: Iterator[_Row], write: Callable[[BinaryFile, _Row], None]
) -> None:
    if not path.parent.is_dir():
        raise MissingFileError(f"'{path}': there is no folder '{path.parent}'; make it first")
    with _replacing(path) as new, new.open("wb") as raw, ExitStack() as stack:
        file: BinaryFile = raw
        if path.suffix == ".gz":  # neither name nor time in the header: equal contents, equal files
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
            file = stack.enter_context(packed)
        for row in rows:
            write(file, row)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """`replacing`, where what the system says, such as of a full disk, names the file."""
    try:
        with replacing(path) as new:
            yield new
    except SsatomError:
        raise
    except OSError as error:
        raise StructureFileError(
            f"'{path}' cannot be written ({error.strerror or error}); what was there before is as "
            "it was; make room, or give another path"
        ) from error


def _write_line(file: BinaryFile, row: _Row) -> None:
    name, structure, properties = row
    arrays = structure_arrays(structure)
    fields = {"id": name, **arrays._asdict()}
    fields["frac"] = fields.pop("frac_coords")
    fields |= {"props": dict(properties), "site_props": structure.site_properties}
    kept = {key: value for key, value in fields.items() if value is not None and len(value)}
    # Not its property, which sums oxidation states up, and warns where they disagree.
    if structure._charge:
        kept["charge"] = structure._charge
    file.write(_dumps(kept, row) + b"\n")


def _dumps(fields: Mapping[str, Any], row: _Row) -> bytes:
    try:
        return orjson.dumps(fields, default=_jsonable, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        name = row[0] or formula_of(row[1])
        raise ParameterError(
            f"{name}: its properties cannot be written ({error}); allowed are numbers, text, and "
            "lists and dicts of them"
        ) from None


def _jsonable(value: Any) -> Any:
    if hasattr(value, "global_moment"):  # pymatgen's Magmom: its Cartesian vector, μB
        return value.global_moment.tolist()
    return plain_value(value)


def _write_frame(file: BinaryFile, row: _Row) -> None:
    from ase import Atoms
    from ase.io import read, write

    name, structure, properties = row
    arrays = structure_arrays(structure)
    info = {} if name is None else {"id": name}
    # The format cannot hold None, and reads the next word as the value of an empty text.
    texts = orjson.loads(_dumps(dict(properties), row))
    info |= {key: value for key, value in texts.items() if value not in (None, "")}
    columns = {key: _column(values) for key, values in structure.site_properties.items()}
    atoms = Atoms(
        arrays.numbers,
        cell=arrays.lattice,
        scaled_positions=arrays.frac_coords,
        pbc=True,
        info=info,
    )
    text = io.StringIO()
    try:
        for key, values in columns.items():
            atoms.set_array(key, values)
        write(text, atoms, format="extxyz")
        text.seek(0)
        record = entry_of_frame(read(text, format="extxyz"), "")
        kept = record.structure.site_properties  # type: ignore[union-attr]
        lost = [key for key, values in columns.items() if not _same(values, kept.get(key))]
        lost += [key for key in info if key != "id" and key not in record.properties]
    except Exception:  # of any kind: ASE does not check the values
        lost = [*columns] or [*info]
    if lost:
        raise ParameterError(
            f"{name or formula_of(structure)}: {', '.join(map(repr, lost))} cannot be kept in "
            ".extxyz, which takes numbers, None in their place, words, and lists of numbers of one "
            "length, under words as names that ASE does not use itself; leave it out, give it "
            "another name, or write .jsonl"
        )
    file.write(text.getvalue().encode())


def _column(values: Sequence[Any]) -> np.ndarray:
    """A site property as an array, where an unknown number is NaN; of no rows if it is mixed."""
    if len({type(value) if isinstance(value, str | bool) else None for value in values}) > 1:
        return np.array(None)  # NumPy would turn numbers into texts, and None beside True into one
    try:
        return np.array([np.nan if v is None else getattr(v, "global_moment", v) for v in values])
    except ValueError:  # lists of several lengths
        return np.array(None)


def _same(written: np.ndarray, read: Any) -> bool:
    found = np.array(read)
    if found.shape != written.shape or (found.dtype.kind == "U") != (written.dtype.kind == "U"):
        return False
    if written.dtype.kind == "f":  # eight decimals
        return np.allclose(written, found, rtol=1e-7, atol=1e-8, equal_nan=True)
    return np.array_equal(written, found)


def _write_folder(path: Path, rows: Iterator[_Row]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    written = set()
    for number, (name, structure, properties) in enumerate(rows):
        if properties:
            raise ParameterError(
                "properties cannot be kept in CIF files; leave them out, or write .jsonl"
            )
        stem = f"{number:06d}" if name is None else name.removesuffix(".cif")
        known = stem.casefold()  # some systems take "Co" and "CO" for one file
        if _NO_FILE_NAME.search(stem) or known in written:
            problem = "stands there twice" if known in written else "cannot name a file"
            raise ParameterError(f"ids[{number}] is {name!r}, which {problem}; give another")
        written.add(known)
        file, text = path / f"{stem}.cif", structure.to(fmt="cif")
        with _replacing(file) as new:
            new.write_text(text, encoding="utf-8")
