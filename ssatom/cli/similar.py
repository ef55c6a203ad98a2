"""`ssatom index` and `ssatom similar`: an index of crystals, and those in it that are alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssatom.cli import _options as options
from ssatom.cli._disk import refuse_replacing
from ssatom.cli._run import run_to_table
from ssatom.cli._screen import Problem, aligned, say, show_problems
from ssatom.cli._workers import workers_of

if TYPE_CHECKING:
    from ssatom.cli._items import Job
    from ssatom.cli._parts import PartFolder

_CODES = """
**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 some structures could not
be used: they are listed at the end.
"""
INDEX_EPILOG = "**Examples**\n\n- `ssatom index cifs/ -o my-index`\n"
INDEX_EPILOG += options.TABLE_NOTES.replace("FILE", "FOLDER").replace("rows for", "crystals of")
SIMILAR_EPILOG = "**Examples**\n\n- `ssatom similar my-index NaCl.cif --number 10`\n" + _CODES


def index(
    paths: options.Paths,
    output: Annotated[Path, options.output("FOLDER", "The index.")],
    layers: Annotated[str, typer.Option(help="Layers that are compared, a digit each.")] = "012",
    weights: options.Weights = None,
    structure_column: options.StructureColumn = None,
    device: options.Device = "auto",
    n_jobs: options.NJobs = None,
    dask: options.Dask = None,
    ray: options.Ray = None,
    overwrite: options.Overwrite = False,
    progress: options.Progress = True,
) -> None:
    """Make an index of crystals, which `ssatom similar` searches.

    Crystals are compared by their embeddings, averaged over sites.
    """
    workers = workers_of(n_jobs, dask, ray)
    import numpy as np

    from ssatom.cli._features import prepare
    from ssatom.cli._items import LABELS
    from ssatom.similar import CARD, FORMAT, SimilarCrystals

    refuse_replacing(output, FORMAT.check_replaced(output / CARD), overwrite)
    job = prepare(paths, structure_column, layers, weights, device=device)

    def write(folder: Path, parts: PartFolder, job: Job) -> None:
        found = SimilarCrystals(layers, weights, device=device)
        rows = [np.stack(table.select(job.names).columns, axis=1) for table in parts.tables()]
        sources, formulas = (
            [name for table in parts.tables([label]) for name in table.column(0).to_pylist()]
            for label, _ in LABELS
        )
        found._fit_rows(np.concatenate(rows), formulas, sources, found._columns())
        found.save(folder)

    run_to_table(
        job,
        output,
        lambda done: [("crystals", f"{done.n_crystals:,}")],
        "index",
        workers=workers,
        overwrite=overwrite,
        progress=progress,
        write=write,
    )


def similar(
    folder: Annotated[
        Path, typer.Argument(metavar="INDEX", help="Folder that `ssatom index` wrote.")
    ],
    paths: options.Paths,
    number: Annotated[int, typer.Option("--number", "-n", help="Crystals for each query.")] = 5,
    weights: options.Weights = None,
    structure_column: options.StructureColumn = None,
    device: options.Device = "auto",
) -> None:
    """Show the crystals of an index that are most like given ones.

    The distance is the root mean square difference of the embeddings, each column in units of its
    standard deviation over the index: about 1.4 for two of its crystals drawn at random.
    """
    from ssatom.cli._items import apply, chunks, read_items
    from ssatom.exceptions import StructureError
    from ssatom.similar import SimilarCrystals

    found = SimilarCrystals.load(folder, weights, device=device)
    lines = [("query", "rank", "similar", "formula", "distance")]
    problems: list[Problem] = []
    n_all = 0
    for chunk in chunks(read_items(paths, structure_column)):
        states, told = apply(chunk, found._embed)
        problems += told
        n_all += len(chunk)
        good = [i for i, state in enumerate(states) if not isinstance(state, StructureError)]
        table = found._nearest([states[i] for i in good], number)
        for query, rank, name, formula, distance in table.itertuples(index=False):
            source = chunk[good[query]].record.source
            lines.append((source, str(rank), str(name), formula, f"{distance:.3f}"))
    if len(lines) > 1:
        say(aligned(lines))
    show_problems(problems, n_all)
