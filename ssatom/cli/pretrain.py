"""`ssatom pretrain`: weights of one's own, from a corpus of crystals without labels."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssatom.cli._disk import writing
from ssatom.cli._output import aligned, say
from ssatom.exceptions import ParameterError, SsatomError

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

_UNITS = {"h": 3600, "m": 60, "s": 1, "": 1}


def _recipe(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Recipe", **more)


def _graph(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Graphs", **more)


def _run(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Run", **more)


def _card(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Card of the weights", **more)


def _use_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take what the file holds as defaults, so that the command line wins."""
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


def pretrain(
    corpora: Annotated[
        list[Path],
        typer.Argument(
            metavar="CORPUS",
            help="Structure files (.cif, POSCAR, …), folders of them, JSON lines (.jsonl), "
            "extended XYZ (.extxyz) or tables of paths (.csv), each also with .gz.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Weights; its name is theirs."),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=_use_config,
            help="Take options from a TOML or JSON file; those on the command line win.",
        ),
    ] = None,
    n_structures: Annotated[
        int | None,
        _recipe("Draw so many at random.", "--n-structures", "-n", min=2, show_default="all"),
    ] = None,
    random_state: Annotated[
        int, _recipe("Seed of the draw, first weights, split, order and masks.", min=0)
    ] = 0,
    tasks: Annotated[
        str | None,
        _recipe(
            "What to recover, between commas; settings in parentheses.",
            metavar="NAMES",
            show_default="period,group,distance",
        ),
    ] = None,
    mask_fraction: Annotated[float, _recipe("Chance of a site to be masked.", min=0, max=1)] = 0.15,
    hidden_edge_fraction: Annotated[
        float, _recipe("Chance of a distance at a masked site to be hidden.", min=0, max=1)
    ] = 0.5,
    hidden_dim: Annotated[int, _recipe("Width of the network.", min=1)] = 64,
    n_conv: Annotated[int, _recipe("Convolutions.", min=1)] = 5,
    dropout: Annotated[float, _recipe("Dropout between convolutions.", min=0, max=1)] = 0.0,
    residual: Annotated[
        bool, _recipe("Layers add to the last state instead of replacing it.")
    ] = False,
    radial_units: Annotated[
        int, _recipe("Coordination numbers beside the hidden states.", min=0)
    ] = 0,
    element_features: Annotated[
        str, _recipe("Of the elements: cgcnn, distinct or magpie.")
    ] = "cgcnn",
    start: Annotated[str, _recipe("First values of the weights: random or radial.")] = "random",
    neighbors: Annotated[
        str, _graph("nearest: the nearest ones; smooth: all, with a smooth envelope.")
    ] = "nearest",
    cutoff: Annotated[float, _graph("Farthest neighbour, Å.")] = 8.0,
    max_neighbors: Annotated[int, _graph("Places for neighbours, if nearest.")] = 12,
    shell_tolerance: Annotated[float, _graph("Thickness of a shell, Å, if nearest.")] = 0.01,
    basis_step: Annotated[float, _graph("Spacing of the Gaussians, Å.")] = 0.2,
    basis_width: Annotated[float, _graph("Width of the Gaussians, Å.")] = 0.2,
    batch_size: Annotated[int, _recipe("Structures of a step.", min=1)] = 64,
    learning_rate: Annotated[float, _recipe("Of Adam.", min=0)] = 0.001,
    decay_fraction: Annotated[
        float, _recipe("Share of the epochs over which it falls to zero.", min=0, max=1)
    ] = 0.3,
    validation_fraction: Annotated[float, _recipe("Share held back.", min=0, max=1)] = 0.05,
    max_epochs: Annotated[int, _recipe("Epochs at most.", min=1)] = 100,
    patience: Annotated[
        int, _recipe("Stop after so many epochs with a flat validation loss; 0: never.", min=0)
    ] = 10,
    min_delta: Annotated[float, _recipe("A smaller fall counts as flat.", min=0)] = 0.001,
    time_budget: Annotated[
        str | None,
        _run(
            "The epoch under way then is the last: 8h, 90m, 1h30m, or seconds.",
            metavar="TIME",
            show_default="none",
        ),
    ] = None,
    precision: Annotated[
        str, _run("auto, float32 or bfloat16; auto takes what is fast here.")
    ] = "auto",
    device: Annotated[str, _run("auto, cpu or cuda.")] = "auto",
    n_devices: Annotated[int, _run("GPUs, or processes on a CPU, side by side.", min=1)] = 1,
    checkpoint_dir: Annotated[
        Path | None,
        _run("Graphs and checkpoints.", metavar="FOLDER", show_default="FOLDER.run"),
    ] = None,
    overwrite: Annotated[bool, _run("Replace FOLDER.", "--overwrite")] = False,
    progress: Annotated[bool, _run("Show progress.")] = True,
    corpus_name: Annotated[
        str | None, _card("What the corpus is.", metavar="TEXT", show_default="its file names")
    ] = None,
    terms: Annotated[str, _card("Its licence and citation.", metavar="TEXT")] = "not stated",
) -> None:
    """Pretrain weights on crystals without labels.

    Hides the elements of some sites, and some of the distances to them, and trains the network to
    recover what `--tasks` asks for. The defaults are the recipe of the paper.

    Writes FOLDER: the weights, their card and README, their recipe as `recipe.toml`, and the curves
    of training as `curve.csv` and `curve.png`. Structures that cannot be used are left out with a
    warning.
    """
    options = dict(locals())
    from ssatom.corpora._names import printable

    trainer = _trainer(options, checkpoint_dir or output.with_name(output.name + ".run"))
    if output.exists() and not overwrite and not _is_child():
        raise SsatomError(f"'{output}' exists; give another name, or --overwrite to replace it")
    description = corpus_name or printable(", ".join(path.name for path in corpora))
    if n_structures is not None:
        description += f"; {n_structures:,} structures drawn with random_state {random_state}"
    structures = _structures(corpora, n_structures, random_state)
    structures = _same_corpora(structures, Path(str(trainer.checkpoint_dir)), corpora)
    kept = f"the epochs that were complete are kept in {trainer.checkpoint_dir}"
    again = "give the same command again to go on"
    try:
        with writing(trainer.checkpoint_dir, f"{kept}; make room, and {again}"):
            trainer.fit(structures, corpus=description)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        say(f"stopped; {kept}; {again}", err=True)
        raise typer.Exit(130) from None
    if not _is_child():
        with writing(output, f"the training is kept in {trainer.checkpoint_dir}; {again}"):
            _save(trainer, output, terms, n_structures)


