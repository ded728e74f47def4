"""What a step of torch's schedulers costs, beside `cargo bench -p lr-core`.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install torch
    /tmp/venv/bin/python crates/lr-core/benches/torch_schedulers.py

Prints a Markdown table: nanoseconds per `scheduler.step()` (median of seven runs), for one parameter group and for a
hundred, and milliseconds for the rates of a million ticks, extrapolated from the first twenty thousand. The cost of
`get_lr` and of writing the rate into the group is part of a step, as it is in training.
"""

import statistics
import time
import warnings

import torch
from torch.optim import lr_scheduler as lrs

warnings.filterwarnings("ignore")
MILLION = 1_000_000
STEPS = 20_000
RUNS = 7

SCHEDULERS = {
    "constant": lambda o: lrs.ConstantLR(o, total_iters=1000),
    "step": lambda o: lrs.StepLR(o, 1000, 0.9),
    "multi_step": lambda o: lrs.MultiStepLR(o, [1000, 10_000, 100_000]),
    "exponential": lambda o: lrs.ExponentialLR(o, 0.9999),
    "linear": lambda o: lrs.LinearLR(o, total_iters=MILLION),
    "polynomial": lambda o: lrs.PolynomialLR(o, MILLION, 2.0),
    "cosine_annealing": lambda o: lrs.CosineAnnealingLR(o, MILLION),
    "cosine_annealing_warm_restarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 1000, 2),
    "cyclic": lambda o: lrs.CyclicLR(o, 0.001, 0.1),
    "one_cycle": lambda o: lrs.OneCycleLR(o, 0.1, MILLION),
    "expression (LambdaLR)": lambda o: lrs.LambdaLR(o, lambda t: 0.95**t),
    "multiplicative": lambda o: lrs.MultiplicativeLR(o, lambda t: 0.999),
    "sequential": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, total_iters=1000), lrs.PolynomialLR(o, MILLION)], [1000]
    ),
    "chained": lambda o: lrs.ChainedScheduler([lrs.ConstantLR(o, total_iters=1000), lrs.ExponentialLR(o, 0.9999)]),
}


def nanoseconds_per_step(make, groups, steps):
    params = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1} for _ in range(groups)]
    optimizer = torch.optim.SGD(params, momentum=0.9)
    optimizer.step()
    scheduler = make(optimizer)
    start = time.perf_counter_ns()
    for _ in range(steps):
        scheduler.step()
    return (time.perf_counter_ns() - start) / steps


def main():
    print(f"torch {torch.__version__}, one thread")
    print("| strategy | 1 group, ns | 100 groups, ns | a million ticks, ms |")
    print("|---|---|---|---|")
    for name, make in SCHEDULERS.items():
        one = statistics.median(nanoseconds_per_step(make, 1, STEPS) for _ in range(RUNS))
        hundred = statistics.median(nanoseconds_per_step(make, 100, STEPS // 20) for _ in range(RUNS))
        print(f"| {name} | {one:.0f} | {hundred:.0f} | {one * MILLION / 1e6:.0f} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
