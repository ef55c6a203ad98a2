"""The Lightning module: a network, with its encoder if that is trained too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from ssatom.estimators._data import Batch
from ssatom.graph import GaussianDistanceBasis
from ssatom.negnn import NEGNN
from ssatom.training import VALIDATION_LOSS

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


@dataclass(frozen=True)
class Optimisation:
    """Settings of the optimiser."""

    learning_rate: float
    encoder_learning_rate: float
    schedule: str
    weight_decay: float
    max_epochs: int
    patience: int | None
    edge_dtype: torch.dtype


def forward(network: NEGNN, encoder: nn.Module | None, batch: Batch, edge_attr: Tensor) -> Tensor:
    """Outputs of a batch, whose node features are given or computed by `encoder`."""
    nodes = batch.nodes
    if nodes is None:
        assert encoder is not None
        nodes = encoder(batch.graphs, edge_attr)
    graphs = batch.graphs
    return network(
        nodes, graphs.edge_index, edge_attr, graphs.edge_weight, batch.first_sites, batch.sites
    )


class PropertyModule(pl.LightningModule):
    """Network and objective; `encoder` computes node features where batches bring none."""

    def __init__(
        self,
        network: NEGNN,
        encoder: nn.Module | None,
        basis: GaussianDistanceBasis,
        objective: Objective,
        settings: Optimisation,
    ) -> None:
        super().__init__()
        self.network = network
        self.encoder = encoder
        self.basis = basis
        self.objective = objective
        self.settings = settings
        self._sums: dict[str, Tensor] = {}  # loss, metric and weight of each stage
        self._rate = settings.learning_rate

    def on_train_epoch_start(self) -> None:
        # Schedules move on before the metrics of the epoch are logged.
        self._rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def _step(self, batch: Batch, stage: str) -> Tensor:
        edge_attr = self.basis(batch.graphs.distances).to(self.settings.edge_dtype)
        outputs = forward(self.network, self.encoder, batch, edge_attr)
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
        settings = self.settings
        groups = [{"params": list(self.network.parameters()), "lr": settings.learning_rate}]
        tuned = [] if self.encoder is None else list(self.encoder.parameters())
        if tuned:
            groups.append({"params": tuned, "lr": settings.encoder_learning_rate})
        optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)
        if settings.schedule == "constant":
            return optimizer
        if settings.schedule == "cosine":
            return [optimizer], [CosineAnnealingLR(optimizer, settings.max_epochs)]
        wait = 10 if settings.patience is None else max(1, settings.patience // 3)
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=wait)
        return [optimizer], [{"scheduler": plateau, "monitor": VALIDATION_LOSS}]

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        return batch.to(device)
