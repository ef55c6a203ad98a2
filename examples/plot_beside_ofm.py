"""
Beside the orbital field matrix
===============================

A scikit-learn ``FeatureUnion`` puts learned features beside a descriptor that learns nothing, here
the orbital field matrix, and a model is fitted to one, the other or both.
"""

# %%
# A few small crystals with a bulk modulus, most of them elements: the orbital field matrix looks
# for the Voronoi neighbours of every site, which takes much longer than a pretrained network.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import (
    GraphEmbeddingFeaturizer,
    OrbitalFieldMatrixTransformer,
    load_example_crystals,
)

crystals = load_example_crystals().dropna(subset="bulk_modulus_GPa")
small = crystals[crystals["structure"].map(len) <= 4].head(70)
log_k = np.log10(small["bulk_modulus_GPa"].to_numpy())
print(f"{len(small)} crystals of up to 4 sites")

# %%
# One transformer for both kinds of features. Columns are named after their part.

union = FeatureUnion(
    [("ofm", OrbitalFieldMatrixTransformer()), ("ssatom", GraphEmbeddingFeaturizer(layers="012"))]
)
X = union.fit_transform(small["structure"])
part = np.array([name.partition("__")[0] for name in union.get_feature_names_out()])
print({name: int((part == name).sum()) for name in ("ofm", "ssatom")}, "columns")

# %%
# The same kernel ridge regression on each; the kernel's width follows the number of columns.

errors = {}
folds = KFold(5, shuffle=True, random_state=0)
chosen = {
    "mean of the training crystals": part == "",
    "orbital field matrix": part == "ofm",
    "learned, layers 012": part == "ssatom",
    "both": part != "",
}
for name, columns in chosen.items():
    features = X[:, columns] if columns.any() else np.zeros((len(X), 1))
    width = 0.5 / features.shape[1]
    model = make_pipeline(
        StandardScaler(), KernelRidge(alpha=0.03, kernel="laplacian", gamma=width)
    )
    scores = cross_val_score(
        model, features, log_k - log_k.mean(), cv=folds, scoring="neg_mean_absolute_error"
    )
    errors[name] = -scores.mean()
    print(f"{name}: {errors[name]:.3f}")

# %%
# Learned features alone are better than the matrix, on a few crystals too.

figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.barh(list(errors), list(errors.values()), color=["0.75", "C1", "C0", "C2"])
axes.invert_yaxis()
axes.set_xlabel("cross-validated mean absolute error of log10 K")
assert errors["learned, layers 012"] < errors["orbital field matrix"]
assert errors["learned, layers 012"] < 0.5 * errors["mean of the training crystals"]
