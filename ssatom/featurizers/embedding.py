"""Hidden states of a pretrained encoder as features of structures and of sites."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import StructureError
from ssatom.featurizers._base import CrystalFeaturizer, shared_docs

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from ssatom.embeddings import FeatureColumns, Pooling

# ssatom.embeddings is imported in the methods, since it loads torch.

_KONG = (
    "@article{Kong2024SelfSupervised, "
    "title = {Self-supervised Representations and Node Embedding Graph Neural Networks for "
    "Accurate and Multi-scale Analysis of Materials}, "
    "author = {Kong, Jian-Gang and Zhao, Ke-Lin and Li, Jian and Li, Qing-Xu and Liu, Yu and "
    "Zhang, Rui and Zhu, Jia-Ji and Chang, Kai}, "
    "journal = {Mach. Learn.: Sci. Technol.}, volume = {5}, pages = {035018}, year = {2024}, "
    "doi = {10.48550/arXiv.2211.03563}}"
)
_XIE = (
    "@article{Xie2018CGCNN, "
    "title = {Crystal Graph Convolutional Neural Networks for an Accurate and Interpretable "
    "Prediction of Material Properties}, "
    "author = {Xie, Tian and Grossman, Jeffrey C.}, journal = {Phys. Rev. Lett.}, "
    "volume = {120}, pages = {145301}, year = {2018}, doi = {10.1103/PhysRevLett.120.145301}}"
)
_JAIN = (
    "@article{Jain2013MaterialsProject, "
    "title = {Commentary: The Materials Project: A materials genome approach to accelerating "
    "materials innovation}, "
    "author = {Jain, Anubhav and Ong, Shyue Ping and Hautier, Geoffroy and Chen, Wei and "
    "Richards, William Davidson and Dacek, Stephen and Cholia, Shreyas and Gunter, Dan and "
    "Skinner, David and Ceder, Gerbrand and Persson, Kristin A.}, journal = {APL Mater.}, "
    "volume = {1}, pages = {011002}, year = {2013}, doi = {10.1063/1.4812323}}"
)
_WARD = (
    "@article{Ward2016Magpie, "
    "title = {A general-purpose machine learning framework for predicting properties of inorganic "
    "materials}, "
    "author = {Ward, Logan and Agrawal, Ankit and Choudhary, Alok and Wolverton, Christopher}, "
    "journal = {npj Comput. Mater.}, volume = {2}, pages = {16028}, year = {2016}, "
    "doi = {10.1038/npjcompumats.2016.28}}"
)


class _EmbeddingFeaturizer(CrystalFeaturizer):
    """Base of the featurizers whose features are hidden states."""

    layers: str | int | Sequence[int]
    weights: Any
    batch_size: int
    device: str
    memory: Any
    random_state: int

    def feature_labels(self) -> list[str]:
        """Names of the features, in the order of the columns.

        Such as "ssatom_L1_017" (layer 1, unit 17) and "ssatom_radial_003" (a coordination number);
        "ssatom_L1_std_017" with several poolings; "ssatom_cgcnn-64x5-mp_L1_017" with weights other
        than the default set.
        """
        return self._columns().names

    def _n_features(self) -> int:
        return len(self._columns())  # the names take longer to make than the rows of a small table

    def citations(self) -> list[str]:
        """BibTeX of the method, of the graph convolution, and of the pretraining data."""
        card = self._columns().weights.card
        citations = [_KONG, _XIE]
        if card is not None and "10.1063/1.4812323" in card.corpus["terms"]:
            citations.append(_JAIN)
        if card is not None and card.recipe.get("element_features") == "magpie":
            citations.append(_WARD)
        return citations

    def _columns(self) -> FeatureColumns:
        """Columns of `transform`; refuses unknown layers, weights and poolings."""
        from ssatom.embeddings import FeatureColumns, parse_pooling

        poolings = parse_pooling(self.pooling) if hasattr(self, "pooling") else None
        return FeatureColumns.of_arguments(self.layers, self.weights, self.random_state, poolings)

    def _settings(self) -> dict[str, Any]:
        """Arguments of `embed`."""
        return {"batch_size": self.batch_size, "device": self.device, "memory": self.memory}


@shared_docs
class GraphEmbeddingFeaturizer(_EmbeddingFeaturizer):
    """Self-supervised features of structures, for scikit-learn and matminer.

    The features are the hidden states of a pretrained graph network, pooled over the sites of the
    structure and concatenated over the chosen layers (GE012 in the paper [Kong2024]_). A higher
    layer describes a larger environment of each site. With any layer from 1 on, coordination
    numbers follow the layers if the weights have them. Columns that were nearly constant over the
    pretraining corpus are left out, so that every feature can be scaled.

    Parameters
    ----------
    {parameters}

    See Also
    --------
    SelfSupervisedSiteFeaturizer : Features of single sites.
    OrbitalFieldMatrixTransformer : The orbital field matrix beside it.

    References
    ----------
    {Kong2024}
    {Xie2018}

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import GraphEmbeddingFeaturizer
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> featurizer = GraphEmbeddingFeaturizer(layers="012", weights="random")
    >>> featurizer.fit_transform([salt]).shape
    (1, 192)
    >>> featurizer.get_feature_names_out()[0]
    'ssatom_random-0_L0_000'
    """

    def __init__(
        self,
        layers: str | int | Sequence[int] = "012",
        weights: Any = None,
        *,
        pooling: Pooling | Sequence[Pooling] = "mean",
        batch_size: int = 64,
        device: str = "auto",
        errors: str = "raise",
        memory: Any = None,
        random_state: int = 0,
    ) -> None:
        self.layers = layers
        self.weights = weights
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.errors = errors
        self.memory = memory
        self.random_state = random_state

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        return self._columns().embed(rows, **self._settings())


@shared_docs
class SelfSupervisedSiteFeaturizer(_EmbeddingFeaturizer):
    """Self-supervised features of sites, for scikit-learn and matminer.

    The features of a pair of structure and site index are the hidden states of that site in a
    pretrained graph network, concatenated over the chosen layers (NE01 in the paper [Kong2024]_).
    All sites of a structure are computed once, together. Coordination numbers follow, and columns
    are left out, as in `GraphEmbeddingFeaturizer`.

    Parameters
    ----------
    {parameters}

    See Also
    --------
    GraphEmbeddingFeaturizer : Features of whole structures.

    References
    ----------
    {Kong2024}
    {Xie2018}

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import SelfSupervisedSiteFeaturizer
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> featurizer = SelfSupervisedSiteFeaturizer(layers="01", weights="random")
    >>> featurizer.fit_transform([(salt, 0), (salt, 4)]).shape
    (2, 128)
    """

    def __init__(
        self,
        layers: str | int | Sequence[int] = "01",
        weights: Any = None,
        *,
        batch_size: int = 64,
        device: str = "auto",
        errors: str = "raise",
        memory: Any = None,
        random_state: int = 0,
    ) -> None:
        self.layers = layers
        self.weights = weights
        self.batch_size = batch_size
        self.device = device
        self.errors = errors
        self.memory = memory
        self.random_state = random_state

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        from ssatom.embeddings import embed
        from ssatom.structures import iter_sites

        columns = self._columns()
        pairs = iter_sites(rows)
        indices: deque[int] = deque()  # of the structures that were read and not embedded yet

        def structures() -> Iterator[Structure | StructureError]:
            for pair in pairs:
                structure, index = (pair, -1) if isinstance(pair, StructureError) else pair
                indices.append(index)
                yield structure

        for states in embed(structures(), columns.weights, **self._settings()):
            index = indices.popleft()
            if isinstance(states, StructureError):
                yield states.at(collection="sites")
            else:
                yield columns.take(states[index : index + 1])[0]
