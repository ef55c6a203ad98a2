"""What "auto" means on this machine: device and precision; and how to compute in a fork."""

from __future__ import annotations

import os
import re

import torch

from ssatom.exceptions import ParameterError
from ssatom.kernels import loops_work

_IMPORTED_IN = os.getpid()


def edge_precision(precision: str = "auto", device: str = "cpu") -> torch.dtype:
    """Precision in which edges are computed in training.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" takes bfloat16 on a GPU or processor with matrix units for it. Elsewhere it takes
        float32, which compiled loops make the faster one.
    device : str, default="cpu"
        Where training runs.

    Returns
    -------
    torch.dtype
        ``torch.bfloat16`` or ``torch.float32``.

    Raises
    ------
    ParameterError
        If `precision` is unknown.

    Examples
    --------
    >>> from ssatom.devices import edge_precision
    >>> edge_precision("bfloat16")
    torch.bfloat16
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision in known:
        return known[precision]
    if precision != "auto":
        raise ParameterError(
            f"precision={precision!r} is unknown; allowed: auto, {', '.join(known)}"
        )
    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported()
    else:
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        vectors = able.get("avx512_bf16") or able.get("bf16")
        fast = bool(able.get("amx_bf16") or (vectors and not loops_work()))
    return torch.bfloat16 if fast else torch.float32


def resolve_device(device: str = "auto") -> str:
    """Name of a device, "auto" resolved.

    Parameters
    ----------
    device : str, default="auto"
        "auto" is "cuda" where there is one, else "cpu"; "cpu", "cuda" and "cuda:1" mean themselves.

    Returns
    -------
    str
        A name that torch knows.

    Raises
    ------
    ParameterError
        If the device is unknown, or not there.

    Examples
    --------
    >>> from ssatom.devices import resolve_device
    >>> resolve_device("cpu")
    'cpu'
    """
    there = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if there else "cpu"
    if not (isinstance(device, str) and re.fullmatch(r"cpu|cuda(:\d+)?", device)):
        raise ParameterError(f"device={device!r} is unknown; allowed: auto, cpu, cuda")
    if device != "cpu" and not there:
        raise ParameterError(
            f"device={device!r}: this machine has no GPU that PyTorch can use; give cpu or auto"
        )
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise ParameterError(
            f"device={device!r}: this machine has {torch.cuda.device_count()} GPUs, counted from 0"
        )
    return device


def use_one_thread_in_fork() -> None:
    """Keep torch to one thread where this process is a fork of the one that imported ssatom.

    Such forks are made by matminer's pool, for instance. The threads of the parent's torch are
    gone there, and waiting for them would hang.

    Examples
    --------
    >>> from ssatom.devices import use_one_thread_in_fork
    >>> use_one_thread_in_fork()
    """
    if os.getpid() != _IMPORTED_IN:
        torch.set_num_threads(1)
