"""The README of a folder of weights, written from its card."""

from __future__ import annotations

from ssatom.encoder import EncoderConfig
from ssatom.graph import GraphConfig
from ssatom.weights.card import WeightsCard

_TEMPLATE = """# {name}

Self-supervised crystal graph encoder, {encoder}.

```python
from ssatom import GraphEmbeddingFeaturizer

GraphEmbeddingFeaturizer(layers="012", weights="{name}").fit_transform(structures)
```

- **Corpus**: {description} ({n_structures:,} structures, no label of any kind).
- **Terms**: {terms}
- **Graphs**: {neighbors}
- **Recipe**: {recipe}.
- **Epoch kept**: {metrics}.

`curve.csv` has every epoch, `card.json` every setting and the sha256 of each file.
`corpus.safetensors` lists formula hashes and volumes of the corpus, for
`load_pretrained("{name}").overlap(structures)`.
"""


def render_readme(card: WeightsCard) -> str:
    """Markdown text of the README."""
    kept = [
        f"{k.removeprefix('validation_').replace('_', ' ')} {v:.4f}"
        for k, v in card.metrics.items()
        if k.startswith("validation_")
    ]
    if "epochs_run" in card.metrics:
        kept.insert(0, "{epoch:.0f} of {epochs_run:.0f}".format(**card.metrics))
    return _TEMPLATE.format(
        name=card.name,
        encoder=EncoderConfig(**card.encoder).describe(),
        neighbors=GraphConfig(**card.graph).describe(),
        recipe=", ".join(f"{k.replace('_', ' ')} {_plain(v)}" for k, v in card.recipe.items()),
        metrics=", ".join(kept),
        description=card.corpus["description"],
        n_structures=card.corpus["n_structures"],
        terms=card.corpus["terms"],
    )


def _plain(value: object) -> object:
    return " + ".join(value) if isinstance(value, list) else value
