"""The paper's tables and figures, ours beside the printed ones."""

from ssatom.reproduction.reproduce import reproduce
from ssatom.reproduction.studies import STUDIES

__all__ = ["STUDIES", "reproduce"]
