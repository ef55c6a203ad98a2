"""
Crystals that are alike
=======================

An index of embeddings finds the crystals that are most like a given one. No property and no
prototype was ever shown to the network, yet near crystals share both.
"""

# %%
# The index of the crystals that come with the package. Columns are scaled by their spread over
# these crystals; a distance of about 1.4 is that of two crystals drawn at random.

import matplotlib.pyplot as plt

from ssatom import SimilarCrystals, load_example_crystals

crystals = load_example_crystals()
index = SimilarCrystals(layers="012").fit(crystals["structure"], ids=crystals["name"])

# %%
# The nearest of three crystals. Each finds itself first, at distance 0.

structures = crystals.set_index("name")["structure"]
queries = ["molybdenite", "gallium arsenide", "strontium titanate"]
found = index.query(structures[queries], n_neighbors=6)
print(found)

# %%
# Each crystal's nearest other one, over all of them: how often is it of the same prototype, such
# as rock salt or spinel, and how often would a crystal drawn at random be?

family = crystals.set_index("name")["family"]
nearest = index.query(crystals["structure"], n_neighbors=2)
others = nearest[nearest["rank"] == 2]["id"]
share = (family[others].to_numpy() == family.to_numpy()).mean()
chance = ((family.map(family.value_counts()) - 1) / (len(family) - 1)).mean()
print(f"same prototype: {share:.0%} of the nearest crystals, {chance:.0%} of those drawn at random")
assert share > 0.4 > 10 * chance

# %%
# An index is saved as a folder, ``index.save("my-index")``, and loaded with
# ``SimilarCrystals.load("my-index")``; on the command line, ``ssatom index`` makes one and
# ``ssatom similar`` searches it.

figure, panels = plt.subplots(1, 3, figsize=(10, 2.6), sharex=True)
for i, (name, axes) in enumerate(zip(queries, panels, strict=True)):
    near = found[(found["query"] == i) & (found["rank"] > 1)]
    axes.barh(near["rank"], near["distance"])
    axes.set_yticks(near["rank"], near["formula"])
    axes.set(title=name, xlabel="distance, s.d. of the index")
    axes.invert_yaxis()
figure.tight_layout()
