"""Self-supervised multi-scale features of crystals, for scikit-learn and matminer."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names and the rooms they live in; loaded at first use, since torch and pymatgen take
# seconds to import.
_ROOMS = {
    "exceptions": (
        "GraphWarning",
        "MissingFileError",
        "ParameterError",
        "SsatomError",
        "StructureError",
        "StructureFileError",
        "StructureWarning",
        "TrainingWarning",
        "WeightsError",
    ),
    "corpora": (
        "MagneticSites",
        "load_example_crystals",
        "load_magnetic_sites",
        "read_structures",
        "write_structures",
    ),
    "graph": ("CrystalGraphConverter", "CrystalGraphs", "GraphConfig"),
    "encoder": ("CrystalGraphEncoder", "EncoderConfig"),
    "weights": ("list_weights", "load_pretrained"),
    "pretraining": ("MaskedPretrainer",),
    "embeddings": ("graph_embeddings", "site_embeddings"),
    "evaluation": ("KernelRidgeCV", "evaluate", "measure_locality"),
    "featurizers": (
        "GraphEmbeddingFeaturizer",
        "OrbitalFieldMatrixTransformer",
        "SelfSupervisedSiteFeaturizer",
    ),
    "estimators": ("CGCNNClassifier", "CGCNNRegressor", "NEGNNClassifier", "NEGNNRegressor"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"ssatom.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module 'ssatom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
