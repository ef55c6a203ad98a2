"""
Layers and over-smoothing
=========================

Deeper layers see more of the surroundings, and atoms of one crystal grow alike. The cosine
similarity of the cation and the anion of a rock salt shows how much, and that joining layers
keeps atoms further apart than the last layer alone.
"""

# %%
# Site embeddings of all layers come from one forward pass; ``layers`` only chooses.

import matplotlib.pyplot as plt
import numpy as np

from ssatom import load_example_crystals, site_embeddings

crystals = load_example_crystals().set_index("name")
salts = {"halite": "NaCl", "sylvite": "KCl"}
single = ["0", "1", "2", "3", "4", "5"]
joined = ["0", "01", "012", "0123", "01234", "012345"]


def similarity(structure, layers):
    """Cosine of the angle between the first cation's and the first anion's vectors."""
    sites = site_embeddings([structure], layers=layers)[0]
    numbers = np.array(structure.atomic_numbers)
    cation, anion = sites[numbers != 17][0], sites[numbers == 17][0]
    return cation @ anion / (np.linalg.norm(cation) * np.linalg.norm(anion))


# %%
# The paper's Fig. 4, on our weights.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
results = {}
for axis, (name, formula) in zip(axes, salts.items(), strict=True):
    structure = crystals.loc[name, "structure"]
    for kind, settings in (("single layer", single), ("layers joined", joined)):
        results[name, kind] = [similarity(structure, layers) for layers in settings]
        axis.plot(range(6), results[name, kind], "o-", label=kind)
    axis.set(title=formula, xlabel="(last) layer", ylim=(-1.05, 1.05))
    axis.legend()
axes[0].set_ylabel("cosine similarity of cation and anion")
figure.tight_layout()

# %%
# 1 means that the two atoms look the same. Joined with the others, the last layer keeps them
# further apart than alone.

for name in salts:
    alone, with_others = results[name, "single layer"][-1], results[name, "layers joined"][-1]
    print(f"{salts[name]}: layer 5 alone {alone:.3f}, all layers {with_others:.3f}")
    assert with_others < alone
