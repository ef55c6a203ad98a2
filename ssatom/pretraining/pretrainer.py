"""The trainer that people call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from ssatom.devices import edge_precision, resolve_device
from ssatom.elements import ELEMENT_FEATURES, element_table_hash
from ssatom.embeddings import near_constant_columns
from ssatom.encoder import EncoderConfig
from ssatom.exceptions import ParameterError, SsatomError
from ssatom.graph import CrystalGraphConverter, GraphConfig
from ssatom.masking import MaskNodesAndEdges
from ssatom.pretraining.claim import as_plain, claim
from ssatom.pretraining.divergence import tell_of_diverged
from ssatom.pretraining.graph_store import Corpus, build_corpus, split
from ssatom.pretraining.initial import check_start, new_encoder
from ssatom.pretraining.module import MaskedRecovery
from ssatom.pretraining.recipe import write_recipe
from ssatom.pretraining.schedule import linear_decay
from ssatom.repeatable import DrawFrom
from ssatom.tasks import PretrainingTask, make_tasks
from ssatom.training import BatchLoader, TrainingConfig, train
from ssatom.weights import PretrainedEncoder, save_pretrained

PAPERS_TASKS = ("period", "group", "distance")
_SIZES = ("hidden_dim", "n_conv", "dropout", "residual", "radial_units")
_LENGTHS = ("max_epochs", "patience", "min_delta")


class MaskedPretrainer:
    """Train an encoder on crystals without labels, by masking.

    Some sites have their element hidden, some distances to them too; the encoder and a small
    head a task learn to recover them. The defaults are the recipe of Kong et al.: 15 % of the
    sites, period, group and distance bin, cross-entropies summed, Adam, 100 epochs.

    Parameters
    ----------
    tasks : str or sequence of str or PretrainingTask, default=None
        What to recover: names of `ssatom.tasks.TASKS`, with settings in parentheses where they
        are not the defaults, or tasks; None for period, group and distance.
    mask_fraction : float, default=0.15
        Chance of a site to be masked.
    hidden_edge_fraction : float, default=0.5
        Chance of a distance to be hidden, where it touches a masked site.
    hidden_dim : int, default=64
        Width of the encoder.
    n_conv : int, default=5
        Number of convolutions.
    dropout : float, default=0.0
        Dropout after each convolution but the last.
    residual : bool, default=False
        Whether layers add to the last hidden state instead of replacing it.
    radial_units : int, default=0
        Coordination numbers that are handed out beside the hidden states, which blur distances:
        one for each of the last `radial_units` distances of an edge vector. Nothing is learned
        from them.
    element_features : {"cgcnn", "distinct", "magpie"}, default="cgcnn"
        What the encoder is told of the elements: CGCNN's 92 features, under which La and Ce are
        one; those and a learned vector for each element, which starts near zero; those and the 22
        properties of Magpie.
    start : {"random", "radial"}, default="random"
        First values of the weights. "radial" takes Magpie's properties, keeps them in the first
        state as they are, and lets half of the first convolution's units each begin as a sum of
        one of them over neighbours, most of all those near one distance.
    graph_config : GraphConfig, default=None
        Settings of the graphs; None for 12 nearest neighbours within 8 Å.
    max_epochs : int, default=100
        Epochs at most.
    patience : int or None, default=10
        Stop when the validation loss was flat for so many epochs; None never stops early.
    min_delta : float, default=0.001
        A fall of the validation loss by less counts as flat.
    batch_size : int, default=64
        Structures of a step.
    learning_rate : float, default=0.001
        Of Adam.
    decay_fraction : float, default=0.3
        Share of `max_epochs`, the last ones, over which the learning rate falls linearly towards
        zero; 0 keeps it constant.
    validation_fraction : float, default=0.05
        Share of the structures held back.
    time_budget : float or None, default=None
        Seconds after which the epoch under way is the last one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the edges; "auto" takes bfloat16 where the processor has units for it.
    device : str, default="auto"
        "auto", "cpu" or "cuda".
    n_devices : int, default=1
        Devices, or processes on a CPU, that train side by side.
    random_state : int, default=0
        Seed of initial weights, split, order and masks.
    checkpoint_dir : path or None, default=None
        Folder of graphs and checkpoints. A run that was cut off there goes on exactly.
    progress_bar : bool, default=True
        Whether to show progress.

    Attributes
    ----------
    encoder_ : CrystalGraphEncoder
        The encoder of the best epoch.
    history_ : DataFrame
        One row an epoch: loss and accuracy of each task in training and validation.
    n_structures_ : int
        Structures used, those held back included.
    precision_ : str
        Precision of the edges that was used.
    near_constant_ : dict of str to list of int
        Columns that no feature is made of, by pooling: they are constant or nearly so over the
        corpus.
    seconds_ : float
        Time of the training.

    References
    ----------
    Kong et al., "Self-supervised representations and node embedding graph neural networks for
    accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018 (2024),
    10.48550/arXiv.2211.03563.

    Examples
    --------
    >>> from ssatom import MaskedPretrainer, load_example_crystals
    >>> structures = load_example_crystals()["structure"][:20]
    >>> pretrainer = MaskedPretrainer(hidden_dim=8, n_conv=2, max_epochs=1, progress_bar=False)
    >>> pretrainer.fit(structures).history_.shape[0]
    1
    """

    def __init__(
        self,
        tasks: str | Sequence[str | PretrainingTask] | None = None,
        *,
        mask_fraction: float = 0.15,
        hidden_edge_fraction: float = 0.5,
        hidden_dim: int = 64,
        n_conv: int = 5,
        dropout: float = 0.0,
        residual: bool = False,
        radial_units: int = 0,
        element_features: str = "cgcnn",
        start: str = "random",
        graph_config: GraphConfig | None = None,
        max_epochs: int = 100,
        patience: int | None = 10,
        min_delta: float = 0.001,
        batch_size: int = 64,
        learning_rate: float = 0.001,
        decay_fraction: float = 0.3,
        validation_fraction: float = 0.05,
        time_budget: float | None = None,
        precision: str = "auto",
        device: str = "auto",
        n_devices: int = 1,
        random_state: int = 0,
        checkpoint_dir: str | Path | None = None,
        progress_bar: bool = True,
    ) -> None:
        self.tasks = tasks
        self.mask_fraction = mask_fraction
        self.hidden_edge_fraction = hidden_edge_fraction
        self.hidden_dim = hidden_dim
        self.n_conv = n_conv
        self.dropout = dropout
        self.residual = residual
        self.radial_units = radial_units
        self.element_features = element_features
        self.start = start
        self.graph_config = graph_config
        self.max_epochs = max_epochs
        self.patience = patience
        self.min_delta = min_delta
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.decay_fraction = decay_fraction
        self.validation_fraction = validation_fraction
        self.time_budget = time_budget
        self.precision = precision
        self.device = device
        self.n_devices = n_devices
        self.random_state = random_state
        self.checkpoint_dir = checkpoint_dir
        self.progress_bar = progress_bar

    def fit(
        self, structures: Iterable[Structure], y: None = None, *, corpus: str = "unnamed corpus"
    ) -> MaskedPretrainer:
        """Pretrain on structures.

        Parameters
        ----------
        structures : iterable of Structure, Atoms or path
            May be a generator. Rows that cannot be used are left out with one warning.
        y : None, default=None
            Ignored; labels never enter pretraining.
        corpus : str, default="unnamed corpus"
            What the structures are; stands on the card of the weights.

        Returns
        -------
        MaskedPretrainer
            Itself.

        Raises
        ------
        ParameterError
            If a setting is out of range, fewer than two structures can be used, or
            `checkpoint_dir` holds a run with another recipe, or the loss is never finite.

        Warns
        -----
        TrainingWarning
            If the validation loss of the best epoch is not below that of untrained weights.
        """
        self._check_settings()
        folder = None if self.checkpoint_dir is None else Path(self.checkpoint_dir)
        if folder is not None:
            self._claim(folder, corpus)
        tasks = self._tasks()
        directions = any(task.needs_directions for task in tasks)
        converter = CrystalGraphConverter(self.graph_config, directions=directions)
        graphs = folder and folder / "graphs"
        data = build_corpus(structures, converter, graphs, tasks, self.progress_bar)
        self.corpus_, self._index = corpus, data.contents
        self.n_structures_ = len(data.graphs)
        return self._fit_graphs(data, converter.config)

    def _fit_graphs(self, data: Corpus, graph_config: GraphConfig) -> MaskedPretrainer:
        rows = split(len(data.graphs), self.validation_fraction, self.random_state)
        loaders = [
            BatchLoader(
                data.batch, indices, self.batch_size, shuffle=shuffle, seed=self.random_state
            )
            for indices, shuffle in zip(rows, (True, False), strict=True)
        ]
        device = resolve_device(self.device)
        edge_dtype = edge_precision(self.precision, device)
        sizes = self._encoder_config(graph_config)
        with DrawFrom(self.random_state):
            module = MaskedRecovery(
                new_encoder(sizes, graph_config, self.element_features, self.start),
                torch.from_numpy(self._element_features().copy()),
                graph_config,
                self._tasks(),
                self._masking(),
                partial(
                    linear_decay,
                    learning_rate=self.learning_rate,
                    decay_fraction=self.decay_fraction,
                    max_epochs=self.max_epochs,
                ),
                edge_dtype,
                self.random_state,
            )
        started, config = time.perf_counter(), self._training_config(device)
        loss = max(module.loss_at_start(next(iter(loader))) for loader in loaders)
        self.history_: pd.DataFrame = train(module, loaders[0], loaders[1], config)
        self.seconds_ = time.perf_counter() - started
        self.encoder_ = module.encoder.cpu().eval()
        self.element_features_ = module.element_features.cpu()
        self.graph_config_ = graph_config
        self.precision_ = str(edge_dtype).removeprefix("torch.")
        features, sha256 = self.element_features_, ""
        weights = PretrainedEncoder("", self.encoder_, graph_config, features, sha256)
        self.near_constant_ = near_constant_columns(weights, data.graphs)
        tell_of_diverged(self.history_, loss, self.learning_rate, len(loaders[0]))
        return self

    def _check_settings(self) -> None:
        """Refuse a wrong setting now rather than after the graphs of a large corpus are built."""
        rules = {
            "element_features": (
                self.element_features in ELEMENT_FEATURES,
                f"one of {', '.join(ELEMENT_FEATURES)}",
            ),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "positive"),
            "decay_fraction": (0 <= self.decay_fraction <= 1, "between 0 and 1"),
            "validation_fraction": (0 < self.validation_fraction < 1, "between 0 and 1"),
        }
        for name, (holds, allowed) in rules.items():
            if not holds:
                raise ParameterError(f"{name}={getattr(self, name)!r} must be {allowed}")
        self._tasks()
        self._masking()
        graph_config = self.graph_config or GraphConfig()
        encoder = self._encoder_config(graph_config)
        check_start(self.start, encoder, graph_config, self.element_features)
        self._training_config(self.device)
        edge_precision(self.precision, self.device)

    def _masking(self) -> MaskNodesAndEdges:
        return MaskNodesAndEdges(self.mask_fraction, self.hidden_edge_fraction)

    def _tasks(self) -> list[PretrainingTask]:
        return make_tasks(PAPERS_TASKS if self.tasks is None else self.tasks)

    def _element_features(self) -> np.ndarray:
        return ELEMENT_FEATURES[self.element_features]()

    def _encoder_config(self, graph_config: GraphConfig) -> EncoderConfig:
        return EncoderConfig(
            node_dim=self._element_features().shape[1],
            edge_dim=graph_config.edge_dim,
            **{name: getattr(self, name) for name in _SIZES},
        )

    def _training_config(self, device: str) -> TrainingConfig:
        names = ("max_epochs", "patience", "min_delta", "time_budget", "checkpoint_dir",
                 "n_devices", "random_state", "progress_bar")  # fmt: skip
        return TrainingConfig(device=device, **{name: getattr(self, name) for name in names})

    def recipe(self) -> dict[str, Any]:
        """Settings that decide the result, as plain values for a card."""
        names = (
            "mask_fraction", "hidden_edge_fraction", "max_epochs", "patience", "min_delta",
            "batch_size", "learning_rate", "decay_fraction", "validation_fraction", "precision",
            "random_state", "element_features", "start",
        )  # fmt: skip
        recipe = {name: as_plain(getattr(self, name)) for name in names}
        return {"tasks": [str(task) for task in self._tasks()], **recipe}

    def settings(self) -> dict[str, Any]:
        """Options of ``ssatom pretrain`` that repeat this run on the same structures.

        Returns
        -------
        dict
            Plain values by name of the option; `precision` as it was used, after `fit`.
        """
        graph_config = self.graph_config or GraphConfig()
        return {
            **self.recipe(),
            "patience": self.patience or 0,  # the command line's never
            "precision": getattr(self, "precision_", self.precision),
            "n_devices": self.n_devices,
            **{name: as_plain(getattr(self, name)) for name in _SIZES},
            **graph_config.to_dict(),
        }

    def _claim(self, folder: Path, corpus: str) -> None:
        """Refuse a folder in which another recipe runs."""
        config = self.graph_config or GraphConfig()
        mine: dict[str, Any] = {
            "corpus": corpus,
            "recipe": self.recipe(),
            "encoder": self._encoder_config(config).to_dict(),
            "graph": config.to_dict(),
            "elements": element_table_hash(self._element_features()),
        }
        # How long a run may last is no part of what it is, unless the learning rate heads for it.
        for name in ("patience", "min_delta") if self.decay_fraction else _LENGTHS:
            mine["recipe"].pop(name)
        claim(folder, mine)

    def save(self, folder: str | Path, *, terms: str = "not stated") -> Path:
        """Write the weights as a folder that every ``weights=`` takes, with their recipe.

        Parameters
        ----------
        folder : path
            Its last part is the name of the weights.
        terms : str, default="not stated"
            Licence and citation of the corpus, for the card.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        SsatomError
            If `fit` was not called before.
        """
        if not hasattr(self, "encoder_"):
            raise SsatomError("MaskedPretrainer.save: nothing to save; call fit first")
        best = self.history_.iloc[int(self.history_["validation_loss"].argmin())]
        written = save_pretrained(
            folder,
            encoder=self.encoder_,
            graph_config=self.graph_config_,
            element_features=self.element_features_,
            corpus={
                "description": self.corpus_,
                "n_structures": self.n_structures_,
                "terms": terms,
            },
            corpus_index=self._index,
            recipe={
                **self.recipe(),
                "precision": self.precision_,
                "epochs_run": len(self.history_),
            },
            metrics={str(k): float(v) for k, v in best.items()},
            curve=self.history_,
            near_constant=self.near_constant_,
        )
        write_recipe(written, self.settings())
        return written
