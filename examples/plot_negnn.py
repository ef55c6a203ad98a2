"""
A graph network on the embeddings
=================================

``NEGNNRegressor`` trains a small graph network whose node vectors are the embeddings of the sites.
It is a scikit-learn regressor: fit, predict, score.
"""

# %%
# Bulk moduli of about 270 crystals, of which a fifth is held back. A network needs more crystals
# than kernel ridge does; below about a thousand, kernel ridge on embeddings is usually better.

import numpy as np
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split

from ssatom import NEGNNRegressor, load_example_crystals
from ssatom.plots import plot_parity

crystals = load_example_crystals().dropna(subset="bulk_modulus_GPa")
log_k = np.log10(crystals["bulk_modulus_GPa"].to_numpy())
train, test, y_train, y_test = train_test_split(
    list(crystals["structure"]), log_k, test_size=0.2, random_state=0
)

# %%
# Two members, each with its own seed and its own crystals held back for early stopping.

model = NEGNNRegressor(
    layers="012", hidden_dim=16, max_epochs=25, patience=10, n_members=2, random_state=0
)
model.fit(train, y_train)
print(f"{model.seconds_:.0f} s, best epochs {model.best_epochs_}")

# %%
# The history is a table, and a figure: the network of the epoch with the lowest validation loss is
# the one that is kept.

print(model.history_.tail(3))
history = model.plot_history()

# %%
# Predictions for the crystals held back, with the standard deviation over the members.

predicted, std = model.predict(test, return_std=True)
error = mean_absolute_error(y_test, predicted)
baseline = mean_absolute_error(y_test, np.full_like(y_test, y_train.mean()))
print(f"error {error:.3f}, that of the training mean {baseline:.3f}")
parity = plot_parity({"log10 (K / GPa)": (y_test, predicted)}, unit="")
assert error < 0.6 * baseline
