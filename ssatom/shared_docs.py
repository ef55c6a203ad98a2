"""Text that several docstrings share, written once and filled in when a module is loaded."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent, indent
from typing import Any, TypeVar

_PLACE = re.compile(r"^( *)\{([\w, ]+)\}$", re.MULTILINE)
_NAME = re.compile(r"\w+")
_Documented = TypeVar("_Documented", bound=Any)


class SharedDocs:
    """Decorator that fills entries of a numpydoc section into docstrings.

    A line such as ``{batch_size}`` or ``{layers, weights}`` is replaced by the entries of these
    names, and ``{parameters}`` by those of all parameters. The default of a parameter is read from
    the signature.

    Parameters
    ----------
    *texts : str
        Entries as numpydoc has them, each starting with its name: "name : type" or
        ".. [name] reference", with indented lines below. Later ones replace earlier ones of the
        same name.

    Examples
    --------
    >>> from ssatom.shared_docs import SharedDocs
    >>> shared_docs = SharedDocs('''
    ... cutoff : float
    ...     Largest distance of neighbours, in Å.
    ... ''')
    >>> @shared_docs
    ... def search(cutoff=8.0):
    ...     '''Find neighbours.
    ...
    ...     Parameters
    ...     ----------
    ...     {parameters}
    ...     '''
    >>> print(search.__doc__.strip().splitlines()[-2].strip())
    cutoff : float, default=8.0
    """

    def __init__(self, *texts: str) -> None:
        self.entries: dict[str, str] = {}
        for text in texts:
            for entry in re.split(r"^(?=\S)", dedent(text), flags=re.MULTILINE):
                if entry.strip():
                    self.entries[_NAME.search(entry)[0]] = entry.rstrip()  # type: ignore[index]

    def __call__(self, documented: _Documented) -> _Documented:
        """The class or function, with its docstring filled in."""
        if documented.__doc__ is None:  # python -OO
            return documented
        function = documented.__init__ if inspect.isclass(documented) else documented
        parameters = inspect.signature(function).parameters

        def fill(place: re.Match) -> str:
            names = place[2].split(", ")
            if names == ["parameters"]:
                names = [name for name in parameters if name != "self"]
            entries = (self._entry(name, parameters.get(name)) for name in names)
            return indent("\n".join(entries), place[1])

        documented.__doc__ = _PLACE.sub(fill, documented.__doc__)
        return documented

    def _entry(self, name: str, parameter: inspect.Parameter | None) -> str:
        head, line, description = self.entries[name].partition("\n")
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            default = parameter.default
            shown = f'"{default}"' if isinstance(default, str) else repr(default)
            head += f", default={shown}"
        return head + line + description


OF_EMBEDDINGS = """
layers : str of digits, int or sequence of int
    Layers to concatenate; 0 is the linear embedding of the elements.
weights : str, path, PretrainedEncoder or None
    Name of a shipped set, a folder, "random" for the paper's untrained network (64 columns a
    layer, to compare with "cgcnn-64x5-mp"), or None for the default set.
pooling : str, callable or tuple of them
    Names of `ssatom.embeddings.POOLINGS`, such as "std" or ("mean", "max"), or a function
    f(states, numbers) of one structure from shape (n_sites, n_columns) to (n_columns,).
batch_size : int
    Largest number of structures in one forward pass; the result does not depend on it.
device : str
    "auto" (a GPU if there is one) or a name that PyTorch knows, such as "cpu" or "cuda:1".
memory : path, joblib.Memory or None
    Folder of a cache on disk that processes share. The cache in memory is always used, so
    other `layers`, clones and folds compute nothing again.
random_state : int
    Seed of ``weights="random"``.

.. [Kong2024] Kong et al., "Self-supervised representations and node embedding graph neural
   networks for accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5,
   035018 (2024), 10.48550/arXiv.2211.03563
.. [Xie2018] Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018),
   10.1103/PhysRevLett.120.145301
"""
"""What functions and featurizers of embeddings share."""
