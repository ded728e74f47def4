#!/usr/bin/env python3
"""Lines of each example beside the same in Lightning: blank ones, comments and docstrings apart.

Fails where one of ours has more than one and a half times as many, with or without each side's config.
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Ours and theirs.
PAIRS = {
    "regression": (["regression/src/main.rs"], ["regression.py"]),
    "custom-model": (["custom-model/src/main.rs"], ["custom_model.py"]),
    "char-lm": (["char-lm/src/main.rs"], ["char_lm.py"]),
    "gan": (["gan/src/main.rs"], ["gan.py"]),
    "own-command": (["own-command/src/main.rs"], ["own_command.py"]),
    "own-command, with its config": (
        ["own-command/src/main.rs", "own-command/rings.toml"],
        ["own_command.py", "rings.yaml"],
    ),
}


def lines(path):
    text = path.read_text()
    if path.suffix == ".py":
        text = re.sub(r'"""(?:.|\n)*?"""', "", text)
    comment = "//" if path.suffix == ".rs" else "#"
    # In Rust `#` begins an attribute, which counts.
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith(comment))


def main():
    most = 1.5
    worst = 0.0
    print("| example | ours | Lightning | ratio |\n|---|---|---|---|")
    for name, (ours, theirs) in PAIRS.items():
        mine, other = sum(lines(HERE.parent / path) for path in ours), sum(lines(HERE / path) for path in theirs)
        worst = max(worst, mine / other)
        print(f"| `{name}` | {mine} | {other} | {mine / other:.2f} |")
    return worst > most


if __name__ == "__main__":
    sys.exit(main())
