"""Pretraining tasks: what is predicted, from which head, with which loss and metric."""

from ssatom.tasks.base import PretrainingTask, TaskResult
from ssatom.tasks.distances import DenoiseTask, DistanceTask
from ssatom.tasks.electrostatics import PotentialTask
from ssatom.tasks.elements import ElementTask, GroupTask, PeriodTask
from ssatom.tasks.names import TASKS, make_tasks
from ssatom.tasks.redundancy import RedundancyTask
from ssatom.tasks.surrogates import AnglesTask, CrystalSystemTask, DensityTask, RadialTask

__all__ = [
    "TASKS",
    "AnglesTask",
    "CrystalSystemTask",
    "DenoiseTask",
    "DensityTask",
    "DistanceTask",
    "ElementTask",
    "GroupTask",
    "PeriodTask",
    "PotentialTask",
    "PretrainingTask",
    "RadialTask",
    "RedundancyTask",
    "TaskResult",
    "make_tasks",
]
