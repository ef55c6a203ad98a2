"""Embeddings of force fields, which were trained on labels: CHGNet's and SevenNet-0's.

Both were trained on energies and forces of 1.6 million structures of the Materials Project
(MPtrj), CHGNet also on magnetic moments; crystals of all sets compared here are among them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from ssatom.exceptions import StructureError
from ssatom.structures import structure_arrays

_N_SCALARS = 128
"""Invariant numbers of a site in SevenNet-0; those of higher degree follow them."""

_BLOCKS = ("0_equivariant_gate", "1_equivariant_gate", "2_equivariant_gate")


def chgnet(structure: Structure, site: int | None) -> np.ndarray:
    """CHGNet 0.3.0: 64 numbers of a site, or their mean over sites [1]_.

    References
    ----------
    .. [1] Deng et al., Nat. Mach. Intell. 5, 1031 (2023), 10.1038/s42256-023-00716-3
    """
    model = _chgnet()
    try:
        found = model.predict_structure(structure, task="e", return_atom_feas=True)
    except Exception as error:  # isolated atoms, elements that it does not know
        raise StructureError(f"CHGNet has no features: {error}") from None
    sites = found["atom_fea"]
    return sites.mean(axis=0) if site is None else sites[site]


def sevennet(structure: Structure, site: int | None) -> np.ndarray:
    """SevenNet-0: invariants of sites after interactions 1 to 3, 384 numbers [1]_.

    References
    ----------
    .. [1] Park et al., J. Chem. Theory Comput. 20, 4857 (2024), 10.1021/acs.jctc.4c00190
    """
    model, type_map, cutoff = _sevennet()
    lattice, numbers, frac_coords = structure_arrays(structure)
    atoms = Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)
    try:
        places = [type_map[int(z)] for z in numbers]
        sites = _scalars(model, cutoff, atoms, places)
    except Exception as error:
        raise StructureError(f"SevenNet-0 has no features: {error}") from None
    return sites.mean(axis=0) if site is None else sites[site]


@lru_cache
def _chgnet() -> Any:
    from chgnet.model import CHGNet

    return CHGNet.load(use_device="cpu", verbose=False)


@lru_cache
def _sevennet() -> tuple[Any, dict[int, int], float]:
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator("7net-0", device="cpu")
    return calculator.model, calculator.type_map, calculator.cutoff


def _scalars(model: Any, cutoff: float, atoms: Atoms, places: list[int]) -> np.ndarray:
    """Shape (n_sites, 384)."""
    import sevenn._keys as keys
    import torch
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, cutoff))
    graph[keys.NODE_FEATURE] = torch.tensor(places)
    found = []
    with torch.no_grad():
        for name, block in model.named_children():
            graph = block(graph)
            if name in _BLOCKS:
                found.append(graph[keys.NODE_FEATURE][:, :_N_SCALARS].clone())
            if name == _BLOCKS[-1]:
                break
    return torch.cat(found, dim=1).numpy()
