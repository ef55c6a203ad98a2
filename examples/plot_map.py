"""
A map of crystals
=================

Embeddings in a plane: near crystals are alike in structure and in bonding, so that metals and
insulators come apart though no band gap was ever shown to the network.
"""

# %%
# t-SNE keeps neighbours together. It takes the scaled embeddings of an index of similar crystals.

from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from ssatom import SimilarCrystals, load_example_crystals
from ssatom.plots import plot_map

crystals = load_example_crystals()
embeddings = SimilarCrystals(layers="012").fit(crystals["structure"]).embeddings_
points = TSNE(perplexity=15, random_state=0).fit_transform(embeddings)

# %%
# Texts are classes, with a legend.

families = plot_map(points, crystals["family"], label="prototype")

# %%
# Numbers have a colour bar; crystals without a value are grey.

gaps = plot_map(points, crystals["band_gap_eV"], label="band gap (eV)")

# %%
# Of crystals with a known gap, how often does the nearest one of the map agree on metal or not?

known = crystals["band_gap_eV"].notna().to_numpy()
is_metal = crystals["band_gap_eV"].to_numpy()[known] == 0
neighbors = NearestNeighbors(n_neighbors=2).fit(points[known]).kneighbors(return_distance=False)
agreement = (is_metal[neighbors[:, 0]] == is_metal).mean()
chance = is_metal.mean() ** 2 + (1 - is_metal.mean()) ** 2
print(
    f"nearest crystal of the map agrees in {agreement:.0%}, a crystal drawn at random {chance:.0%}"
)
assert agreement > 0.8 > chance + 0.2
