"""Pretraining tasks: what is predicted, from which head, with which loss and metric."""

from ssatom.tasks import distances, elements, redundancy, surrogates
from ssatom.tasks.base import TASKS, PretrainingTask, TaskResult, classify, regress
from ssatom.tasks.distances import *  # noqa: F403
from ssatom.tasks.elements import *  # noqa: F403
from ssatom.tasks.names import make_tasks
from ssatom.tasks.redundancy import *  # noqa: F403
from ssatom.tasks.surrogates import *  # noqa: F403

# A task is exported and registered by its own module alone.
__all__ = ["TASKS", "PretrainingTask", "TaskResult", "classify", "make_tasks", "regress"]
__all__ += distances.__all__
__all__ += elements.__all__
__all__ += redundancy.__all__
__all__ += surrogates.__all__
