"""The page on weights, written from their cards when the docs are built."""

from __future__ import annotations

import shutil
from pathlib import Path

from ssatom import GraphConfig, list_weights, load_pretrained
from ssatom.encoder import EncoderConfig
from ssatom.weights import DEFAULT_WEIGHTS

_HEAD = """Weights
=======

Each set is a folder of tensors (safetensors, never unpickled), a card and a training curve. The
files are held against the hashes on the card whenever they are loaded. No property label entered
the training of any of them.

``directional-128x5-mp`` is the default: 128 numbers a layer for layers 0 to 5, 18 coordination
numbers, and 160 directional units that tell angles. ``directional-64x3-mp`` gives 64 numbers for
layers 0 to 3, 18 coordination numbers and 80 directional units in about half the time, and
``cgcnn-64x5-mp``, the paper's recipe, 64 numbers for layers 0 to 5.
:doc:`paper/ablation` says what each part of a recipe brings, and :doc:`paper/best` how the default
compares with descriptors that learn nothing and with force fields.

The accuracy of a task that predicts numbers is the share of predictions whose error is below half
the spread of the targets.

"""

_SET = """{name}
{line}

:Encoder: {encoder}
:Graphs: {graphs}
:Corpus: {description}
:Terms: {terms}
:Recipe: {recipe}
:Epochs: {epochs_run}
:sha256: ``{sha}``

.. list-table:: Accuracy on structures held back
   :header-rows: 1

   * - task
     - accuracy
     - loss
{rows}

{curve}
"""

_CURVE = """.. image:: {file}
   :alt: Training curve of {name}
"""

_ROW = "   * - {task}\n     - {accuracy:.3f}\n     - {loss:.3f}"


def write_weights_page(folder: Path) -> None:
    """Write ``weights.rst`` into `folder`."""
    folder.mkdir(exist_ok=True)
    text = _HEAD + "\n".join(_describe(name, folder) for name in list_weights())
    (folder / "weights.rst").write_text(text, encoding="utf-8")


def _describe(name: str, folder: Path) -> str:
    weights = load_pretrained(name)
    card, drawn = weights.card, weights.folder / "curve.png"
    curve = ""
    if drawn.exists():
        copy = shutil.copy(drawn, folder / f"{name}.png")
        curve = _CURVE.format(file=Path(copy).name, name=name)
    title = f"{name} (default)" if name == DEFAULT_WEIGHTS else name
    recipe = {k: v for k, v in card.recipe.items() if k != "tasks"}
    rows = [
        _ROW.format(
            task=task,
            accuracy=card.metrics[f"validation_{task}_accuracy"],
            loss=card.metrics[f"validation_{task}_loss"],
        )
        for task in (text.partition("(")[0] for text in card.recipe["tasks"])
    ]
    return _SET.format(
        name=title,
        line="-" * len(title),
        encoder=EncoderConfig(**card.encoder).describe(),
        graphs=GraphConfig(**card.graph).describe(),
        **card.corpus,
        recipe=", ".join(f"{k.replace('_', ' ')} {v}" for k, v in recipe.items()),
        epochs_run=f"{card.metrics['epochs_run']:.0f}",
        sha=card.files["encoder.safetensors"],
        rows="\n".join(rows),
        curve=curve,
    )
