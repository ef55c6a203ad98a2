"""
Layers and over-smoothing
=========================

In the paper, deeper layers see more of the surroundings, and atoms of one crystal grow alike. The
cosine similarity of the cation and the anion of a rock salt shows how much, and that layers joined
keep the two apart.
"""

# %%
# Site embeddings of all layers come from one forward pass; ``layers`` only chooses.

import matplotlib.pyplot as plt
import numpy as np

from ssatom import load_example_crystals, load_pretrained, site_embeddings

crystals = load_example_crystals().set_index("name")
salts = {"halite": "NaCl", "sylvite": "KCl"}
single = ["0", "1", "2", "3", "4", "5"]
joined = ["0", "01", "012", "0123", "01234", "012345"]
sets = {"the paper's recipe": "cgcnn-64x5-mp", "default": None}


def similarity(structure, layers, weights):
    """Cosine of the angle between the first cation's and the first anion's hidden states."""
    sites = site_embeddings([structure], layers=layers, weights=weights)[0]
    sites = sites[:, : len(layers) * load_pretrained(weights).hidden_dim]  # hidden states alone
    numbers = np.array(structure.atomic_numbers)
    cation, anion = sites[numbers != 17][0], sites[numbers == 17][0]
    return cation @ anion / (np.linalg.norm(cation) * np.linalg.norm(anion))


# %%
# The paper's Fig. 4, on our weights.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
results = {}
for axis, (name, formula) in zip(axes, salts.items(), strict=True):
    structure = crystals.loc[name, "structure"]
    for (label, weights), color in zip(sets.items(), ("C0", "C1"), strict=True):
        for kind, settings, line in (("single", single, "o-"), ("joined", joined, "s--")):
            found = [similarity(structure, layers, weights) for layers in settings]
            results[name, label, kind] = found
            axis.plot(range(6), found, line, color=color, label=f"{label}, {kind}")
    axis.set(title=formula, xlabel="layer, or last of the layers joined", ylim=(-0.15, 0.85))
axes[1].legend(loc="upper left")
axes[0].set_ylabel("cosine similarity of cation and anion")
figure.tight_layout()

# %%
# 1 means that the two atoms look the same. With both sets of weights the last layer, joined with
# the others, keeps them further apart than alone.

for name, formula in salts.items():
    for label in sets:
        alone, with_others = (results[name, label, kind][-1] for kind in ("single", "joined"))
        print(f"{formula}, {label}: layer 5 alone {alone:.3f}, all layers {with_others:.3f}")
        assert with_others < alone
