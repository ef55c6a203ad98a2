"""Well-known crystals as a table: something real to try the package on."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure

from ssatom.warn import quiet_spglib

TABLE = "example_crystals.csv"
NUMERIC_COLUMNS = (*("a", "b", "c", "alpha", "beta", "gamma"), *("band_gap_eV", "bulk_modulus_GPa"))
COLUMNS = [
    *("name", "formula", "family", "spacegroup", "structure"),
    *("band_gap_eV", "band_gap_kind", "band_gap_source"),
    *("bulk_modulus_GPa", "bulk_modulus_kind", "bulk_modulus_source"),
    *("source", "hall_number", "setting", "wyckoff"),
]
# Coordinates in the table have five decimals, so copies of one site that the space group's
# operations produce differ by about 1e-5; distinct sites of these crystals never come this close.
SAME_SITE_TOLERANCE = 1e-3

if TYPE_CHECKING:
    import pandas as pd


def load_example_crystals() -> pd.DataFrame:
    """Load about 400 well-known crystals with some band gaps and bulk moduli.

    Elements, rock salts, zinc blendes, wurtzites, fluorites and antifluorites, perovskites,
    spinels, rutiles, Heuslers and half-Heuslers, layered chalcogenides, hydrides, intermetallics,
    lanthanide compounds and other prototypes. The crystals are built from a table of space groups,
    lattice constants and representative Wyckoff positions that ships with the package.

    Returns
    -------
    pandas.DataFrame
        One row a crystal, rows of one family together, with the columns

        - ``name``: unique name, a mineral's where there is one ("halite");
        - ``formula``: as usually written ("NaCl");
        - ``family``: structure prototype ("rock salt");
        - ``spacegroup``: number in the International Tables, 1 to 230;
        - ``structure``: ordered pymatgen ``Structure``, always the conventional cell, 1 to 160
          sites, lengths in Å;
        - ``band_gap_eV``: band gap in eV, 0 for metals, NaN where not given;
        - ``band_gap_kind``: "experimental", "computed", or "" where there is no value;
        - ``band_gap_source``: where the value is from, "" where there is no value;
        - ``bulk_modulus_GPa``, ``bulk_modulus_kind``, ``bulk_modulus_source``: likewise for the
          bulk modulus in GPa;
        - ``source``: where lattice constants and positions are from;
        - ``hall_number``: spglib's number of space group and setting, 1 to 530;
        - ``setting``: the setting in words where a space group has more than one;
        - ``wyckoff``: the representative sites, as "Na 0 0 0; Cl 1/2 1/2 1/2".

    Notes
    -----
    Most lattice constants and free positional parameters are those of Materials Project entries
    [1]_ (CC BY 4.0), named in ``source``. They are computed, mostly with the PBE functional, so
    lattice constants are typically 1 % above experiment and the gaps between the layers of layered
    crystals are wider by up to a fifth. One is a row of the matbench phonon set [2]_ (CC BY 4.0).
    A few simple crystals use rounded experimental lattice constants that are common knowledge.
    "Symmetrised from" in ``source`` marks the few whose computed cell has a lower space group, by
    shifts under 0.1 Å, and was given the full symmetry of the prototype.

    Experimental band gaps and bulk moduli are rounded values of general knowledge at or near room
    temperature, good for examples, not for reference; published values scatter by several per
    cent. Computed ones are HSE gaps of the MaterialGo set and bulk moduli of Materials Project
    elasticity, for the entry that is named.

    Many of these crystals also occur in common benchmark sets: do not pretrain on them if you then
    evaluate there.

    References
    ----------
    .. [1] A. Jain et al., APL Materials 1, 011002 (2013), https://doi.org/10.1063/1.4812323
    .. [2] G. Petretto et al., Scientific Data 5, 180065 (2018),
       https://doi.org/10.1038/sdata.2018.65

    Examples
    --------
    >>> from ssatom.corpora.examples import load_example_crystals
    >>> crystals = load_example_crystals()
    >>> halite = crystals[crystals["name"] == "halite"].iloc[0]
    >>> halite["formula"], halite["family"], int(halite["spacegroup"])
    ('NaCl', 'rock salt', 225)
    >>> len(halite["structure"])
    8
    >>> measured = crystals[crystals["band_gap_kind"] == "experimental"]
    >>> len(measured) >= 50
    True
    """
    import pandas as pd

    table = _read_table()
    structures = [structure.copy() for structure in _structures()]
    return table.assign(structure=pd.Series(structures, dtype=object))[COLUMNS]


def _read_table() -> pd.DataFrame:
    """Read the table as it is in the file; text columns keep "" where they are empty."""
    import pandas as pd

    with resources.files("ssatom.corpora").joinpath(TABLE).open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    for column in NUMERIC_COLUMNS:
        table[column] = pd.to_numeric(table[column])
    return table.astype({"spacegroup": int, "hall_number": int})


@cache
def _structures() -> list[Structure]:
    """The structures in the order of the table; copies take a twentieth of the time."""
    quiet_spglib()
    return [_build_structure(row) for row in _read_table().to_dict("records")]


def _build_structure(row: dict) -> Structure:
    """Fill the conventional cell from one row's Wyckoff representatives.

    ``Structure.from_spacegroup`` does the same, but works the operations out anew for each
    crystal and takes a minute for the table.
    """
    operations = spglib.get_symmetry_from_database(row["hall_number"])
    assert operations is not None, row["hall_number"]
    species: list[str] = []
    coords: list[np.ndarray] = []
    for symbol, position in _parse_sites(row["wyckoff"]):
        orbit = _orbit(position, operations["rotations"], operations["translations"])
        species += [symbol] * len(orbit)
        coords.append(orbit)
    lattice = Lattice.from_parameters(*(row[key] for key in NUMERIC_COLUMNS[:6]))
    return Structure(lattice, species, np.concatenate(coords))


def _parse_sites(text: str) -> list[tuple[str, np.ndarray]]:
    """Split "Na 0 0 0; Cl 1/2 1/2 1/2" into symbols and fractional coordinates (3,)."""
    sites = [site.split() for site in text.split(";")]
    return [(symbol, np.array([float(Fraction(x)) for x in xyz])) for symbol, *xyz in sites]


def _orbit(position: np.ndarray, rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Return the distinct images of a position, fractional coordinates (n, 3) in [0, 1)."""
    images = rotations @ position + translations
    difference = images[:, None] - images[None]
    difference -= np.round(difference)
    same = np.abs(difference).max(axis=-1) < SAME_SITE_TOLERANCE
    first_of_its_kind = ~np.tril(same, k=-1).any(axis=1)
    return images[first_of_its_kind] % 1.0
