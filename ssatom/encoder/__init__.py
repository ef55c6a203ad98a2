"""Crystal graph network whose hidden states are the embeddings of sites."""

from ssatom.encoder.config import EncoderConfig
from ssatom.encoder.convolution import CrystalGraphConv, DirectionalUnits
from ssatom.encoder.stack import CrystalGraphEncoder

__all__ = [
    "CrystalGraphConv",
    "CrystalGraphEncoder",
    "DirectionalUnits",
    "EncoderConfig",
]
