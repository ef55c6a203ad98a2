"""
Features as columns of a table
==============================

In matminer's way: a DataFrame with a column of crystals gets one more column for each feature.
"""

# %%
# A table as people have it, with the text of a CIF file in a column. Structures, ASE atoms, dicts
# and paths of files are read the same way.

import matplotlib.pyplot as plt

from ssatom import GraphEmbeddingFeaturizer, load_example_crystals

crystals = load_example_crystals().set_index("name")
names = ["diamond", "iron", "copper", "halite", "fluorite"]
table = crystals.loc[names, ["formula", "family"]]
table["cif"] = [structure.to(fmt="cif") for structure in crystals.loc[names, "structure"]]
print(table["cif"].iloc[0][:120])

# %%
# ``featurize_dataframe`` appends the columns. The first digits are the layer, the last the number
# of the unit; after the layers follow the coordination numbers.

featurizer = GraphEmbeddingFeaturizer(layers="012")
featurized = featurizer.featurize_dataframe(table, "cif")
print(featurized.drop(columns="cif").iloc[:, [0, 1, 2, 3, -2, -1]])
assert len(featurized.columns) == len(table.columns) + len(featurizer.feature_labels())

# %%
# Most units of a network have no name. The coordination numbers have: number of neighbours within
# 1.0, 1.2, … 4.4 Å. Each counts with its weight in the messages, which falls smoothly to 0 at the
# cutoff of 4.5 Å: a neighbour at 2.8 Å counts as 0.3.

radial = featurized.filter(like="ssatom_radial").iloc[:, :18]
radii = [1.0 + 0.2 * i for i in range(radial.shape[1])]
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, row in radial.iterrows():
    axes.plot(radii, row, "o-", markersize=4, label=f"{name} ({featurized.loc[name, 'family']})")
axes.set(xlabel="radius (Å)", ylabel="neighbours within the radius,\nless those near 4.5 Å")
axes.legend(frameon=False)

# %%
# Within 2 Å an atom of diamond has its four neighbours; in copper the nearest are at 2.56 Å.

within_2 = radial.iloc[:, 5]
print(within_2.round(2))
assert within_2["diamond"] > 2 > 0.5 > within_2["copper"]
