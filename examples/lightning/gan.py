"""examples/gan in Lightning: `python gan.py [epochs] [checkpoints]`."""

import gzip
import sys
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NOISE = 16
PIXELS = 64
DIGITS = Path(__file__).parents[2] / "datasets" / "digits"


def mlp(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 128), nn.LeakyReLU(0.2), nn.Linear(128, outputs))


class Gan(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.generator = mlp(NOISE, PIXELS)
        self.discriminator = mlp(PIXELS, 1)
        self.automatic_optimization = False

    def draw(self, count):
        return self.generator(torch.randn(count, NOISE, device=self.device))

    def judge(self, images, are_real):
        logits = self.discriminator(images)
        target = torch.full_like(logits, float(are_real))
        return nn.functional.binary_cross_entropy_with_logits(logits, target)

    def training_step(self, batch, batch_idx):
        (images,) = batch
        g_optimizer, d_optimizer = self.optimizers()
        fake = self.draw(len(images)).detach()
        d_loss = self.judge(images, True) + self.judge(fake, False)
        d_optimizer.zero_grad()
        self.manual_backward(d_loss)
        d_optimizer.step()
        self.toggle_optimizer(g_optimizer)
        g_loss = self.judge(self.draw(len(images)), True)
        g_optimizer.zero_grad()
        self.manual_backward(g_loss)
        g_optimizer.step()
        self.untoggle_optimizer(g_optimizer)
        self.log_dict({"d_loss": d_loss, "g_loss": g_loss}, on_step=False, on_epoch=True, prog_bar=True)

    def configure_optimizers(self):
        betas = (0.5, 0.999)
        g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=2e-3, betas=betas)
        d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=betas)
        return g_optimizer, d_optimizer


def digits():
    content = gzip.decompress((DIGITS / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = torch.frombuffer(bytearray(content[16:]), dtype=torch.uint8).reshape(-1, PIXELS) / 255
    return TensorDataset((pixels - pixels.mean()) / pixels.std())


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    L.seed_everything(1)
    gan = Gan()
    callbacks = [ModelCheckpoint(folder, save_last=True)] if folder else []
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=folder is not None, callbacks=callbacks
    )
    last = folder / "last.ckpt" if folder else None
    trainer.fit(gan, DataLoader(digits(), batch_size=32, shuffle=True), ckpt_path=last if last and last.exists() else None)
    print({name: float(value) for name, value in trainer.callback_metrics.items()})
    with torch.no_grad():
        drawn = gan.draw(1).reshape(8, 8)
    for row in drawn:
        print("".join("##" if pixel > 0.5 else "  " for pixel in row))
