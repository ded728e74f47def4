"""Records what transformers, timm, optax and pytorch-ignite do on settings drawn at random.

    python -m venv /tmp/ref && /tmp/ref/bin/pip install torch==2.15.0 transformers==5.23.0 timm==1.0.31 \
        optax==0.2.8 jax==0.10.2 pytorch-ignite==0.5.5
    /tmp/ref/bin/python port_extra.py --seed 1 --each 4 > port_extra.jsonl

One JSON object a line: `id`, `toml` (the same settings in our config), `base_lr`, `lr[group][tick]`, and for reactive
schedules the `metrics` fed after each tick. Settings for which the reference raises are left out, as are those we refuse
on purpose (docs/schedules/porting.md).
"""

import argparse
import json
import random
import sys
import warnings

import jax

jax.config.update("jax_enable_x64", True)
warnings.filterwarnings("ignore")

import optax  # noqa: E402
import timm.scheduler as timm_scheduler  # noqa: E402
import torch  # noqa: E402
from ignite.handlers import param_scheduler as ignite_scheduler  # noqa: E402
from transformers import get_scheduler  # noqa: E402

STEPS = 48


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + " }"
    raise TypeError(value)


def document(name, fields):
    return "".join(f"{key} = {toml(value)}\n" for key, value in [("type", name), *fields.items()])


def optimizer(base_lr):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in base_lr]
    return torch.optim.SGD(groups, lr=base_lr[0])


