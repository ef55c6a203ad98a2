"""The pretrainer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure
from sklearn.base import BaseEstimator

from ssatom.elements import element_table_hash
from ssatom.embeddings import near_constant_columns
from ssatom.exceptions import ParameterError, SsatomError, TrainingWarning
from ssatom.files import keep_settings
from ssatom.graph import CrystalGraphConverter
from ssatom.pretraining.corpus import Corpus, build_corpus, check_draw, split
from ssatom.pretraining.initial import new_encoder
from ssatom.pretraining.module import MaskedRecovery
from ssatom.pretraining.plan import Plan, make_plan
from ssatom.recipe import DEFAULTS, Recipe, parameter_docs, plain_number, write_recipe
from ssatom.repeatable import DrawFrom
from ssatom.training import VALIDATION_LOSS, BatchLoader, best_epoch, train
from ssatom.warn import warn_user
from ssatom.weights import PretrainedEncoder, save_pretrained

_LENGTHS = ("max_epochs", "patience", "min_delta")
_MARGIN = 2.0  # of a loss that did not fall: masks and crystals differ
_SETTLED = 50  # steps after which the statistics of normalisation are those of the data


class MaskedPretrainer(BaseEstimator, Recipe):
    __doc__ = f"""Train an encoder on crystals without labels, by masking.

    The elements of some sites are hidden, and some distances between sites; the encoder, with one
    small network for each task, learns to predict them. The defaults are the recipe of Kong et
    al.: 15 % of the sites are masked; period, group and distance are predicted; their
    cross-entropies are summed; Adam trains for 100 epochs. A ``recipe.toml`` in a folder of
    weights holds the parameters with which the set was trained.

