"""The public names, for `lazy_loader` and for type checkers."""

from .corpora import (
    MagneticSites,
    load_example_crystals,
    load_magnetic_sites,
    read_structures,
    write_structures,
)
from .embeddings import clear_cache, graph_embeddings, site_embeddings
from .encoder import CrystalGraphEncoder, EncoderConfig
from .estimators import (
    CGCNNClassifier,
    CGCNNRegressor,
    NEGNNClassifier,
    NEGNNRegressor,
)
from .evaluation import (
    ConformalRegressor,
    KernelRidgeCV,
    evaluate,
    measure_locality,
    site_contributions,
)
from .exceptions import (
    DependencyError,
    ExtrapolationWarning,
    GraphWarning,
    MissingFileError,
    ParameterError,
    SsatomError,
    StructureError,
    StructureFileError,
    StructureWarning,
    TrainingWarning,
    WeightsError,
)
from .featurizers import (
    ElectronicFeaturizer,
    GraphEmbeddingFeaturizer,
    OrbitalFieldMatrixTransformer,
    SelfSupervisedSiteFeaturizer,
)
from .graph import CrystalGraphConverter, CrystalGraphs, GraphConfig
from .pretraining import MaskedPretrainer
from .similar import SimilarCrystals
from .storage import load_estimator, save_estimator
from .tasks import PretrainingTask
from .weights import PretrainedEncoder, list_weights, load_pretrained

__all__ = [
    "CGCNNClassifier",
    "CGCNNRegressor",
    "ConformalRegressor",
    "CrystalGraphConverter",
    "CrystalGraphEncoder",
    "CrystalGraphs",
    "DependencyError",
    "ElectronicFeaturizer",
    "EncoderConfig",
    "ExtrapolationWarning",
    "GraphConfig",
    "GraphEmbeddingFeaturizer",
    "GraphWarning",
    "KernelRidgeCV",
    "MagneticSites",
    "MaskedPretrainer",
    "MissingFileError",
    "NEGNNClassifier",
    "NEGNNRegressor",
    "OrbitalFieldMatrixTransformer",
    "ParameterError",
    "PretrainedEncoder",
    "PretrainingTask",
    "SelfSupervisedSiteFeaturizer",
    "SimilarCrystals",
    "SsatomError",
    "StructureError",
    "StructureFileError",
    "StructureWarning",
    "TrainingWarning",
    "WeightsError",
    "clear_cache",
    "evaluate",
    "graph_embeddings",
    "list_weights",
    "load_estimator",
    "load_example_crystals",
    "load_magnetic_sites",
    "load_pretrained",
    "measure_locality",
    "read_structures",
    "save_estimator",
    "site_contributions",
    "site_embeddings",
    "write_structures",
]

__version__: str
