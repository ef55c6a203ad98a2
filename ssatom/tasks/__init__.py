"""Pretraining tasks: what is predicted, from which head, with which loss and metric."""

from ssatom.tasks.base import PretrainingTask, TaskResult
from ssatom.tasks.distances import DenoiseTask, DistanceTask
from ssatom.tasks.elements import ElementTask, GroupTask, PeriodTask
from ssatom.tasks.names import TASKS, make_tasks

__all__ = [
    "TASKS",
    "DenoiseTask",
    "DistanceTask",
    "ElementTask",
    "GroupTask",
    "PeriodTask",
    "PretrainingTask",
    "TaskResult",
    "make_tasks",
]
