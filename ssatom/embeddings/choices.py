"""The arguments `layers` and `weights`, checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral

from ssatom.exceptions import ParameterError
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
    allowed = f"allowed: different layers from 0 to {n_layers - 1}, such as '012' or [0, 1, 2]"
    if isinstance(layers, str):
        if not (layers.isascii() and layers.isdigit()):
            raise ParameterError(f"layers={layers!r} is not a string of digits; {allowed}")
        chosen = [int(digit) for digit in layers]
    elif isinstance(layers, Integral) and not isinstance(layers, bool):
        chosen = [int(layers)]
    else:
        try:
            chosen = list(layers)  # type: ignore[arg-type]
        except TypeError:
            raise ParameterError(f"layers={layers!r} names no layers; {allowed}") from None
        if any(isinstance(x, bool) or not isinstance(x, Integral) for x in chosen):
            raise ParameterError(f"layers={layers!r} holds something that is no int; {allowed}")
        chosen = [int(x) for x in chosen]
    if not chosen:
        raise ParameterError(f"layers={layers!r} is empty; {allowed}")
    if len(set(chosen)) < len(chosen):
        raise ParameterError(f"layers={layers!r} names a layer twice; {allowed}")
    if unknown := [x for x in chosen if not 0 <= x < n_layers]:
        raise ParameterError(f"layers={layers!r}: no layer {unknown[0]}; {allowed}")
    return tuple(chosen)


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
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise ParameterError(f"random_state={random_state!r} must be an int from 0 on")
        return random_weights(int(seed))
    return load_pretrained(weights)
