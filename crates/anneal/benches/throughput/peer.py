"""Training steps of the reference models here and in PyTorch, on one machine, in turns.

    python peer.py [--rounds 5] [--seconds 3] [--threads 2] [--models NAME,...] [--profile] [--out FILE.json] -- BENCHMARK
        BENCHMARK: the command that runs this crate's benchmark, e.g. cargo bench -q -p anneal --bench throughput --

Every round runs each case here and in torch, one after the other; which goes first alternates. The table has the
median over the rounds of samples per second and of the ratio within a round. With --profile also the time of each
operation of each model, forward and backward, here and in torch. `just bench-throughput` sets everything up.
`--models gpt --profile`: the operations of a language model alone (`just bench-language` times its steps).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SHAPES = {
    "mlp": (1, 28, 28),
    "lenet": (1, 28, 28),
    "convnet": (1, 28, 28),
    "resnet8": (3, 32, 32),
    "resnet9": (3, 32, 32),
    "resnet18": (3, 32, 32),
}

# Batch of the profile: images, or tokens.
PROFILED = {name: 64 for name in SHAPES} | {"gpt": 4096}

# Timed in both orders of memory; the better one counts.
BOTH_ORDERS = ("convnet", "resnet8", "resnet9", "resnet18")


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 5, padding=2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def conv(before, after, kernel, stride):
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(before, after, 3, stride), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = conv(after, after, 3, 1), nn.BatchNorm2d(after)
        self.short = nn.Identity()
        if stride != 1 or before != after:
            self.short = nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


def conv_norm(before, after):
    return nn.Sequential(conv(before, after, 3, 1), nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = nn.Sequential(conv_norm(channels, channels), conv_norm(channels, channels))

    def forward(self, x):
        return self.inner(x) + x


class ResNet9(nn.Module):
    def __init__(self):
        super().__init__()
        pooled = lambda before, after: [conv_norm(before, after), nn.MaxPool2d(2)]
        self.maps = nn.Sequential(
            conv_norm(3, 64), *pooled(64, 128), Residual(128), *pooled(128, 256), *pooled(256, 512), Residual(512)
        )
        self.linear = nn.Linear(512, 10, bias=False)

    def forward(self, x):
        return self.linear(self.maps(x).amax((2, 3))) * 0.125


def model_of(name):
    if name == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )
    if name == "lenet":
        return LeNet()
    if name == "convnet":
        stages = [conv(1, 32, 5, 2), nn.BatchNorm2d(32), nn.ReLU()]
        for before, after in ((32, 64), (64, 128)):
            stages += [conv(before, after, 3, 1), nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*stages, nn.Flatten(), nn.Linear(1152, 10))
    if name == "resnet9":
        return ResNet9()
    stages = ((1, 16), (1, 32), (1, 64)) if name == "resnet8" else ((2, 64), (2, 128), (2, 256), (2, 512))
    before = stages[0][1]
    blocks = []
    for stage, (count, channels) in enumerate(stages):
        for block in range(count):
            blocks.append(Block(before, channels, 2 if stage > 0 and block == 0 else 1))
            before = channels
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(conv(3, stages[0][1], 3, 1), nn.BatchNorm2d(stages[0][1]), nn.ReLU(), *blocks, *head)


def median_seconds(seconds, call, device="cpu"):
    """Median time of one call, after two for warming up. A GPU is waited for after ten calls, a CPU after each."""
    block = 1 if device == "cpu" else 10

    def calls(count):
        start = time.perf_counter()
        for _ in range(count):
            call()
        if device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    calls(2)
    times, began = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < seconds:
        times.append(calls(block))
    return statistics.median(times)


def orders_of(name):
    return [torch.contiguous_format, *([torch.channels_last] if name in BOTH_ORDERS else [])]


def torch_step(name, batch, seconds):
    return min(torch_step_in(order, name, batch, seconds) for order in orders_of(name))


def torch_step_in(order, name, batch, seconds, device="cpu", precision="f32", compiled=False):
    torch.manual_seed(1)
    model = model_of(name).to(device, memory_format=order)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    images = torch.rand(batch, *SHAPES[name], device=device).to(memory_format=order)
    targets = torch.arange(batch, device=device) % 10
    forward = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(forward(images), targets)
        loss.backward()
        optimizer.step()

    return median_seconds(seconds, step, device)


def torch_update(name, seconds, device):
    """Seconds of the update alone, by the fused Adam."""
    model = model_of(name).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    return median_seconds(seconds, optimizer.step, device)


def torch_alone(asked):
    """Prints a JSON line for each case of torch on this device, as the benchmark here does."""
    for case in asked.cases.split(","):
        name, batch, precision = case.split(":")
        line = {"model": name, "batch": int(batch), "precision": precision, "torch": torch.__version__}
        for order in orders_of(name):
            line["order"] = "channels_last" if order is torch.channels_last else "contiguous"
            for compiled in [False, True] if asked.compile else [False]:
                line["compiled"] = compiled
                line["step"] = torch_step_in(order, name, int(batch), asked.seconds, asked.device, precision, compiled)
                print(json.dumps(line), flush=True)
        if precision == "f32":
            update = torch_update(name, asked.seconds, asked.device)
            print(json.dumps({"model": name, "torch": torch.__version__, "update": update}), flush=True)


def torch_operation(op, batch, seconds):
    """Seconds of an operation, forward and backward, measured as the benchmark here measures it."""
    kind, module, first = op["kind"], None, op.get("first", False)
    if kind == "conv":
        module = nn.Conv2d(
            op["inputs"], op["outputs"], op["kernel"], op["stride"], padding=op["kernel"] // 2, bias=op["bias"]
        )
        shape = (batch, op["inputs"], op["size"], op["size"])
    elif kind == "batch_norm":
        norm, shape = nn.BatchNorm2d(op["channels"]), (batch, op["channels"], op["size"], op["size"])
        module = (lambda x: F.relu(norm(x))) if op["relu"] else norm
    elif kind == "linear":
        module, shape = nn.Linear(op["inputs"], op["outputs"]), (batch, op["inputs"])
    elif kind == "cross_entropy":
        shape = (batch, op["classes"])
        classes = [row % op["classes"] for row in range(batch)]
        module = lambda x: F.cross_entropy(x, torch.tensor(classes))
    elif kind == "layer_norm":
        module, shape = nn.LayerNorm(op["width"]), (batch, op["width"])
    elif kind == "gelu":
        module, shape = F.gelu, (batch, op["width"])
    elif kind == "attention":
        width, heads, shape = op["width"], op["heads"], (batch // op["context"], op["context"], 3 * op["width"])

        def module(x):
            parts = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in x.split(width, 2))
            return F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).flatten(2)
    else:
        shape = (batch, op["channels"]) if op["size"] == 1 else (batch, op["channels"], op["size"], op["size"])
        module = {
            "relu": F.relu,
            "add_relu": lambda x: F.relu(x + x),
            "max_pool": lambda x: F.max_pool2d(x, 2),
            "average": lambda x: x.flatten(2).mean(2),
        }[kind]
    x = torch.rand(shape).requires_grad_(not first)
    alone = median_seconds(seconds, lambda: module(x))
    out = module(x).detach()
    weights = torch.ones_like(out)
    out.requires_grad_()
    both = median_seconds(seconds, lambda: (module(x) * weights).sum().backward())
    frame = median_seconds(seconds, lambda: (out * weights).sum().backward())
    times = {"forward": alone, "backward": both - frame - alone}
    if kind == "conv":
        times |= torch_gradients(op, shape, seconds)
    if kind == "linear":
        weight, grad, x = module.weight.detach(), torch.rand(batch, op["outputs"]), x.detach()
        times["of_weight"] = median_seconds(seconds, lambda: (grad.t().mm(x), grad.sum(0)))
        if not first:
            times["of_input"] = median_seconds(seconds, lambda: grad.mm(weight))
    return times


def torch_gradients(op, shape, seconds):
    """Seconds of a convolution's gradients, each alone, in the better of the two orders of memory."""
    parts = {"of_weight": [False, True, False]}
    if not op["first"]:
        parts["of_input"] = [True, False, False]
    best = {}
    for order in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(shape).to(memory_format=order)
        weight = torch.rand(op["outputs"], op["inputs"], op["kernel"], op["kernel"]).to(memory_format=order)
        stride, padding = [op["stride"]] * 2, [op["kernel"] // 2] * 2
        grad = torch.rand_like(torch.conv2d(x, weight, None, stride, padding))
        for part, mask in parts.items():
            call = lambda: torch.ops.aten.convolution_backward(
                grad, x, weight, [op["outputs"]], stride, padding, [1, 1], False, [0, 0], 1, mask
            )
            best[part] = min(best.get(part, float("inf")), median_seconds(seconds, call))
    return best


def work(line):
    """Operations of a convolution or linear layer: a multiplication and an addition for each term, padding counted."""
    op = line["operation"]
    if op["kind"] == "linear":
        return 2 * line["batch"] * op["inputs"] * op["outputs"]
    return 2 * line["batch"] * op["outputs"] * (op["size"] // op["stride"]) ** 2 * op["inputs"] * op["kernel"] ** 2


def here(command, *arguments, **variables):
    run = subprocess.run(
        [*command, *arguments], check=True, capture_output=True, text=True, env={**os.environ, **variables}
    )
    lines = run.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def steps(command, models, rounds, seconds, burn):
    figures = []
    for round_ in range(rounds):
        for name in filter(SHAPES.get, models):
            for batch in (64, 128):
                asked = ("--steps", "--case", f"{name}:{batch}", "--seconds", str(seconds))
                ours = lambda: here(command, *asked)[0]["step"]
                theirs = lambda: torch_step(name, batch, seconds)
                pair = (ours(), theirs()) if round_ % 2 == 0 else tuple(reversed((theirs(), ours())))
                figure = {"model": name, "batch": batch, "here": pair[0], "torch": pair[1]}
                if burn:
                    figure["burn"] = here(command, *asked, CPU_KERNELS="off")[0]["step"]
                figures.append(figure)
    return figures


def whole(times):
    return times["forward"] + times["backward"]


def describe(op):
    kind = op["kind"].replace("_", " ")
    if kind == "conv":
        stride = f", stride {op['stride']}" if op["stride"] > 1 else ""
        return f"conv {op['inputs']} to {op['outputs']}, {op['kernel']}x{op['kernel']}{stride}, {op['size']}x{op['size']}"
    if kind == "linear":
        return f"linear {op['inputs']} to {op['outputs']}"
    if kind == "cross entropy":
        return f"{kind} of {op['classes']}"
    if kind == "attention":
        return f"attention of {op['heads']} heads, {op['width']} wide, windows of {op['context']}"
    if "width" in op:
        return f"{kind} {op['width']}"
    if op.get("relu"):
        kind += " and relu"
    return f"{kind} {op['channels']}" + (f", {op['size']}x{op['size']}" if op["size"] > 1 else "")


def picture(figures, models):
    """Samples per second as parts of torch's, at batch 64: a bar for this program, and one with burn's own operations."""
    rows, sides = [], [("here", "#1b6ca8", "this program"), ("burn", "#c9c9c9", "burn's own operations")]
    sides = [side for side in sides if side[0] in figures[0]]
    ratio = lambda name, side: statistics.median(
        f["torch"] / f[side] for f in figures if (f["model"], f["batch"]) == (name, 64)
    )
    ratios = {(name, side): ratio(name, side) for name in models for side, _, _ in sides}
    scale = 420 / max(1.0, *ratios.values())
    y = 44
    for name in models:
        rows.append(f'<text x="92" y="{y + 9 * len(sides) + 4}" text-anchor="end">{name}</text>')
        for side, colour, _ in sides:
            length = ratios[name, side] * scale
            rows.append(f'<rect x="100" y="{y}" width="{length:.1f}" height="16" fill="{colour}"/>')
            rows.append(f'<text x="{106 + length:.1f}" y="{y + 12}" font-size="11">{ratios[name, side]:.2f}</text>')
            y += 18
        y += 10
    for at, (_, colour, label) in enumerate(sides):
        rows.append(f'<rect x="{100 + 150 * at}" y="14" width="12" height="12" fill="{colour}"/>')
        rows.append(f'<text x="{117 + 150 * at}" y="24" font-size="12">{label}</text>')
    one = 100 + scale
    rows.append(f'<line x1="{one:.1f}" y1="34" x2="{one:.1f}" y2="{y}" stroke="#333" stroke-dasharray="4 3"/>')
    rows.append(f'<text x="{one:.1f}" y="{y + 14}" text-anchor="middle" font-size="12">PyTorch</text>')
    body = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 580 {y + 24}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="580" height="{y + 24}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--models", default=",".join(SHAPES))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--burn", action="store_true", help="with burn's own operations too")
    parser.add_argument("--picture", help="an SVG file: bars beside torch (and burn)")
    parser.add_argument("--out")
    parser.add_argument("--cases", help="MODEL:BATCH:f32 or bf16, ...: these in torch alone, on --device, as JSON lines")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="with --cases: torch.compile too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.cases:
        torch_alone(asked)
        return 0
    command = [part for i, part in enumerate(asked.command) if (i, part) != (0, "--")]
    torch.set_num_threads(asked.threads)
    os.environ["RAYON_NUM_THREADS"] = str(asked.threads)
    print(f"torch {torch.__version__}, {asked.threads} threads each, {asked.rounds} rounds")

    models = asked.models.split(",")
    figures = steps(command, models, asked.rounds, asked.seconds, asked.burn)
    if figures:
        print("\n| model, batch | here, samples/s | torch, samples/s | here / torch, median (least to most) |\n|---|---|---|---|")
    for name in filter(SHAPES.get, models):
        for batch in (64, 128):
            cases = [f for f in figures if (f["model"], f["batch"]) == (name, batch)]
            ratios = sorted(f["torch"] / f["here"] for f in cases)
            rate = lambda side: batch / statistics.median(f[side] for f in cases)
            print(
                f"| {name}, {batch} | {rate('here'):,.0f} | {rate('torch'):,.0f} "
                f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
            )

    if asked.picture and figures:
        with open(asked.picture, "w", encoding="utf-8") as file:
            file.write(picture(figures, list(filter(SHAPES.get, models))))

    operations = []
    if asked.profile:
        peak = here(command, "--peak")[0]["peak"]
        for name in models:
            case = f"{name}:{PROFILED[name]}"
            operations += here(command, "--profile", "--case", case, "--seconds", str(asked.seconds))
        for line in operations:
            line["torch"] = torch_operation(line["operation"], line["batch"], asked.seconds / 10)
        for name in models:
            lines = [line for line in operations if line["model"] == name]
            total = {
                side: sum(line["operation"]["count"] * whole(line[side]) for line in lines)
                for side in ("time", "torch")
            }
            print(f"\n{name}, batch {PROFILED[name]}, milliseconds (times how often it occurs in a step)\n")
            print("| operation | times | forward: here | torch | backward: here | torch | lost in a step |\n|---|---|---|---|---|---|---|")
            lost = lambda line: line["operation"]["count"] * (whole(line["time"]) - whole(line["torch"]))
            for line in sorted(lines, key=lost, reverse=True):
                ms = lambda side, part: f"{1e3 * line[side][part]:.3f}"
                print(
                    f"| {describe(line['operation'])} | {line['operation']['count']} | {ms('time', 'forward')} "
                    f"| {ms('torch', 'forward')} | {ms('time', 'backward')} | {ms('torch', 'backward')} | {1e3 * lost(line):+.3f} |"
                )
            products = [line for line in lines if line["operation"]["kind"] in ("conv", "linear")]
            if products:
                print(f"\n{name}, GFLOP/s (this processor's peak with these threads: {peak / 1e9:,.0f})\n")
                print("| layer | forward: here | torch | input gradient: here | torch | weight gradient: here | torch |")
                print("|---|---|---|---|---|---|---|")
            for line in products:
                rate = lambda side, part: f"{work(line) / line[side][part] / 1e9:,.0f}" if line[side].get(part) else "-"
                cells = [rate(side, part) for part in ("forward", "of_input", "of_weight") for side in ("time", "torch")]
                print(f"| {describe(line['operation'])} | " + " | ".join(cells) + " |")
            print(f"\nsum of these: here {1e3 * total['time']:.2f}, torch {1e3 * total['torch']:.2f}")
            of_step = [f for f in figures if (f["model"], f["batch"]) == (name, 64)]
            if of_step:
                step = lambda side: 1e3 * statistics.median(f[side] for f in of_step)
                print(f"a whole step with Adam: here {step('here'):.2f}, torch {step('torch'):.2f}")
    if asked.out:
        with open(asked.out, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "threads": asked.threads, "steps": figures, "profile": operations}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
