"""Calls on the workers of joblib's backend (loky, threads, dask, ray), with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, starmap
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend

from ssatom.exceptions import SsatomError

_AHEAD = 8  # calls a worker that are made ready together
_MAX_LOST = 3  # times in a row, without a result in between

# What backends raise where a worker is gone, of whatever module, so that none is imported.
_LOST = {"BrokenProcessPool", "KilledWorker", "RayActorError", "WorkerCrashedError"}

_Result = TypeVar("_Result")


def n_workers() -> int:
    """Workers that the context of `joblib.parallel_config` has; 1 inside another parallel call."""
    backend, _ = get_active_backend()
    return 1 if backend.nesting_level else effective_n_jobs(None)


def on_workers(
    function: Callable[..., _Result], calls: Iterable[tuple[Any, ...]]
) -> Iterator[_Result]:
    """Results of a function for each tuple of arguments, in order.

    Workers are those of the context of `joblib.parallel_config`; without one, the calls are made
    here, one by one. A worker that is killed is replaced, and what it had not done is done again;
    SsatomError is raised if workers are lost three times without a result in between. The function
    is one of a module, so that it can be pickled, and starts no workers of its own. Arguments are
    read in this thread, some ahead of the results.
    """
    if (workers := n_workers()) == 1:
        yield from starmap(function, calls)
        return
    calls, n_lost = iter(calls), 0
    waiting: list[tuple[Any, ...]] = []  # for a result
    streams = get_active_backend()[0].supports_return_generator  # that of ray does not
    return_as = "generator" if streams else "list"
    while True:
        try:
            with Parallel(return_as=return_as) as parallel:
                while waiting := waiting or list(islice(calls, _AHEAD * workers)):
                    for result in parallel(delayed(_alone)(function, *call) for call in waiting[:]):
                        del waiting[0]
                        n_lost = 0
                        yield result
            return
        except Exception as error:
            if not _LOST & {kind.__name__ for kind in type(error).__mro__}:
                raise
            n_lost += 1
            if n_lost == _MAX_LOST:
                raise SsatomError(
                    f"workers were lost {n_lost} times in a row ({type(error).__name__}); the "
                    "system ends processes that need more memory than there is: give fewer workers"
                ) from error


def _alone(function: Callable[..., Any], *args: Any) -> Any:
    """A call that starts no workers."""
    with parallel_config("sequential"):
        return function(*args)
