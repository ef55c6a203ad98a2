"""Self-supervised pretraining of encoders on crystals without labels."""

from ssatom.pretraining.pretrainer import MaskedPretrainer
from ssatom.pretraining.recipe import write_recipe

__all__ = ["MaskedPretrainer", "write_recipe"]
