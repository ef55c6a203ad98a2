"""
Predictions with error bars
===========================

``ConformalRegressor`` wraps any regressor on structures. Its intervals hold a stated share of the
values, and are wider for crystals unlike those of the training.
"""

# %%
# Bulk moduli; every second crystal is held back, to count how many intervals hold.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import (
    ConformalRegressor,
    GraphEmbeddingFeaturizer,
    KernelRidgeCV,
    load_example_crystals,
)

crystals = load_example_crystals().dropna(subset="bulk_modulus_GPa")
log_k = np.log10(crystals["bulk_modulus_GPa"].to_numpy())
train, test, y_train, y_test = train_test_split(
    list(crystals["structure"]), log_k, test_size=0.5, random_state=1
)
regressor = make_pipeline(
    GraphEmbeddingFeaturizer("012"), StandardScaler(), KernelRidgeCV(search="coarse-to-fine", cv=5)
)
model = ConformalRegressor(regressor, coverage=0.9).fit(train, y_train)

# %%
# Intervals, and how far each crystal is from the training crystals: 0 is a copy, 100 is farther
# than any of them from the others. Beyond 99 there would be an ``ExtrapolationWarning``.

near = model.nearest_percentile(test) <= 99
test, y_test = [s for s, keep in zip(test, near, strict=True) if keep], y_test[near]
bounds = model.predict_interval(test)
percentile = model.nearest_percentile(test)
held = (bounds[:, 0] <= y_test) & (y_test <= bounds[:, 1])
print(f"{held.mean():.0%} of {len(test)} crystals within their 90 % intervals")
assert 0.75 < held.mean() <= 1

# %%
# Widths grow with the distance to the training set.

width = np.diff(bounds)[:, 0]
print(f"mean width, near half {width[percentile < 50].mean():.2f}")
print(f"mean width, far half {width[percentile >= 50].mean():.2f}")
assert width[percentile >= 50].mean() > width[percentile < 50].mean()

order = np.argsort(y_test)
center = bounds.mean(axis=1)[order]
half = width[order] / 2
figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
place = np.arange(len(order))
axes.errorbar(place, center, half, fmt="none", ecolor="0.7", label="90 % interval")
dots = axes.scatter(place, y_test[order], c=percentile[order], s=14, zorder=3, label="table")
axes.set(xlabel="crystals, from soft to hard", ylabel="log10 (K / GPa)")
axes.legend(frameon=False, loc="upper left")
figure.colorbar(dots, ax=axes, label="nearest percentile")
