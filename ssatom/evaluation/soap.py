"""SOAP by DScribe, for who has it installed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from ssatom.evaluation.descriptors import SYMBOLS, LevelDescriptor
from ssatom.structures import structure_arrays


class SoapFeaturizer(LevelDescriptor):
    """Smooth overlap of atomic positions [1]_, averaged over sites or of one, by DScribe.

    Species are compressed: neighbours count by their atomic number in one density, so the number
    of features does not grow with that of elements.

    Parameters
    ----------
    level : {"structure", "site"}, default="structure"
        Rows to transform are structures, or pairs of structure and site index.
    cutoff : float, default=5.0
        Å.
    n_max : int, default=6
        Radial functions.
    l_max : int, default=4
        Highest angular momentum.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    Notes
    -----
    Needs DScribe, which ssatom does not require; without it `fit` and `transform` raise an
    ImportError that says so.

    References
    ----------
    .. [1] Bartók et al., Phys. Rev. B 87, 184115 (2013), 10.1103/PhysRevB.87.184115

    Examples
    --------
    >>> from ssatom.evaluation import SoapFeaturizer
    >>> SoapFeaturizer(n_max=4).get_params()["l_max"]
    4
    """

    def __init__(
        self,
        level: str = "structure",
        *,
        cutoff: float = 5.0,
        n_max: int = 6,
        l_max: int = 4,
        errors: str = "raise",
    ) -> None:
        self.level = level
        self.cutoff = cutoff
        self.n_max = n_max
        self.l_max = l_max
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features.

        Returns
        -------
        list of str
            Such as "soap_0000".
        """
        return [f"soap_{i:04d}" for i in range(self._soap().get_number_of_features())]

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX.
        """
        return [
            "@article{Himanen2020, title = {DScribe: Library of descriptors for machine learning "
            "in materials science}, author = {Himanen, Lauri and others}, journal = {Comput. Phys. "
            "Commun.}, volume = {247}, pages = {106949}, year = {2020}, "
            "doi = {10.1016/j.cpc.2019.106949}}"
        ]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._soap()

    def _row(self, structure: Structure, where: str, site: int | None = None) -> np.ndarray:
        lattice, numbers, frac_coords = structure_arrays(structure, where)
        atoms = Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)
        centers = None if site is None else [site]
        return np.asarray(self._soap().create(atoms, centers=centers)).ravel()

    def _soap(self) -> Any:
        average = "inner" if self.level == "structure" else "off"
        return _soap(self.cutoff, self.n_max, self.l_max, average)


@lru_cache
def _soap(cutoff: float, n_max: int, l_max: int, average: str) -> Any:
    try:
        from dscribe.descriptors import SOAP
    except ImportError as error:
        raise ImportError(
            "SoapFeaturizer needs the package dscribe, which is not installed; install it with "
            "'pip install dscribe'"
        ) from error
    weighting = {symbol: float(z) for z, symbol in enumerate(SYMBOLS, start=1)}
    return SOAP(
        species=SYMBOLS,
        r_cut=cutoff,
        n_max=n_max,
        l_max=l_max,
        periodic=True,
        average=average,
        compression={"mode": "mu2", "species_weighting": weighting},
    )
