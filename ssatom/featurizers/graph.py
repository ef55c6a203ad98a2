"""Hidden states pooled over the sites: features of structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import StructureError
from ssatom.featurizers._embedding import EmbeddingFeaturizer

if TYPE_CHECKING:
    from ssatom.embeddings import Pooling


class GraphEmbeddingFeaturizer(EmbeddingFeaturizer):
    """Self-supervised features of structures, for scikit-learn and matminer.

    The features are the hidden states of a pretrained graph network, pooled over the sites of the
    structure and concatenated over the chosen layers (GE012 in the paper [1]_). A higher layer
    describes a larger environment of each site. With any layer from 1 on, coordination numbers
    follow the layers if the weights have them. Columns that were nearly constant over the
    pretraining corpus are left out, so that every feature can be scaled.

    Parameters
    ----------
    layers : str of digits, int or sequence of int, default="012"
        Layers to concatenate; 0 is the linear embedding of the elements.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random" for the paper's untrained network (64 columns a
        layer, to compare with "cgcnn-64x5-mp"), or None for the default set.
    pooling : str, callable or tuple of them, default="mean"
        Names of `ssatom.embeddings.POOLINGS`, such as "std" or ("mean", "max"), or a function
        f(states, numbers) of one structure from shape (n_sites, n_columns) to (n_columns,).
    batch_size : int, default=64
        Largest number of structures in one forward pass; the result does not depend on it.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu" or "cuda".
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give NaN for bad rows and warn once.
    memory : path, joblib.Memory or None, default=None
        Folder of a cache on disk that processes share. The cache in memory is always used, so
        other `layers`, clones and folds compute nothing again.
    random_state : int, default=0
        Seed of ``weights="random"``.

    See Also
    --------
    SelfSupervisedSiteFeaturizer : Features of single sites.
    OrbitalFieldMatrixTransformer : The orbital field matrix beside it.

    References
    ----------
    .. [1] Kong et al., "Self-supervised Representations and Node Embedding Graph Neural Networks
       for Accurate and Multi-scale Analysis of Materials", arXiv:2211.03563
    .. [2] Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

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
        columns = self._columns()
        for states in self._embed(rows, columns):
            yield states if isinstance(states, StructureError) else columns.take(states)
