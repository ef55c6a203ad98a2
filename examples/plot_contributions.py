"""
What each site adds to a prediction
===================================

Features that are means over sites let a linear model be taken apart: every site has its share of
the prediction, exactly. Other models are asked what they would predict without the site.
"""

# %%
# A ridge regression of the bulk modulus on the embeddings of layers 0 to 2.

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import GraphEmbeddingFeaturizer, load_example_crystals, site_contributions
from ssatom.plots import plot_sites

crystals = load_example_crystals().dropna(subset="bulk_modulus_GPa")
structures, log_k = list(crystals["structure"]), np.log10(crystals["bulk_modulus_GPa"])
model = make_pipeline(GraphEmbeddingFeaturizer("012"), StandardScaler(), RidgeCV([10, 100, 1000]))
model.fit(structures, log_k)

# %%
# Molybdenite, MoS₂, is soft because its layers hardly hold together: sulphur, which faces the gap
# between them, lowers the prediction below the mean of all crystals, molybdenum raises it.

molybdenite = load_example_crystals().set_index("name").loc["molybdenite", "structure"]
exact = site_contributions(model, molybdenite)
print(exact.round(3))
print(exact.attrs)

total = exact["contribution"].sum() + exact.attrs["baseline"]
assert abs(total - model.predict([molybdenite])[0]) < 1e-4
means = exact.groupby("element")["contribution"].mean()
assert means["Mo"] > 0.05 > 0 > means["S"]

# %%
# A kernel model is not a sum over sites. Here a contribution is what the prediction loses when the
# state of one site is left out of the mean.

kernel = make_pipeline(
    GraphEmbeddingFeaturizer("012"), StandardScaler(), KernelRidge(kernel="laplacian", gamma=1e-3)
)
kernel.fit(structures, log_k - log_k.mean())
occluded = site_contributions(kernel, molybdenite)
print(occluded.groupby("element")["contribution"].mean(), occluded.attrs["method"])

# %%
# The exact contributions, where the sites are.

figure = plot_sites(
    exact[["x", "y", "z"]],
    exact["element"],
    exact["contribution"],
    cell=molybdenite.lattice.matrix,
    label="contribution to log10 (K / GPa)",
)
