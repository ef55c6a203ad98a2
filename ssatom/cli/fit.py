"""`ssatom fit`: a table of structure files and targets in, a validated model out."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ssatom.cli import _options as options
from ssatom.cli._disk import disk_error, refuse_replacing, writing
from ssatom.cli._screen import PROBLEMS, aligned, counted, say, show_problems
from ssatom.exceptions import ParameterError, SsatomError
from ssatom.files import claimed, filling
from ssatom.validation import number, one_of

if TYPE_CHECKING:
    from ssatom.cli._fitting import Rows
    from ssatom.cli._models import Fitted, Models

EPILOG = """
**Examples**

- `ssatom fit data.csv --target gap -o model/`: a data.csv such as

      path,gap
      cifs/NaCl.cif,8.5
      cifs/Si.cif,1.12

- `ssatom fit data.csv --target bulk --target shear -o moduli/`: two targets, each with a kernel or
  both learned together by a network
- `ssatom fit data.csv --target is_metal --classify -o metals/`
- `ssatom fit corpus.jsonl.gz --target energy --model negnn --members 5 --time-budget 2h -o model/`:
  five networks, whose spread is an uncertainty
- `ssatom predict model/ cifs/ -o predictions.csv`: use it

**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 the model is written, but
with `--errors skip` some rows were left out: they are listed at the end, in the report and in
FOLDER/problems.csv, which also has the warnings.
"""


_ROOM = 16 * 2**20  # bytes; a model and its report take a few million


def fit(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA",
            help="Tables (.csv, .parquet, .xlsx) of targets beside paths, from the table, or "
            "CIF texts; JSON (.json, .jsonl), extended XYZ (.extxyz) or databases of ASE (.db) "
            "with properties. All but .db may be packed as .gz.",
            show_default=False,
        ),
    ],
    target: Annotated[
        list[str],
        typer.Option("--target", "-t", metavar="COLUMN", help="What to predict; may be repeated."),
    ],
    output: Annotated[Path, options.output("FOLDER", "Model and its report.")],
    structure_column: options.StructureColumn = None,
    classify: Annotated[
        bool, typer.Option("--classify", help="The target is a class, not a number.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            metavar="auto|kernel-ridge|logistic|negnn|cgcnn",
            help="Kernel ridge on embeddings (of classes: logistic regression), a network on them, "
            "or the same network on raw features; auto lets cross-validation choose between the "
            "first two.",
        ),
    ] = "auto",
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers of the embeddings, a digit each.",
            show_default="01 of negnn, 012 of others",
        ),
    ] = None,
    weights: options.Weights = None,
    electrons: Annotated[
        bool,
        typer.Option(
            help="Features of electrons beside the embeddings, not for networks. They take 3 ms "
            "for a crystal of 10 sites, and the time grows with the cube of the number of sites."
        ),
    ] = True,
    members: Annotated[
        int, typer.Option(min=1, help="Networks; with 5 each prediction has an uncertainty.")
    ] = 1,
    test_size: Annotated[
        float, typer.Option(help="Share held out at random, for the report alone.")
    ] = 0.2,
    max_epochs: Annotated[
        int, typer.Option(min=1, help="Largest number, for networks, which may stop earlier.")
    ] = 300,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Largest time of a fit of a network, whose epoch under way then is the last: 8h, "
            "90m, 1h30m, or seconds.",
            show_default="none",
        ),
    ] = None,
    device: options.Device = "auto",
    random_state: Annotated[
        int, typer.Option(min=0, help="Seed of the rows held out and of the networks.")
    ] = 0,
    errors: Annotated[
        str, typer.Option(metavar="raise|skip", help="Stop at a bad row, or leave bad rows out.")
    ] = "raise",
    overwrite: options.Overwrite = False,
    progress: options.Progress = True,
) -> None:
    """Train a model on crystals and their properties, and validate it.

    A share of the rows, drawn at random, is held out; the model learns from the others and is
    tested on these. The model that was tested is the one that is written.

    **Which model?** Cross-validation on the rows to train on chooses between kernel ridge on
    embeddings (`KernelRidgeCV`, tried on up to 5,000 rows), a graph network (NEGNN, from 500 rows)
    and the mean, and shows their errors. Five folds below 500 rows, three below 2,000, then one
    fifth held out once. For 520 crystals the folds of kernel ridge and those of NEGNN took about
    10 s of processor time each; with more, networks take time in proportion, and kernel ridge up to
    its cube. `--model` asks for one of them, and spares that. For classes (`--classify`) it chooses
    by the log loss between logistic regression on embeddings (up to 20,000 rows), NEGNN (from 500
    rows) and always giving the shares of the classes.

    Writes FOLDER: the model (`model.json`, `model.skops`), `report.md` and `report.json`,
    `parity.png` (or `confusion.png`), and `predictions.csv` of the rows held out; of networks the
    course of training as `history.csv` and `history.png`; `intervals.safetensors`, the error bars,
    by the errors on the rows held out; `problems.csv` if there is anything to say of rows.

    A table without a first line of names has the columns structure, column_1, column_2, …: give
    `--target column_1` for an `id_prop.csv` of CGCNN or ALIGNN.
    """
    started = time.perf_counter()
    number("--test-size", test_size, "(0, 1)")
    one_of("--errors", errors, ("raise", "skip"))
    _check_columns(target, members, classify)

    from ssatom.cli._fitting import Rows, read_rows
    from ssatom.cli._models import Models
    from ssatom.storage import check_folder

    refuse_replacing(output, check_folder(output), overwrite)
    of_networks = {
        "n_members": members,
        "max_epochs": max_epochs,
        "time_budget": options.parse_duration(time_budget),
        "progress_bar": progress,
    }
    models = Models(model, classify, layers, weights, electrons, device, random_state, of_networks)
    models.check()
    rows = Rows(target, classify, errors)
    split = {"test_size": test_size, "random_state": random_state, "errors": errors}
    with claimed(output):
        # What another run wrote a moment ago.
        refuse_replacing(output, check_folder(output), overwrite)
        with _room(output):
            read_rows(rows, paths, structure_column, models.graph_config, progress)
            rows.split(test_size, random_state)
            reading = time.perf_counter() - started
            fitted = _train(models, rows)
        report = _write(fitted, output, rows, paths, split, reading)
    _summarize(output, report, time.perf_counter() - started)
    show_problems(rows.problems, report["rows"]["read"], "rows", output / PROBLEMS)


def _check_columns(targets: list[str], members: int, classify: bool) -> None:
    if classify and len(targets) > 1:
        raise ParameterError("--classify takes one --target; fit one model for each")
    from ssatom.cli._intervals import bar_names
    from ssatom.cli._prediction import column_names

    names = column_names(targets, members)
    taken = ["source", "formula", *names, *(f"{name}_predicted" for name in targets)]
    taken += bar_names([] if classify else targets)
    if twice := next((name for name in taken if taken.count(name) > 1), None):
        raise ParameterError(f"--target: there would be two columns {twice!r}; rename the target")


@contextmanager
def _room(output: Path) -> Iterator[None]:
    """Hold room on the disk for the model while it is trained, so that it can be written then."""
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=there))
        except OSError as error:
            raise SsatomError(f"--output: cannot write to '{there}' ({error.strerror})") from None
        with writing(output, "nothing was trained; make 16 MB of room, or give another --output"):
            file.write(bytes(_ROOM))
            file.flush()
            os.fsync(file.fileno())
        yield


def _train(models: Models, rows: Rows) -> Fitted:
    from ssatom.warn import told_already

    structures, keys = rows.structures_of(rows.train), [rows.keys[i] for i in rows.train]
    try:
        with told_already():  # by reading, with their sources
            return models.train(structures, rows.y[rows.train], keys)
    except KeyboardInterrupt:
        say("stopped; nothing is written", err=True)
        raise typer.Exit(130) from None


def _write(
    fitted: Fitted,
    output: Path,
    rows: Rows,
    paths: Sequence[Path],
    split: dict[str, Any],
    reading: float,
) -> dict[str, Any]:
    """Write the model and its report in one step; the model alone where its validation fails."""
    from ssatom.cli import _report
    from ssatom.storage import CARD, PARTS, save_estimator

    failure: BaseException | None = None
    report: dict[str, Any] = {}
    try:
        with filling(output, last=CARD, gone=(*_report.REPORT_FILES, *PARTS)) as new:
            save_estimator(fitted.model, new, target_names=rows.targets)
            try:
                report = _report.write_report(new, fitted, rows, paths, split, reading)
            except (Exception, KeyboardInterrupt) as error:  # of any kind: the model is there
                failure = error
                _report.remove_report(new)
    except Exception as error:
        _keep_elsewhere(fitted.model, output, rows.targets, error)
    if isinstance(failure, KeyboardInterrupt):
        say(f"stopped; the model is in '{output}', without its validation", err=True)
        raise typer.Exit(130)
    if failure is not None:
        raise SsatomError(
            f"the model is in '{output}' and ready for `ssatom predict`, but its validation "
            f"failed: {failure}"
        ) from failure
    return report


def _keep_elsewhere(model: Any, output: Path, targets: list[str], error: Exception) -> NoReturn:
    """Write the model where there is room, if room is what was missing; raise the error."""
    from ssatom.storage import save_estimator

    if (reason := disk_error(error)) is None:
        raise error
    elsewhere = Path(tempfile.mkdtemp(prefix="ssatom-"), output.name)
    with writing(output, f"nor can '{elsewhere}', and the model is lost"):
        save_estimator(model, elsewhere, target_names=targets)
    raise SsatomError(
        f"'{output}' cannot be written ({reason}); the model is kept in '{elsewhere}', ready "
        "for `ssatom predict`; move it to where it belongs"
    ) from error


def _summarize(output: Path, report: dict[str, Any], seconds: float) -> None:
    n = report["rows"]
    shown = [("mae", "MAE"), ("r2", "R²"), ("accuracy", "accuracy"), ("roc_auc", "ROC AUC")]
    lines = [
        ("crystals", f"{n['train']:,} to train on, {counted(n['test'], 'crystal')} held out"),
        *_of_choice(report),
    ]
    if "epochs" in report["training"]:
        lines.append(("epochs", ", ".join(f"{n:,}" for n in report["training"]["epochs"])))
    for name, scores in report["metrics"].items():
        texts = [
            f"{label} {scores[key]:.4g}" for key, label in shown if scores.get(key) is not None
        ]
        lines.append((name, ", ".join(texts)))
    lines += [("seconds", f"{seconds:.1f}"), ("output", f"{output}: see report.md")]
    say(aligned(lines))
    if (guess := report["model"]) in ("mean", "commonest class"):
        say(
            f"warning: no model was better than always giving the {guess} of the target: it may be "
            "noise, or depend on what structures do not tell",
            err=True,
        )


def _of_choice(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The model, and the errors of those it was chosen from."""
    choice = report["choice"]
    yield "model", report["model"] + (f", chosen by {choice['how']}" if choice else "")
    shown = "log loss" if choice and choice["error"] == "log loss" else "MAE"
    for row in choice["models"] if choice else ():
        errors = row["errors"]
        if row["seconds"] is None:
            yield f"not tried: {row['model']}", row["remark"]
            continue
        texts = [
            f"{shown} {error:.4g}" + f" ({name})" * (len(errors) > 1)
            for name, error in errors.items()
        ]
        yield f"tried: {row['model']}", f"{', '.join(texts)}; {row['seconds']:.1f} s"
