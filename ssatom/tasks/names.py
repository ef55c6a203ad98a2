"""Tasks from their names, as recipes and the command line give them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Sequence

from ssatom.exceptions import ParameterError
from ssatom.tasks.base import TASKS, PretrainingTask

_BETWEEN = re.compile(r",(?![^(]*\))")  # commas outside parentheses
_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*")


def make_tasks(
    tasks: str | PretrainingTask | Sequence[str | PretrainingTask],
) -> list[PretrainingTask]:
    """Tasks from their names.

    Parameters
    ----------
    tasks : str or PretrainingTask, or a sequence of them
        Names, with settings in parentheses where they are not the defaults; one text may hold
        several, between commas. Tasks are taken as they are.

    Returns
    -------
    list of PretrainingTask
        In the order given.

    Raises
    ------
    ParameterError
        If a name or a setting is unknown, a setting is out of range, a task comes twice, or an
        item is neither a name nor a task.

    Examples
    --------
    >>> from ssatom.tasks import make_tasks
    >>> [str(task) for task in make_tasks("period, distance(weight=0.5)")]
    ['period', 'distance(weight=0.5)']
    """
    if isinstance(tasks, str):
        tasks = _BETWEEN.split(tasks)
    elif not isinstance(tasks, Iterable):
        tasks = [tasks]
    made = [_make(item) for item in tasks]
    names = [task.name for task in made]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"tasks must be at least one, with different names; got {names}")
    return made


def _make(text: str | PretrainingTask) -> PretrainingTask:
    if isinstance(text, PretrainingTask):
        kind = type(text).__name__
        if "name" not in vars(type(text)):
            raise ParameterError(
                f"task {kind} has no name; give one with the class, as in "
                f"class {kind}({type(text).__base__.__name__}, name='mine')"  # type: ignore[union-attr]
            )
        return text
    if not isinstance(text, str):
        given = "the class itself; call it" if inspect.isclass(text) else type(text).__name__
        raise ParameterError(f"tasks must be names or objects of tasks; got {text!r}, {given}")
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
