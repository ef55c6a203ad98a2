"""The data sets by name: structures, labels, groups, and the hash of the file."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from ssatom import MissingFileError, ParameterError, read_structures
from ssatom.corpora import StructureRecord


@dataclass(frozen=True)
class DatasetInfo:
    """What a data file holds.

    Attributes
    ----------
    targets : dict of str
        Labels and their units; the first is the default.
    description : str
        One line.
    fold : str or None
        Key of the division that the data come with, such as official folds.
    level : str
        "structure" or "site".
    """

    targets: dict[str, str]
    description: str
    fold: str | None = None
    level: str = "structure"


DATASETS = {
    "paper_formation": DatasetInfo(
        {"formation_energy_per_atom": "eV/atom"},
        "formation energies of 3,139 of the paper's 4,000 Materials Project ids",
    ),
    "paper_hse_gap": DatasetInfo({"hse_gap": "eV"}, "HSE band gaps of the paper's ids"),
    "paper_elastic": DatasetInfo(
        {"log10_K": "log10 GPa", "log10_G": "log10 GPa", "poisson": "1"},
        "bulk and shear moduli and Poisson ratios of the paper's ids",
    ),
    "paper_magmom": DatasetInfo(
        {"magmom": "μB"}, "experimental moments of the paper's 1,816 sites", level="site"
    ),
    "mp2018_36k": DatasetInfo(
        {"formation_energy_per_atom": "eV/atom", "band_gap": "eV"},
        "36,835 crystals of the Materials Project in 2018",
        fold="split",
    ),
    "matbench_phonons": DatasetInfo(
        {"last_phdos_peak_cm1": "1/cm"},
        "highest phonon frequency of 1,265 crystals, with matbench's folds",
        fold="matbench_fold",
    ),
    "dielectric": DatasetInfo(
        {"n": "1", "log10_poly_total": "1", "band_gap": "eV"},
        "refractive indices and dielectric constants of 1,056 crystals",
    ),
}
"""Names are those of the files, without ``.jsonl.gz``."""

PUBLIC_SETS = {
    "paper_formation.jsonl.gz": "mp_all_20181018",
    "paper_hse_gap.jsonl.gz": None,
    "paper_elastic.jsonl.gz": "elastic_tensor_2015",
    "paper_magmom.jsonl.gz": "magndata",
    "mp2018_36k.jsonl.gz": "mp_all_20181018",
    "matbench_phonons.jsonl.gz": "matbench_phonons",
    "dielectric.jsonl.gz": "dielectric_constant",
    "corpus_mp.jsonl.gz": "materials-project",
    "magndata_mcif.tar.xz": "magndata",
}
"""The name in ``ssatom data list`` of the public set that each data file can be made from."""


def where_from(file: str) -> str:
    """How to get the public set of a data file, in words."""
    name = PUBLIC_SETS[file]
    return f"from `ssatom data fetch {name}`" if name else "no public set has its labels"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures, or sites of structures, with one label each.

    Attributes
    ----------
    name, target, unit : str
        Data file, label, and the label's unit.
    structures : list of Structure
        One for each row; the sites of one crystal share it.
    y : ndarray of float64, shape (n_rows,)
        Labels.
    sites : ndarray of int or None, shape (n_rows,)
        Site of each row, for labels of sites.
    groups : ndarray of str, shape (n_rows,)
        Reduced formulas.
    ids : ndarray of str, shape (n_rows,)
        Ids of the crystals.
    folds : ndarray of str or None, shape (n_rows,)
        The division that the data come with: "train", "valid" and "test", or official folds.
    path : Path
        Of the file.
    sha256 : str
        Of the file as it is, in hexadecimal.
    n_without_label : int
        Crystals left out since the file has no value for them.
    n_left_out : int
        Rows left out by `select`.
    """

    name: str
    target: str
    unit: str
    structures: list[Structure]
    y: np.ndarray
    sites: np.ndarray | None
    groups: np.ndarray
    ids: np.ndarray
    folds: np.ndarray | None
    path: Path
    sha256: str
    n_without_label: int
    n_left_out: int = 0

    def __len__(self) -> int:
        return len(self.y)

    @property
    def rows(self) -> list[Any]:
        """What featurizers take: structures, or pairs of structure and site."""
        if self.sites is None:
            return self.structures
        return list(zip(self.structures, self.sites.tolist(), strict=True))

    def select(self, kept: Any) -> Dataset:
        """Some of the rows, such as those for which all rival features exist.

        Parameters
        ----------
        kept : array-like of bool, shape (n_rows,), or of int
            A mask, or row numbers in the order wanted.

        Returns
        -------
        Dataset
            Its `provenance` counts the rows that are left out.
        """
        places = np.arange(len(self))[np.asarray(kept)]
        columns: dict[str, Any] = {
            name: None if column is None else column[places]
            for name in ("y", "sites", "groups", "ids", "folds")
            for column in [getattr(self, name)]
        }
        return replace(
            self,
            structures=[self.structures[i] for i in places],
            n_left_out=self.n_left_out + len(self) - len(places),
            **columns,
        )

    def provenance(self) -> dict[str, Any]:
        """What a result file says of its data.

        Returns
        -------
        dict
            Name, target, unit, file, hash and numbers of rows.
        """
        return {
            "name": self.name,
            "target": self.target,
            "unit": self.unit,
            "file": self.path.name,
            "sha256": self.sha256,
            "n_rows": len(self),
            "n_groups": len(np.unique(self.groups)),
            "n_without_label": self.n_without_label,
            "n_left_out": self.n_left_out,
        }


