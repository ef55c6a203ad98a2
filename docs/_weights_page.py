"""The page on weights, written from their cards when the docs are built."""

from __future__ import annotations

from pathlib import Path

from ssatom import GraphConfig, list_weights, load_pretrained

_HEAD = """Weights
=======

Each set is a folder of tensors (safetensors, never unpickled), a card and a training curve. The
files are held against the hashes on the card whenever they are loaded. No property label entered
the training of any of them.

"""

_SET = """{name}
{line}

:Encoder: {n_conv} convolutions of width {hidden_dim}
:Graphs: {graphs}
:Corpus: {description}, {n_structures:,} structures
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
"""

_ROW = "   * - {task}\n     - {accuracy:.3f}\n     - {loss:.3f}"


def write_weights_page(folder: Path) -> None:
    """Write ``weights.rst`` into `folder`."""
    folder.mkdir(exist_ok=True)
    text = _HEAD + "\n".join(_describe(name) for name in list_weights())
    (folder / "weights.rst").write_text(text, encoding="utf-8")


def _describe(name: str) -> str:
    card = load_pretrained(name).card
    recipe = {k: v for k, v in card.recipe.items() if k not in ("tasks", "epochs_run")}
    rows = [
        _ROW.format(
            task=task,
            accuracy=card.metrics[f"validation_{task}_accuracy"],
            loss=card.metrics[f"validation_{task}_loss"],
        )
        for task in (text.partition("(")[0] for text in card.recipe["tasks"])
    ]
    return _SET.format(
        name=name,
        line="-" * len(name),
        **card.encoder,
        graphs=GraphConfig(**card.graph).describe(),
        **card.corpus,
        recipe=", ".join(f"{k.replace('_', ' ')} {v}" for k, v in recipe.items()),
        epochs_run=card.recipe["epochs_run"],
        sha=card.files["encoder.safetensors"],
        rows="\n".join(rows),
    )
