"""Measure the speed of ssatom against known routines: ``python examples/benchmarks/speed.py -h``.

All ratios are taken in one run, so that the machine matters little.
"""

from __future__ import annotations

import json
import os
import platform
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from pymatgen.core import Structure

import ssatom
from embedding_speed import MEASUREMENTS
from network_speed import prediction_speed, pretraining_speed, training_speed
from ssatom import SsatomError, load_example_crystals, read_structures
from ssatom.embeddings import clear_cache, resolve_weights

_EPILOG = """
**Examples**

- `python examples/benchmarks/speed.py`: on strained copies of the example crystals
- `python examples/benchmarks/speed.py --data mine.jsonl.gz --corpus corpus.jsonl.gz -o speed.json`

Run nothing else on the machine meanwhile. It takes some minutes, most of them for matminer's
orbital field matrix. An epoch of training is compared with a plain CGCNN in PyTorch Geometric if
that is installed (`pip install torch_geometric`).
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def measure(
    data: Path | None = None, corpus: Path | None = None, n_structures: int = 2000
) -> dict[str, Any]:
    """All measurements.

    Parameters
    ----------
    data : path, default=None
        Structures to featurize, in any format that `read_structures` reads; None for the example
        crystals.
    corpus : path, default=None
        Structures to pretrain on; None for those of `data`.
    n_structures : int, default=2000
        Structures taken from each; the example crystals are repeated with strained cells as
        needed.

    Returns
    -------
    dict
        Times, ratios, and what they were taken on. Without torch_geometric the ratios to it are
        None.
    """
    structures = first_structures(data, n_structures)
    results: dict[str, Any] = {
        "ssatom": ssatom.__version__,
        "weights": resolve_weights().name,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "data": "example crystals" if data is None else data.name,
        "n_structures": len(structures),
        "sites_per_structure": float(np.mean([len(s) for s in structures])),
    }
    for measurement in MEASUREMENTS:
        results |= measurement(structures)
    clear_cache()
    results |= prediction_speed(structures) | training_speed(structures)
    to_pretrain = structures if corpus is None else first_structures(corpus, n_structures)
    return results | pretraining_speed(to_pretrain)


def first_structures(path: Path | None, n_structures: int) -> list[Structure]:
    """The first usable structures of a file, or strained copies of the example crystals."""
    if path is not None:
        records = read_structures(path, errors="keep")
        usable = (r.structure for r in records if isinstance(r.structure, Structure))
        return list(islice(usable, n_structures))
    examples = list(load_example_crystals()["structure"])
    repeats = -(-n_structures // len(examples))
    strained = (s.copy().apply_strain(0.002 * i) for i in range(repeats) for s in examples)
    return list(islice(strained, n_structures))


@app.command(epilog=_EPILOG)
def main(
    data: Annotated[
        Path | None,
        typer.Option(help="Structures to featurize.", show_default="the example crystals"),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Structures to pretrain on.", show_default="as --data")
    ] = None,
    n_structures: Annotated[int, typer.Option(min=1, help="Structures taken from each.")] = 2000,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Result file, JSON.", show_default="none"
        ),
    ] = None,
) -> None:
    """Time featurizing, grid search, predictions and training against known routines."""
    try:
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
        results = measure(data, corpus, n_structures)
        if output is not None:
            output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except (SsatomError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    width = max(map(len, results))
    for name, value in results.items():
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        typer.echo(f"{name.replace('_', ' '):{width}}  {shown}")


if __name__ == "__main__":
    app()