def load_dataset(
    name: str,
    directory: str | os.PathLike[str],
    target: str | None = None,
    *,
    max_crystals: int | None = None,
) -> Dataset:
    """Load one of the data files.

    Parameters
    ----------
    name : str
        One of `DATASETS`; the file is ``<name>.jsonl.gz``, or ``<name>.jsonl``.
    directory : path
        Where the files are.
    target : str, default=None
        Which label; None is the first of ``DATASETS[name].targets``.
    max_crystals : int, default=None
        Read no more crystals than these first ones.

    Returns
    -------
    Dataset
        In the order of the file, without crystals that have no value of this label.

    Raises
    ------
    MissingFileError
        If the file is not there.
    ParameterError
        If the name or the target is unknown, or a label is not a finite number.
    StructureError
        If a row of the file is no usable structure.
    """
    if name not in DATASETS:
        raise ParameterError(f"name={name!r}: no such data set; allowed: {', '.join(DATASETS)}")
    info = DATASETS[name]
    target = next(iter(info.targets)) if target is None else target
    if target not in info.targets:
        raise ParameterError(
            f"target={target!r}: {name} has no such label; allowed: {', '.join(info.targets)}"
        )
    path = _find(name, directory)
    columns = _Columns(target, info)
    for record in islice(read_structures(path), max_crystals):
        columns.add(record, path)
    if not columns.labels:
        raise ParameterError(
            f"'{path}' has no crystal with the label {target!r}; is it the right file?"
        )
    return Dataset(
        name=name,
        target=target,
        unit=info.targets[target],
        structures=columns.structures,
        y=np.array(columns.labels),
        sites=np.array(columns.sites) if info.level == "site" else None,
        groups=np.array(columns.groups),
        ids=np.array(columns.ids),
        folds=np.array(columns.folds) if info.fold else None,
        path=path,
        sha256=_sha256(path),
        n_without_label=columns.n_without_label,
    )


class _Columns:
    """Rows as they are read, column by column."""

    def __init__(self, target: str, info: DatasetInfo) -> None:
        self.target = target
        self.info = info
        self.structures: list[Structure] = []
        self.labels: list[float] = []
        self.sites: list[int] = []
        self.groups: list[str] = []
        self.ids: list[str] = []
        self.folds: list[str] = []
        self.n_without_label = 0

    def add(self, record: StructureRecord, path: Path) -> None:
        """Add the rows of one crystal: one, or one for each labelled site."""
        structure, properties = record.structure, record.properties
        assert isinstance(structure, Structure)  # read_structures raises otherwise
        where = f"'{path}' '{record.source}'"
        labels = list(self._labels(structure, properties, where))
        self.n_without_label += not labels
        group = structure.reduced_formula
        for site, label in labels:
            self.structures.append(structure)
            self.labels.append(label)
            self.sites.append(site)
            self.groups.append(group)
            self.ids.append(record.source)
            if self.info.fold:
                self.folds.append(str(properties.get(self.info.fold)))

    def _labels(
        self, structure: Structure, properties: dict[str, Any], where: str
    ) -> Iterator[tuple[int, float]]:
        if self.info.level == "structure":
            if (value := properties.get(self.target)) is not None:
                yield -1, _number(value, f"{where}: {self.target}")
            return
        values = structure.site_properties.get(self.target, [])
        for site in properties.get("site_index", []):
            if not 0 <= site < len(values):
                raise ParameterError(
                    f"{where}: site_index has {site}, and there are {len(values)} values of "
                    f"{self.target}; allowed is one label for each site"
                )
            yield site, _number(values[site], f"{where}: {self.target} of site {site}")


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ParameterError(
            f"{what} is {value!r}; allowed are finite numbers: correct the file, or leave the "
            "row out"
        )
    return float(value)


def _find(name: str, directory: str | os.PathLike[str]) -> Path:
    folder = Path(directory)
    names = [f"{name}.jsonl.gz", f"{name}.jsonl"]
    for file in names:
        if (folder / file).is_file():
            return folder / file
    state = "" if folder.is_dir() else ", which is no folder"
    raise MissingFileError(
        f"there is no data file {names[0]} (or {names[1]}) in '{folder.resolve()}'{state}; give "
        f"the folder that holds it, or make it, {where_from(names[0])}, as "
        "examples/paper/README.md says"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
