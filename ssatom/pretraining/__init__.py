"""Self-supervised pretraining of encoders on crystals without labels."""

from ssatom.pretraining.pretrainer import MaskedPretrainer

__all__ = ["MaskedPretrainer"]
