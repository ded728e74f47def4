"""examples/regression in Lightning: `python regression.py [epochs]`."""

import sys

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(1, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("valid_loss", nn.functional.mse_loss(self(x), y), prog_bar=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)
        return [optimizer], [schedule]


def rows():
    x = torch.arange(1000).unsqueeze(1) / 100 - 5
    return TensorDataset(x, x.sin())


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    L.seed_everything(1)
    train, valid = random_split(rows(), [0.8, 0.2])
    model = Net()
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(model, DataLoader(train, batch_size=32, shuffle=True), DataLoader(valid, batch_size=32))
    print({name: float(value) for name, value in trainer.callback_metrics.items()})
    model.eval()
    with torch.no_grad():
        print("sin(1) =", model(torch.tensor([[1.0]])))
