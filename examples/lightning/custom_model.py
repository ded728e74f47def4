"""examples/custom-model in Lightning: `python custom_model.py [epochs]`."""

import gzip
import sys
from pathlib import Path

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

DIGITS = Path(__file__).parents[2] / "datasets" / "digits"


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, images):
        return self.out(torch.relu(self.hidden(images)))

    def measure(self, batch, split):
        images, targets = batch
        logits = self(images)
        loss = nn.functional.cross_entropy(logits, targets)
        accuracy = (logits.argmax(1) == targets).float().mean()
        self.log_dict({f"{split}_loss": loss, f"{split}_accuracy": accuracy}, prog_bar=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self.measure(batch, "train")

    def test_step(self, batch, batch_idx):
        self.measure(batch, "test")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: (1 + epoch) ** -0.5)]


def digits(part):
    def read(name, header):
        return torch.frombuffer(bytearray(gzip.decompress((DIGITS / name).read_bytes())[header:]), dtype=torch.uint8)

    pixels = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 64) / 255
    return TensorDataset((pixels - pixels.mean()) / pixels.std(), read(f"{part}-labels-idx1-ubyte.gz", 8).long())


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    L.seed_everything(1)
    net = Net()
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(net, DataLoader(digits("train"), batch_size=32, shuffle=True))
    trainer.test(net, DataLoader(digits("t10k"), batch_size=360))
