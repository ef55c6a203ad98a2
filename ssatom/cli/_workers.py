"""`--n-jobs`, `--dask` and `--ray`: the workers of a command, as a context of joblib."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from ssatom.exceptions import ParameterError, SsatomError

Workers: TypeAlias = AbstractContextManager[None]
_WAIT = 60  # seconds, for the first worker of a cluster of dask


def workers_of(n_jobs: int | None, dask: str | None, ray: str | None) -> Workers:
    """The context in which `ssatom.parallel.on_workers` finds the workers of these options.

    Options that exclude each other, and zero processes, are refused at once.
    """
    options = {"--n-jobs": n_jobs, "--dask": dask, "--ray": ray}
    if len(given := [name for name, value in options.items() if value]) > 1:
        raise ParameterError(f"{' and '.join(given)} exclude each other; give one of them")
    if n_jobs == 0:
        raise ParameterError("--n-jobs=0: allowed are numbers from 1 on, or -1 for all cores")
    if dask is not None:
        return _of_dask(dask)
    return _of_this_machine(n_jobs or 1) if ray is None else _of_ray(ray)


@contextmanager
def _of_this_machine(n_jobs: int) -> Iterator[None]:
    from joblib import parallel_config

    with parallel_config("loky", n_jobs=n_jobs):
        yield


@contextmanager
def _of_dask(address: str) -> Iterator[None]:
    with _reached("dask", address):
        from distributed import Client

        client = Client(address, set_as_default=True)
        client.wait_for_workers(1, timeout=_WAIT)
    from joblib import parallel_config

    with client, parallel_config("dask"):
        yield


@contextmanager
def _of_ray(address: str) -> Iterator[None]:
    with _reached("ray", address):
        import ray
        from ray.util.joblib import register_ray

        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    from joblib import parallel_config

    try:
        register_ray()  # each core of the cluster gets a worker
        with parallel_config("ray", n_jobs=max(1, int(ray.cluster_resources().get("CPU", 1)))):
            yield
    finally:
        ray.shutdown()


@contextmanager
def _reached(name: str, address: str) -> Iterator[None]:
    """What to do if a library is not installed, or its cluster does not answer."""
    try:
        yield
    except ImportError:
        raise SsatomError(
            f"--{name} needs {name}; install it with: pip install 'ssatom[{name}]'"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SsatomError(
            f"--{name}: there is no {name} cluster with workers at {address!r} ({told}); start "
            "one, or correct the address"
        ) from error
