"""Public sets of crystals: names, terms and what to cite."""

from __future__ import annotations

from typing import NamedTuple

from ssatom.exceptions import ParameterError

_CC_BY = "CC BY 4.0"
_UNKNOWN = "not stated; see the reference"
_CC_BY_SETS = (
    *("matbench_mp_", "matbench_log_", "matbench_dielectric", "matbench_phonons", "mp_all_"),
    *("phonon_dielectric_mp", "dielectric_constant", "elastic_tensor_", "piezoelectric_tensor"),
)
"""Beginnings of the names of sets whose data are those of the Materials Project."""


class Dataset(NamedTuple):
    """A public set of crystals.

    Attributes
    ----------
    name : str
        Name for `fetch`.
    title : str
        Description in a sentence.
    licence : str
        Terms of use, or that none are stated.
    citation : str
        The work to cite.
    file : str
        Name of the file, or of the folder, that `fetch` makes.
    url : str
        Address of the source.
    sha256 : str or None
        Hash of the file where one is published.

    Examples
    --------
    >>> from ssatom.corpora import list_datasets
    >>> {dataset.name: dataset.licence for dataset in list_datasets()}["materials-project"]
    'CC BY 4.0'
    """

    name: str
    title: str
    licence: str
    citation: str
    file: str
    url: str
    sha256: str | None = None


MATERIALS_PROJECT = Dataset(
    "materials-project",
    "Structures of the Materials Project with band gaps and energies; needs a key (MP_API_KEY)",
    _CC_BY,
    "A. Jain et al., APL Materials 1, 011002 (2013), https://doi.org/10.1063/1.4812323",
    "materials-project.jsonl.gz",
    "https://api.materialsproject.org",
)
MAGNDATA = Dataset(
    "magndata",
    "Commensurate and incommensurate magnetic structures as .mcif files",
    _UNKNOWN,
    "S. V. Gallego et al., Journal of Applied Crystallography 49, 1750 (2016), "
    "https://doi.org/10.1107/S1600576716012863",
    "magndata",
    "https://www.cryst.ehu.es/magndata",
)


def list_datasets() -> list[Dataset]:
    """List the public sets that `fetch` downloads.

    Returns
    -------
    list of Dataset
        The tasks of matbench and the other sets with structures of matminer's table, of which it
        also gives addresses, hashes and references; structures of the Materials Project; and the
        magnetic structures of MAGNDATA.

    Examples
    --------
    >>> from ssatom.corpora import list_datasets
    >>> "matbench_phonons" in [dataset.name for dataset in list_datasets()]
    True
    """
    from matminer import datasets as matminer

    found = []
    for name in matminer.get_available_datasets(print_format=None):
        if "structure" in matminer.get_dataset_columns(name):
            found.append(
                Dataset(
                    name,
                    matminer.get_dataset_description(name).split(". ")[0].strip(". "),
                    _CC_BY if name.startswith(_CC_BY_SETS) else _UNKNOWN,
                    " ".join(matminer.get_dataset_reference(name).split()),
                    f"{name}.{matminer.get_dataset_attribute(name, 'file_type')}",
                    matminer.get_dataset_attribute(name, "url"),
                    matminer.get_dataset_attribute(name, "hash"),
                )
            )
    return [*sorted(found), MATERIALS_PROJECT, MAGNDATA]


def find_dataset(name: str) -> Dataset:
    """The set of a name; raises ParameterError with the names that there are."""
    sets = {dataset.name: dataset for dataset in list_datasets()}
    if name not in sets:
        raise ParameterError(f"name={name!r:.80} is no public set; allowed: {', '.join(sets)}")
    return sets[name]
