"""One of several processes that train together; torchrun starts it: ranks.py plain | lightning."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from stg_core import Indexed, TaskLog
from tests.loops.digits import LABELS, NAMES, PIXELS, loss_of, network

EPOCHS, BATCH = 3, 50


def loader() -> Any:
    """Every second point, in the order of the data."""
    data = Indexed(list(zip(PIXELS, LABELS, strict=True)))
    rank = int(os.environ.get("RANK", "0"))
    sampler: Any = DistributedSampler(data, num_replicas=2, rank=rank, shuffle=False)  # type: ignore
    return DataLoader(data, batch_size=BATCH, sampler=sampler)  # type: ignore


def plain() -> None:
    torch.distributed.init_process_group("gloo")
    model = torch.nn.parallel.DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with TaskLog("ranks", NAMES, LABELS) as log:
        for _ in range(EPOCHS):
            for indices, (x, y) in loader():
                logits = model(x)
                optimizer.zero_grad()
                loss_of(logits, y).backward()
                optimizer.step()
                log.update(indices, logits)
            log.end_epoch()
    torch.distributed.destroy_process_group()


def with_lightning() -> None:
    from lightning import pytorch as pl

    from stg_core.maps.loops.lightning import TaskLogCallback

    class Digits(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            _, (x, y) = batch
            return loss_of(self(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        callbacks=[TaskLogCallback(TaskLog("ranks", NAMES, LABELS))],
    ).fit(Digits(), loader())


if __name__ == "__main__":
    {"plain": plain, "lightning": with_lightning}[sys.argv[1]]()
