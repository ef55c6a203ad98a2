"""Matrix elements between the orbitals of two atoms: universal laws and Slater–Koster's table."""

from __future__ import annotations

import numpy as np

from ssatom.electrons.atoms import AtomTable

REACH = (1.1, 1.5)
"""Distances, in sums of covalent radii, from which a hopping falls, and at which it is 0."""

_HBAR2_M = 7.62  # ħ²/m, eV Å²
_NEAREST = 0.65  # in sums of covalent radii; nearer atoms hop no more strongly
# Harrison's coefficients; ddδ is 0.
_SS, _SP, _PP_SIGMA, _PP_PI = -1.32, 1.42, 2.22, -0.63
_SD, _PD_SIGMA, _PD_PI, _DD_SIGMA, _DD_PI = -3.16, -2.95, 1.36, -16.2, 8.75


def _d_shapes() -> np.ndarray:
    """The five d functions as symmetric traceless matrices of unit norm, shape (5, 3, 3)."""
    shapes = np.zeros((5, 3, 3))
    for which, (i, j) in enumerate(((0, 1), (1, 2), (0, 2))):
        shapes[which, i, j] = shapes[which, j, i] = np.sqrt(0.5)
    shapes[3] = np.diag([1, -1, 0]) * np.sqrt(0.5)
    shapes[4] = np.diag([-1, -1, 2]) / np.sqrt(6)
    return shapes


_D_SHAPES = _d_shapes()


def hopping_blocks(
    centers: np.ndarray, neighbors: np.ndarray, vectors: np.ndarray, table: AtomTable
) -> np.ndarray:
    """Matrix elements ⟨center|H|neighbor⟩ of pairs of atoms, eV, shape (n_pairs, 9, 9).

    `vectors` lead from centre to neighbour, Å. Orbitals are s, x, y, z, xy, yz, xz, x²−y² and
    3z²−r²; elements of those that an atom does not have are to be left out. After Harrison,
    Elementary Electronic Structure (1999), 10.1142/4121, and Slater & Koster, Phys. Rev. 94, 1498
    (1954), 10.1103/PhysRev.94.1498.
    """
    distances = np.linalg.norm(vectors, axis=1)
    n = vectors / distances[:, None]
    bond = table.radii[centers] + table.radii[neighbors]
    d = np.maximum(distances, _NEAREST * bond)
    start, end = REACH
    fall = np.clip((distances / bond - start) / (end - start), 0, 1)
    h = _HBAR2_M / d**2 * (0.5 + 0.5 * np.cos(np.pi * fall))
    ours, theirs = table.d_radii[centers], table.d_radii[neighbors]
    blocks = np.zeros((len(d), 9, 9))
    blocks[:, 0, 0] = _SS * h
    blocks[:, 0, 1:4] = _SP * h[:, None] * n
    blocks[:, 1:4, 0] = -blocks[:, 0, 1:4]
    along = n[:, :, None] * n[:, None, :]
    blocks[:, 1:4, 1:4] = h[:, None, None] * ((_PP_SIGMA - _PP_PI) * along + _PP_PI * np.eye(3))
    if not (ours.any() or theirs.any()):
        return blocks
    bent = np.einsum("qij,ej->eqi", _D_SHAPES, n)
    straight = np.einsum("eqi,ei->eq", bent, n)
    sigma = np.sqrt(1.5) * straight
    pi = np.sqrt(2) * (bent - straight[:, :, None] * n[:, None, :])
    p_d = _PD_SIGMA * sigma[:, :, None] * n[:, None, :] + _PD_PI * pi
    to_d, from_d = h * (theirs / d) ** 1.5, h * (ours / d) ** 1.5
    blocks[:, 0, 4:] = _SD * to_d[:, None] * sigma
    blocks[:, 4:, 0] = _SD * from_d[:, None] * sigma
    blocks[:, 1:4, 4:] = to_d[:, None, None] * p_d.transpose(0, 2, 1)
    blocks[:, 4:, 1:4] = -from_d[:, None, None] * p_d
    d_d = _DD_SIGMA * sigma[:, :, None] * sigma[:, None, :] + _DD_PI * pi @ pi.transpose(0, 2, 1)
    blocks[:, 4:, 4:] = (h * (ours * theirs) ** 1.5 / d**3)[:, None, None] * d_d
    return blocks
