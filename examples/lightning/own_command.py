"""examples/own-command in Lightning: `python own_command.py fit --config rings.yaml`.

LightningCLI's is the command; classes are named by their path where ours have a name in the config. Ranges of
settings are checked by hand.
"""

import lightning as L
import torch
from lightning.pytorch.cli import LightningCLI
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class InverseTime(torch.optim.lr_scheduler.LambdaLR):
    def __init__(self, optimizer: torch.optim.Optimizer, k: float):
        if k < 0:
            raise ValueError(f"k is {k}; allowed are numbers of at least 0")
        super().__init__(optimizer, lambda t: 1 / (1 + k * t))


class TwoLayers(L.LightningModule):
    def __init__(self, hidden: int = 32, dropout: float = 0.1):
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; allowed are whole numbers of at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; allowed are numbers of at least 0 and below 1")
        self.hidden = nn.Linear(64, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 3)

    def forward(self, images):
        hidden = torch.relu(self.hidden(images.flatten(1)))
        return self.out(self.dropout(hidden))

    def measure(self, batch, split):
        images, targets = batch
        logits = self(images)
        loss = nn.functional.cross_entropy(logits, targets)
        accuracy = (logits.argmax(1) == targets).float().mean()
        self.log_dict({f"{split}_loss": loss, f"{split}_accuracy": accuracy}, prog_bar=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self.measure(batch, "train")

    def validation_step(self, batch, batch_idx):
        self.measure(batch, "valid")

    def test_step(self, batch, batch_idx):
        self.measure(batch, "test")


class Rings(L.LightningDataModule):
    def __init__(self, noise: int = 0, batch_size: int = 32):
        super().__init__()
        if not 0 <= noise <= 255:
            raise ValueError(f"noise is {noise}; allowed are 0 to 255")
        self.noise = noise
        self.batch_size = batch_size

    def draw(self, count, seed):
        labels = torch.arange(count) % 3
        at = torch.arange(8) - 3.5
        from_middle = torch.hypot(at[None, :], at[:, None])
        on_ring = (from_middle[None] - labels[:, None, None] - 1).abs() < 0.6
        noise = torch.rand(on_ring.shape, generator=torch.Generator().manual_seed(seed)) * self.noise
        images = torch.where(on_ring, 255 - noise, noise) / 255
        return TensorDataset((images - 0.3) / 0.4, labels)

    def setup(self, stage):
        generator = torch.Generator().manual_seed(0)
        self.train, self.valid = torch.utils.data.random_split(self.draw(600, 1), [0.9, 0.1], generator)
        self.test = self.draw(150, 2)

    def train_dataloader(self):
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.valid, self.batch_size)

    def test_dataloader(self):
        return DataLoader(self.test, self.batch_size)


if __name__ == "__main__":
    LightningCLI(TwoLayers, Rings)
