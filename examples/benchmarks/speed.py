"""`ssatom benchmark`: how fast the package is here, as ratios to known routines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli._output import aligned
from ssatom.exceptions import SsatomError

EPILOG = """
**Examples**

- `ssatom benchmark`: on the example crystals, strained to as many as are asked for
- `ssatom benchmark --data mine.jsonl.gz --corpus corpus.jsonl.gz -o speed.json`

Leave the machine alone meanwhile. It takes some minutes, most of them for matminer's orbital field
matrix. An epoch of training is also timed against a plain CGCNN of PyTorch Geometric, where that
is installed (`pip install torch_geometric`).
"""


def benchmark(
    data: Annotated[
        Path | None,
        typer.Option(help="Structures to featurize.", show_default="the example crystals"),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Structures to pretrain on.", show_default="as --data")
    ] = None,
    n_structures: Annotated[int, typer.Option(min=1, help="Rows used of each.")] = 2000,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Result file, JSON.", show_default="none"
        ),
    ] = None,
) -> None:
    """Time featurizing, grid search, predictions and training against known routines."""
    from ssatom.evaluation import run_benchmark

    if output is not None and not output.absolute().parent.is_dir():
        raise SsatomError(f"'{output}': there is no folder '{output.parent}'; make it first")
    results = run_benchmark(data, corpus, n_structures)
    if output is not None:
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    rows = [
        (key.replace("_", " "), f"{value:.3g}" if isinstance(value, float) else str(value))
        for key, value in results.items()
    ]
    typer.echo(aligned(rows))
