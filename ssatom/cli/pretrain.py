"""`ssatom pretrain`: a corpus of crystals without labels in, a folder of weights out."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ssatom.cli import _options as options
from ssatom.cli._disk import refuse_replacing, writing
from ssatom.cli._screen import aligned, say
from ssatom.exceptions import SsatomError
from ssatom.files import claimed, filling, write_json
from ssatom.recipe import DEFAULTS, SETTINGS, value_type

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from ssatom.exceptions import StructureError
    from ssatom.pretraining import MaskedPretrainer

EPILOG = """
**Examples**

- `ssatom pretrain corpus.jsonl.gz -o my-weights`: the paper's recipe on the whole corpus
- `ssatom pretrain corpus.jsonl.gz -n 60000 --random-state 0 --time-budget 8h -o my-weights`
- `ssatom pretrain --config weights/NAME/recipe.toml corpus.jsonl.gz -o again`: the recipe of a set
- `ssatom pretrain --config recipe.json --max-epochs 5 -o trial`, with a recipe.json such as
  `{"corpora": ["corpus.jsonl.gz"], "hidden_dim": 32, "max_epochs": 100}`
- `ssatom pretrain corpus.jsonl.gz --tasks "element,distance(weight=0.5)" --neighbors smooth
  --cutoff 5 -o mine`: other tasks, other graphs
- `ssatom featurize cifs/ --weights my-weights -o features.csv`: use them

