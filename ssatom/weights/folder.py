"""Folders of weights: find, verify, load, save."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ssatom
from ssatom.elements import atomic_features, element_table_hash
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.exceptions import WeightsError, unwrap
from ssatom.files import filling
from ssatom.graph import GraphConfig
from ssatom.repeatable import DrawFrom
from ssatom.structures import iter_arrays
from ssatom.weights.card import FORMAT, WeightsCard, check_card, check_sizes, render_readme
from ssatom.weights.corpus import CorpusIndex

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_WEIGHTS = "directional-128x5-mp"
"""Name of the set that ``weights=None`` means."""

_CARD = "card.json"
_TENSORS, _CORPUS, _CURVE = "encoder.safetensors", "corpus.safetensors", "curve.csv"
_FEATURES = "element_features"


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """An encoder with everything that its hidden states depend on.

    Attributes
    ----------
    name : str
        Name of the set.
    encoder : CrystalGraphEncoder
        In evaluation mode, float32, on the CPU.
    graph_config : GraphConfig
        Graphs it was trained on.
    element_features : Tensor, shape (101, node_dim)
        Node vectors by atomic number; row 0 is the mask.
    sha256 : str
        Of the tensors; results name it.
    card : WeightsCard or None
        None for random weights.
    folder : Path or None
        Where it was loaded from; None for random weights.

    Examples
    --------
    >>> from ssatom import load_pretrained
    >>> load_pretrained("cgcnn-64x5-mp").n_layers
    6
    """

    name: str
    encoder: CrystalGraphEncoder
    graph_config: GraphConfig
    element_features: Tensor
    sha256: str
    card: WeightsCard | None = None
    folder: Path | None = None

    def __repr__(self) -> str:
        sizes = f"{self.n_layers} layers of width {self.hidden_dim}"
        return f"<PretrainedEncoder {self.name!r}: {sizes}, sha256 {self.sha256[:8]}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.is_shipped:  # so that a pickle is small, and a process loads it once
            return _load_again, (self.name, self.sha256)
        return super().__reduce_ex__(protocol)

    @property
    def n_layers(self) -> int:
        """Number of hidden states."""
        return self.encoder.config.n_layers

    @property
    def hidden_dim(self) -> int:
        """Width of a hidden state."""
        return self.encoder.config.hidden_dim

    @property
    def n_columns(self) -> int:
        """Numbers of a site: hidden states of all layers, coordination numbers, units."""
        config = self.encoder.config
        return self.n_layers * self.hidden_dim + config.radial_units + config.n_units

    @property
    def is_shipped(self) -> bool:
        """Whether the set came with the package."""
        return self.folder is not None and self.folder.parent == _shipped_root()

    def columns(self, layers: Sequence[int]) -> np.ndarray:
        """Places of the chosen layers among the numbers of a site.

        Layer by layer in the order given, then coordination numbers and directional units where
        any layer from 1 on is chosen: layer 0 knows the element alone.
        """
        blocks = [np.arange(self.hidden_dim) + layer * self.hidden_dim for layer in layers]
        if any(layers):
            blocks.append(np.arange(self.n_layers * self.hidden_dim, self.n_columns))
        return np.concatenate(blocks)

    def describe_columns(self, columns: np.ndarray) -> list[tuple[str, int]]:
        """Block and unit of columns, such as ("L1", 17), ("radial", 3) or ("directional", 3)."""
        config = self.encoder.config
        widths = {f"L{layer}": self.hidden_dim for layer in range(self.n_layers)}
        widths |= {"radial": config.radial_units, "directional": config.n_units}
        named = [(block, unit) for block, width in widths.items() for unit in range(width)]
        return [named[column] for column in np.asarray(columns).tolist()]

    def near_constant(self, pooling: str) -> list[int]:
        """Columns that were constant or nearly so over the corpus under a pooling, or "sites"."""
        return [] if self.card is None else self.card.near_constant.get(pooling, [])

    @cached_property
    def _corpus_index(self) -> CorpusIndex:
        if self.folder is None:
            return CorpusIndex.of([])
        try:
            return CorpusIndex.load(self.folder / _CORPUS)
        except Exception as error:  # of safetensors, or of other tensors than these
            raise WeightsError(f"{self.folder / _CORPUS} cannot be read: {error}") from None

    def overlap(self, structures: Any) -> np.ndarray:
        """Which structures were in the pretraining corpus.

        Parameters
        ----------
        structures : list of Structure, Atoms or path
            Length n.

        Returns
        -------
        ndarray of bool, shape (n,)
            True where the corpus held the same reduced formula with a volume per atom within
            3 %. All False for random weights, which saw nothing.
        """
        return self._corpus_index.contains(map(unwrap, iter_arrays(structures)))


@cache
def _shipped_root() -> Path:
    """Folder of the shipped sets: inside the installed package, or beside it in a checkout."""
    package = Path(ssatom.__file__).parent
    in_checkout = (package.parent / "pyproject.toml").is_file()
    inside = package / "_weights"
    return package.parent / "weights" if in_checkout and not inside.is_dir() else inside


def list_weights() -> list[str]:
    """Names of the sets that are shipped with the package.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> from ssatom import list_weights
    >>> list_weights()
    ['cgcnn-64x5-mp', 'directional-128x5-mp', 'directional-64x3-mp']
    """
    return sorted(path.parent.name for path in _shipped_root().glob(f"*/{_CARD}"))


def _find(name_or_folder: str | os.PathLike[str] | None) -> Path:
    """Folder of a set; a quick look, since each transform takes one."""
    name_or_folder = DEFAULT_WEIGHTS if name_or_folder is None else name_or_folder
    if isinstance(name_or_folder, str) and os.path.basename(name_or_folder) == name_or_folder:
        shipped = _shipped_root() / name_or_folder
        if _stamp(shipped, _CARD):
            return shipped
    if isinstance(name_or_folder, str | os.PathLike) and os.path.isdir(name_or_folder):
        return Path(name_or_folder).resolve()
    raise WeightsError(
        f"weights={name_or_folder!r} is neither a shipped set nor a folder; shipped: "
        f"{', '.join(list_weights()) or 'none'}; or 'random', or the path of a folder that "
        "MaskedPretrainer.save wrote"
    )


def load_pretrained(name_or_folder: str | os.PathLike[str] | None = None) -> PretrainedEncoder:
    """Load a set of weights, after its files were held against the hashes on its card.

    Parameters
    ----------
    name_or_folder : str or path, default=None
        Name of a shipped set or a folder; None for the default set.

    Returns
    -------
    PretrainedEncoder
        Kept in memory: the same folder, unchanged, is read once.

    Raises
    ------
    WeightsError
        If it is unknown, incomplete, from a newer format, or a file or the card was changed.

    Examples
    --------
    >>> from ssatom import load_pretrained
    >>> load_pretrained().hidden_dim
    128
    """
    folder = _find(name_or_folder)
    return _load(folder, (_stamp(folder, _CARD), _stamp(folder, _TENSORS)))


def _stamp(folder: Path, name: str) -> int:
    """When a file was changed last; 0 if it is not there."""
    try:
        return os.stat(os.path.join(folder, name)).st_mtime_ns
    except (OSError, ValueError):  # ValueError: no name of a file, with a null byte in it
        return 0


def _load_again(name: str, sha256: str) -> PretrainedEncoder:
    """A shipped set that was pickled."""
    found = load_pretrained(name)
    if found.sha256 != sha256:
        raise WeightsError(
            f"weights {name!r} here have sha256 {found.sha256[:12]}…, and {sha256[:12]}… where "
            "they were pickled; install the same version of ssatom in both places"
        )
    return found


@lru_cache(maxsize=8)
def _load(folder: Path, stamps: tuple[int, int]) -> PretrainedEncoder:  # noqa: ARG001
    # The stamps are part of the cache's key alone.
    card = WeightsCard.read(folder / _CARD)
    FORMAT.verify(folder, card.files, needed=(_TENSORS,))
    try:
        tensors = load_file(folder / _TENSORS)
        config, graph_config = EncoderConfig(**card.encoder), GraphConfig(**card.graph)
        check_sizes(config, tensors)
        check_card(card, config, graph_config, tensors[_FEATURES])
        features = tensors.pop(_FEATURES)
        with DrawFrom(0):  # first values, which are replaced
            encoder = CrystalGraphEncoder(config)
        encoder.load_state_dict(tensors, strict=True)
    except Exception as error:  # whatever a card of odd values leads to
        raise WeightsError(f"{folder}: card and tensors do not fit together: {error}") from error
    if element_table_hash(features.numpy()) != card.element_table_sha256:
        raise WeightsError(f"{folder / _TENSORS}: element features are not those of the card")
    return PretrainedEncoder(
        card.name, encoder.eval(), graph_config, features, card.files[_TENSORS], card, folder
    )


def copy_weights(folder: Path, to: Path) -> None:
    """Copy the files that the card of a folder of weights names, and nothing else that lies there.

    The new folder is made with its parents. Raises WeightsError if there is no card.
    """
    to.mkdir(parents=True)
    for name in (_CARD, *WeightsCard.read(folder / _CARD).files):
        shutil.copy2(folder / name, to / name)


@lru_cache(maxsize=8)
def random_weights(
    random_state: int = 0, like: PretrainedEncoder | None = None
) -> PretrainedEncoder:
    """An encoder that never learned anything, the paper's "Random".

    Parameters
    ----------
    random_state : int, default=0
        Seed.
    like : PretrainedEncoder, default=None
        Whose sizes, graphs and features it has; None for the defaults, which are the paper's.

    Returns
    -------
    PretrainedEncoder
        Without card and folder.
    """
    with DrawFrom(random_state):
        encoder = CrystalGraphEncoder(like.encoder.config if like else EncoderConfig()).eval()
    features = like.element_features if like else torch.from_numpy(atomic_features().copy())
    # By the settings that are not the defaults, a setting that is added later changes no hash.
    defaults = EncoderConfig().to_dict()
    changed = {k: v for k, v in encoder.config.to_dict().items() if v != defaults[k]}
    digest = hashlib.sha256(repr(changed).encode())
    for tensor in [features, *encoder.state_dict().values()]:
        digest.update(tensor.numpy().tobytes())
    return PretrainedEncoder(
        f"random-{random_state}",
        encoder,
        like.graph_config if like else GraphConfig(),
        features,
        digest.hexdigest(),
    )


def save_pretrained(
    folder: str | Path,
    *,
    encoder: CrystalGraphEncoder,
    graph_config: GraphConfig,
    element_features: Tensor,
    corpus: dict[str, Any],
    corpus_index: CorpusIndex,
    recipe: dict[str, Any],
    metrics: dict[str, float],
    curve: pd.DataFrame,
    near_constant: dict[str, list[int]],
) -> Path:
    """Write a folder of weights: tensors, card, README, curve and index of the corpus.

    Parameters
    ----------
    folder : path
        Created; its last part is the name of the set.
    encoder : CrystalGraphEncoder
        The encoder.
    graph_config : GraphConfig
        Graphs it was trained on.
    element_features : Tensor, shape (101, node_dim)
        Node vectors by atomic number.
    corpus : dict
        "description", "n_structures" and "terms".
    corpus_index : CorpusIndex
        Crystals of the corpus, for `PretrainedEncoder.overlap`.
    recipe : dict
        Parameters of `MaskedPretrainer`.
    metrics : dict of str to float
        Of the epoch that was kept.
    curve : DataFrame
        One row an epoch.
    near_constant : dict of str to list of int
        Columns that no feature is made of, by pooling.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    tensors = {**encoder.state_dict(), _FEATURES: element_features}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # The sizes are in the file, so that its hash tells encoders apart that export other states.
    sizes = {"encoder": json.dumps(encoder.config.to_dict())}
    with filling(folder, last=_CARD) as new:
        save_file(tensors, new / _TENSORS, metadata=sizes)
        corpus_index.save(new / _CORPUS)
        curve.to_csv(new / _CURVE, index=False, float_format="%.6g", lineterminator="\n")
        card = WeightsCard(
            name=folder.resolve().name,
            format_version=FORMAT.version,
            package_version=ssatom.__version__,
            encoder=encoder.config.to_dict(),
            graph=graph_config.to_dict(),
            element_table_sha256=element_table_hash(tensors[_FEATURES].numpy()),
            files=FORMAT.hashes(new, (_TENSORS, _CORPUS, _CURVE)),
            corpus=corpus,
            recipe=recipe,
            metrics=metrics,
            near_constant=near_constant,
        )
        card.write(new / _CARD)
        (new / "README.md").write_text(render_readme(card), encoding="utf-8")
    return folder
