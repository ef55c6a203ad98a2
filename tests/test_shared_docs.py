"""Docstrings that are filled in from shared entries."""

from __future__ import annotations

import inspect

import pytest

from ssatom import CGCNNClassifier, NEGNNRegressor
from ssatom.shared_docs import SharedDocs

TEXT = """
cutoff : float
    Largest distance
    of neighbours.
device : str
    Where to compute.
.. [Xie2018] Xie and
   Grossman.
"""


def test_entries_stand_where_they_are_named_with_the_defaults_of_the_signature() -> None:
    @SharedDocs(TEXT)
    class Search:
        """Find {neighbours}.

        Parameters
        ----------
        {parameters}

        References
        ----------
        {Xie2018}
        """

        def __init__(self, device, cutoff=8.0):
            pass

    lines = inspect.cleandoc(Search.__doc__).splitlines()
    assert lines[0] == "Find {neighbours}."
    assert lines[4:9] == [
        "device : str",
        "    Where to compute.",
        "cutoff : float, default=8.0",
        "    Largest distance",
        "    of neighbours.",
    ]
    assert lines[-2:] == [".. [Xie2018] Xie and", "   Grossman."]


def test_later_entries_replace_earlier_ones() -> None:
    entries = SharedDocs(TEXT, "cutoff : int\n    Of shells.").entries
    assert entries["cutoff"] == "cutoff : int\n    Of shells."
    assert set(entries) == {"cutoff", "device", "Xie2018"}


def test_a_missing_entry_is_an_error() -> None:
    def search(radius=1.0):
        """Find.

        {parameters}
        """

    with pytest.raises(KeyError, match="radius"):
        SharedDocs(TEXT)(search)


@pytest.mark.parametrize("cls", [NEGNNRegressor, CGCNNClassifier])
def test_nothing_is_left_to_fill_in(cls: type) -> None:
    documents = [cls.__doc__, *(f.__doc__ for _, f in inspect.getmembers(cls, inspect.isfunction))]
    assert not [text for text in documents if text and "\n    {" in text]
    assert 'learning_rate_schedule : {"plateau", "cosine", "constant"}, default="plateau"' in (
        cls.__doc__
    )
    assert ("weights=" in cls.__doc__) == (cls is NEGNNRegressor)