**Cut off?** Give the same command again: graphs and checkpoints are kept in `--checkpoint-dir`, and
the run goes on exactly as it would have. A run that ended early goes on with a larger
`--patience` or another `--time-budget`, and `--overwrite`; with `--decay-fraction 0` also with a
larger `--max-epochs`.
"""

CARD = "Card of the weights"

# Options that are given in another way than their settings.
_SPECIAL: dict[str, dict[str, Any]] = {
    "tasks": {"kind": str, "metavar": "NAMES"},
    "n_structures": {"names": ("--n-structures", "-n"), "show_default": "all"},
    "time_budget": {
        "kind": str,
        "metavar": "TIME",
        "help": "No epoch begins after this time: 8h, 90m, 1h30m, or seconds.",
        "show_default": "none",
    },
    "checkpoint_dir": {"kind": Path, "metavar": "FOLDER", "show_default": "FOLDER.run"},
    "progress_bar": {"names": ("--progress/--no-progress",)},
}


def _use_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take the values of the file as defaults, which the command line overrides."""
    if path is None:
        return None
    kind, parse = ("TOML", tomllib.loads) if path.suffix == ".toml" else ("JSON", json.loads)
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"'{path}' cannot be read as {kind}: {error}") from None
    allowed = {p.name for p in ctx.command.params if p.name} - {"config"}
    values = {k.replace("-", "_"): v for k, v in values.items()} if isinstance(values, dict) else {}
    if not values or (unknown := sorted(values.keys() - allowed)):
        got = f"got {', '.join(unknown)}" if values else "got no such object"
        raise typer.BadParameter(
            f"'{path}' must be a {kind} object of options; {got}; allowed: "
            f"{', '.join(sorted(allowed))}"
        )
    if isinstance(values.get("tasks"), list):
        values["tasks"] = ",".join(map(str, values["tasks"]))
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def _options() -> Iterator[inspect.Parameter]:
    """One option for each setting of a recipe."""
    for name, setting in SETTINGS.items():
        kind, optional = value_type(name)
        more: dict[str, Any] = {}
        if kind is int:
            more["min"] = setting.least
        elif kind is float and name != "time_budget":
            low, high = map(float, setting.interval[1:-1].split(","))
            more |= {"min": low, "max": high if high < math.inf else None}
        more |= _SPECIAL.get(name, {})
        kind = more.pop("kind", kind)
        names = more.pop("names", ())
        text = re.split(r"(?<=\w\.) ", setting.text)[0]
        if setting.choices:
            text += f" One of {', '.join(setting.choices)}."
        more.setdefault("help", text)
        option = typer.Option(*names, rich_help_panel=setting.group.capitalize(), **more)
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=DEFAULTS[name],
            annotation=Annotated[kind | None if optional else kind, option],
        )


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a recipe in place of ``**settings``."""
    own = [
        p.replace(annotation=hint)
        for p, hint in zip(
            inspect.signature(command).parameters.values(),
            get_type_hints(command, include_extras=True).values(),
            strict=False,
        )
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters = [*own, *_options()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


@_with_options
def pretrain(
    corpora: Annotated[
        list[Path], typer.Argument(metavar="CORPUS", help=options.FILES, show_default=False)
    ],
    output: Annotated[Path, options.output("FOLDER", "Weights; its name is theirs.")],
    config: Annotated[  # noqa: ARG001
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=_use_config,
            help="Take options from a TOML or JSON file; those on the command line win.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FOLDER.", rich_help_panel="Run")
    ] = False,
    corpus_name: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Description of the corpus.",
            show_default="its file names",
            rich_help_panel=CARD,
        ),
    ] = None,
    terms: Annotated[
        str, typer.Option(metavar="TEXT", help="Licence and citation of it.", rich_help_panel=CARD)
    ] = "not stated",
    **settings: Any,
) -> None:
    """Pretrain weights on crystals without labels.

    Hides the elements of some sites, and some of the distances to them, and trains the network to
    predict what `--tasks` names. The defaults are the recipe of the paper.

    Writes FOLDER: the weights, their card and README, their recipe as `recipe.toml`, and the curves
    of training as `curve.csv` and `curve.png`. Structures that cannot be used are left out with a
    warning.
    """
    from ssatom.pretraining import MaskedPretrainer
    from ssatom.structures._text import printable

    folder = Path(settings["checkpoint_dir"] or output.with_name(output.name + ".run"))
    settings |= {
        "time_budget": options.parse_duration(settings["time_budget"]),
        "checkpoint_dir": folder,
    }
    trainer = MaskedPretrainer(**settings)
    refuse_replacing(output, output.exists() and not _is_child(), overwrite)
    description = corpus_name or printable(", ".join(path.name for path in corpora))
    if trainer.n_structures is not None:
        description += (
            f"; {trainer.n_structures:,} structures drawn with random_state {trainer.random_state}"
        )
    structures: Any = _Structures(corpora, folder)
    if trainer.n_structures is None:
        structures = chain(structures)  # counting them may take a reading of all files
    kept = f"the epochs that were complete are kept in {folder}"
    again = "give the same command again to go on"
    try:
        with (
            nullcontext() if _is_child() else claimed(folder),
            writing(folder, f"{kept}; make room, and {again}"),
        ):
            trainer.fit(structures, corpus=description)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        say(f"stopped; {kept}; {again}", err=True)
        raise typer.Exit(130) from None
    if not _is_child():
        with writing(output, f"the training is kept in {folder}; {again}"):
            _save(trainer, output, terms)


class _Structures:
    """Structures of all files in order, or their errors; its length allows to draw some of them.

    Wrong paths are refused at once, and so is a folder whose graphs are of other corpora or of
    changed ones.
    """

    def __init__(self, corpora: list[Path], folder: Path) -> None:
        from ssatom.cli._parts import input_stamp
        from ssatom.corpora import read_structures

        self._corpora = corpora
        self._records = chain(*[read_structures(path, errors="keep") for path in corpora])
        self._stamps = [input_stamp(path) for path in corpora]
        self._file = folder / "corpora.json"
        if self._file.exists() and json.loads(self._file.read_text()) != self._stamps:
            raise SsatomError(
                f"{folder} holds a run on another corpus, or its files were changed since; give "
                "another --checkpoint-dir, or remove this one to start anew"
            )

    def __iter__(self) -> Iterator[Structure | StructureError]:
        write_json(self._file, self._stamps)  # the settings are checked by now, the folder made
        return (record.structure for record in self._records)

    def __len__(self) -> int:
        return self._n_structures

    @cached_property
    def _n_structures(self) -> int:
        from ssatom.corpora import count_structures, read_structures

        counts = {path: count_structures(path) for path in self._corpora}
        return sum(
            sum(1 for _ in read_structures(path, errors="keep")) if count is None else count
            for path, count in counts.items()
        )


def _is_child() -> bool:
    """Whether this is one of the processes that the engine started to train side by side."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _save(trainer: MaskedPretrainer, output: Path, terms: str) -> None:
    from ssatom.plots import plot_curves
    from ssatom.weights import load_pretrained

    history = trainer.history_
    with filling(output, last="card.json") as new:
        # Under the name that the card is to have.
        written = trainer.save(new / output.absolute().name, terms=terms)
        plot_curves(history).savefig(written / "curve.png", dpi=150)
        for file in written.iterdir():
            file.rename(new / file.name)
        written.rmdir()
    best = history.iloc[int(history["validation_loss"].argmin())]
    names = [str(name) for name in history]
    scores = [name for name in names if name.startswith("validation_") and "accuracy" in name]
    rows = [
        ("structures", f"{trainer.n_structures_:,}"),
        ("epochs", f"{len(history)}, best {int(best['epoch'])}"),
        *((name.replace("_", " "), f"{best[name]:.4f}") for name in scores),
        ("seconds", f"{trainer.seconds_:.0f} of training in this part of the run"),
        ("weights", f"{output}, sha256 {load_pretrained(output).sha256[:12]}"),
        ("kept", f"{trainer.checkpoint_dir}: graphs and checkpoints, to go on with; else remove"),
    ]
    say(aligned(rows))
