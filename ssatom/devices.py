"""Devices and precisions: which exist on this machine, and what "auto" chooses."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from ssatom.exceptions import ParameterError
from ssatom.kernels import loops_work
from ssatom.validation import one_of

_IMPORTED_IN = os.getpid()

_ACCELERATORS: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_bf16_supported}
"""Kinds of devices beside the CPU, the preferred one first, by PyTorch's name: whether the device
multiplies bfloat16 matrices in hardware. Another kind is one entry."""


def edge_precision(precision: str = "auto", device: str = "cpu") -> torch.dtype:
    """Precision in which edges are computed in training: "float32", "bfloat16", or "auto".

    "auto" takes bfloat16 on a GPU or processor with matrix units for it. Elsewhere it takes
    float32, which compiled loops make the faster one. Raises ParameterError if it is unknown.
    """
    if one_of("precision", precision, ("auto", "float32", "bfloat16")) != "auto":
        return getattr(torch, precision)
    kind = device.partition(":")[0]
    if kind in _ACCELERATORS:
        fast = _ACCELERATORS[kind]()
    else:
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        vectors = able.get("avx512_bf16") or able.get("bf16")
        fast = bool(able.get("amx_bf16") or (vectors and not loops_work()))
    return torch.bfloat16 if fast else torch.float32


def resolve_device(device: str = "auto") -> str:
    """Name of a device as torch knows it; "auto" is a GPU where there is one, else "cpu".

    Raises ParameterError if the device is unknown or not on this machine.
    """
    # A backend that was built but has no driver is not available.
    modules = {kind: getattr(torch, kind) for kind in _ACCELERATORS}
    there = {k: getattr(m, "is_available", lambda: True)() for k, m in modules.items()}
    counts = {k: m.device_count() if there[k] else 0 for k, m in modules.items()}
    if device == "auto":
        return next(filter(counts.get, counts), "cpu")
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if counts.get(kind) == 0 and (device == kind or index.isdecimal()):
        raise ParameterError(
            f"device={device!r}: this machine has no GPU that PyTorch can use; give cpu or auto"
        )
    numbered = [f"{kind}:{i}" for kind, n in counts.items() for i in range(n)]
    return one_of("device", device, ["auto", "cpu", *_ACCELERATORS, *numbered])


def use_one_thread_in_fork() -> None:
    """Let torch compute in one thread if this process is a fork of the one that imported ssatom.

    matminer's pool of processes makes such forks. They lack the threads of their parent's torch and
    would wait for them forever.
    """
    if os.getpid() != _IMPORTED_IN:
        torch.set_num_threads(1)
