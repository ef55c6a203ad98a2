"""What Lightning trains: an encoder with one head a task, on corrupted batches."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn

from ssatom.encoder import CrystalGraphEncoder
from ssatom.graph import GaussianDistanceBasis
from ssatom.pretraining.corpus import TrainingBatch
from ssatom.pretraining.plan import Plan
from ssatom.processes import JointDraws, share_of_mean, total
from ssatom.repeatable import seed_dropout
from ssatom.training import STEP_LOSS

_VALIDATION_SEED = 1_000_003  # validation masks are the same in every epoch


class MaskedRecovery(pl.LightningModule):
    """Encoder and heads, with the losses of all tasks summed."""

    element_features: torch.Tensor

    def __init__(self, encoder: CrystalGraphEncoder, plan: Plan) -> None:
        super().__init__()
        self.encoder = encoder
        self.plan = plan
        self.seed = plan.recipe["random_state"]
        self.basis = GaussianDistanceBasis(plan.graph_config)
        sizes = encoder.config.hidden_dim, plan.graph_config
        self.heads = nn.ModuleDict({t.name: t.checked_head(*sizes) for t in plan.tasks})
        self.register_buffer("element_features", plan.element_features, persistent=False)
        self._sums: dict[str, dict[str, tuple]] = {}  # loss, hits, items; stage by stage

    def _step(self, batch: TrainingBatch, stage: str, seeds: Sequence[int]) -> torch.Tensor:
        graphs = batch.graphs
        seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        device = graphs.numbers.device
        with JointDraws(device):
            masked = self.plan.masking(graphs, generator)._replace(targets=batch.targets)
            for task in self.plan.tasks:
                masked = task.checked_corrupt(masked, generator)
        edge_attr = masked.hide(self.basis(masked.visible_distances)).to(self.plan.edge_dtype)
        edge_weight = masked.visible_weight(self.basis.config)
        x = self.element_features[masked.visible_numbers]
        hidden = self.encoder(
            x,
            masked.graphs.edge_index,  # a task may have put other graphs in their place
            edge_attr,
            edge_weight,
            directions=masked.visible_directions,
        )
        loss_of_all = hidden[0].new_zeros(())
        stage_sums = self._sums.setdefault(stage, {})
        for task in self.plan.tasks:
            result = task.checked_result(self.heads[task.name], hidden, masked)
            share = share_of_mean(result.n_items, device)
            loss_of_all = loss_of_all + task.weight * share * result.loss
            loss, correct, n_items = stage_sums.get(task.name, (0.0, 0, 0))
            stage_sums[task.name] = (
                loss + result.loss.detach() * result.n_items,
                correct + result.correct,
                n_items + result.n_items,
            )
        return loss_of_all

    @torch.no_grad()
    def loss_at_start(self, batch: TrainingBatch) -> float:
        """Loss of a batch as the module is now, before any step; changes nothing."""
        probe = copy.deepcopy(self).train()
        seed_dropout(probe, self.seed)
        return float(probe._step(batch, "start", [self.seed, _VALIDATION_SEED, 0]))

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0: constant, then falling towards zero."""
        rate, n_epochs = self.plan.recipe["learning_rate"], self.plan.recipe["max_epochs"]
        n_decay = round(self.plan.recipe["decay_fraction"] * n_epochs)
        return float(rate * min(1.0, (n_epochs - epoch) / (n_decay + 1)) if n_decay else rate)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> torch.Tensor:
        loss = self._step(batch, "train", [self.seed, self.current_epoch, batch_idx, 0])
        self.log(STEP_LOSS, loss, prog_bar=True, on_step=True, on_epoch=False, batch_size=1)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        self._step(batch, "validation", [self.seed, _VALIDATION_SEED, batch_idx])

    def on_validation_epoch_end(self) -> None:
        # Validation closes each epoch, so the sums of training are complete here too.
        metrics = {"learning_rate": self.learning_rate(self.current_epoch)}
        weights = {task.name: task.weight for task in self.plan.tasks}
        for stage, tasks in self._sums.items():
            metrics[f"{stage}_loss"] = 0.0
            for name, sums in tasks.items():
                own = [torch.as_tensor(x, device=self.device).double() for x in sums]
                loss, correct, n_items = total(torch.stack(own)).tolist()
                metrics[f"{stage}_{name}_loss"] = loss / max(n_items, 1)
                metrics[f"{stage}_{name}_accuracy"] = correct / max(n_items, 1)
                metrics[f"{stage}_loss"] += weights[name] * metrics[f"{stage}_{name}_loss"]
        self._sums = {}
        shown = {k: v for k, v in metrics.items() if k.endswith("accuracy") and k[0] == "v"}
        distributed = self.trainer.world_size > 1
        self.log_dict(shown, prog_bar=True, sync_dist=distributed)
        self.log_dict({k: v for k, v in metrics.items() if k not in shown}, sync_dist=distributed)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=1.0, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: Any, dataloader_idx: int
    ) -> Any:
        return batch.to(device)
