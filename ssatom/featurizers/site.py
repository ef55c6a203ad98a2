"""Hidden states of sites."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import StructureError
from ssatom.featurizers._embedding import EmbeddingFeaturizer

if TYPE_CHECKING:
    from pymatgen.core import Structure


class SelfSupervisedSiteFeaturizer(EmbeddingFeaturizer):
    """Self-supervised features of sites, for scikit-learn and matminer.

    The features of a pair of structure and site index are the hidden states of that site in a
    pretrained graph network, concatenated over the chosen layers (NE01 in the paper [1]_). All
    sites of a structure are computed once, together. Coordination numbers follow, and columns are
    left out, as in `GraphEmbeddingFeaturizer`.

    Parameters
    ----------
    layers : str of digits, int or sequence of int, default="01"
        Layers to concatenate; 0 is the linear embedding of the element.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random" for the paper's untrained network (64 columns a
        layer, to compare with "cgcnn-64x5-mp"), or None for the default set.
    batch_size : int, default=64
        Largest number of structures in one forward pass; the result does not depend on it.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu" or "cuda".
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give NaN for bad rows and warn once.
    memory : path, joblib.Memory or None, default=None
        Folder of a cache on disk that processes share.
    random_state : int, default=0
        Seed of ``weights="random"``.

    See Also
    --------
    GraphEmbeddingFeaturizer : Features of whole structures.

    References
    ----------
    .. [1] Kong et al., "Self-supervised Representations and Node Embedding Graph Neural Networks
       for Accurate and Multi-scale Analysis of Materials", arXiv:2211.03563
    .. [2] Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

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
        from ssatom.structures import iter_sites

        columns = self._columns()
        pairs = iter_sites(rows)
        indices: deque[int] = deque()  # of the structures that were read and not embedded yet

        def structures() -> Iterator[Structure | StructureError]:
            for pair in pairs:
                structure, index = (pair, -1) if isinstance(pair, StructureError) else pair
                indices.append(index)
                yield structure

        for states in self._embed(structures(), columns):
            index = indices.popleft()
            if isinstance(states, StructureError):
                yield states.at(collection="sites")
            else:
                yield columns.take(states[index : index + 1])[0]
