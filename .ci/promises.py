#!/usr/bin/env python3
"""Each promise of the book names its test, and the test is there.

In the tables under a heading "Promises, and the test of each", every row has at least one `crates/.../file.rs::name` in
its second column; each such name, anywhere in the book, must be a test of that file.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## Promises, and the test of each"
NAMED = re.compile(r"`((?:crates|examples)/[\w/.-]+\.rs)::(\w+)`")
PAGES = {"docs/checkpoints.md", "docs/mpi.md", "docs/trainer.md"}


def tests(path: Path) -> set[str]:
    """The names of the tests of a file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return set(re.findall(r"#\[test\]\s*(?:#\[[^\]]*\]\s*)*fn (\w+)\(", text))


def main() -> int:
    wrong, promises = [], 0
    with_table = set()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        where, in_table = page.relative_to(ROOT).as_posix(), False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("## "):
                in_table = line == HEADING
            is_promise = in_table and line.startswith("| ") and not line.startswith("| promise |")
            named = NAMED.findall(line)
            if is_promise:
                promises += 1
                with_table.add(where)
                if not NAMED.findall(line.split(" | ")[1]):
                    wrong.append(f"{where}:{number}: a promise that names no test")
            for file, name in named:
                if name not in tests(ROOT / file):
                    wrong.append(f"{where}:{number}: {file} has no test called {name}")
    wrong += [f"{page}: has no table of promises" for page in sorted(PAGES - with_table)]
    print("\n".join(wrong) if wrong else f"{promises} promises, each with its test")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
