"""Averages of the weights as torch makes them: writes averaging.json beside this file.

A linear model of two weights and a bias is trained by plain SGD on fixed numbers; `torch.optim.swa_utils.AveragedModel`
follows it with an exponential and with an equal average. And batch norm's statistics as `update_bn` measures them.
Run: python averaging.py   (torch 2.15; float64 off, as in the tests)
"""

import json
import pathlib

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

X = [[1.0, -2.0], [0.5, 0.25], [-1.5, 3.0], [2.0, 1.0]]
Y = [[0.5], [-1.0], [2.0], [0.25]]
START = ([[0.3, -0.7]], [0.1])
LR = 0.1
STEPS = 8


def model():
    linear = torch.nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(START[0]))
        linear.bias.copy_(torch.tensor(START[1]))
    return linear


def numbers(module):
    return [float(v) for v in module.weight.flatten().tolist() + module.bias.tolist()]


def trace(averaged, takes):
    linear = model()
    average = averaged(linear)
    optimizer = torch.optim.SGD(linear.parameters(), lr=LR)
    x, y = torch.tensor(X), torch.tensor(Y)
    rows = []
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(linear(x), y).backward()
        optimizer.step()
        if takes(step):
            average.update_parameters(linear)
        count = int(average.n_averaged)
        rows.append({"weights": numbers(linear), "averaged": count, "average": numbers(average.module) if count else None})
    return rows


def ema(decay, takes=lambda step: True):
    return trace(lambda m: AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(decay)), takes)


def statistics():
    """Running mean and (unbiased) variance of three batches, cumulatively averaged."""
    batches = [torch.tensor(b) for b in ([[1.0, 2.0], [3.0, -2.0]], [[0.0, 5.0], [4.0, 1.0]], [[-1.0, 2.5], [1.5, 0.5]])]
    norm = torch.nn.BatchNorm1d(2)
    update_bn([(b,) for b in batches], norm)
    return {
        "batches": [b.tolist() for b in batches],
        "running_mean": norm.running_mean.tolist(),
        "running_var": norm.running_var.tolist(),
    }


out = {
    "torch": torch.__version__,
    "x": X,
    "y": Y,
    "start": {"weight": START[0], "bias": START[1]},
    "lr": LR,
    "ema_0.9": ema(0.9),
    "ema_0.3": ema(0.3),
    "ema_0.9_every_2_after_2": ema(0.9, lambda step: step > 2 and (step - 2) % 2 == 0),
    "swa_after_4_every_2": trace(AveragedModel, lambda step: step > 4 and (step - 4) % 2 == 0),
    "statistics": statistics(),
}
pathlib.Path(__file__).with_name("averaging.json").write_text(json.dumps(out, indent=1) + "\n")
