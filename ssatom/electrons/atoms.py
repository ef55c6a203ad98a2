"""Levels, valence electrons and radii of free atoms, for the tight-binding model."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from ssatom.elements import MAX_ATOMIC_NUMBER, covalent_radii

_HARTREE = 27.2114  # eV
_EMPTY_P = 0.55  # energy of an empty p level over that of s, as in Be, Mg and Zn
_STRONG_S = -3.9  # eV, the empty 5s of Pd
# Radius of d states, Å, by period: of group 3, and the fall to the next group (Harrison's table).
_D_RADII = {4: (1.24, 0.065), 5: (1.58, 0.075), 6: (1.59, 0.072), 7: (1.60, 0.072)}


class AtomTable(NamedTuple):
    """Properties by atomic number; row 0 is empty.

    Attributes
    ----------
    levels : ndarray, shape (101, 3)
        Energies of s, p and d, eV.
    n_electrons : ndarray, shape (101,)
        Valence electrons; those in f shells do not count.
    n_orbitals : ndarray of int, shape (101,)
        1, 4 or 9.
    radii : ndarray, shape (101,)
        Covalent radius, Å.
    d_radii : ndarray, shape (101,)
        Radius of d states, Å; 0 without d states.
    """

    levels: np.ndarray
    n_electrons: np.ndarray
    n_orbitals: np.ndarray
    radii: np.ndarray
    d_radii: np.ndarray


@cache
def atom_table() -> AtomTable:
    """The table of all elements, H to Fm.

    Levels are eigenvalues of the local density approximation (Kotochigova et al., Phys. Rev. A 55,
    191 (1997), 10.1103/PhysRevA.55.191; NIST's table, as pymatgen ships it), shifted so that the
    highest occupied one lies at the first ionization energy. Elements without eigenvalues, from Np
    on, have those of U.
    """
    rows = np.array([_atom(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)])
    rows = np.concatenate([np.zeros((1, rows.shape[1])), rows])
    radii = np.array([0.0, *covalent_radii(np.arange(1, MAX_ATOMIC_NUMBER + 1))])
    table = AtomTable(rows[:, :3], rows[:, 3], rows[:, 4].astype(int), radii, rows[:, 5])
    for column in table:
        column.setflags(write=False)
    return table


def _atom(number: int) -> list[float]:
    """Levels s, p and d, number of electrons and of orbitals, radius of d."""
    element = Element.from_Z(number)
    f_block = 57 <= number <= 71 or number >= 89
    period, group = element.row, 3 if f_block else element.group
    has_d = 3 <= group <= 12
    known = element.data.get("Atomic orbitals")
    if not isinstance(known, dict):  # None or, in older versions of pymatgen, "no data"
        known = Element("U").data["Atomic orbitals"]
    found = {name: _HARTREE * energy for name, energy in known.items()}
    s = found.get(f"{period}s", _STRONG_S)
    p = found.get(f"{period}p")
    d = found.get(f"{period - 1}d", s) if has_d else None
    highest = max(energy for energy in (s, p, d) if energy is not None)
    shift = -(element.ionization_energies[0] or 6.5) - highest
    levels = [
        s + shift,
        _EMPTY_P * (s + shift) if p is None else p + shift,
        0.0 if d is None else d + shift,
    ]
    if number <= 2:
        return [levels[0], 0.0, 0.0, number, 1, 0.0]
    start, fall = _D_RADII.get(period, (0.0, 0.0))
    n_electrons = group if group <= 12 else group - 10
    return [*levels, n_electrons, 9 if has_d else 4, start - fall * (group - 3) if has_d else 0.0]
