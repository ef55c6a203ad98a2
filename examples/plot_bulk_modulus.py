"""
Which scale does the bulk modulus need?
=======================================

A grid search over ``layers``, in a scikit-learn pipeline. Every structure goes through the network
once, whatever the number of folds and settings.
"""

# %%
# Crystals with an experimental or computed bulk modulus, from the table that comes with the
# package.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import GraphEmbeddingFeaturizer, load_example_crystals

crystals = load_example_crystals().dropna(subset="bulk_modulus_GPa")
structures = list(crystals["structure"])
log_k = np.log10(crystals["bulk_modulus_GPa"].to_numpy())
train, test, y_train, y_test = train_test_split(structures, log_k, test_size=0.2, random_state=0)
print(f"{len(train)} crystals for training, {len(test)} for the test")

# %%
# Layers and the kernel's width and strength are chosen by cross-validation on the training part.

settings = ["0", "01", "012", "0123", "01234", "012345"]
pipeline = make_pipeline(
    GraphEmbeddingFeaturizer(),
    StandardScaler(),
    TransformedTargetRegressor(KernelRidge(kernel="laplacian"), transformer=StandardScaler()),
)
grid = {
    "graphembeddingfeaturizer__layers": settings,
    "transformedtargetregressor__regressor__gamma": [1e-4, 1e-3, 1e-2],
    "transformedtargetregressor__regressor__alpha": [1e-3, 1e-2, 1e-1],
}
search = GridSearchCV(
    pipeline, grid, cv=KFold(5, shuffle=True, random_state=0), scoring="neg_mean_absolute_error"
)
search.fit(train, y_train)
best = search.best_params_["graphembeddingfeaturizer__layers"]
error = mean_absolute_error(y_test, search.predict(test))
print(f"best layers {best}, test error {error:.3f} in log10 K")

# %%
# What each setting reaches at its best kernel, and the test predictions.

scores = search.cv_results_
layers = np.array(scores["param_graphembeddingfeaturizer__layers"])
reached = [-scores["mean_test_score"][layers == setting].max() for setting in settings]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
left.plot(settings, reached, "o-")
left.set(xlabel="layers joined", ylabel="cross-validated MAE of log10 K")
right.scatter(10**y_test, 10 ** search.predict(test), s=18)
right.plot([1, 500], [1, 500], color="grey", linewidth=1)
right.set(xscale="log", yscale="log", xlabel="K in the table, GPa", ylabel="K predicted, GPa")
figure.tight_layout()

# %%
# Guessing the mean of the training part is a good deal worse.

baseline = mean_absolute_error(y_test, np.full_like(y_test, y_train.mean()))
print(f"mean of the training part: {baseline:.3f}")
assert error < 0.5 * baseline
