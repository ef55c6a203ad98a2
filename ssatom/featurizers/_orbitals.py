"""Orbital field matrices of sites, by matminer, with true distances to periodic images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import spglib
from matminer.featurizers.structure.matrix import OrbitalFieldMatrix, pmg_le
from pymatgen.core import Element, Site, Structure

from ssatom.embeddings.cache import MemoryCache
from ssatom.exceptions import StructureError
from ssatom.graph import MIN_DISTANCE, pairs_within, refuse_overlap
from ssatom.structures import (
    StructureArrays,
    formula_of,
    iter_arrays,
    iter_sites,
    plain_structure,
    structure_arrays,
    structure_key,
)
from ssatom.warn import quiet_spglib

N_ORBITALS = 32
"""Valence orbitals s1, s2, p1 to p6, d1 to d10 and f1 to f14."""

N_PERIODS = 7
_REACH = 13.0  # Å; how far matminer's Voronoi cells may look
_SKEWED = 3.0  # times the length of short vectors of the same lattice
_SYMPREC = 1e-3  # Å
_CACHE: MemoryCache[np.ndarray] = MemoryCache(64 * 2**20, lambda array: array.nbytes)


@cache
def matminer_matrix() -> OrbitalFieldMatrix:
    """matminer's featurizer with period tags, made once: it builds a table of elements."""
    return OrbitalFieldMatrix(period_tag=True)


def parts_of(rows: Any, level: str) -> Iterator[tuple[StructureArrays, slice] | StructureError]:
    """Structures and the sites whose mean is asked for: all of them, or the one of each pair."""
    if level == "structure":
        for row in iter_arrays(rows):
            yield row if isinstance(row, StructureError) else (row, slice(None))
        return
    for pair in iter_sites(rows):
        if isinstance(pair, StructureError):
            yield pair
        else:
            yield structure_arrays(pair[0]), slice(pair[1], pair[1] + 1)


def mean_matrix(arrays: StructureArrays, sites: slice, extra_row: str | None) -> np.ndarray:
    """Mean matrix of some sites of a structure, shape (33, 32), or (32, 32) without a row more."""
    check_elements(arrays)
    distinct, counts = np.unique(distinct_sites(arrays)[sites], return_counts=True)
    matrices = [_with_row(arrays, int(site), extra_row) for site in distinct]
    return np.average(matrices, axis=0, weights=counts)


def _with_row(arrays: StructureArrays, site: int, extra_row: str | None) -> np.ndarray:
    matrix = site_matrix(arrays, site)
    orbitals, periods = matrix[:N_ORBITALS], matrix[N_ORBITALS:]
    if extra_row is None:
        return orbitals
    if extra_row == "period":
        extra = np.arange(1, N_PERIODS + 1) @ periods
    else:
        extra = np.asarray(matminer_matrix().ohvs[int(arrays.numbers[site])])[0, :N_ORBITALS]
    return np.vstack([orbitals, extra])


def check_elements(arrays: StructureArrays) -> None:
    """Refuse elements that matminer has no orbitals for."""
    heaviest = max(matminer_matrix().ohvs)
    if (unknown := np.flatnonzero(arrays.numbers > heaviest)).size:
        site = int(unknown[0])
        number = int(arrays.numbers[site])
        raise StructureError(
            f"site {site} is "
            f"{Element.from_Z(number).symbol} (Z={number}), which has no row in the table of the "
            f"orbital field matrix; allowed are H (Z=1) to {Element.from_Z(heaviest).symbol} "
            f"(Z={heaviest}); leave this row out, or use ssatom's embeddings, which go to Fm "
            "(Z=100)",
            formula=formula_of(plain_structure(arrays)),
        )


def distinct_sites(arrays: StructureArrays) -> np.ndarray:
    """For each site the first one that symmetry makes equal to it, shape (n_sites,)."""
    key = structure_key(arrays)
    if (known := _CACHE.get(key)) is not None:
        return known
    quiet_spglib()
    try:
        cell = tuple(a.tolist() for a in (arrays.lattice, arrays.frac_coords, arrays.numbers))
        dataset = spglib.get_symmetry_dataset(cell, symprec=_SYMPREC)
    except Exception:  # newer versions raise where older ones return None
        dataset = None
    unequal = np.arange(len(arrays.numbers))
    sites = unequal if dataset is None else np.array(dataset.equivalent_atoms)
    _CACHE.put(key, sites)
    return sites


def site_matrix(arrays: StructureArrays, index: int) -> np.ndarray:
    """Matrix of one site, shape (39, 32): the neighbours' orbitals, then their periods."""
    key = structure_key(arrays) + index.to_bytes(8, "little")
    matrix = _CACHE.get(key)
    if matrix is None:
        structure = _not_skewed(plain_structure(arrays))
        neighbors = _neighbors(structure, index)
        matrix = matminer_matrix().get_single_ofm(_without_cell(structure[index]), neighbors)
        matrix = np.array(matrix[:, :N_ORBITALS])
        matrix.setflags(write=False)
        _CACHE.put(key, matrix)
    return matrix


def _not_skewed(structure: Structure) -> Structure:
    """The crystal in a cell of short vectors if its own are long, of which pymatgen takes hours."""
    short = structure.lattice.get_lll_reduced_lattice()
    if max(structure.lattice.abc) <= _SKEWED * max(short.abc):
        return structure
    return structure.get_reduced_structure("LLL")


def _neighbors(structure: Structure, index: int) -> list[dict]:
    """Faces of the Voronoi cell of a site: the neighbour and its weight."""
    arrays = structure_arrays(structure)
    refuse_overlap(arrays.numbers, pairs_within(arrays, MIN_DISTANCE))
    pairs_within(arrays, _REACH)  # refuses a crystal of too many neighbours
    try:
        # Made anew for each site: the search widens its cutoff as it goes.
        search = pmg_le.VoronoiNN(allow_pathological=True, compute_adj_neighbors=False)
        faces = search.get_nn_info(structure, index)
    except (RuntimeError, ValueError) as error:
        raise StructureError(
            f"pymatgen found no Voronoi cell around site "
            f"{index} ({str(error).splitlines()[0]}), which the orbital field matrix is summed "
            "over; leave this row out",
            formula=formula_of(structure),
        ) from None
    return [{"site": _without_cell(face["site"]), "weight": face["weight"]} for face in faces]


def _without_cell(site: Site) -> Site:
    """The site as a bare point: between periodic sites matminer takes the nearest images."""
    return Site(site.species, site.coords)
