"""Tasks by name, as recipes and the command line have them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence

from ssatom.exceptions import ParameterError
from ssatom.tasks.base import PretrainingTask
from ssatom.tasks.distances import DenoiseTask, DistanceTask
from ssatom.tasks.electrostatics import PotentialTask
from ssatom.tasks.elements import ElementTask, GroupTask, PeriodTask
from ssatom.tasks.redundancy import RedundancyTask
from ssatom.tasks.surrogates import AnglesTask, CrystalSystemTask, DensityTask, RadialTask

_ALL = (
    *(PeriodTask, GroupTask, ElementTask, DistanceTask, DenoiseTask),
    *(RadialTask, AnglesTask, PotentialTask, DensityTask, CrystalSystemTask),
    RedundancyTask,
)

TASKS: dict[str, type[PretrainingTask]] = {task.name: task for task in _ALL}
"""Every task that can be asked for by its name."""

_BETWEEN = re.compile(r",(?![^(]*\))")  # commas outside parentheses
_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*")


def make_tasks(tasks: str | Sequence[str | PretrainingTask]) -> list[PretrainingTask]:
    """Tasks from their names.

    Parameters
    ----------
    tasks : str or sequence of str or PretrainingTask
        Names, with settings in parentheses where they are not the defaults; one text may hold
        several, between commas. Tasks are taken as they are.

    Returns
    -------
    list of PretrainingTask
        In the order given.

    Raises
    ------
    ParameterError
        If a name or a setting is unknown, a setting is out of range, or a task comes twice.

    Examples
    --------
    >>> from ssatom.tasks import make_tasks
    >>> [str(task) for task in make_tasks("period, distance(weight=0.5)")]
    ['period', 'distance(weight=0.5)']
    """
    items = _BETWEEN.split(tasks) if isinstance(tasks, str) else list(tasks)
    made = [_make(item) if isinstance(item, str) else item for item in items]
    names = [task.name for task in made]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"tasks must be at least one, with different names; got {names}")
    return made


def _make(text: str) -> PretrainingTask:
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in TASKS:
        raise ParameterError(f"tasks: no {text.strip()!r}; allowed: {', '.join(sorted(TASKS))}")
    task = TASKS[match[1]]
    try:
        call = ast.parse(f"f({match[2] or ''})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise TypeError("settings need their names")
        settings = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        return task(**settings)
    except (SyntaxError, TypeError, ValueError) as error:
        if isinstance(error, ParameterError):
            raise
        allowed = ", ".join(inspect.signature(task).parameters)
        raise ParameterError(
            f"tasks: {text.strip()!r} has other settings than {match[1]} takes; allowed: {allowed}"
        ) from error
