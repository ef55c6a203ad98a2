"""The error family: own class and built-in class, picklable, one message."""

from __future__ import annotations

import pickle

import pytest

from ssatom import exceptions
from ssatom.exceptions import (
    GraphWarning,
    MissingFileError,
    ParameterError,
    SsatomError,
    StructureError,
    StructureFileError,
    WeightsError,
)


@pytest.mark.parametrize(
    ("own", "builtin"),
    [
        (StructureError, ValueError),
        (StructureFileError, StructureError),
        (StructureFileError, OSError),
        (MissingFileError, StructureFileError),
        (MissingFileError, FileNotFoundError),
        (WeightsError, ValueError),
        (ParameterError, ValueError),
    ],
)
def test_errors_are_own_and_builtin(own: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(own, SsatomError)
    assert issubclass(own, builtin)
    with pytest.raises(builtin, match="structures.3."):
        raise own("structures[3]: broken")


def test_warning_is_a_user_warning() -> None:
    assert issubclass(GraphWarning, UserWarning)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_message_survives_pickling(name: str) -> None:
    """Errors cross process borders in joblib and in data loaders."""
    words = ["structures[0]", "broken"] if name == "StructureWarning" else ["structures[0]: broken"]
    error = getattr(exceptions, name)(*words)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == "structures[0]: broken"


def test_all_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__
    }
    assert public == set(exceptions.__all__)
    assert sorted(exceptions.__all__) == exceptions.__all__
