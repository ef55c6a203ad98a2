"""
Pretraining on crystals of your own
===================================

``MaskedPretrainer`` needs structures and nothing else. A tiny encoder on a few hundred crystals
shows the whole way in seconds; real weights take tens of thousands of crystals and hours.
"""

# %%
# Fifteen percent of the sites are masked; the encoder learns to name the period, the group and
# the hidden distances.

import tempfile
from pathlib import Path

from ssatom import GraphEmbeddingFeaturizer, MaskedPretrainer, load_example_crystals

structures = list(load_example_crystals()["structure"])
pretrainer = MaskedPretrainer(
    hidden_dim=16, n_conv=2, max_epochs=12, batch_size=16, patience=None, progress_bar=False
)
pretrainer.fit(structures, corpus="example crystals of ssatom")

# %%
# One row an epoch; losses and accuracies of every task, in training and on structures held back.
# ``ssatom.plots.plot_curves`` draws them all.

curves = pretrainer.history_.set_index("epoch")
losses = curves[["train_loss", "validation_loss"]].set_axis(["training", "validation"], axis=1)
axes = losses.plot(figsize=(5, 3.4))
axes.set_ylabel("sum of the cross-entropies, nats")
axes.figure.tight_layout()
first, last = pretrainer.history_.iloc[0], pretrainer.history_.iloc[-1]
print(f"loss {first['train_loss']:.2f} -> {last['train_loss']:.2f}")
assert last["train_loss"] < 0.8 * first["train_loss"]

# %%
# A folder of weights is what every ``weights=`` takes.

with tempfile.TemporaryDirectory() as scratch:
    weights = pretrainer.save(Path(scratch) / "tiny", terms="facts, see the table's sources")
    X = GraphEmbeddingFeaturizer(layers="012", weights=weights).fit_transform(structures[:5])
print(X.shape)
assert X.shape == (5, 48)