def _trainer(options: dict[str, Any], checkpoint_dir: Path) -> MaskedPretrainer:
    from ssatom.graph import GraphConfig
    from ssatom.pretraining import MaskedPretrainer

    same = (
        "tasks", "residual", "radial_units", "element_features", "start",
        "mask_fraction", "hidden_edge_fraction", "hidden_dim", "n_conv", "dropout", "max_epochs",
        "min_delta", "batch_size", "learning_rate", "decay_fraction", "validation_fraction",
        "precision", "device", "n_devices", "random_state",
    )  # fmt: skip
    return MaskedPretrainer(
        **{name: options[name] for name in same},
        graph_config=GraphConfig(
            **{field.name: options[field.name] for field in fields(GraphConfig)}
        ),
        patience=options["patience"] or None,
        time_budget=parse_duration(options["time_budget"]),
        checkpoint_dir=checkpoint_dir,
        progress_bar=options["progress"],
    )


def parse_duration(text: str | None) -> float | None:
    """Seconds of a text such as "8h", "1h30m" or "90".

    Examples
    --------
    >>> from ssatom.cli.pretrain import parse_duration
    >>> parse_duration("1h30m"), parse_duration("90")
    (5400.0, 90.0)
    """
    if text is None:
        return None
    pieces = re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
    if not pieces or "".join(map("".join, pieces)) != text:
        raise ParameterError(
            f"time_budget={text!r} is no time; allowed: seconds, or such as 8h, 90m, 1h30m"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)


def _structures(
    corpora: list[Path], n_structures: int | None, random_state: int
) -> Iterator[Structure | StructureError]:
    """Structures, or why there is none, of a random draw in the order of the files.

    Wrong paths and numbers are refused at once, before anything is written.
    """
    import numpy as np

    from ssatom.corpora import read_structures

    records = chain(*[read_structures(path, errors="keep") for path in corpora])
    if n_structures is None:
        return (record.structure for record in records)
    n_total = sum(map(_count, corpora))
    if n_structures > n_total:
        raise ParameterError(f"n_structures={n_structures} are more than the corpus has: {n_total}")
    rng = np.random.default_rng(random_state)
    rows = set(rng.choice(n_total, n_structures, replace=False).tolist())
    return (record.structure for row, record in enumerate(records) if row in rows)


def _count(path: Path) -> int:
    from ssatom.corpora import count_structures, read_structures

    count = count_structures(path)
    return sum(1 for _ in read_structures(path, errors="keep")) if count is None else count


def _same_corpora(structures: Iterator[Any], folder: Path, corpora: list[Path]) -> Iterator[Any]:
    """The structures; refuses a folder whose graphs are of other corpora, or of changed ones."""
    from ssatom.cli._parts import input_stamp

    stamps = [input_stamp(path) for path in corpora]
    file = folder / "corpora.json"
    if file.exists() and json.loads(file.read_text()) != stamps:
        raise SsatomError(
            f"{folder} holds a run on another corpus, or its files were changed since; give "
            "another --checkpoint-dir, or remove this one to start anew"
        )

    def noted() -> Iterator[Any]:  # once the trainer has found its settings right and reads
        new = file.with_name(file.name + ".new")  # a cut here leaves no stamps half written
        new.write_text(json.dumps(stamps))
        os.replace(new, file)
        yield from structures

    return noted()


def _is_child() -> bool:
    """Whether this is one of the processes that the engine started to train side by side."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _save(trainer: MaskedPretrainer, output: Path, terms: str, n_drawn: int | None) -> None:
    from ssatom.plots import plot_curves
    from ssatom.pretraining import write_recipe
    from ssatom.weights import load_pretrained

    history = trainer.history_
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    # A disk that is full leaves weights that are there as they are.
    with TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}-") as folder:
        new = trainer.save(Path(folder, output.absolute().name), terms=terms)
        # What the corpus is stays on the card alone: the recipe may be used on another.
        write_recipe(new, {"n_structures": n_drawn, **trainer.settings()})
        plot_curves(history).savefig(new / "curve.png", dpi=150)
        output.mkdir(exist_ok=True)
        for file in sorted(new.iterdir(), key=lambda file: file.name == "card.json"):
            os.replace(file, output / file.name)
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
