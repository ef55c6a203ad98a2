"""Progress bars: on stderr, and only where somebody watches."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm


def make_bar(rows: Iterable[Any] | None = None, *, show: bool = True, **options: Any) -> Any:
    """A progress bar of `tqdm`, with its options, on stderr, in a terminal or a notebook.

    There is none in a log or a pipe, where each step would become a line, nor in worker processes,
    whose bars would overwrite each other. Without `rows` it is moved by ``update``.
    """
    return tqdm(rows, **{"disable": not (show and _is_watched()), **options})


def _is_watched() -> bool:
    if multiprocessing.current_process().name != "MainProcess":
        return False
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
