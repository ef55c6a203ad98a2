"""Tables of the elements: period, group, the CGCNN features and Magpie's properties."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import numpy as np

from ssatom.exceptions import ParameterError

MAX_ATOMIC_NUMBER = 100
"""Heaviest element with CGCNN features (fermium)."""

MASK_NUMBER = 0
"""Atomic number of a site whose element is hidden."""

PROPERTIES = ("Electronegativity", "CovalentRadius", "NValence", "Row")
"""Magpie properties that weight pairs of sites."""

MAGPIE_PROPERTIES = (
    "Number", "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius",
    "Electronegativity", "NsValence", "NpValence", "NdValence", "NfValence", "NValence",
    "NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled", "GSvolume_pa",
    "GSbandgap", "GSmagmom", "SpaceGroupNumber",
)  # fmt: skip
"""The 22 elemental properties of Magpie, whose statistics are its features."""

# In pm, by atomic number from 1; from Bk on they are not known, and the value of Cm is used.
_COVALENT_RADII = np.array((
    0, 31, 28, 128, 96, 84, 76, 71, 66, 57, 58, 166, 141, 121, 111, 107, 105, 102, 106, 203, 176,
    170, 160, 153, 139, 139, 132, 126, 124, 132, 122, 122, 120, 119, 120, 120, 116, 220, 195, 190,
    175, 164, 154, 147, 146, 142, 139, 145, 144, 142, 139, 139, 138, 139, 140, 244, 215, 207, 204,
    203, 201, 199, 198, 198, 196, 194, 192, 192, 189, 190, 187, 187, 175, 170, 162, 151, 144, 141,
    136, 136, 132, 145, 146, 148, 140, 150, 150, 260, 221, 215, 206, 200, 196, 190, 187, 180, 169,
    169, 169, 169, 169,
)) / 100  # fmt: skip

N_PERIODS = 9
N_GROUPS = 18

# Period and group follow CGCNN's convention: the f block has periods of its own (8 and 9), so
# that the two properties together nearly name the element, and belongs to group 3.
_NOBLE_GASES = np.array([2, 10, 18, 36, 54, 86])
_F_BLOCK_PERIODS = {8: range(57, 72), 9: range(89, 101)}


@cache
def _periods_and_groups() -> tuple[np.ndarray, np.ndarray]:
    """Tables of period and group over atomic numbers, 0 at the mask."""
    numbers = np.arange(MAX_ATOMIC_NUMBER + 1)
    periods = np.searchsorted(_NOBLE_GASES, numbers) + 1
    starts = np.concatenate([[0], _NOBLE_GASES])[periods - 1]
    lengths = np.diff(np.concatenate([[0], _NOBLE_GASES, [118]]))[periods - 1]
    position = numbers - starts  # 1 at the alkali metal, the period's length at the noble gas
    groups = np.where(position <= 2, position, 18 - (lengths - position))
    groups[2] = 18
    for period, members in _F_BLOCK_PERIODS.items():
        periods[list(members)] = period
        groups[list(members)] = 3
    periods[MASK_NUMBER] = groups[MASK_NUMBER] = 0
    return periods, groups


def _lookup(table: np.ndarray, numbers: object) -> np.ndarray:
    numbers = np.asarray(numbers)
    if numbers.size and (numbers.min() < 1 or numbers.max() > MAX_ATOMIC_NUMBER):
        raise ParameterError(
            f"atomic numbers must be from 1 to {MAX_ATOMIC_NUMBER}, "
            f"got {numbers.min()} to {numbers.max()}"
        )
    return table[numbers]


def period_numbers(numbers: object) -> np.ndarray:
    """Period of each element, 1 to 7, with 8 for La to Lu and 9 for Ac to Fm: CGCNN's nine classes.

    Raises ParameterError if an atomic number is outside 1 to 100.
    """
    return _lookup(_periods_and_groups()[0], numbers)


def group_numbers(numbers: object) -> np.ndarray:
    """Group of each element, 1 to 18, the eighteen classes of CGCNN; the f block counts as group 3.

    Raises ParameterError if an atomic number is outside 1 to 100.
    """
    return _lookup(_periods_and_groups()[1], numbers)


def covalent_radii(numbers: object) -> np.ndarray:
    """Covalent radius of each element, Å, of the shape of `numbers`.

    From Cordero et al., Dalton Trans. 2832 (2008), 10.1039/b801115j; those of Bk to Fm, which are
    not known, are that of Cm. Raises ParameterError if an atomic number is outside 1 to 100.
    """
    return _lookup(_COVALENT_RADII, numbers)


@cache
def atomic_features() -> np.ndarray:
    """The 92 categorical features of CGCNN by atomic number, shape (101, 92), from matminer.

    Group, period, electronegativity, covalent radius, valence electrons, first ionisation energy,
    electron affinity, block and atomic volume, each as one-hot bins (Xie & Grossman, Phys. Rev.
    Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301). Row 0 is all zeros, for a masked
    site. Some neighbours in the f block share a row (La and Ce, Sm and Gd, …).
    """
    source = files("matminer") / "utils" / "data_files" / "cgcnn_atom_feature.json"
    rows = json.loads(source.read_text())
    table = np.zeros((MAX_ATOMIC_NUMBER + 1, len(rows["1"])), dtype=np.float32)
    for number in range(1, MAX_ATOMIC_NUMBER + 1):
        table[number] = rows[str(number)]
    table.setflags(write=False)
    return table


def distinct_features() -> np.ndarray:
    """The 92 features of `atomic_features`, then one for each element alone, shape (101, 192).

    The extra columns let a linear map tell elements apart that share all 92 features, such as La
    and Ce.
    """
    own = np.eye(MAX_ATOMIC_NUMBER + 1, dtype=np.float32)[:, 1:]
    return np.concatenate([atomic_features(), own], axis=1)


@cache
def property_table(properties: tuple[str, ...] = PROPERTIES) -> np.ndarray:
    """A column of ones, then properties of Magpie's table over their standard deviation.

    By atomic number, shape (101, 1 + n_properties). Raises ParameterError if one is unknown.
    """
    from matminer.utils.data import MagpieData
    from pymatgen.core import Element

    source = MagpieData(impute_nan=True)
    allowed = sorted(source.all_elemental_props)
    elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    table = np.ones((MAX_ATOMIC_NUMBER + 1, 1 + len(properties)))
    for column, name in enumerate(properties, start=1):
        if name not in allowed:
            raise ParameterError(f"properties: no {name!r}; allowed: {', '.join(allowed)}")
        values = [source.get_elemental_property(element, name) for element in elements]
        table[1:, column] = np.array(values, dtype=float) / np.std(values)
    table.setflags(write=False)  # callers share it
    return table


def magpie_features() -> np.ndarray:
    """The 92 features of `atomic_features`, then 22 properties of Magpie, shape (101, 114).

    The properties are centred over the elements and divided by their standard deviation; row 0, the
    mask, is all zeros. See Ward et al., npj Comput. Mater. 2, 16028 (2016),
    10.1038/npjcompumats.2016.28.
    """
    properties = property_table(MAGPIE_PROPERTIES)[:, 1:]
    properties = properties - properties[1:].mean(axis=0)
    properties[MASK_NUMBER] = 0
    return np.concatenate([atomic_features(), properties.astype(np.float32)], axis=1)


ELEMENT_FEATURES: dict[str, Callable[[], np.ndarray]] = {
    "cgcnn": atomic_features,
    "distinct": distinct_features,
    "magpie": magpie_features,
}
"""Functions that make the table of node vectors, by name."""


def element_table_hash(table: np.ndarray) -> str:
    """Sha256 of a table of element features, in hexadecimal.

    It is that of the shape and of the numbers as float32, so that equal tables have equal hashes
    everywhere.
    """
    table = np.ascontiguousarray(table, dtype="<f4")
    return hashlib.sha256(repr(table.shape).encode() + table.tobytes()).hexdigest()
