"""The arguments `layers` and `weights`, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from ssatom.exceptions import ParameterError
from ssatom.validation import whole_number
from ssatom.weights import PretrainedEncoder, load_pretrained, random_weights

Weights = str | os.PathLike[str] | PretrainedEncoder | None
"""Name of a shipped set, folder, "random", loaded weights, or None for the default set."""


def parse_layers(layers: str | int | Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Layer numbers of a `layers` argument.

    Parameters
    ----------
    layers : str of digits, int or sequence of int
        "13" and [1, 3] are layers 1 and 3; an int is one layer.
    n_layers : int
        Number of hidden states that the encoder has.

    Returns
    -------
    tuple of int
        In the order given.

    Raises
    ------
    ParameterError
        If it is empty, names a layer twice or one that the encoder does not have.

    Examples
    --------
    >>> from ssatom.embeddings import parse_layers
    >>> parse_layers("13", n_layers=6)
    (1, 3)
    """
    given: list[Any]
    if isinstance(layers, str):
        given = [int(digit) if digit in "0123456789" else digit for digit in layers]
    else:
        given = list(layers) if isinstance(layers, Iterable) else [layers]
    allowed = f"allowed: different layers from 0 to {n_layers - 1}, such as '012' or [0, 1, 2]"
    for layer in given:
        known = isinstance(layer, Integral) and not isinstance(layer, bool)
        if not known or not 0 <= layer < n_layers:
            raise ParameterError(f"layers={layers!r}: no layer {layer!r}; {allowed}")
    if not given or len(set(given)) < len(given):
        what = "names a layer twice" if given else "is empty"
        raise ParameterError(f"layers={layers!r} {what}; {allowed}")
    return tuple(map(int, given))


def resolve_weights(weights: Weights = None, random_state: int | None = 0) -> PretrainedEncoder:
    """Loaded weights of a `weights` argument.

    Parameters
    ----------
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random", or None for the default set.
    random_state : int, default=0
        Seed of "random".

    Returns
    -------
    PretrainedEncoder
        The weights.

    Raises
    ------
    WeightsError
        If they are unknown or damaged.
    ParameterError
        If `random_state` is no whole number from 0 on.

    Examples
    --------
    >>> from ssatom.embeddings import resolve_weights
    >>> resolve_weights("random").name
    'random-0'
    """
    if isinstance(weights, PretrainedEncoder):
        return weights
    if isinstance(weights, str) and weights == "random":
        seed = 0 if random_state is None else random_state
        return random_weights(whole_number("random_state", seed, least=0))
    return load_pretrained(weights)
