"""Compiled loops for what takes the time: gated messages, sums over edges, neighbour search."""

from ssatom.kernels._threads import run
from ssatom.kernels.available import loops_serve, loops_work
from ssatom.kernels.directional import directional_units
from ssatom.kernels.edges import EdgeBands, Edges
from ssatom.kernels.gated import gated_messages
from ssatom.kernels.harmonics import N_DEGREES, spherical_harmonics
from ssatom.kernels.normalization import batch_normalized
from ssatom.kernels.products import linear
from ssatom.kernels.rows import add, affine, gaussians, relu, soft_steps, take_rows
from ssatom.kernels.search import Pairs, expected_pairs, find_pairs, shortest_vector
from ssatom.kernels.sums import weighted_sums

__all__ = [
    "N_DEGREES",
    "EdgeBands",
    "Edges",
    "Pairs",
    "add",
    "affine",
    "batch_normalized",
    "directional_units",
    "expected_pairs",
    "find_pairs",
    "gated_messages",
    "gaussians",
    "linear",
    "loops_serve",
    "loops_work",
    "relu",
    "run",
    "shortest_vector",
    "soft_steps",
    "spherical_harmonics",
    "take_rows",
    "weighted_sums",
]
