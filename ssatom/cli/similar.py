"""`ssatom index` and `ssatom similar`: an index of crystals, and those in it that are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ssatom.cli import _options as options
from ssatom.cli._disk import writing
from ssatom.cli._screen import ERROR, Problem, aligned, say, show_problems
from ssatom.exceptions import SsatomError
from ssatom.files import claimed

_CODES = """
**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 some structures could not
be used: they are listed at the end.
"""
INDEX_EPILOG = "**Examples**\n\n- `ssatom index cifs/ -o my-index`\n" + _CODES
SIMILAR_EPILOG = "**Examples**\n\n- `ssatom similar my-index NaCl.cif --number 10`\n" + _CODES


def index(
    paths: options.Paths,
    output: Annotated[Path, options.output("FOLDER", "The index.")],
    layers: Annotated[str, typer.Option(help="Layers that are compared, a digit each.")] = "012",
    weights: options.Weights = None,
    structure_column: options.StructureColumn = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    progress: options.Progress = True,
) -> None:
    """Make an index of crystals, which `ssatom similar` searches.

    Crystals are compared by their embeddings, averaged over sites.
    """

    from ssatom.cli._items import apply, chunks, count_all, labels_of, read_items
    from ssatom.embeddings import clear_cache
    from ssatom.exceptions import StructureError
    from ssatom.progress import make_bar
    from ssatom.similar import CARD, FORMAT, SimilarCrystals

    def refuse_replacing() -> None:
        if FORMAT.check_replaced(output / CARD) and not overwrite:
            raise SsatomError(f"'{output}' exists; give another name, or --overwrite to replace it")

    refuse_replacing()
    found = SimilarCrystals(layers, weights, device=device)
    columns = found._columns()
    labels: list[tuple[str, str]] = []
    rows: list[Any] = []
    problems: list[Problem] = []
    total = count_all(paths) if progress else None
    with make_bar(desc="index", total=total, unit=" crystals", show=progress) as bar:
        for chunk in chunks(read_items(paths, structure_column)):
            states, told = apply(chunk, lambda structures: found._embed(structures, columns))
            problems += told
            for item, state in zip(chunk, states, strict=True):
                if not isinstance(state, StructureError):
                    labels.append(labels_of(item.record))
                    rows.append(state)
            clear_cache()  # what was indexed is not asked for again
            bar.update(len(chunk))
    n_all = len(rows) + sum(problem.kind == ERROR for problem in problems)
    if rows:
        sources, formulas = zip(*labels, strict=True)
        found._fit_rows(rows, formulas, sources, columns)
        with claimed(output), writing(output, "make room, or give another --output"):
            refuse_replacing()  # what another run wrote meanwhile
            found.save(output)
    written = str(output) if rows else "none, since no structure could be used"
    say(aligned([("crystals", f"{len(rows):,}"), ("output", written)]))
    _end(problems, n_all)


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
    _end(problems, n_all)


def _end(problems: list[Problem], n_all: int) -> None:
    show_problems(problems, n_all)
    if any(problem.kind == ERROR for problem in problems):
        raise typer.Exit(3)
