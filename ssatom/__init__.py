"""Self-supervised multi-scale features of crystals, for scikit-learn and matminer."""

from typing import Any

from ssatom.dependencies import check_dependencies, explained

check_dependencies()

import lazy_loader  # noqa: E402

__version__ = "0.1.0"

# The names are listed in __init__.pyi and loaded at first use: torch, matminer and Lightning take
# seconds to import.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except ImportError as error:
        raise explained(error) from error
