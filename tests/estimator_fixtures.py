"""Pytest plugin of the tests of the estimators: crystals, and one fitted estimator a class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from estimator_cases import CLASSES, make, target
from pymatgen.core import Structure


@pytest.fixture(params=CLASSES, ids=[cls.__name__ for cls in CLASSES])
def cls(request: pytest.FixtureRequest) -> type:
    return request.param


@pytest.fixture(scope="session")
def structures(corpus: list[Structure]) -> list[Structure]:
    return corpus[:24]


@pytest.fixture(scope="session")
def volumes(structures: list[Structure]) -> np.ndarray:
    """Å³ per site."""
    return np.array([s.volume / len(s) for s in structures])


@pytest.fixture(scope="session")
def fitted(structures: list[Structure], volumes: np.ndarray) -> dict[type, Any]:
    """One of each class, fitted; not to be changed."""
    return {cls: make(cls).fit(structures, target(cls, volumes)) for cls in CLASSES}
