"""Time of one optimizer step in torch, per element: the peers of benches/optimizers.rs.

    python3 benches/torch_optimizers.py [--venv DIR] [--threads N]

With --venv the script makes a virtual environment there, installs torch into it and runs itself in it. The sizes,
rounds and medians are those of optimizers.rs. OMP_WAIT_POLICY is printed, because torch's threads spin between calls
where it is `active`, which flatters small tensors and slows whatever else runs on the machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import venv

SIZES = [(1, 100_000), (1, 1_000_000), (1, 10_000_000), (1, 50_000_000), (50, 200_000), (50, 1_000)]


def in_venv(folder, arguments):
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch", "numpy"], check=True)
    sys.exit(subprocess.run([python, __file__, *arguments]).returncode)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.venv:
        in_venv(options.venv, ["--threads", str(options.threads)] if options.threads else [])
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    contenders = [
        ("torch adam for-loop", lambda p: torch.optim.Adam(p, foreach=False)),
        ("torch adam foreach", lambda p: torch.optim.Adam(p, foreach=True)),
        ("torch adam fused", lambda p: torch.optim.Adam(p, fused=True)),
        ("torch adamw fused", lambda p: torch.optim.AdamW(p, fused=True)),
        ("torch adagrad foreach", lambda p: torch.optim.Adagrad(p, foreach=True)),
        ("torch adagrad fused", lambda p: torch.optim.Adagrad(p, fused=True)),
        ("torch rmsprop foreach", lambda p: torch.optim.RMSprop(p, foreach=True)),
        ("torch sgd foreach", lambda p: torch.optim.SGD(p, foreach=True)),
        ("torch sgd fused", lambda p: torch.optim.SGD(p, fused=True)),
        ("torch sgd momentum fused", lambda p: torch.optim.SGD(p, momentum=0.9, fused=True)),
    ]
    policy = os.environ.get("OMP_WAIT_POLICY", "unset")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, OMP_WAIT_POLICY {policy}")
    for tensors, length in SIZES:
        elements = tensors * length
        rounds = min(max(200_000_000 // elements, 7), 301)
        print(f"\n{tensors} x {length}")
        for name, make in contenders:
            params = [torch.nn.Parameter(torch.rand(length) - 0.5) for _ in range(tensors)]
            for param in params:
                param.grad = torch.rand(length) - 0.5
            optimizer = make(params)
            times = []
            for _ in range(rounds + 2):
                began = time.perf_counter()
                optimizer.step()
                times.append(time.perf_counter() - began)
            step, least = statistics.median(times[2:]), min(times[2:])
            print(
                f"  {name:26} {step / elements * 1e9:8.3f} ns/element ({least / elements * 1e9:7.3f} at best)"
                f" {step * 1e6:11.1f} us/step",
                flush=True,
            )


if __name__ == "__main__":
    main()
