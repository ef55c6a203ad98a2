"""
How far must a model see?
=========================

Layer n depends on the surroundings of an atom up to n steps along the graph. ``measure_locality``
compares the errors of models with more and more layers: the number that suffices is the range of
the property.
"""

# %%
# Two properties. The volume per atom of a crystal, and the mean atomic number of its sites, which
# is a matter of composition.

import numpy as np
from sklearn.linear_model import RidgeCV

from ssatom import load_example_crystals, measure_locality

crystals = load_example_crystals()
crystals = crystals[crystals["structure"].map(len) <= 40]
structures = list(crystals["structure"])
volume = [structure.volume / len(structure) for structure in structures]
number = [np.mean(structure.atomic_numbers) for structure in structures]

# %%
# A linear model is quick, and good enough for the question; without ``model`` it is kernel ridge.

ridge = RidgeCV(np.logspace(-1, 4, 11))
found = {
    name: measure_locality(structures, y, model=ridge, n_seeds=2, unit=unit)
    for name, y, unit in (("volume", volume, "Å³/atom"), ("atomic number", number, ""))
}
for name, locality in found.items():
    print(f"{name}: {locality.reading}")

# %%
# The composition needs no neighbour, the volume does.

error = {name: locality.to_frame()["random", "mae"] for name, locality in found.items()}
print(error["volume"].round(2))
assert error["volume"].min() < 0.8 * error["volume"]["0"]
assert found["volume"].n_steps >= 1

# %%
# The error over the layers, and the lowest one circled.

figure = found["volume"].plot()
