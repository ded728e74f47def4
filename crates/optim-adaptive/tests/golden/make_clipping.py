"""Makes clipping.jsonl: what torch's clip_grad_norm_ and clip_grad_value_ do to some gradients.

    python3 tests/golden/make_clipping.py > tests/golden/clipping.jsonl        (torch 2.15.0)

Each line: `kind`, the two gradients `before` (3x4 and 5, row-major; f32 values), the arguments, the `norm` returned,
the gradients `after`; `error` where torch raises.
"""

import json
import math

import torch

torch.manual_seed(20261122)
INF = math.inf


def plain(x):
    if isinstance(x, float):
        return "NaN" if math.isnan(x) else "Infinity" if x == INF else "-Infinity" if x == -INF else x
    return x


def flat(tensor):
    return [plain(x) for x in tensor.double().flatten().tolist()]


def gradients(kind):
    a, b = torch.randn(3, 4), torch.randn(5)
    if kind == "large":
        a, b = a * 1e4, b * 1e3
    elif kind == "tiny":
        a, b = a * 1e-12, b * 1e-12
    elif kind == "zero":
        a, b = a * 0, b * 0
    elif kind == "mixed":
        a, b = a * 1e6, b * 1e-6
    elif kind == "inf":
        b[2] = INF
    elif kind == "nan":
        a[1, 2] = math.nan
    return a, b


def main():
    for dtype in ("f32", "f64"):
        for kind in ("normal", "large", "tiny", "zero", "mixed", "inf", "nan"):
            for norm_type in (1.0, 2.0, INF):
                for max_norm in (0.1, 1.0, 1e3):
                    for error_if_nonfinite in (False, True):
                        if error_if_nonfinite and kind not in ("normal", "inf", "nan"):
                            continue
                        grads = gradients(kind)
                        if dtype == "f64":
                            grads = [g.double() for g in grads]
                        params = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
                        for param, grad in zip(params, grads):
                            param.grad = grad.clone()
                        case = {
                            "function": "norm",
                            "dtype": dtype,
                            "kind": kind,
                            "norm_type": plain(norm_type),
                            "max_norm": max_norm,
                            "error_if_nonfinite": error_if_nonfinite,
                            "before": [flat(g) for g in grads],
                        }
                        try:
                            norm = torch.nn.utils.clip_grad_norm_(params, max_norm, norm_type, error_if_nonfinite)
                            case["norm"] = plain(norm.double().item())
                            case["after"] = [flat(p.grad) for p in params]
                        except RuntimeError as error:
                            case["error"] = str(error)
                        print(json.dumps(case))
            for clip_value in (0.1, 1.0, 1e5):
                grads = gradients(kind)
                if dtype == "f64":
                    grads = [g.double() for g in grads]
                params = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
                for param, grad in zip(params, grads):
                    param.grad = grad.clone()
                torch.nn.utils.clip_grad_value_(params, clip_value)
                print(
                    json.dumps(
                        {
                            "function": "value",
                            "dtype": dtype,
                            "kind": kind,
                            "clip_value": clip_value,
                            "before": [flat(g) for g in grads],
                            "after": [flat(p.grad) for p in params],
                        }
                    )
                )


main()
