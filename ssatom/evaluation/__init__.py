"""Measurements: what the package promises, shown on data."""

from ssatom.evaluation.benchmark import run_benchmark

__all__ = ["run_benchmark"]
