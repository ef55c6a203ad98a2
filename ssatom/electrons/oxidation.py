"""Oxidation states guessed from the composition, and what they tell of the electrons."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from ssatom.electrons.atoms import atom_table
from ssatom.elements import MAX_ATOMIC_NUMBER

_UNCOMMON = 1.0  # cost of an oxidation state that is known but not common, per atom
_ORDER = 1.0  # cost of a charge against the order of electronegativity, per charge and unit of it
_LARGE = 1e-3  # cost of a charge, so that of equal guesses the smallest charges win
_UNKNOWN = 1.0  # cost of compositions that no charges balance, as of uncommon states
_NOBLE = 3.5  # electronegativity of elements that Pauling's scale leaves out
_NONMETAL = 2.1  # electronegativity from which an element fills its octet

COMPOSITION_NAMES = (
    "odd_formula", "unbalanced", "charge_cost", "valence_electrons",
    "mean_ionization", "least_ionization", "largest_ionization",
    "anion_ionization", "cation_ionization", "anion_affinity", "cation_affinity",
    "anion_electronegativity", "cation_electronegativity",
    "least_anion_ionization", "largest_cation_affinity", "transfer_energy",
    "electronegativity_step", "open_d", "closed_d", "lone_pair", "f_cations", "mean_charge",
    "largest_charge", "smallest_charge", "cation_electrons", "octet_surplus", "octets_filled",
)  # fmt: skip
"""Names of the columns of compositions."""


class _Ions(NamedTuple):
    """Properties by atomic number, each of shape (101,); row 0 is empty."""

    ionization: np.ndarray  # eV
    affinity: np.ndarray  # eV
    electronegativity: np.ndarray
    group: np.ndarray
    f_block: np.ndarray
    states: list[dict[int, float]]  # cost by oxidation state


@cache
def _ions() -> _Ions:
    elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]

    def column(values: Iterable[float]) -> np.ndarray:
        return np.array([0.0, *values])

    return _Ions(
        ionization=column(e.ionization_energies[0] or 6.5 for e in elements),
        affinity=column(e.electron_affinity or 0.0 for e in elements),
        electronegativity=column(float(e.data.get("X") or _NOBLE) for e in elements),
        group=column(3 if e.is_lanthanoid or e.is_actinoid else e.group for e in elements),
        f_block=column(e.is_lanthanoid or e.is_actinoid for e in elements),
        states=[{}, *map(_states, elements)],
    )


def _states(element: Element) -> dict[int, float]:
    """Cost by oxidation state; 0 alone for elements without compounds."""
    common = set(element.common_oxidation_states)
    known = (common | set(element.icsd_oxidation_states)) - {0}
    return {q: 0.0 if q in common else _UNCOMMON for q in sorted(known)} or {0: 0.0}


@lru_cache(maxsize=4096)
def guess_charges(
    numbers: tuple[int, ...], amounts: tuple[int, ...]
) -> tuple[tuple[int, ...], float] | None:
    """Oxidation states that balance and cost least, and the cost per atom; None if none balance.

    Each element, of which the formula unit has `amounts`, has one state. Of the states that
    pymatgen lists, uncommon ones cost 1, and so does a positive (negative) charge on an element
    that is one unit more (less) electronegative than the mean.
    """
    ions = _ions()
    electronegativity = ions.electronegativity[list(numbers)]
    mean = np.average(electronegativity, weights=amounts)
    options = [
        [(q * n, n * (cost + _ORDER * max(0.0, q * (x - mean)) + _LARGE * abs(q)), q)
         for q, cost in ions.states[z].items()]
        for z, n, x in zip(numbers, amounts, electronegativity.tolist(), strict=True)
    ]  # fmt: skip
    # The cheapest guess of each total charge, element by element: time does not explode.
    guesses: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for element in options:
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for total, (cost, charges) in guesses.items():
            for charge, more, q in element:
                known = longer.get(total + charge)
                if known is None or cost + more < known[0]:
                    longer[total + charge] = (cost + more, (*charges, q))
        guesses = longer
    if 0 not in guesses:
        return None
    cost, charges = guesses[0]
    return charges, float(cost / sum(amounts))


def composition_columns(numbers: np.ndarray) -> np.ndarray:
    """What oxidation states tell of a composition, in the order of `COMPOSITION_NAMES`.

    Where no oxidation states balance, elements more electronegative than the mean count as anions,
    the others as cations, all without charge. Columns of anions and cations are means over their
    atoms unless named otherwise; energies in eV.
    """
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    return np.array(_columns(tuple(elements.tolist()), tuple(counts.tolist())))


@lru_cache(maxsize=4096)
def _columns(numbers: tuple[int, ...], amounts: tuple[int, ...]) -> list[float]:
    ions, z, n = _ions(), np.array(numbers), np.array(amounts)
    share = n / n.sum()
    valence, group, x = atom_table().n_electrons[z], ions.group[z], ions.electronegativity[z]
    ionization, affinity = ions.ionization[z], ions.affinity[z]
    guess = guess_charges(numbers, amounts)
    if guess is None:
        charges = np.zeros(len(z))
        anions, cations = x >= share @ x - 1e-9, x <= share @ x + 1e-9
    else:
        charges = np.array(guess[0], dtype=float)
        anions, cations = charges <= 0, charges >= 0
    left = valence - charges
    metal, ion = (group > 2) & (group < 13), charges > 0
    nonmetal = x >= _NONMETAL
    holes = np.where(z <= 2, 2, 8) - valence
    surplus = share @ np.where(nonmetal, -holes, valence)

    def mean(values: np.ndarray, which: np.ndarray) -> float:
        return float(np.average(values[which], weights=n[which]))

    return [
        z @ n % 2, guess is None, _UNKNOWN if guess is None else guess[1], share @ valence,
        share @ ionization, ionization.min(), ionization.max(),
        mean(ionization, anions), mean(ionization, cations),
        mean(affinity, anions), mean(affinity, cations), mean(x, anions), mean(x, cations),
        ionization[anions].min(), affinity[cations].max(),
        mean(ionization, anions) - mean(affinity, cations), x[anions].min() - x[cations].max(),
        share @ (ion & metal & (group < 12) & (left > 0) & (left < 10)),
        share @ (ion & metal & (left == 10)),
        share @ (ion & (group > 12) & (left >= 2)),
        share @ (ion & (ions.f_block[z] > 0)),
        share @ np.abs(charges) / 2, charges.max(), charges.min(), share @ (left * ion),
        surplus, abs(surplus) < 1e-9,
    ]  # fmt: skip
