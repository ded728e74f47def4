#!/usr/bin/env python3
"""The lists of schedules and optimizers in the book are those of the registries, in their order.

`docs/SUMMARY.md` (both) and the table of `docs/schedules/README.md`. Prints what differs; `--write` writes it. The
table of `docs/optimizers/README.md` says more than the registry knows: it is written by hand, and each has its row.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def text_of(value: str) -> str:
    return re.search(r'"((?:[^"\\]|\\.)*)"', value).group(1)


def described(folders: list[str], trait: str) -> dict[str, dict[str, str]]:
    """What the `impl`s of a trait say of each type: its constants, by name."""
    found = {}
    for file in (file for folder in folders for file in sorted((ROOT / folder).glob("*.rs"))):
        for item in re.finditer(rf"^impl {trait} for (\w+) \{{\n(.*?)^\}}", file.read_text(), re.M | re.S):
            constants = re.findall(r"^    const (\w+): [^=]*=\s*(.*?);$", item.group(2), re.M | re.S)
            found[item.group(1)] = {**dict(constants), "own_interval": "fn default_interval" in item.group(2)}
    return found


def schedules() -> list[tuple[str, str, str]]:
    folders = ["crates/lr-core/src/strategies", "crates/lr-core/src/compose"]
    types = described(folders, "Strategy")
    rows = []
    for folder in folders:
        listed = (ROOT / folder / "mod.rs").read_text()
        for name in re.findall(r"registry\.register::<(\w+)>|^    \w+::(\w+),$", listed, re.M):
            name = "".join(name)
            of = types[name]
            tick = "step" if "Step" in of.get("INTERVAL", "") else "epoch"
            rows.append((text_of(of["NAME"]), text_of(of["SUMMARY"]), "as inside" if of["own_interval"] else tick))
    return rows


def optimizers() -> list[str]:
    folder = "crates/optim-adaptive/src/optimizers"
    types = described([folder], "OptimizerSettings")
    listed = re.findall(r"Entry::of::<(?:\w+::)?(\w+)>", (ROOT / folder / "mod.rs").read_text())
    return [text_of(types[name]["NAME"]) for name in listed]


def replaced(page: Path, before: str, line: str, lines: list[str]) -> tuple[Path, str]:
    """The page with the lines of this form that follow `before` in the place of those there."""
    text = page.read_text()
    return page, re.sub(rf"({re.escape(before)}\n)(?:{line}\n)+", lambda found: found.group(1) + "\n".join(lines) + "\n", text)


def main() -> int:
    rows = schedules()
    page = DOCS / "SUMMARY.md"
    pages = {}
    listed = lambda folder, names: [f"  - [{name}]({folder}/{name}.md)" for name in names]
    _, text = replaced(page, "- [Schedules](schedules/README.md)", r"  - \[\w+\]\(schedules/\w+\.md\)",
                       listed("schedules", [name for name, *_ in rows]))
    text = re.sub(r"(- \[Optimizers\]\(optimizers/README\.md\)\n)(?:  - .*\n)+",
                  lambda found: found.group(1) + "\n".join(listed("optimizers", optimizers())) + "\n", text)
    pages[page] = text
    page, text = replaced(DOCS / "schedules/README.md", "| name | in a line | tick |\n|---|---|---|", r"\| \[.*",
                          [f"| [`{name}`]({name}.md) | {summary} | {tick} |" for name, summary, tick in rows])
    pages[page] = text
    stale = [page for page, text in pages.items() if page.read_text() != text]
    for page in stale:
        if "--write" in sys.argv:
            page.write_text(pages[page])
        else:
            print(f"{page.relative_to(ROOT)}: a list is not the registry's; `python3 .ci/indexes.py --write`")
    table = (DOCS / "optimizers/README.md").read_text()
    missing = [name for name in optimizers() if f"[`{name}`]({name}.md)" not in table]
    for name in missing:
        print(f"docs/optimizers/README.md: its table has no `{name}`")
    return int(bool(missing) or bool(stale) and "--write" not in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