{parameter_docs()}

    Attributes
    ----------
    encoder_ : CrystalGraphEncoder
        The encoder of the best epoch.
    history_ : DataFrame
        One row for each epoch: loss and accuracy of each task in training and validation.
    n_structures_ : int
        Number of structures used, those of the validation included.
    recipe_ : dict
        Settings that decided the result, as `save` writes them.
    graph_config_ : GraphConfig
        The graphs.
    element_features_ : Tensor, shape (101, node_dim)
        Input of the encoder by atomic number; row 0 is the mask.
    near_constant_ : dict of str to list of int
        Columns that are constant or nearly so over the corpus, by pooling; no feature is made of
        them.
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

    The recipe of a shipped set, which takes hours on its corpus:

    >>> import tomllib
    >>> from ssatom import load_pretrained
    >>> text = (load_pretrained("directional-64x3-mp").folder / "recipe.toml").read_text("utf-8")
    >>> MaskedPretrainer(**tomllib.loads(text)).cutoff
    4.5
    """

    def fit(
        self, structures: Iterable[Structure], y: None = None, *, corpus: str = "unnamed corpus"
    ) -> MaskedPretrainer:
        """Pretrain on structures.

        Parameters
        ----------
        structures : iterable of Structure, Atoms or path
            May be a generator, unless `n_structures` is given. Rows that cannot be used are left
            out with one warning.
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
            If a setting is out of range, fewer than two structures can be used, `checkpoint_dir`
            holds a run with another recipe, or the loss is never finite.

        Warns
        -----
        TrainingWarning
            If the validation loss of the best epoch is not below that of untrained weights.
        GraphWarning
            If sites have no neighbour within the cutoff, or bonds are shorter than bonds can be.
        """
        plan = make_plan(self)
        check_draw(structures, self.n_structures)
        folder = None if self.checkpoint_dir is None else Path(self.checkpoint_dir)
        if folder is not None:
            self._claim(folder, plan, corpus)
        graph_config = plan.graph_config
        if any(task.needs_directions for task in plan.tasks):
            graph_config = replace(graph_config, directions=True)
        data = build_corpus(
            structures,
            CrystalGraphConverter(graph_config),
            folder and folder / "graphs",
            plan.tasks,
            progress_bar=self.progress_bar,
            n_drawn=self.n_structures,
            random_state=self.random_state,
        )
        self.corpus_, self._index = corpus, data.contents
        self.n_structures_ = len(data.graphs)
        return self._fit_graphs(data, plan)

    def _fit_graphs(self, data: Corpus, plan: Plan) -> MaskedPretrainer:
        rows = split(len(data.graphs), self.validation_fraction, self.random_state)
        training, validation = (
            BatchLoader(
                data.batch, indices, self.batch_size, shuffle=shuffle, seed=self.random_state
            )
            for indices, shuffle in zip(rows, (True, False), strict=True)
        )
        module = self._module(plan)
        untrained = max(module.loss_at_start(next(iter(x))) for x in (training, validation))
        started = time.perf_counter()
        self.history_: pd.DataFrame = train(module, training, validation, plan.training_config)
        self.seconds_ = time.perf_counter() - started
        self.recipe_ = plan.recipe
        self.encoder_ = module.encoder.cpu().eval()
        self.element_features_ = module.element_features.cpu()
        self.graph_config_ = plan.graph_config
        weights = PretrainedEncoder(
            "", self.encoder_, plan.graph_config, self.element_features_, ""
        )
        self.near_constant_ = near_constant_columns(weights, data.graphs)
        self._warn_if_diverged(untrained, len(training))
        return self

    def _module(self, plan: Plan) -> MaskedRecovery:
        """The untrained encoder with the networks of the tasks."""
        with DrawFrom(self.random_state):
            encoder = new_encoder(
                plan.encoder_config, plan.graph_config, self.element_features, self.initialization
            )
            return MaskedRecovery(encoder, plan)

    def _claim(self, folder: Path, plan: Plan, corpus: str) -> None:
        """Make a folder this run's; refuse one in which another recipe runs."""
        recipe = dict(plan.recipe)
        # How long a run lasts does not identify it, unless the learning rate depends on that.
        for name in ("patience", "min_delta") if self.decay_fraction else _LENGTHS:
            del recipe[name]
        del recipe["n_devices"]
        elements = element_table_hash(plan.element_features.numpy())

        def with_defaults(kept: dict[str, Any]) -> dict[str, Any]:
            """Settings that did not exist when the run began have their defaults there."""
            known = {name: DEFAULTS.get(name) for name in recipe}
            return {**kept, "recipe": known | kept["recipe"]}

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.json"
        settings = {"corpus": corpus, "recipe": recipe, "elements": elements}
        try:
            changes = keep_settings(path, settings, default=plain_number, upgrade=with_defaults)
        except ValueError:
            raise ParameterError(
                f"{path} cannot be read; remove the folder to start anew, or give another "
                "checkpoint_dir"
            ) from None
        if changes:
            raise ParameterError(
                f"checkpoint_dir {folder} holds another run: {changes}; give another folder, or "
                "the same settings to go on with that run"
            )

    def _warn_if_diverged(self, untrained: float, n_steps: int) -> None:
        """Warn where the best epoch is no better than untrained weights.

        `untrained` is their loss on the first batches, 0 where nothing was masked, and `n_steps`
        the number of training steps in an epoch.
        """
        best = best_epoch(self.history_, "pretraining", self.learning_rate)
        # In the first steps validation normalises by statistics that are not those of the data yet.
        learned = best["train_loss"] <= _MARGIN * untrained
        unsettled = learned and best["epoch"] * n_steps < _SETTLED
        loss = best[VALIDATION_LOSS]
        if not loss:  # nothing is masked where few sites are held back
            loss, unsettled = self.history_["train_loss"].iloc[-1], False
        if untrained and not (loss <= _MARGIN * untrained or unsettled):
            warn_user(
                TrainingWarning(
                    f"pretraining diverged: its loss is {loss:.3g}, and {untrained:.3g} with "
                    f"untrained weights; give a lower learning_rate than {self.learning_rate:g}, "
                    "or more max_epochs"
                )
            )

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
        best = best_epoch(self.history_, "pretraining", self.learning_rate)
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
            recipe=self.recipe_,
            metrics={
                "epochs_run": float(len(self.history_)),
                **{str(k): float(v) for k, v in best.items()},
            },
            curve=self.history_,
            near_constant=self.near_constant_,
        )
        write_recipe(written, self.recipe_)
        return written
