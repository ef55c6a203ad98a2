"""The error family: own class and built-in class, picklable, one message."""

from __future__ import annotations

import copy
import pickle

import pytest
from joblib import Parallel, delayed

from ssatom import exceptions
from ssatom.exceptions import (
    ExtrapolationWarning,
    GraphWarning,
    MissingFileError,
    ParameterError,
    SsatomError,
    StructureError,
    StructureFileError,
    StructureWarning,
    WeightsError,
    attempt,
    unwrap,
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
    with pytest.raises(builtin, match="^broken$"):
        raise own("broken")


def test_warning_is_a_user_warning() -> None:
    assert issubclass(GraphWarning, UserWarning)
    assert issubclass(StructureWarning, UserWarning)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_message_survives_pickling(name: str) -> None:
    """Errors cross process borders in joblib and in data loaders."""
    own = getattr(exceptions, name)
    error = own("structures[0]: broken")
    again = own.__new__(own)  # as dask and ray send errors
    vars(again).update(vars(error))
    again.args = error.args
    for back in (pickle.loads(pickle.dumps(error)), again):
        assert type(back) is type(error)
        assert str(back) == "structures[0]: broken"


PLACES = [
    ({}, "broken"),
    ({"row": 3}, "structures[3]: broken"),
    ({"row": 0, "collection": "sites"}, "sites[0]: broken"),
    ({"source": "a.cif"}, "a.cif: broken"),
    ({"formula": "NaCl"}, "structure (NaCl): broken"),
    ({"row": 3, "source": "a.cif", "formula": "NaCl"}, "structures[3] 'a.cif' (NaCl): broken"),
]


@pytest.mark.parametrize("own", [StructureError, StructureFileError, MissingFileError])
@pytest.mark.parametrize(("place", "text"), PLACES)
def test_errors_carry_their_place(own: type[StructureError], place: dict, text: str) -> None:
    """They keep it in other processes, and `at` changes what it is given alone."""
    error = own("broken", **place)
    [sent] = Parallel(n_jobs=2)(delayed(lambda one: one)(error) for _ in range(1))
    for same in (error, error.at(), own("broken").at(**place), copy.copy(error), sent):
        assert type(same) is own
        assert vars(same) == vars(error)
        assert str(same) == text
    assert error.at(row=7).row == 7
    assert error.at(row=7).source == error.source


@pytest.mark.parametrize("own", [GraphWarning, StructureWarning, ExtrapolationWarning])
def test_warnings_carry_their_place(own: type[GraphWarning]) -> None:
    warning = own("odd", range(7), "a.cif")
    assert (warning.reason, warning.rows, warning.source) == ("odd", tuple(range(7)), "a.cif")
    rows = ", ".join(f"structures[{i}]" for i in range(5))
    for same in (warning, pickle.loads(pickle.dumps(warning))):
        assert str(same) == f"{rows} and 2 more 'a.cif': odd"
    assert str(own("odd", source="a.cif")) == "a.cif: odd"
    assert str(own("odd", [2])) == "structures[2]: odd"


def test_attempt_keeps_no_frames() -> None:
    def fail() -> None:
        raise StructureError("broken")

    error = attempt(fail, row=2)
    assert str(error) == "structures[2]: broken"
    assert error.__traceback__ is None
    assert attempt(int, "3", row=2) == 3
    with pytest.raises(StructureError) as caught:
        unwrap(error)
    assert caught.value.__context__ is None


def test_all_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__ and name[0] != "_"
    }
    assert public == set(exceptions.__all__)
    assert sorted(exceptions.__all__) == exceptions.__all__
