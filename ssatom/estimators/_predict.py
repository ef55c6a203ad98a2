"""Predictions: rows streamed in chunks through one or several trained networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import nn

from ssatom.embeddings.engine import batches
from ssatom.embeddings.graphs import convert
from ssatom.estimators._data import Batch, Row, group_by_crystal, make_batch
from ssatom.estimators._module import forward
from ssatom.estimators._nodes import EmbedFunction
from ssatom.exceptions import StructureError
from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.negnn import NEGNN

_CHUNK = 256  # rows read and searched together
_MAX_EDGES = 50_000  # of one forward pass, so that large cells need no more memory than small ones


class Predictor:
    """Trained networks at work.

    Parameters
    ----------
    networks : sequence of NEGNN
        The members of the ensemble.
    sources : sequence of Module
        What makes the node vectors: one a member, one for all, or none if `vectors` does.
    vectors : callable or None
        A `EmbedFunction`.
    graph_config : GraphConfig
        Settings of the graphs.
    batch_size : int
        Crystals of one forward pass at most.
    device : str
        Where to compute. The networks given stay where they are.
    """

    def __init__(
        self,
        networks: Sequence[NEGNN],
        sources: Sequence[nn.Module],
        vectors: EmbedFunction | None,
        graph_config: GraphConfig,
        batch_size: int,
        device: str,
    ) -> None:
        if device != "cpu":
            networks = [copy.deepcopy(network).to(device) for network in networks]
            sources = [copy.deepcopy(source).to(device) for source in sources]
        self.networks = networks
        self.sources = sources
        self.vectors = vectors
        self.graph_config = graph_config
        self.basis = GaussianDistanceBasis(graph_config).to(device)
        self.batch_size = batch_size
        self.device = device

    def run(self, rows: Iterator[Row | StructureError]) -> Iterator[np.ndarray | StructureError]:
        """Outputs of each row, shape (n_members, n_outputs), or why there are none."""
        start = 0
        while chunk := list(islice(rows, max(_CHUNK, self.batch_size))):
            yield from self._chunk(chunk, start)
            start += len(chunk)

    def _chunk(
        self, rows: list[Row | StructureError], start: int
    ) -> list[np.ndarray | StructureError]:
        good = [i for i, row in enumerate(rows) if isinstance(row, Row)]
        known: list[Row] = [rows[i] for i in good]  # type: ignore[misc]
        groups = group_by_crystal(known)
        arrays = [known[group[0]].arrays for group in groups]
        indices = [start + good[group[0]] for group in groups]
        graphs, errors = convert(arrays, indices, self.graph_config)
        results: list[np.ndarray | StructureError] = list(rows)  # type: ignore[arg-type]
        for position, error in errors.items():
            for i in groups[position]:
                results[good[i]] = error
        usable = [position for position in range(len(groups)) if position not in errors]
        groups = [groups[position] for position in usable]
        vectors = self.vectors and list(
            self.vectors([arrays[i] for i in usable], [indices[i] for i in usable])
        )
        for places in batches(graphs.edge_counts.tolist(), self.batch_size, _MAX_EDGES):
            chosen = list(places)
            members = [groups[i] for i in chosen]
            where = [i for group in members for i in group]
            owner = np.repeat(np.arange(len(members)), [len(group) for group in members])
            sites = [known[i].site for i in where]
            whole = sites and sites[0] is None
            batch = make_batch(
                graphs.select(chosen),
                torch.from_numpy(np.concatenate([vectors[i] for i in chosen])) if vectors else None,
                None if whole else np.array(sites, dtype=np.int64),
                owner,
            )
            for i, outputs in zip(where, self._forward(batch), strict=True):
                results[good[i]] = outputs
        return results

    @torch.inference_mode()
    def _forward(self, batch: Batch) -> np.ndarray:
        """Outputs, shape (n_rows, n_members, n_outputs)."""
        batch = batch.to(self.device)
        edge_attr = self.basis(batch.graphs.distances)
        sources: Sequence[nn.Module | None] = self.sources
        if len(self.sources) == 1:
            batch = batch._replace(nodes=self.sources[0](batch.graphs, edge_attr))
        if batch.nodes is not None:
            sources = [None] * len(self.networks)
        outputs = [
            forward(network, source, batch, edge_attr)
            for network, source in zip(self.networks, sources, strict=True)
        ]
        return torch.stack(outputs, dim=1).cpu().numpy()
