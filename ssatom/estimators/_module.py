"""The network at work: the Lightning module that trains it, and predictions of several networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from ssatom.embeddings.engine import batches
from ssatom.estimators._data import Batch, Row, read_crystals
from ssatom.estimators._nodes import NodeFeatures
from ssatom.exceptions import StructureError
from ssatom.graph import GaussianDistanceBasis, GraphRemarks
from ssatom.negnn import NEGNN
from ssatom.repeatable import SiteNorm
from ssatom.training import VALIDATION_LOSS

_CHUNK = 256  # rows read and searched together in prediction
_MAX_EDGES = 50_000  # of one forward pass, so that large cells need no more memory than small ones
_FREE_EPOCHS, _FREE_STEPS = 1 / 4, 50  # share and number after which normalisation is fixed

RowFunction = Callable[[Tensor, Tensor], Tensor]
"""From outputs and targets to one number a row."""


@dataclass(frozen=True)
class Objective:
    """What a network learns: loss and metric of each row."""

    n_outputs: int
    loss: RowFunction
    metric_name: str
    metric: RowFunction
    stratified: bool = False


def _forward(network: NEGNN, encoder: nn.Module | None, batch: Batch, edge_attr: Tensor) -> Tensor:
    """Outputs of a batch, whose node features are given or computed by `encoder`."""
    nodes, graphs = batch.nodes, batch.graphs
    if nodes is None:
        assert encoder is not None
        nodes = encoder(graphs, edge_attr)
    return network(
        nodes, graphs.edge_index, edge_attr, graphs.edge_weight, batch.first_sites, batch.sites
    )


class PropertyModule(pl.LightningModule):
    """Network and objective; `encoder` computes node features where batches bring none.

    `parameters` are those of the estimator, and `edge_dtype` is the precision of the edges.
    """

    def __init__(
        self,
        network: NEGNN,
        encoder: nn.Module | None,
        basis: GaussianDistanceBasis,
        objective: Objective,
        parameters: Mapping[str, Any],
        edge_dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.network = network
        self.encoder = encoder
        self.basis = basis
        self.objective = objective
        self.parameters_of_estimator = parameters
        self.edge_dtype = edge_dtype
        self._sums: dict[str, Tensor] = {}  # loss, metric and weight of each stage
        self._rate = parameters["learning_rate"]

    def on_train_epoch_start(self) -> None:
        # Schedules move on before the metrics of the epoch are logged.
        self._rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        if self.current_epoch >= _FREE_EPOCHS * self.parameters_of_estimator["max_epochs"]:
            self._fix_normalisation()

    def _fix_normalisation(self) -> None:
        """Normalise by the statistics found so far from now on, as predictions do.

        Those of a batch change from batch to batch by more than the error that is left to learn.
        """
        for part in self.network.modules():
            if isinstance(part, SiteNorm):
                assert part.num_batches_tracked is not None
                part.train(int(part.num_batches_tracked) < _FREE_STEPS)

    def _step(self, batch: Batch, stage: str) -> Tensor:
        edge_attr = self.basis(batch.graphs.distances).to(self.edge_dtype)
        outputs = _forward(self.network, self.encoder, batch, edge_attr)
        assert batch.weights is not None
        assert batch.targets is not None
        losses = self.objective.loss(outputs, batch.targets) * batch.weights
        with torch.no_grad():
            metric = self.objective.metric(outputs, batch.targets) * batch.weights
            sums = torch.stack([losses.sum(), metric.sum(), batch.weights.sum()])
            self._sums[stage] = self._sums.get(stage, 0.0) + sums
        return losses.mean()

    @torch.no_grad()
    def loss_of(self, batches: Iterable[Batch]) -> float:
        """Weighted mean loss of rows in evaluation mode."""
        self.eval()
        for batch in batches:
            self._step(batch, "kept")
        loss, _, weight = self._sums.pop("kept").tolist()
        return loss / weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if len(batch.graphs.numbers) < 2:
            return None  # one site has no batch statistics to normalise by
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "validation")

    def on_validation_epoch_end(self) -> None:
        # Validation ends each epoch, so the sums of training are complete here too.
        metrics = {"learning_rate": self._rate}
        for stage, sums in self._sums.items():
            loss, metric, weight = sums.tolist()
            metrics[f"{stage}_loss"] = loss / weight
            metrics[f"{stage}_{self.objective.metric_name}"] = metric / weight
        self._sums = {}
        for name, value in metrics.items():
            self.log(name, value, prog_bar=name.startswith("validation"))

    def configure_optimizers(self) -> Any:
        given = self.parameters_of_estimator
        rate, schedule = given["learning_rate"], given["learning_rate_schedule"]
        groups = [{"params": list(self.network.parameters()), "lr": rate}]
        tuned = [] if self.encoder is None else list(self.encoder.parameters())
        if tuned:
            groups.append({"params": tuned, "lr": given["encoder_learning_rate"] or 0.1 * rate})
        optimizer = torch.optim.AdamW(groups, weight_decay=given["weight_decay"], fused=True)
        if schedule == "constant":
            return optimizer
        if schedule == "cosine":
            return [optimizer], [CosineAnnealingLR(optimizer, given["max_epochs"])]
        wait = 10 if given["patience"] is None else max(1, given["patience"] // 3)
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=wait)
        return [optimizer], [{"scheduler": plateau, "monitor": VALIDATION_LOSS}]

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        return batch.to(device)


def predict(
    rows: Iterator[Row | StructureError],
    networks: Sequence[NEGNN],
    encoders: Sequence[nn.Module],
    features: NodeFeatures,
    batch_size: int,
    device: str,
) -> Iterator[np.ndarray | StructureError]:
    """Outputs of each row, shape (n_members, n_outputs), or why there are none.

    `encoders` compute the node features where `features` do not: one for each member, or one for
    all. The modules given stay where they are.
    """
    if device != "cpu":
        networks = [copy.deepcopy(network).to(device) for network in networks]
        encoders = [copy.deepcopy(encoder).to(device) for encoder in encoders]
    basis = GaussianDistanceBasis(features.graph_config).to(device)
    remarks, start = GraphRemarks(), 0
    while chunk := list(islice(rows, max(_CHUNK, batch_size))):
        results: list[Any] = list(chunk)
        good = [i for i, row in enumerate(chunk) if isinstance(row, Row)]
        known: list[Any] = [chunk[i] for i in good]
        data, errors = read_crystals(known, [start + i for i in good], features, remarks)
        for i, error in errors.items():
            results[good[i]] = error
        for places in batches(data.graphs.edge_counts.tolist(), batch_size, _MAX_EDGES):
            crystals = np.array(places)
            outputs = _outputs(networks, encoders, basis, data.batch(crystals).to(device))
            for i, output in zip(data.places_of(crystals), outputs, strict=True):
                results[good[i]] = output
        yield from results
        start += len(chunk)
    remarks.warn()


@torch.inference_mode()
def _outputs(
    networks: Sequence[NEGNN],
    encoders: Sequence[nn.Module | None],
    basis: GaussianDistanceBasis,
    batch: Batch,
) -> np.ndarray:
    """Outputs of a batch, shape (n_rows, n_members, n_outputs)."""
    edge_attr = basis(batch.graphs.distances)
    if len(encoders) == 1 and encoders[0] is not None:
        batch = batch._replace(nodes=encoders[0](batch.graphs, edge_attr))
    if batch.nodes is not None:
        encoders = [None] * len(networks)
    pairs = zip(networks, encoders, strict=True)
    outputs = [_forward(network, encoder, batch, edge_attr) for network, encoder in pairs]
    return torch.stack(outputs, dim=1).cpu().numpy()