class Draw:
    """Draws settings; `some` keeps each optional one with a chance of a half."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def __getattr__(self, name):
        return getattr(self.random, name)

    def some(self, **fields):
        return {key: value for key, value in fields.items() if self.random.random() < 0.5}

    def rate(self):
        return round(10 ** self.random.uniform(-4, 0.5), 6)

    def base_lr(self):
        return [self.rate() for _ in range(self.random.choice([1, 1, 2, 3]))]

    def metrics(self):
        value, metrics = 1.0, []
        for _ in range(STEPS):
            value *= self.random.choice([0.8, 0.97, 1.0, 1.05])
            metrics.append(round(value, 4))
        return metrics


def transformers_case(draw, name):
    base_lr = draw.base_lr()
    warmup, training = draw.randint(0, 12), draw.randint(14, 45)
    specific = {
        "cosine": lambda: draw.some(num_cycles=draw.choice([0.25, 1.0, 2.5])),
        "cosine_with_restarts": lambda: draw.some(num_cycles=draw.randint(1, 5)),
        "polynomial": lambda: draw.some(lr_end=base_lr[0] * draw.choice([0.0, 0.01, 0.5]), power=draw.choice([0.5, 2.0, 3.3])),
        "inverse_sqrt": lambda: draw.some(timescale=draw.randint(1, 50)),
        "cosine_with_min_lr": lambda: {**draw.choice([{"min_lr": base_lr[0] * 0.1}, {"min_lr_rate": 0.2}]), **draw.some(num_cycles=1.25)},
        "cosine_warmup_with_min_lr": lambda: {
            **draw.choice([{"min_lr": base_lr[0] * 0.1}, {"min_lr_rate": 0.2}]),
            **draw.some(num_cycles=1.25, warmup_lr_rate=draw.choice([0.0, 0.3])),
        },
        "warmup_stable_decay": lambda: {
            "num_decay_steps": draw.randint(0, training - warmup),
            **draw.some(
                num_stable_steps=draw.randint(0, 10),
                warmup_type=draw.choice(["linear", "cosine", "1-sqrt"]),
                decay_type=draw.choice(["linear", "cosine", "1-sqrt"]),
                min_lr_ratio=draw.choice([0.0, 0.1, 0.7]),
                num_cycles=draw.choice([0.5, 1.5]),
            ),
        },
        "reduce_lr_on_plateau": lambda: draw.some(
            mode=draw.choice(["min", "max"]), patience=draw.randint(0, 3), factor=0.5, cooldown=draw.randint(0, 3),
            threshold=0.05, threshold_mode=draw.choice(["rel", "abs"]), min_lr=1e-3,
        ),
        "greedy": lambda: {"patience": draw.randint(0, 2), **draw.some(
            mode=draw.choice(["min", "max"]), factor=draw.choice([0.5, 0.8]), cooldown=draw.randint(0, 3),
            warmup=draw.randint(1, 3), threshold=0.05, threshold_mode=draw.choice(["rel", "abs"]),
            min_lr=draw.choice([1e-4, 1e-2]), max_lr=draw.choice([0.05, 2.0]), smooth=True,
            window_size=draw.randint(1, 6), reset_start=draw.randint(1, 3),
        )},
    }.get(name, dict)()
    # A minimum above the maximum makes no sense, and we refuse it.
    if specific.get("min_lr", 1e-3) > specific.get("max_lr", 1.0):
        return None
    scheduler = get_scheduler(name, optimizer(base_lr), warmup, training, specific)
    metrics = draw.metrics() if name in ("reduce_lr_on_plateau", "greedy") else None
    text = document(f"transformers/{name}", {"num_warmup_steps": warmup, "num_training_steps": training, **specific})
    lr = [[] for _ in base_lr]
    for step in range(STEPS):
        for rates, group in zip(lr, scheduler.optimizer.param_groups):
            rates.append(float(group["lr"]))
        scheduler.step(*([metrics[step]] if metrics else []))
    return text, base_lr, lr, metrics


def timm_case(draw, name):
    base_lr = draw.base_lr()
    warm = {} if draw.random.random() < 0.4 else {"warmup_t": draw.randint(1, 8), "warmup_lr_init": draw.rate() / 10}
    if warm and name not in ("WSDLRScheduler", "PlateauLRScheduler"):
        warm.update(draw.some(warmup_prefix=draw.choice([True, False])))
    noise = {}
    if draw.random.random() < 0.4:
        start = draw.randint(0, 20)
        noise = {"noise_range_t": draw.choice([start, [start, start + 15]]), **draw.some(
            noise_pct=draw.choice([0.1, 1.0]), noise_std=draw.choice([0.2, 2.0]), noise_seed=draw.randint(0, 2**33))}
        if name == "PlateauLRScheduler":
            noise.update(draw.some(noise_type="uniform"))
    cycles = {"t_initial": draw.randint(3, 30), **draw.some(
        lr_min=draw.choice([1e-5, 1e-3]), cycle_mul=draw.choice([1.3, 2.0, 3.0]), cycle_decay=draw.choice([0.5, 0.9]),
        cycle_limit=draw.randint(1, 6))}
    own = {
        "CosineLRScheduler": lambda: {**cycles, **draw.some(k_decay=draw.choice([0.5, 2.0]))},
        "TanhLRScheduler": lambda: {**cycles, **draw.some(lb=-4.0, ub=2.0)},
        "PolyLRScheduler": lambda: {**cycles, **draw.some(power=draw.choice([0.9, 2.0]), k_decay=draw.choice([0.5, 2.0]))},
        "StepLRScheduler": lambda: {"decay_t": draw.choice([1, 4, 2.4, 0.7, 0.1]), **draw.some(decay_rate=draw.choice([0.5, 0.97]))},
        "MultiStepLRScheduler": lambda: {"decay_t": sorted(draw.sample(range(40), draw.randint(0, 5))), **draw.some(decay_rate=0.5)},
        "WSDLRScheduler": lambda: {"t_initial": draw.randint(12, 40), "decay_t": draw.randint(1, 12), **draw.some(
            lr_min=1e-4, stable_fn=draw.choice(["constant", "rsqrt", "power"]), stable_timescale=draw.choice([1.5, 10.0]),
            stable_power=0.8, decay_fn=draw.choice(["linear", "1-sqrt", "cosine", "power", "exp"]), decay_power=1.7,
            decay_ratio=0.3)},
        "PlateauLRScheduler": lambda: {"mode": draw.choice(["min", "max"]), **draw.some(
            decay_rate=0.5, patience_t=draw.randint(0, 3), threshold=0.05, cooldown_t=draw.randint(0, 3), lr_min=1e-3)},
    }[name]()
    clock = {} if name == "PlateauLRScheduler" else draw.some(t_in_epochs=draw.choice([True, False]))
    fields = {**own, **warm, **noise, **clock}
    opt = optimizer(base_lr)
    scheduler = getattr(timm_scheduler, name)(opt, **fields)
    metrics = draw.metrics() if name == "PlateauLRScheduler" else None
    lr = [[] for _ in base_lr]
    for step in range(STEPS):
        for rates, group in zip(lr, opt.param_groups):
            rates.append(float(group["lr"]))
        drive = scheduler.step_update if clock.get("t_in_epochs") is False else scheduler.step
        drive(step + 1, metric=metrics[step] if metrics else None)
    return document(f"timm/{name}", fields), base_lr, lr, metrics


def optax_fields(draw, name):
    warm_cosine = lambda: {  # noqa: E731
        "init_value": draw.rate() / 10, "peak_value": draw.choice([0.0, draw.rate()]), "warmup_steps": draw.randint(0, 6),
        "decay_steps": draw.randint(7, 20), **draw.some(end_value=draw.rate() / 100, exponent=draw.choice([0.5, 2.0]))}
    scales = lambda: {tick: draw.choice([0.0, 0.1, 0.5, 1.5, 4.0]) for tick in draw.sample(range(40), draw.randint(0, 4))}  # noqa: E731
    decay = lambda: {"transition_steps": draw.randint(0, 12), "decay_rate": draw.choice([0.0, 0.5, 0.9, 1.0, 1.2]), **draw.some(  # noqa: E731
        transition_begin=draw.randint(0, 9), staircase=True, end_value=draw.rate())}
    return {
        "constant_schedule": lambda: {"value": draw.rate()},
        "linear_schedule": lambda: {"init_value": draw.rate(), "end_value": draw.rate(), "transition_steps": draw.randint(0, 30), **draw.some(transition_begin=draw.randint(0, 9))},
        "polynomial_schedule": lambda: {"init_value": draw.rate(), "end_value": draw.rate(), "power": draw.choice([0.0, 0.5, 2, 3.7]), "transition_steps": draw.randint(0, 30), **draw.some(transition_begin=draw.randint(0, 9))},
        "exponential_decay": lambda: {"init_value": draw.rate(), **decay()},
        "cosine_decay_schedule": lambda: {"init_value": draw.rate(), "decay_steps": draw.randint(1, 30), **draw.some(alpha=draw.choice([0.1, 1.5]), exponent=draw.choice([0.5, 2.0, 0.0]))},
        "piecewise_constant_schedule": lambda: {"init_value": draw.rate(), "boundaries_and_scales": scales()},
        "piecewise_interpolate_schedule": lambda: {"interpolate_type": draw.choice(["linear", "cosine"]), "init_value": draw.rate(), "boundaries_and_scales": scales()},
        "linear_onecycle_schedule": lambda: {"transition_steps": draw.randint(1, 40), "peak_value": draw.rate(), **draw.some(pct_start=draw.choice([0.0, 0.1, 0.6]), pct_final=draw.choice([0.5, 0.95, 1.0]), div_factor=10.0, final_div_factor=100.0)},
        "cosine_onecycle_schedule": lambda: {"transition_steps": draw.randint(1, 40), "peak_value": draw.rate(), **draw.some(pct_start=draw.choice([0.0, 0.1, 0.6, 1.0]), div_factor=10.0, final_div_factor=100.0)},
        "warmup_constant_schedule": lambda: {"init_value": draw.rate(), "peak_value": draw.rate(), "warmup_steps": draw.randint(0, 12)},
        "warmup_cosine_decay_schedule": warm_cosine,
        "warmup_exponential_decay_schedule": lambda: {"init_value": draw.rate(), "peak_value": draw.rate(), "warmup_steps": draw.randint(0, 9), **decay()},
        "sgdr_schedule": lambda: {"cosine_kwargs": [warm_cosine() for _ in range(draw.randint(1, 4))]},
    }[name]()


def optax_case(draw, name):
    if name == "join_schedules":
        names = draw.choices(["linear_schedule", "exponential_decay", "cosine_decay_schedule", "sgdr_schedule"], k=draw.randint(1, 3))
        parts = [(part, optax_fields(draw, part)) for part in names]
        boundaries = sorted(draw.sample(range(40), len(parts) - 1))
        schedule = optax.join_schedules([getattr(optax, part)(**fields) for part, fields in parts], boundaries)
        tables = [{"type": f"optax/{part}", **fields} for part, fields in parts]
        text = document("optax/join_schedules", {"schedules": tables, "boundaries": boundaries})
    else:
        fields = optax_fields(draw, name)
        schedule = getattr(optax, name)(**fields)
        text = document(f"optax/{name}", fields)
    # The optimizer's rate plays no part: any base rate will do.
    return text, [draw.rate()], [[float(schedule(step)) for step in range(STEPS)]], None


def ignite_fields(draw, name):
    cyclical = lambda: {"start_value": draw.rate(), "end_value": draw.rate(), "cycle_size": draw.randint(2, 16), **draw.some(  # noqa: E731
        cycle_mult=draw.choice([1.5, 2.0, 1.1]), start_value_mult=draw.choice([0.5, 1.1]), end_value_mult=draw.choice([0.5, 1.1]))}
    if name == "PiecewiseLinear":
        times = sorted(draw.choices(range(40), k=draw.randint(1, 5)))
        return {"milestones_values": [(time, draw.rate()) for time in times]}
    if name == "CosineAnnealingScheduler":
        return {**cyclical(), **draw.some(warmup_duration=draw.randint(1, 5))}
    fields = {**cyclical(), **draw.some(monotonic=True)}
    if fields.get("monotonic"):
        fields.update(draw.some(warmup_duration=draw.randint(1, 5)))
    return fields


IGNITE_PARTS = ["LinearCyclicalScheduler", "CosineAnnealingScheduler", "PiecewiseLinear"]


def ignite_part(draw, opt, name):
    fields = ignite_fields(draw, name)
    return getattr(ignite_scheduler, name)(opt, "lr", **fields), {"type": f"ignite/{name}", **fields}


def torch_part(draw, opt):
    # A closed form: ignite calls get_lr() once more than torch 2.15's recurrences expect, and those run one tick ahead.
    base = draw.choice([0.5, 0.9])
    return torch.optim.lr_scheduler.LambdaLR(opt, lambda step: base**step), {"type": "expression", "expression": f"{base} ^ t"}


def ignite_case(draw, name):
    base_lr = [draw.rate()]
    opt = optimizer(base_lr)
    metrics = None
    if name == "ConcatScheduler":
        parts = [ignite_part(draw, opt, draw.choice(IGNITE_PARTS)) for _ in range(draw.randint(2, 4))]
        durations = [draw.randint(1, 15) for _ in parts[1:]]
        scheduler = ignite_scheduler.ConcatScheduler([part for part, _ in parts], durations)
        fields = {"schedulers": [table for _, table in parts], "durations": durations}
    elif name == "LRScheduler":
        part, table = torch_part(draw, opt)
        scheduler, fields = ignite_scheduler.LRScheduler(part), {"lr_scheduler": table}
    elif name == "create_lr_scheduler_with_warmup":
        wrapped = draw.random.random() < 0.5
        part, table = torch_part(draw, opt) if wrapped else ignite_part(draw, opt, draw.choice(IGNITE_PARTS))
        first = base_lr[0] if wrapped else part.get_param()
        fields = {"warmup_start_value": draw.rate() / 10, "warmup_duration": draw.randint(2, 9), **draw.some(
            warmup_end_value=draw.choice([first, draw.rate()]))}
        scheduler = ignite_scheduler.create_lr_scheduler_with_warmup(part, **fields)
        fields["lr_scheduler"] = table
    elif name == "ReduceLROnPlateauScheduler":
        metrics = draw.metrics()
        fields = {"metric_name": "loss", **draw.some(patience=draw.randint(0, 3), factor=0.5, cooldown=2, threshold=0.05)}
        scheduler = ignite_scheduler.ReduceLROnPlateauScheduler(opt, **fields)
    else:
        scheduler, fields = ignite_part(draw, opt, name)
        fields.pop("type")
    rates = []
    for step in range(STEPS):
        if metrics:
            rates.append(opt.param_groups[0]["lr"])
            scheduler.scheduler.step(metrics[step])
        else:
            scheduler(None)
            rates.append(float(opt.param_groups[0]["lr"]))
    return document(f"ignite/{name}", fields), base_lr, [rates], metrics


NAMES = {
    transformers_case: [
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
        "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy",
    ],
    timm_case: [
        "CosineLRScheduler", "TanhLRScheduler", "StepLRScheduler", "MultiStepLRScheduler", "PolyLRScheduler",
        "WSDLRScheduler", "PlateauLRScheduler",
    ],
    optax_case: [
        "constant_schedule", "linear_schedule", "polynomial_schedule", "exponential_decay", "cosine_decay_schedule",
        "piecewise_constant_schedule", "piecewise_interpolate_schedule", "linear_onecycle_schedule",
        "cosine_onecycle_schedule", "warmup_constant_schedule", "warmup_cosine_decay_schedule",
        "warmup_exponential_decay_schedule", "sgdr_schedule", "join_schedules",
    ],
    ignite_case: [
        "LinearCyclicalScheduler", "CosineAnnealingScheduler", "PiecewiseLinear", "ConcatScheduler", "LRScheduler",
        "create_lr_scheduler_with_warmup", "ReduceLROnPlateauScheduler",
    ],
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    left_out = 0
    for record, names in NAMES.items():
        framework = record.__name__.removesuffix("_case")
        for name in names:
            if args.only not in f"{framework}/{name}":
                continue
            for number in range(args.each):
                draw = Draw(f"{args.seed} {framework}/{name} {number}")
                try:
                    case = record(draw, name)
                except (ValueError, ZeroDivisionError, OverflowError, TypeError):
                    case = None
                if case is None:
                    left_out += 1
                    continue
                text, base_lr, lr, metrics = case
                line = {"id": f"{framework}/{name}/{number}", "toml": text, "base_lr": base_lr, "lr": lr}
                if metrics:
                    line["metrics"] = metrics
                print(json.dumps(line, separators=(",", ":")))
    print(f"{left_out} left out", file=sys.stderr)


if __name__ == "__main__":
    main()
