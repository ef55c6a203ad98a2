"""Reading collections of crystals from files, folders and tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ssatom.corpora import _frames, _json  # noqa: F401  # each adds its formats
from ssatom.corpora._formats import UNKNOWN, allowed_names, cut_file, format_of, reading
from ssatom.corpora._layout import table_layout
from ssatom.corpora._records import Entry, Piece, StructureRecord, entries_in
from ssatom.corpora._tables import files_of_table
from ssatom.exceptions import (
    MissingFileError,
    ParameterError,
    StructureError,
    StructureFileError,
    StructureWarning,
    attempt,
    unwrap,
)
from ssatom.structures._text import printable, shortened
from ssatom.validation import one_of
from ssatom.warn import warn_user


class UnreadPiece(NamedTuple):
    """A piece of a file, such as a line, that this process or another is to read.

    Attributes
    ----------
    name : str
        What messages call the file.
    piece : callable or Entry
        The text, or the path of a file, which must be there when it is read.
    """

    name: str
    piece: Piece

    @property
    def n_bytes(self) -> int:
        """Bytes of text that it holds, about."""
        parts = getattr(self.piece, "args", ())
        return sum(len(part) for part in parts if isinstance(part, bytes | str))

    def read(self, errors: str = "raise") -> Iterator[StructureRecord]:
        """Records of the piece.

        Parameters
        ----------
        errors : {"raise", "keep"}, default="raise"
            As for `read_structures`.

        Yields
        ------
        StructureRecord
            As from `read_structures`.

        Raises
        ------
        StructureError
            With ``errors="raise"``, at the first that is bad.
        """
        for entry in self._entries():
            place = self.name + entry.place
            source, structure = place, entry.structure
            if entry.name is not None:
                source, place = printable(entry.name), f"{place} {shortened(entry.name)}"
            if isinstance(structure, StructureError):
                structure = structure.at(source=place)
                if errors == "raise":
                    raise structure
            for doubt in entry.doubts:
                warn_user(StructureWarning(doubt, source=place))
            yield StructureRecord(source, structure, dict(entry.properties))

    def _entries(self) -> Iterator[Entry]:
        try:
            with reading():
                yield from entries_in(self.piece)
            return
        except StructureError as error:
            told = error.at()
        yield Entry("", None, told)


class _Found(NamedTuple):
    """A file to read, what messages call it, and why it cannot be read or ""."""

    path: Path
    name: str
    problem: str = ""


def read_structures(
    path: str | os.PathLike[str], *, errors: str = "raise", structure_column: str | None = None
) -> Iterator[StructureRecord]:
    """Stream the crystals of a file or a folder.

    Files are told apart by their names, each also with ``.gz`` at the end:

    - ``.cif``: a structure for each data block with atoms, as from
      `ssatom.structures.structure_from_file`;
    - ``.vasp``, ``POSCAR*``, ``CONTCAR*``: one structure; ``.mcif``: one, by pymatgen;
    - ``.jsonl``: a structure a line, either ``{"id", "lattice", "numbers", "frac", "props",
      "site_props"}``, a pymatgen ``Structure.as_dict()``, an OPTIMADE entry, or the text of a CIF,
      POSCAR or JSON file, alone or under ``"structure"``; also whole answers of OPTIMADE;
    - ``.json``: one such row, a list or dict of them (``{id: structure}``, documents of the
      Materials Project), an answer of OPTIMADE, or a DataFrame as matminer, monty or pandas
      (in any ``orient``) write it; the only format that is read into memory as a whole;
    - ``.extxyz``, ``.xyz``: frames of extended XYZ; ``.traj``, ``.db``: ASE's trajectories and
      databases; all by ASE;
    - ``.csv``, ``.parquet``, ``.xlsx``: a table of a structure file in each row, its path relative
      to the table's own folder or its text, or a dict as JSON, in a column such as "structure",
      "path", "file" or "cif"; the other columns are properties. Names of files may lack their
      ending: ``NaCl`` is ``NaCl.cif``. Columns of CSV are between commas, semicolons, tabs or
      ``|``; the text is UTF-8; blank lines and those that begin with ``#`` are left out. Without
      a first line of names, as in the ``id_prop.csv`` of CGCNN and ALIGNN, the columns are called
      "structure", "column_1", "column_2", …. Excel needs ``pip install 'ssatom[excel]'``.

    Of a folder, all such files but tables and databases are read in the order of their names, and
    then those of its subfolders likewise, links included, each folder once; hidden and other files
    are ignored. What cannot be read there, such as a link that leads nowhere, is a bad record.

    Parameters
    ----------
    path : str or path-like
        File or folder.
    errors : {"raise", "keep"}, default="raise"
        What becomes of a row or file that is no usable structure: "raise" its error, or "keep"
        a record that has the error in place of the structure.
    structure_column : str or None, default=None
        Column of a table, or key of rows of JSON, that holds the structures; None finds it by its
        name, or else takes the only one that has them.

    Returns
    -------
    iterator of StructureRecord
        The source is the row's id; without one it is the path in a table, else the file's name
        (in a folder, its path from there), with the row of a table or of a JSON list from 0
        (``a.csv[0]``, as pandas counts them), the line of JSON lines from 1 (``a.jsonl:1``), the
        frame from 0 in ASE's notation (``a.extxyz@0``), or the data block of a CIF file of several
        (``a.cif#name``); bytes of names that are no UTF-8 stand as ``\\xfc``. Labels of sites are
        in `structure.site_properties`, those of the crystal in `properties`.

    Warns
    -----
    StructureWarning
        While iterating, of a structure whose file leaves a doubt, such as a missing occupancy.

    Raises
    ------
    MissingFileError
        At once, if there is nothing at the path.
    StructureFileError
        At once, if the file has another name, the folder holds none of these, or a table has no
        column of paths.
    ParameterError
        At once, if a table has no column `structure_column`, or the format has no columns.
    StructureError
        While iterating with ``errors="raise"``, at the first bad row or file.

    Examples
    --------
    >>> import tempfile
    >>> from ssatom.corpora import load_example_crystals, read_structures, write_structures
    >>> crystals = load_example_crystals().head(3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_structures(f"{folder}/few.jsonl", crystals["structure"], ids=["a", "b", "c"])
    ...     [record.source for record in read_structures(f"{folder}/few.jsonl")]
    ['a', 'b', 'c']
    """
    one_of("errors", errors, ("raise", "keep"))
    pieces = cut_structures(path, structure_column=structure_column)
    return (record for piece in pieces for record in piece.read(errors))


def cut_structures(
    path: str | os.PathLike[str], *, structure_column: str | None = None
) -> Iterator[UnreadPiece]:
    """Cut what `read_structures` reads into pieces, in little time, and raise as that does.

    Each piece can be pickled; the records of all, in order, are those of `read_structures`.
    """
    files = _find(path)
    kind = format_of(files[0].path)
    if kind.is_table:
        table_layout(files[0].path, structure_column)  # refuses at once
    elif structure_column is not None and not (kind.takes_column and Path(path).is_file()):
        raise ParameterError(
            f"structure_column={structure_column!r} is for tables and JSON; '{path}' is neither"
        )
    return _cut(files, structure_column)


def count_structures(path: str | os.PathLike[str]) -> int | None:
    """Number of records that `read_structures` will give, where it is cheap to know.

    Parameters
    ----------
    path : str or path-like
        File or folder, as for `read_structures`.

    Returns
    -------
    int or None
        None where only reading would tell (``.json``, a damaged file).

    Raises
    ------
    MissingFileError, StructureFileError
        As from `read_structures`.

    Examples
    --------
    >>> import tempfile
    >>> from ssatom.corpora import count_structures, load_example_crystals, write_structures
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_structures(f"{folder}/few.jsonl.gz", load_example_crystals()["structure"][:3])
    ...     count_structures(f"{folder}/few.jsonl.gz")
    3
    """
    total = 0
    for file, _, problem in _find(path):
        try:
            count = 1 if problem else format_of(file).count(file)
        except OSError:
            return None
        if count is None:
            return None
        total += count
    return total


def files_of(path: str | os.PathLike[str], structure_column: str | None = None) -> Iterator[Path]:
    """Files whose change would change what `read_structures` gives, the path itself first."""
    for found in _find(path):
        yield found.path
        if format_of(found.path).is_table:
            yield from files_of_table(found.path, structure_column)


def _cut(files: list[_Found], structure_column: str | None) -> Iterator[UnreadPiece]:
    """Pieces of all files; that of a file that has an error as a whole ends with it."""
    for found in files:
        try:
            if found.problem:
                raise StructureFileError(found.problem)
            for piece in cut_file(found.path, structure_column):
                yield UnreadPiece(found.name, piece)
            continue
        except StructureError as error:
            told = error.at()
        yield UnreadPiece(found.name, Entry("", None, told))


def _find(path: str | os.PathLike[str]) -> list[_Found]:
    """What to read, with the names that sources and messages give it."""
    return unwrap(attempt(_found, Path(path), source=printable(os.fspath(path))))


def _found(path: Path) -> list[_Found]:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(
            f"there is no such file or folder (looked in {os.getcwd()})"
        ) from None
    except (OSError, ValueError) as error:
        raise StructureFileError(f"cannot be read: {error}") from error
    if path.is_file():
        if path.name.removesuffix(".gz").endswith((".pkl", ".pickle")):
            raise StructureFileError(
                "this is a pickle, which may run any code when it is read; store the DataFrame "
                "with matminer.utils.io.store_dataframe_as_json, or its structures with "
                "write_structures"
            )
        if format_of(path) is UNKNOWN:
            raise StructureFileError(
                f"the format is not known by this name; allowed are {allowed_names(tables=True)}"
            )
        return [_Found(path, printable(path.name))]
    if not path.is_dir():
        raise StructureFileError("this is neither a file nor a folder; give one of the two")
    found = list(_walk(path, path, {os.path.realpath(path)}))
    if not found:
        raise StructureFileError(
            f"this folder has no structure files; allowed are {allowed_names(tables=False)}"
        )
    if found[0].path == path:
        raise StructureFileError(found[0].problem)
    return found


def _walk(folder: Path, root: Path, seen: set[str]) -> Iterator[_Found]:
    """Structure files in the order of their names, those of subfolders after each folder's own.

    Links are followed; each folder is read once, under its own name where it lies in `root`.
    Tables are not read: the files that they name would come twice, and features are tables too.
    """

    def found(path: Path, problem: str = "") -> _Found:
        name = path.relative_to(root) if path != root else Path(path.name or path)
        return _Found(path, printable(name.as_posix()), problem)

    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError as error:
        yield found(folder, f"this folder cannot be read ({error.strerror})")
        return
    folders = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = folder / entry.name
        try:
            if entry.is_symlink():
                entry.stat()
        except OSError as error:
            if format_of(path).in_folders or not path.suffix:  # else it is ignored anyway
                yield found(path, f"this link leads to no file ({error.strerror})")
            continue
        if entry.is_dir():
            folders.append(path)
        elif format_of(path).in_folders:
            yield found(path, "" if entry.is_file() else "this is no regular file")
    for path in folders:
        real = os.path.realpath(path)
        inner = os.path.relpath(real, os.path.realpath(root)).split(os.sep)
        comes_anyway = not any(part.startswith(".") for part in inner)
        if real not in seen and not (path.is_symlink() and comes_anyway):
            seen.add(real)
            yield from _walk(path, root, seen)
