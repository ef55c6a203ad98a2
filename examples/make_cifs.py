"""Write a few of the example crystals as CIF files for the command line.

Run ``python examples/make_cifs.py`` to renew ``examples/crystals``, or name another folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ssatom.corpora.examples import load_example_crystals

# File name and the crystal's name in the table: one for each kind of bonding.
CRYSTALS = {
    "copper": "copper",
    "iron": "iron",
    "diamond": "diamond",
    "graphite": "graphite",
    "halite": "halite",
    "gallium_arsenide": "gallium arsenide",
    "zincite": "zincite",
    "fluorite": "fluorite",
    "strontium_titanate": "strontium titanate",
    "spinel": "spinel",
    "rutile": "rutile",
    "corundum": "corundum",
    "alpha_quartz": "alpha quartz",
    "molybdenite": "molybdenite",
    "bismuth_telluride": "bismuth telluride",
    "ice_xi": "ice XI",
    "trinickel_aluminide": "trinickel aluminide",
    "cobalt_manganese_silicon": "cobalt manganese silicon",
    "samarium_pentacobalt": "samarium pentacobalt",
    "yttrium_barium_cuprate": "yttrium barium cuprate",
}


def write_cifs(folder: Path) -> None:
    """Write each crystal of ``CRYSTALS`` into the folder, with its space group's symmetry."""
    folder.mkdir(parents=True, exist_ok=True)
    structures = load_example_crystals().set_index("name")["structure"]
    for file_name, name in CRYSTALS.items():
        structures[name].to(filename=str(folder / f"{file_name}.cif"), symprec=0.01)


if __name__ == "__main__":
    default = Path(__file__).parent / "crystals"
    write_cifs(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
