"""The recipe of a pretraining: each setting once, with its default, its range and its meaning.

It gives `MaskedPretrainer` its parameters, ``recipe.toml`` and the card of weights their entries,
and ``ssatom pretrain`` its options. It imports no library, so that the command line starts fast.
"""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from ssatom.validation import obey

RECIPE_FILE = "recipe.toml"
"""Name of the recipe in a folder of weights."""

_POSITIVE = "(0, inf)"
_NEAREST_ALONE = ("max_neighbors", "shell_tolerance")  # settings without a meaning for "smooth"


@dataclass(frozen=True)
class Setting:
    """What there is to know of one setting beside its name, type and default.

    Attributes
    ----------
    text : str
        Its meaning; the command line shows the first sentence.
    group : {"recipe", "graphs", "run"}
        What it decides. Those of "run" do not change the result and are not kept.
    kind : str
        Its type in words, where the annotation does not say it.
    choices : tuple of str
        Allowed values; empty for any.
    least : int
        Smallest value of a whole number.
    interval : str
        Allowed numbers, such as "[0, 1)".
    """

    text: str
    group: str = "recipe"
    kind: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0
    interval: str = "[0, inf)"


def _setting(default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(text, **more)})


@dataclass(eq=False, repr=False)
class Recipe:
    tasks: str | Sequence[Any] = _setting(
        "period,group,distance",
        "What is to be predicted: names of `ssatom.tasks.TASKS`, with settings in parentheses "
        "where they are not the defaults. Tasks of your own are given as objects.",
        kind="str or sequence of str or PretrainingTask",
    )
    _: KW_ONLY
    n_structures: int | None = _setting(
        None, "Number of structures drawn at random from those given, by default all.", least=2
    )
    mask_fraction: float = _setting(
        0.15, "Probability that the element of a site is hidden.", interval="[0, 1]"
    )
    hidden_edge_fraction: float = _setting(
        0.5,
        "Probability that a distance is hidden, for distances of sites whose element is hidden.",
        interval="[0, 1]",
    )
    hidden_dim: int = _setting(64, "Width of the hidden states.", least=1)
    n_conv: int = _setting(5, "Number of convolutions.", least=1)
    dropout: float = _setting(
        0.0, "Dropout after each convolution but the last.", interval="[0, 1)"
    )
    residual: bool = _setting(
        False, "Whether a layer adds to the last hidden state instead of replacing it."
    )
    radial_units: int = _setting(
        0,
        "Number of coordination numbers that are given beside the hidden states. Each counts the "
        "neighbours within one of the last distances of an edge vector; nothing is learned from "
        "them.",
    )
    directional_channels: int = _setting(
        0,
        "Channels of the directional units that are given beside the hidden states and enter the "
        "third and later convolutions. Each gives five units, which tell how neighbours are "
        "arranged around a site.",
    )
    element_features: str = _setting(
        "cgcnn",
        'Input of the encoder for each element. "cgcnn": the 92 features of CGCNN, which are equal '
        'for La and Ce; "distinct": those and a learned vector for each element; "magpie": those '
        "and 22 properties of Magpie.",
        choices=("cgcnn", "distinct", "magpie"),
    )
    initialization: str = _setting(
        "random",
        'First values of the weights. "radial" copies the properties of Magpie into the first '
        "hidden state; half of the first convolution's units then begin as a sum of one property "
        "over neighbours, weighted towards one distance.",
        choices=("random", "radial"),
    )
    neighbors: str = _setting(
        "nearest",
        'Neighbours of a site. "nearest": the nearest ones; "smooth": all within `cutoff`, with a '
        "weight that falls smoothly to zero.",
        group="graphs",
        choices=("nearest", "smooth"),
    )
    max_neighbors: int = _setting(
        12, 'Number of neighbours of a site, for "nearest".', group="graphs", least=1
    )
    cutoff: float = _setting(
        8.0, "Largest distance of a neighbour, Å.", group="graphs", interval=_POSITIVE
    )
    shell_tolerance: float = _setting(
        0.01,
        'Neighbours whose distances differ by no more than this, Å, are one shell, for "nearest".',
        group="graphs",
        interval=_POSITIVE,
    )
    basis_step: float = _setting(
        0.2,
        "Spacing of the Gaussians that describe a distance, Å.",
        group="graphs",
        interval=_POSITIVE,
    )
    basis_width: float = _setting(
        0.2, "Width of the Gaussians, Å.", group="graphs", interval=_POSITIVE
    )
    max_epochs: int = _setting(100, "Largest number of epochs.", least=1)
    patience: int | None = _setting(
        10,
        "Stop after this number of epochs without a fall of the validation loss; 0 never stops "
        "early. None is 0.",
    )
    min_delta: float = _setting(0.001, "Smallest fall of the validation loss that counts as one.")
    batch_size: int = _setting(64, "Number of structures in a training step.", least=1)
    learning_rate: float = _setting(0.001, "Learning rate of Adam.", interval=_POSITIVE)
    decay_fraction: float = _setting(
        0.3,
        "Fraction of `max_epochs`, the last ones, in which the learning rate falls linearly to "
        "zero; 0 keeps it constant.",
        interval="[0, 1]",
    )
    validation_fraction: float = _setting(
        0.05, "Fraction of the structures that is held out for validation.", interval="(0, 1)"
    )
    precision: str = _setting(
        "auto",
        'Floating-point format of the edges. "auto" takes bfloat16 where the processor has units '
        "for it, float32 elsewhere.",
        choices=("auto", "float32", "bfloat16"),
    )
    n_devices: int = _setting(
        1,
        "Number of GPUs, or of processes on a CPU, that train in parallel, each on `batch_size` "
        "structures of a step; several need a `checkpoint_dir`.",
        least=1,
    )
    random_state: int = _setting(
        0, "Seed of the draw, the first weights, the split, the order and the masks."
    )
    time_budget: float | None = _setting(
        None, "Seconds after which no new epoch begins; None sets no limit.", group="run"
    )
    device: str = _setting("auto", 'Where to train: "auto", "cpu" or "cuda".', group="run")
    checkpoint_dir: str | Path | None = _setting(  # noqa: RUF009
        None,
        "Folder of graphs and checkpoints. An interrupted run continues from it exactly.",
        group="run",
        kind="path or None",
    )
    progress_bar: bool = _setting(
        True, "Show progress, on stderr, in a terminal or a notebook.", group="run"
    )

    def check(self) -> None:
        """Refuse a setting with a wrong type or value.

        Raises
        ------
        ParameterError
            With the name, the value and what is allowed.
        """
        for name, setting in SETTINGS.items():
            value, (kind, optional) = getattr(self, name), value_type(name)
            value = plain_number(value) if kind is bool else value
            rules = {bool: (True, False), int: setting.least, float: setting.interval}
            if (rule := setting.choices or rules.get(kind)) is not None:
                obey(name, value, rule, optional)

    def to_dict(self) -> dict[str, Any]:
        """Settings that decide the result.

        Returns
        -------
        dict
            Plain values by name, for a file. None is left out, and so are settings of graphs that
            have no meaning with these `neighbors`.
        """
        values = {
            name: plain_number(getattr(self, name))
            for name, setting in SETTINGS.items()
            if setting.group != "run"
        }
        if not isinstance(self.tasks, str):
            tasks = self.tasks if isinstance(self.tasks, Iterable) else [self.tasks]
            values["tasks"] = [str(task) for task in tasks]
        values["patience"] = values["patience"] or 0
        if self.neighbors == "smooth":
            for name in _NEAREST_ALONE:
                del values[name]
        return {name: value for name, value in values.items() if value is not None}


