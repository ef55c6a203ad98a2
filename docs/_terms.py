"""Short names of the result pages, explained on each page that has them and on one of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Term(NamedTuple):
    """A short name, how it is found in a text, and what it means."""

    name: str
    pattern: str
    meaning: str


TERMS = [
    Term(
        "NE",
        r"\bNE\d*\b",
        "Node embeddings: hidden states of the sites. The digits are the layers that are joined: "
        "NE01 is layers 0 and 1 of each site.",
    ),
    Term(
        "GE",
        r"\bGE\d*\b",
        "Graph embeddings: NE averaged over the sites of a crystal, GE012 with layers 0, 1 and 2.",
    ),
    Term(
        "EF+RD",
        r"\bEF\b|\bRD\b",
        "Element fractions and a radial distribution, weighted by properties of the elements, to "
        "6 Å. Nothing is learned. EF is the fractions alone.",
    ),
    Term(
        "OFM",
        r"\bOFM\b",
        "Orbital field matrix: valence orbitals of an atom times those of its neighbours.",
    ),
    Term(
        "SM", r"\bSM\b", "Eigenvalues of the sine matrix, a Coulomb matrix for periodic crystals."
    ),
    Term("ESM", r"\bESM\b", "Eigenvalues of the Ewald sum matrix."),
    Term("ECM", r"\bECM\b", "Eigenvalues of a Coulomb matrix over neighbouring cells."),
    Term("CM", r"\bCM\b", "Eigenvalues of the Coulomb matrix of the atoms in the cell."),
    Term(
        "SOAP",
        r"\bSOAP\b",
        "Smooth overlap of atomic positions: a descriptor of surroundings by radial functions and "
        "spherical harmonics.",
    ),
    Term(
        "Magpie",
        r"\bMagpie\b",
        "Statistics of elemental properties over the composition of a crystal.",
    ),
    Term(
        "untrained",
        r"\buntrained\b|\brandom-(?:NE|GE)",
        "The same network with random weights, in the paper NE-Random.",
    ),
    Term(
        "NEGNN",
        r"\bNEGNN\b",
        "Node embedding graph neural network: CGCNN with NE in place of the raw features of the "
        "elements.",
    ),
    Term("CGCNN", r"\bCGCNN\b", "Crystal graph convolutional neural network, of Xie and Grossman."),
    Term("KRR", r"\bKRR\b", "Kernel ridge regression."),
    Term(
        "grouped",
        r"\bgrouped\b|split by formula",
        "Splits in which no reduced formula is on both sides; in random splits polymorphs may be.",
    ),
    Term("MAE, MSE", r"\bMAE\b|\bMSE\b", "Mean absolute error and mean squared error."),
    Term(
        "R², PCC",
        r"R²|\bPCC\b",
        "Coefficient of determination, and Pearson's correlation coefficient.",
    ),
]


def terms_in(text: str) -> list[str]:
    """Lines of a page that explain the short names in a text; none if it has none."""
    found = [term for term in TERMS if re.search(term.pattern, text)]
    if not found:
        return []
    lines = [".. rubric:: Terms on this page", ""]
    for term in found:
        lines += [f"**{term.name}**", f"    {term.meaning}", ""]
    return lines


def write_terms_page(folder: Path) -> None:
    """Write ``terms.rst``, all terms, into `folder`."""
    lines = []
    for term in TERMS:
        lines += [f"**{term.name}**", f"    {term.meaning}", ""]
    (folder / "terms.rst").write_text("\n".join(lines), encoding="utf-8")
