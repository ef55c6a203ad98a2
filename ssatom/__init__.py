"""Self-supervised multi-scale features of crystals, for scikit-learn and matminer."""

import lazy_loader

__version__ = "0.1.0"

# The names are listed in __init__.pyi and loaded at first use: torch, matminer and Lightning take
# seconds to import.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