SETTINGS: dict[str, Setting] = {f.name: f.metadata["setting"] for f in fields(Recipe)}
"""Every setting of a recipe by its name, in order."""

DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Recipe)}
"""Default of every setting."""


def value_type(name: str) -> tuple[Any, bool]:
    """Type of a setting, and whether it may be None."""
    kind = Recipe.__annotations__[name]
    parts = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    some = [part for part in parts if part is not type(None)]
    return (some[0] if len(some) == 1 else kind), len(some) < len(parts)


def plain_number(value: Any) -> Any:
    """Python's number for one of NumPy, which files cannot hold; anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def write_recipe(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write settings from `Recipe.to_dict` as ``recipe.toml`` into a folder of weights."""
    lines = [f"# ssatom pretrain --config {folder.resolve().name}/{RECIPE_FILE} CORPUS -o FOLDER"]
    # What JSON writes of such values is TOML too.
    lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in settings.items()]
    (folder / RECIPE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def parameter_docs() -> str:
    """Section "Parameters" of a class that takes the settings, indented by four spaces."""
    lines = []
    for name, setting in SETTINGS.items():
        kind, optional = value_type(name)
        words = setting.kind or kind.__name__ + (" or None" if optional else "")
        if setting.choices:
            words = "{" + ", ".join(f'"{choice}"' for choice in setting.choices) + "}"
        default = DEFAULTS[name]
        shown = json.dumps(default) if isinstance(default, str) else repr(default)
        lines += [f"{name} : {words}, default={shown}"]
        lines += textwrap.wrap(setting.text, 92, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return textwrap.indent("\n".join(["Parameters", "----------", *lines]), " " * 4)


Recipe.__doc__ = f"""Every setting of a pretraining; the defaults are the recipe of the paper.

{parameter_docs()}

    References
    ----------
    Kong et al., Mach. Learn.: Sci. Technol. 5, 035018 (2024), 10.48550/arXiv.2211.03563

    Examples
    --------
    >>> from ssatom.recipe import Recipe
    >>> Recipe("element", cutoff=6.0).to_dict()["cutoff"]
    6.0
    """
