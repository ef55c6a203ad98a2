"""The card of a set of weights: what it is, how it was made and what its files must hash to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from ssatom.elements import MAX_ATOMIC_NUMBER
from ssatom.encoder import EncoderConfig
from ssatom.exceptions import WeightsError
from ssatom.files import CardFormat, check_name
from ssatom.graph import GraphConfig

FORMAT_VERSION = 5
"""Version of the folder's format; raise it with every change of files or fields."""


def _add_residual(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: encoders may be residual, which those of format 1 are not; graphs may be smooth."""
    encoder = {**content["encoder"], "residual": False}
    return {**content, "format_version": 2, "encoder": encoder}


def _add_radial_units(content: dict[str, Any]) -> dict[str, Any]:
    """2 to 3: states may end in the radial distribution, which those of format 2 do not."""
    encoder = {**content["encoder"], "radial_units": 0}
    return {**content, "format_version": 3, "encoder": encoder}


def _add_near_constant(content: dict[str, Any]) -> dict[str, Any]:
    """3 to 4: columns may be left out, and the recipe has all parameters of the pretrainer.

    Radial units, which were densities of neighbours by distance, are coordination numbers now.
    """
    encoder = {k: v for k, v in content["encoder"].items() if k not in ("node_dim", "edge_dim")}
    recipe, metrics = {**content["recipe"], **encoder, **content["graph"]}, content["metrics"]
    if "start" in recipe:
        recipe["initialization"] = recipe.pop("start")
    if "patience" in recipe:
        recipe["patience"] = recipe["patience"] or 0
    if "epochs_run" in recipe:
        metrics = {"epochs_run": float(recipe.pop("epochs_run")), **metrics}
    new = {"format_version": 4, "recipe": recipe, "metrics": metrics, "near_constant": {}}
    return {**content, **new}


def _add_directions(content: dict[str, Any]) -> dict[str, Any]:
    """4 to 5: encoders may have directional units, whose graphs have directions."""
    return {
        **content,
        "format_version": 5,
        "encoder": {**content["encoder"], "directional_channels": 0},
        "graph": {**content["graph"], "directions": False},
        "recipe": {**content["recipe"], "directional_channels": 0},
    }


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_residual,
    2: _add_radial_units,
    3: _add_near_constant,
    4: _add_directions,
}
"""One named step from each older version to the next, by the version it starts from."""

FORMAT = CardFormat(
    FORMAT_VERSION,
    UPGRADES,
    noun="weights",
    writers="MaskedPretrainer.save or `ssatom pretrain`",
    remedy="install the weights again, or save them again with save_pretrained",
)
"""How cards are written, sealed and read."""


@dataclass(frozen=True)
class WeightsCard:
    """What a folder of weights says of itself.

    Attributes
    ----------
    name : str
        Name of the set.
    format_version : int
        Version of the folder's format.
    package_version : str
        Version of ssatom that wrote it.
    encoder : dict
        Arguments of `EncoderConfig`.
    graph : dict
        Arguments of `GraphConfig`.
    element_table_sha256 : str
        Of the table of element features that the encoder was trained on.
    files : dict of str to str
        Sha256 of each file beside the card.
    corpus : dict
        What the crystals were, how many, and their terms.
    recipe : dict
        Parameters of `MaskedPretrainer`.
    metrics : dict of str to float
        Losses and accuracies of the epoch that was kept, and how many epochs were run.
    near_constant : dict of str to list of int
        Columns that were constant or nearly so over the corpus, by pooling; no feature is made
        of them.

    Examples
    --------
    >>> from ssatom import load_pretrained
    >>> card = load_pretrained("cgcnn-64x5-mp").card
    >>> card.encoder["hidden_dim"], card.graph["max_neighbors"]
    (64, 12)
    """

    name: str
    format_version: int
    package_version: str
    encoder: dict[str, Any]
    graph: dict[str, Any]
    element_table_sha256: str
    files: dict[str, str]
    corpus: dict[str, Any]
    recipe: dict[str, Any]
    metrics: dict[str, float]
    near_constant: dict[str, list[int]]

    def __repr__(self) -> str:
        n = self.corpus.get("n_structures", "?")
        return f"<WeightsCard {self.name!r}: format {self.format_version}, {n} structures>"

    def write(self, path: Path) -> None:
        """Write the card as JSON, sealed with a hash of its own text."""
        FORMAT.write(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> WeightsCard:
        """Read a card of this format or an older one; WeightsError if it is none or was changed."""
        content = FORMAT.read(path)
        expected = {field.name for field in fields(cls)}
        if set(content) != expected:
            raise WeightsError(
                f"{path} has other fields than a card: {sorted(set(content) ^ expected)}"
            )
        check_name(path.parent, content["name"])
        return cls(**content)


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
    recipe = {k: " + ".join(v) if isinstance(v, list) else v for k, v in card.recipe.items()}
    return _TEMPLATE.format(
        name=card.name,
        encoder=EncoderConfig(**card.encoder).describe(),
        neighbors=GraphConfig(**card.graph).describe(),
        recipe=", ".join(f"{k.replace('_', ' ')} {v}" for k, v in recipe.items()),
        metrics=", ".join(kept),
        description=card.corpus["description"],
        n_structures=card.corpus["n_structures"],
        terms=card.corpus["terms"],
    )


# Checks -------------------------------------------------------------------------------------------


def check_sizes(config: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse, before memory is taken, sizes on a card that exceed those of the tensors.

    `config` is that of an encoder or of NEGNN. Raises ValueError if a network of these sizes would
    be larger, or a tensor is not finite.
    """
    there = sum(tensor.numel() for tensor in tensors.values())
    wide = config.node_dim + config.edge_dim + config.n_conv * config.hidden_dim
    more = getattr(config, "directional_channels", 0), getattr(config, "n_hidden", 0)
    if config.hidden_dim * wide > there or max(more) > there:
        raise ValueError(f"the card tells of a larger network than {there:,} numbers make")
    odd = [k for k, x in tensors.items() if x.is_floating_point() and not x.isfinite().all()]
    if odd:
        raise ValueError(f"numbers of {odd[0]!r:.60} are not finite")


def check_card(card: WeightsCard, config: EncoderConfig, graph: GraphConfig, table: Any) -> None:
    """Refuse a card whose parts do not fit together."""
    if table.shape != (MAX_ATOMIC_NUMBER + 1, config.node_dim):
        raise ValueError(f"the element features have the shape {tuple(table.shape)}")
    if graph.edge_dim != config.edge_dim or (config.directional_channels and not graph.directions):
        raise ValueError("the graphs are not those of the encoder")
    n_columns = config.n_layers * config.hidden_dim + config.radial_units + config.n_units
    for columns in card.near_constant.values():
        if not all(type(one) is int and 0 <= one < n_columns for one in columns):
            raise ValueError("near_constant names columns that there are not")
