"""`--n-jobs`, `--dask` and `--ray`: the workers of a command, as a context of joblib."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ssatom.exceptions import ParameterError, SsatomError

_WAIT = 60  # seconds, for the first worker of a cluster of dask


@dataclass(frozen=True)
class Workers:
    """Options for workers: processes of this machine, or the address of a cluster.

    Options that exclude each other, and zero processes, are refused.
    """

    n_jobs: int | None = None
    dask: str | None = None
    ray: str | None = None

    def __post_init__(self) -> None:
        given = {f"--{name.replace('_', '-')}": v for name, v in vars(self).items() if v}
        if len(given) > 1:
            raise ParameterError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.n_jobs == 0:
            raise ParameterError("--n-jobs=0: allowed are numbers from 1 on, or -1 for all cores")

    @contextmanager
    def context(self) -> Iterator[None]:
        """The context in which `ssatom.parallel.on_workers` finds the workers."""
        from joblib import parallel_config

        if self.dask is not None:
            with _dask_client(self.dask), parallel_config("dask"):
                yield
        elif self.ray is not None:
            with _ray_cluster(self.ray) as n_cores, parallel_config("ray", n_jobs=n_cores):
                yield
        else:
            with parallel_config("loky", n_jobs=self.n_jobs or 1):
                yield


@contextmanager
def _dask_client(address: str) -> Iterator[None]:
    try:
        from distributed import Client
    except ImportError:
        raise _missing("dask") from None
    try:
        client = Client(address, set_as_default=True)
        client.wait_for_workers(1, timeout=_WAIT)
    except (OSError, ValueError) as error:
        raise _unreachable("dask", address, error) from error
    with client:
        yield


@contextmanager
def _ray_cluster(address: str) -> Iterator[int]:
    """Connect; the number of cores of the cluster, each of which gets a worker."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise _missing("ray") from None
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable("ray", address, error) from error
    try:
        register_ray()
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def _missing(name: str) -> SsatomError:
    return SsatomError(f"--{name} needs {name}; install it with: pip install 'ssatom[{name}]'")


def _unreachable(name: str, address: str, error: Exception) -> SsatomError:
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SsatomError(
        f"--{name}: there is no {name} cluster with workers at {address!r} ({told}); start one, or "
        "correct the address"
    )
