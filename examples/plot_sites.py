"""
Properties of single sites
==========================

``SelfSupervisedSiteFeaturizer`` describes sites, given as pairs of a structure and the index of the
site. Layer 0 knows the element alone; every further layer sees one step farther along the graph.
"""

# %%
# All sites of oxygen in the example crystals, one of each crystal for each distance to the nearest
# neighbour, which is what is to be predicted. Every site has the same element, so that whatever a
# model learns must come from the surroundings.

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import SelfSupervisedSiteFeaturizer, load_example_crystals
from ssatom.plots import plot_parity

pairs, distances, crystal = [], [], []
for number, structure in enumerate(load_example_crystals()["structure"]):
    found = set()
    for index, site in enumerate(structure):
        if site.specie.symbol == "O":
            nearest = min(neighbor.nn_distance for neighbor in structure.get_neighbors(site, 3.5))
            if round(nearest, 3) not in found:
                found.add(round(nearest, 3))
                pairs.append((structure, index))
                distances.append(nearest)
                crystal.append(number)
y = np.array(distances)
print(f"{len(pairs)} sites of oxygen in {len(set(crystal))} crystals")

# %%
# Sites of one crystal stay together in the folds: they are alike.

predicted, errors = {}, {}
for layers in ("0", "1", "01"):
    model = make_pipeline(
        SelfSupervisedSiteFeaturizer(layers=layers),
        StandardScaler(),
        RidgeCV(np.logspace(-1, 3, 9)),
    )
    folds = GroupKFold(5)
    predicted[layers] = cross_val_predict(model, pairs, y, groups=crystal, cv=folds)
    errors[layers] = np.abs(predicted[layers] - y).mean()
    print(f"layers {layers}: mean absolute error {errors[layers]:.3f} Å")

# %%
# From the element alone every site gets the same prediction; what layer 1 knows of the neighbours
# takes a good part of the error away.

figure = plot_parity(
    {f"layers {layers}": (y, values) for layers, values in predicted.items() if layers != "01"},
    unit="Å",
)
assert errors["01"] < 0.85 * errors["0"]
