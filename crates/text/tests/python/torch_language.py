"""The language models in plain torch, to hold our weights, our training and our speed against torch's. Needs torch and
safetensors.

    torch_language.py golden FOLDER
        the files that this repository keeps in tests/golden: FOLDER/MODEL.safetensors, FOLDER/MODEL.json
    torch_language.py logits SETTINGS.json WEIGHTS TOKENS.json
        loads WEIGHTS strictly, prints the logits of the tokens as JSON
    torch_language.py init INITIAL
        draws the weights of a gpt of 0.8 M parameters (SHAKESPEARE below)
    torch_language.py train INITIAL TEXT [--steps 500] [--lr 2e-3] [--seed 1]
        trains from them on the windows and in the order of `anneal train`, prints the validation loss: the twin of
        anneal train examples/text/shakespeare.toml --set run.seed=1 --set model.pretrained.path=INITIAL
            --set model.dropout=0 --set train.clip_grad_norm=... (see docs/text.md)
    torch_language.py speed [--rounds 5] [--seconds 3] [--threads 2] [--models gpt,gru] -- BENCHMARK
        times training steps here and in torch in turns; `just bench-language` sets everything up

SETTINGS.json: {"model": "gpt", "vocabulary": 65, "context": 128, "layers": 4, "heads": 4, "width": 128}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        windows, places, width = x.shape
        q, k, v = (y.view(windows, places, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(width, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(windows, places, width))


class Perceptron(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """`transformer.wte`, `transformer.wpe`, `transformer.h.0.attn.c_attn`, ...; the output layer is `wte`, or `lm_head`."""

    def __init__(self, vocabulary, context, layers, heads, width, tied=True):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(Block(width, heads) for _ in range(layers)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = None if tied else nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe.weight[: tokens.shape[1]]
        for block in t.h:
            x = block(x)
        return F.linear(t.ln_f(x), (self.lm_head or t.wte).weight)


class Gru(nn.Module):
    """`embedding`, `rnn.0.weight_ih_l0`, ..., `head`."""

    def __init__(self, vocabulary, context, layers, width):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.rnn = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.rnn:
            x, _ = layer(x)
        return self.head(x)


MODELS = {"gpt": Gpt, "gru": Gru}


def build(settings):
    settings = dict(settings)
    return MODELS[settings.pop("model")](**settings)


def as_json(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.9g}") for value in tensor.flatten().tolist()]}


def logits_of(model, tokens):
    model.eval()
    with torch.no_grad():
        return model(tokens)


def golden(folder):
    settings = {
        "gpt": {"model": "gpt", "vocabulary": 11, "context": 8, "layers": 2, "heads": 2, "width": 8},
        "gpt-untied": {"model": "gpt", "vocabulary": 7, "context": 5, "layers": 1, "heads": 1, "width": 4, "tied": False},
        "gru": {"model": "gru", "vocabulary": 11, "context": 8, "layers": 2, "width": 8},
    }
    for name, settings in settings.items():
        torch.manual_seed(7)
        model = build(settings)
        for parameter_name, parameter in model.named_parameters():
            # Factors and biases away from 1 and 0, logits of a size that says something.
            if "ln_" in parameter_name or parameter_name.endswith("bias"):
                nn.init.uniform_(parameter, 0.5, 1.5)
        tokens = torch.randint(settings["vocabulary"], (2, settings["context"]))
        path = os.path.join(folder, name)
        save_file(model.state_dict(), path + ".safetensors", metadata={"format": "pt"})
        with open(path + ".json", "w") as file:
            logits = as_json(logits_of(model, tokens))
            json.dump({"settings": settings, "tokens": tokens.tolist(), "logits": logits}, file)
            file.write("\n")


def read(path):
    with open(path) as file:
        return json.load(file)


MASK = 2**64 - 1


def mix(word):
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def begin(seed, epoch, index, places):
    """Where window `index` of an epoch begins: SplitMix64 by a key, as crates/splitmix has it."""
    state = 0
    for word in (seed, epoch, index):
        state = (mix(state ^ word) + 0x9E3779B97F4A7C15) & MASK
    return mix((state + 0x9E3779B97F4A7C15) & MASK) * places >> 64


def chacha8(seed, stream):
    """The 64-bit numbers of rand_chacha's ChaCha8Rng::seed_from_u64(seed) on a stream."""
    key, state = [], seed
    for _ in range(8):
        # PCG32, as rand_core expands a seed.
        state = (state * 6364136223846793005 + 11634580027462260723) & MASK
        xored, rotation = (((state >> 18) ^ state) >> 27) & 0xFFFFFFFF, state >> 59
        key.append((xored >> rotation | xored << (32 - rotation)) & 0xFFFFFFFF)
    turn = lambda x, by: (x << by | x >> (32 - by)) & 0xFFFFFFFF
    block = 0
    while True:
        first = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key]
        first += [block & 0xFFFFFFFF, block >> 32, stream & 0xFFFFFFFF, stream >> 32]
        x = list(first)
        for _ in range(4):
            for a, b, c, d in (
                (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
            ):
                for by, other in ((16, 12), (8, 7)):
                    x[a] = (x[a] + x[b]) & 0xFFFFFFFF
                    x[d] = turn(x[d] ^ x[a], by)
                    x[c] = (x[c] + x[d]) & 0xFFFFFFFF
                    x[b] = turn(x[b] ^ x[c], other)
        words = [(value + start) & 0xFFFFFFFF for value, start in zip(x, first)]
        yield from (words[at] | words[at + 1] << 32 for at in range(0, 16, 2))
        block += 1


def order(items, seed, epoch):
    """The order of an epoch, as crates/trainer/src/data/order.rs has it."""
    indices, numbers = list(range(items)), chacha8(seed, epoch)
    for last in range(items - 1, 0, -1):
        other = next(numbers) % (last + 1)
        indices[last], indices[other] = indices[other], indices[last]
    return indices


assert order(8, 42, 0) == [5, 3, 2, 6, 7, 4, 0, 1], "the order that crates/trainer pins"

# As examples/text/shakespeare.toml has them.
SHAKESPEARE = {"model": "gpt", "vocabulary": 65, "context": 128, "layers": 4, "heads": 4, "width": 128}


def init(path):
    """GPT-2's: N(0, 0.02), what is added to the sum smaller, biases 0."""
    torch.manual_seed(1)
    model = build(SHAKESPEARE)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "ln_" not in name:
            nn.init.normal_(parameter, std=0.02 / (2 * SHAKESPEARE["layers"]) ** 0.5 if "c_proj" in name else 0.02)
    save_file(model.state_dict(), path, metadata={"format": "pt"})


def train(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("initial")
    parser.add_argument("text")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    with open(asked.text, encoding="utf-8") as file:
        text = file.read()
    characters = sorted(set(text))
    token = {character: at for at, character in enumerate(characters)}
    tokens = torch.tensor([token[character] for character in text])
    context, batch = SHAKESPEARE["context"], BATCH
    test, held_out = int(len(tokens) * 0.05), int(len(tokens) * 0.1)
    kept, end = len(tokens) - test - held_out, len(tokens) - test

    model = build({**SHAKESPEARE, "vocabulary": len(characters)})
    model.load_state_dict(load_file(asked.initial), strict=True)
    plain = lambda name: any(part in name for part in ("ln_", "bias", "wte", "wpe"))
    parameters = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in parameters if not plain(name)], "weight_decay": 0.1},
        {"params": [p for name, p in parameters if plain(name)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=asked.lr, betas=(0.9, 0.99), fused=True)
    loss_of = lambda x, y: F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    def windows(begins):
        at = torch.tensor(begins)[:, None] + torch.arange(context)
        return tokens[at], tokens[at + 1]

    def validation():
        begins = [kept + i * context for i in range((end - kept - 1) // context)]
        with torch.no_grad():
            parts = [begins[at : at + batch] for at in range(0, len(begins), batch)]
            return sum(loss_of(*windows(part)).item() * len(part) for part in parts) / len(begins)

    items = kept // (context * batch) * batch
    began = time.perf_counter()
    for step in range(asked.steps):
        epoch, at = divmod(step * batch, items)
        if at == 0:
            indices = order(items, asked.seed, epoch)
        begins = [begin(asked.seed, epoch, index, kept - context) for index in indices[at : at + batch]]
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(*windows(begins))
        loss.backward()
        optimizer.step()
        if step < 3 or (step + 1) % asked.every == 0:
            print(f"step {step + 1}: training loss {loss.item():.6f}", end="")
            print(f", validation loss {validation():.4f}" if (step + 1) % asked.every == 0 else "", flush=True)
    print(f"{time.perf_counter() - began:.1f} s")


# As crates/anneal/benches/language.rs has them.
SIZES = {"vocabulary": 65, "context": 128}
BATCH = 32
SPEED = {
    "gpt": {"model": "gpt", "layers": 4, "heads": 4, "width": 128, **SIZES},
    "gru": {"model": "gru", "layers": 2, "width": 256, **SIZES},
}


def torch_step(name, seconds):
    """Median seconds of a training step, after three for warming up."""
    torch.manual_seed(1)
    model = build(SPEED[name])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(SIZES["vocabulary"], (BATCH, SIZES["context"] + 1))
    times, began = [], time.perf_counter()
    while len(times) < 8 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def speed(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--models", default="gpt,gru")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    command = [part for i, part in enumerate(asked.command) if (i, part) != (0, "--")]
    torch.set_num_threads(asked.threads)
    os.environ["RAYON_NUM_THREADS"] = str(asked.threads)
    print(f"torch {torch.__version__}, {asked.threads} threads each, {asked.rounds} rounds\n")
    print("| model | here, tokens/s | torch, tokens/s | here / torch, median (least to most) |\n|---|---|---|---|")
    for name in asked.models.split(","):
        here = lambda: json.loads(
            subprocess.run(
                [*command, "--model", name, "--seconds", str(asked.seconds)], check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
        )["step"]
        there = lambda: torch_step(name, asked.seconds)
        pairs = []
        for round_ in range(asked.rounds):
            pairs.append((here(), there()) if round_ % 2 == 0 else tuple(reversed((there(), here()))))
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        rate = lambda side: BATCH * SIZES["context"] / statistics.median(pair[side] for pair in pairs)
        print(
            f"| {name} | {rate(0):,.0f} | {rate(1):,.0f} "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


def main():
    command, *arguments = sys.argv[1:]
    if command == "golden":
        golden(*arguments)
    elif command == "init":
        init(*arguments)
    elif command == "train":
        train(arguments)
    elif command == "speed":
        speed(arguments)
    elif command == "logits":
        settings, weights, tokens = arguments
        model = build(read(settings))
        model.load_state_dict(load_file(weights), strict=True)
        json.dump(as_json(logits_of(model, torch.tensor(read(tokens)))), sys.stdout)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
