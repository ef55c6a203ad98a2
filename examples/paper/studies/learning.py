"""Beyond the paper: errors over the number of training crystals, and an ensemble's spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm, spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone

from ssatom import NEGNNRegressor
from ssatom.evaluation import EvaluationResult, split_rows
from ssatom.plots import plot_calibration
from studies.context import STRUCTURES, Context
from studies.datasets import DATASETS
from studies.features import MIXED, Electrons, FeatureSet, JoinedFeatures
from studies.figures import draw_learning_curves
from studies.kernel_tables import TITLES
from studies.networks import networks
from studies.scores import as_numbers, cell, digits_for, sentence_case
from studies.study import Report, Table

SIZES = (100, 300, 1000, 2500)
PROPERTIES = {"paper_formation": "formation_energy_per_atom", "paper_elastic": "log10_K"}
KERNEL_RIDGE, RECOMMENDED = "KRR on GE012", "KRR, recommended"

_CRYSTALS_SEEN = 100_000  # in a training; with fewer crystals there are more epochs
_MOST_EPOCHS = 200
_SEEDS = 3


class TrainedOnFew(RegressorMixin, BaseEstimator):
    """A model that is fitted on some of its training rows.

    Parameters
    ----------
    model : estimator
        Fitted on a clone.
    n_rows : int
        Rows, drawn at random; all of them if there are fewer.
    random_state : int or None, default=None
        Seed of the draw, and of the model if it has one.
    """

    def __init__(self, model: Any, n_rows: int, random_state: int | None = None) -> None:
        self.model = model
        self.n_rows = n_rows
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> TrainedOnFew:
        """Fit on the rows drawn."""
        rows = np.random.default_rng(self.random_state).permutation(len(X))[: self.n_rows]
        self.model_ = clone(self.model)
        if "random_state" in self.model_.get_params():
            self.model_.set_params(random_state=self.random_state)
        self.model_.fit(X.iloc[rows] if hasattr(X, "iloc") else X[rows], y[rows])
        self.best_params_ = getattr(self.model_, "best_params_", {})
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The model's predictions."""
        return self.model_.predict(X)


def run_learning_curve(context: Context) -> Report:
    """Kernel ridge, NEGNN and CGCNN on 100 to 2,500 crystals."""
    curves: dict[str, dict[str, dict[int, tuple[float, float]]]] = {}
    numbers, rows, reading = {}, [], []
    sizes = SIZES[:2] if context.quick else SIZES
    for source, target in PROPERTIES.items():
        title = TITLES[target]
        results = {size: _evaluate_size(context, source, target, size) for size in sizes}
        models = list(results[sizes[0]])
        curves[title] = {
            model: {
                min(size, of[model].splits[0].n_train): (
                    of[model].mean(),
                    of[model].std(),
                )
                for size, of in results.items()
            }
            for model in models
        }
        numbers[target] = {str(size): as_numbers(of) for size, of in results.items()}
        means = {size: {m: of[m].mean() for m in models} for size, of in results.items()}
        best = {size: min(of, key=of.__getitem__) for size, of in means.items()}
        digits = digits_for([r.mean() for of in results.values() for r in of.values()])
        for size, of in results.items():
            cells = [cell(result.mean(), result.std(), digits) for result in of.values()]
            rows.append([title, str(size), *cells])
        by_size = [f"{model} with {size:,} crystals" for size, model in best.items()]
        if len(set(best.values())) == 1:
            by_size = [f"{best[sizes[0]]} with every number of crystals"]
        reading.append(f"{sentence_case(title)}: the lowest error has {', '.join(by_size)}.")
    units = {TITLES[t]: f"MAE ({DATASETS[s].targets[t]})" for s, t in PROPERTIES.items()}
    return Report(
        results=numbers,
        tables=[Table("MAE", ["property", "training crystals", *models], rows)],
        reading=[
            *reading,
            "Both networks have the settings with which the search of Table VI begins, and as many "
            f"epochs as show {_CRYSTALS_SEEN:,} crystals, {_MOST_EPOCHS} at most; kernel ridge "
            "searches its grid. The recommended model is kernel ridge with a weight for each block "
            "of columns, on layers 012 pooled by mean, standard deviation, anions and cations, "
            "beside the columns of electrons.",
        ],
        figures={"": draw_learning_curves(curves, units)},
    )


def _evaluate_size(
    context: Context, source: str, target: str, size: int
) -> dict[str, EvaluationResult]:
    """All models, trained on the same number of crystals."""
    sets = {target: context.dataset(source, target)}
    epochs = 2 if context.quick else min(_MOST_EPOCHS, _CRYSTALS_SEEN // size)
    ours = JoinedFeatures((FeatureSet("012", pooling=MIXED), Electrons()))
    models: dict[str, Any] = {
        "KRR": (FeatureSet("012"), context.kernel_ridge()),
        "recommended": (ours, context.weighted_kernel_ridge()),
    }
    models |= {name: (STRUCTURES, model) for name, model in networks(context, epochs).items()}
    labels = {"KRR": KERNEL_RIDGE, "recommended": RECOMMENDED}
    return {
        labels.get(name, name): context.evaluate(
            features,
            sets,
            model=TrainedOnFew(model, size),
            model_name=f"{name}-{size}",
            splits=["random"],
            n_seeds=min(_SEEDS, context.n_seeds),
        )[target]
        for name, (features, model) in models.items()
    }


def run_calibration(context: Context) -> Report:
    """How well the spread of an ensemble's members predicts its errors."""
    source, target = next(iter(PROPERTIES.items()))
    dataset = context.dataset(source, target)
    train, test = split_rows("random", 0, len(dataset))
    settings = networks(context, 2 if context.quick else 60)["NEGNN"].get_params()
    model = NEGNNRegressor(**{**settings, "n_members": 5, "random_state": 0})
    model.fit([dataset.structures[i] for i in train], dataset.y[train])
    predicted, std = model.predict([dataset.structures[i] for i in test], return_std=True)
    errors = np.abs(predicted - dataset.y[test])
    shares = {k: float(np.mean(errors <= k * std)) for k in (1, 2)}
    rank = float(spearmanr(errors, std).statistic)
    ratio = float(np.sqrt(np.mean(errors**2) / np.mean(std**2)))
    rows = [
        [f"{k} s.d.", f"{share:.1%}", f"{norm.cdf(k) - norm.cdf(-k):.1%}"]
        for k, share in shares.items()
    ]
    unit = DATASETS[source].targets[target]
    return Report(
        results={
            "shares": {str(k): share for k, share in shares.items()},
            "spearman": rank,
            "error_over_std": ratio,
            "mae": float(errors.mean()),
            "y": dataset.y[test].tolist(),
            "predictions": predicted.tolist(),
            "std": std.tolist(),
        },
        tables=[Table("Test rows within", ["", "here", "if normal"], rows)],
        reading=[
            f"{sentence_case(TITLES[target])} of {len(test)} test crystals by five members, MAE "
            f"{errors.mean():.3f} {unit}. Spread and error have a rank correlation of {rank:.2f} "
            f"(Spearman); the errors are {ratio:.1f} times the spread (root mean squares)"
            + (
                ": multiply it by that number, measured on crystals held back, before using it as "
                "an error bar."
                if ratio > 1
                else "."
            ),
        ],
        figures={"": plot_calibration({"NEGNN": (dataset.y[test], predicted, std)}, unit=unit)},
    )
