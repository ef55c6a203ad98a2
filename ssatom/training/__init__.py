"""The one training engine, which pretraining and the estimators share.

Lightning runs the loop. This room settles what must be the same everywhere: the order of the
batches and every draw follow from the seed and the epoch, so that a run that was cut off goes
on exactly as it would have; nothing is printed but a progress bar, and nothing is written but
the checkpoints that were asked for.
"""

from ssatom.training.callbacks import STEP_LOSS, VALIDATION_LOSS
from ssatom.training.engine import BatchLoader, TrainingConfig, best_epoch, train

__all__ = ["STEP_LOSS", "VALIDATION_LOSS", "BatchLoader", "TrainingConfig", "best_epoch", "train"]
