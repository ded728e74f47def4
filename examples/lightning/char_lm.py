"""examples/char-lm in Lightning: `python char_lm.py FILE [epochs]`. The transformer is torch's own."""

import math
import sys
from pathlib import Path

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CONTEXT = 64
BATCH = 16
WIDTH = 64


class Windows(Dataset):
    def __init__(self, tokens):
        self.tokens = tokens

    def __len__(self):
        return (len(self.tokens) - 1) // CONTEXT

    def __getitem__(self, at):
        window = self.tokens[at * CONTEXT : (at + 1) * CONTEXT + 1]
        return window[:-1], window[1:]


class CharLm(L.LightningModule):
    def __init__(self, symbols):
        super().__init__()
        self.tokens = nn.Embedding(symbols, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        block = nn.TransformerEncoderLayer(
            WIDTH, 2, 4 * WIDTH, 0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, symbols, bias=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, tokens.device)
        x = self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        return self.out(self.blocks(x, mask, is_causal=True))

    def measure(self, batch, split):
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self(inputs).flatten(0, 1), targets.flatten())
        self.log_dict({f"{split}_loss": loss, f"{split}_bits": loss / math.log(2)}, prog_bar=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self.measure(batch, "train")

    def validation_step(self, batch, batch_idx):
        self.measure(batch, "valid")

    def configure_optimizers(self):
        decays = [p for name, p in self.named_parameters() if p.dim() > 1 and not name.startswith(("tokens", "places"))]
        rest = [p for p in self.parameters() if not any(p is other for other in decays)]
        groups = [{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=3e-3)
        steps = self.trainer.estimated_stepping_batches
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=steps // 10)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - steps // 10)
        both = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [steps // 10])
        return [optimizer], [{"scheduler": both, "interval": "step"}]

    @torch.no_grad()
    def generate(self, tokens, count):
        for _ in range(count):
            logits = self(tokens[None, -CONTEXT:])[0, -1] / 0.8
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(0), 1)])
        return tokens


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text()
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    L.seed_everything(42)
    symbols = sorted(set(text))
    tokens = torch.tensor([symbols.index(symbol) for symbol in text])
    train, valid = tokens.tensor_split([len(tokens) * 9 // 10])
    model = CharLm(len(symbols))
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    loaders = DataLoader(Windows(train), BATCH, shuffle=True), DataLoader(Windows(valid), BATCH)
    trainer.fit(model, *loaders)
    print({name: float(value) for name, value in trainer.callback_metrics.items()})
    prompt = torch.tensor([symbols.index(symbol) for symbol in "the "])
    print("".join(symbols[token] for token in model.eval().generate(prompt, 200)))
