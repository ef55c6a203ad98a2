"""Packages that ssatom needs: one that is missing is named at once, with the line that installs it.

Most are imported when they are first needed, so that a missing one would stop a run half-way.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

from ssatom.exceptions import DependencyError

NAMES = {
    "lazy_loader": "lazy_loader",  # the first to be imported
    "ase": "ase",
    "cachetools": "cachetools",
    "crepes": "crepes",
    "filelock": "filelock",
    "gemmi": "gemmi",
    "joblib": "joblib",
    "lightning": "lightning",
    "matminer": "matminer",
    "matplotlib": "matplotlib",
    "numba": "numba",
    "numpy": "numpy",
    "orjson": "orjson",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "pymatgen": "pymatgen",
    "requests": "requests",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "spglib": "spglib",
    "threadpoolctl": "threadpoolctl",
    "torch": "torch",
    "tqdm": "tqdm",
    "typer": "typer",
}
"""Distributions by the names of their modules."""


def check_dependencies() -> None:
    """Refuse to be imported where a package is missing; nothing is imported for that."""
    if missing := [package for module, package in NAMES.items() if find_spec(module) is None]:
        raise DependencyError(_missing(missing))


def explained(error: ImportError) -> ImportError:
    """The error of an import of ours, as one of the package that is to blame, if there is one."""
    if isinstance(error, DependencyError):
        return error
    if (error.name or "") in NAMES and find_spec(str(error.name)) is None:
        missing = [NAMES[str(error.name)]]
        return DependencyError(
            f"ssatom needs {missing[0]}, which is not installed; {_pip(missing)}"
        )
    broken, frame = None, error.__traceback__
    while frame is not None:  # of the packages, the one that our last module imported
        module = frame.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        broken = None if module == "ssatom" else broken or NAMES.get(module)
        frame = frame.tb_next
    broken = broken or NAMES.get((error.name or "").partition(".")[0])
    if broken is None:
        return error
    return DependencyError(
        f"{broken} is installed and cannot be imported ({error}); "
        f"{_pip([broken], '--force-reinstall ')}"
    )


def _missing(packages: list[str]) -> str:
    are = "is" if len(packages) == 1 else "are"
    return f"ssatom needs {', '.join(packages)}, which {are} not installed; {_pip(packages)}"


def _pip(packages: list[str], option: str = "") -> str:
    """Line that installs packages, in versions that ssatom supports."""
    from importlib.metadata import PackageNotFoundError, requires  # slow beside what is above

    try:
        lines = [line.partition(";")[0].strip() for line in requires("ssatom") or ()]
    except PackageNotFoundError:  # a checkout that is not installed
        lines = []
    wanted = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-"): line for line in lines}
    asked = [wanted.get(package.lower().replace("_", "-"), package) for package in packages]
    return "pip install " + option + " ".join(f'"{line}"' for line in asked)
