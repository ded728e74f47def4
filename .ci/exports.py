#!/usr/bin/env python3
"""The names each crate exports that nothing outside its `src` uses.

Outside is: the sources of other crates, every test, bench and example, the book and the README, and documentation examples
(`///` and `//!` lines), which are programs of a user's. Macro-generated names are not seen. Such a name stays where a
program meets it anyway: in the signature of another exported name (a field, a parameter, a result, a variant of an error), or
as settings that a registry names. Any other is a door to close, and a failure.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ITEM = re.compile(r"^\s*pub (?:const )?(?:unsafe )?(?:async )?(?:fn|struct|enum|trait|type|const|static|macro|union) (\w+)")


def module_file(file: Path, name: str) -> Path | None:
    """The file of `mod name;` declared in `file`."""
    here = file.parent if file.name in ("lib.rs", "mod.rs", "main.rs") else file.with_suffix("")
    for candidate in (here / f"{name}.rs", here / name / "mod.rs"):
        if candidate.exists():
            return candidate
    return None


def used(tree: str) -> list[str]:
    """The last names of a `use` tree, renamed ones by their new name."""
    names, depth, part = [], 0, ""
    inner = re.search(r"\{(.*)\}$", tree, re.S)
    if inner:
        for letter in inner.group(1) + ",":
            depth += (letter == "{") - (letter == "}")
            if letter == "," and depth == 0:
                if part.strip():
                    names += used(part.strip())
                part = ""
            else:
                part += letter
        return names
    last = tree.split(" as ")[-1] if " as " in tree else tree.split("::")[-1]
    return [last.strip()]


def exported(file: Path) -> set[str]:
    """The names that are public at the module of `file` and below it through public modules."""
    text = re.sub(r"//[^\n]*", "", file.read_text())
    names: set[str] = set()
    for use in re.finditer(r"(?<!\w)pub use ([^;]+);", text):
        names.update(name for name in used(use.group(1)) if name not in ("*", "self", "_"))
    for list_ in re.finditer(r"^strategies! \{\n(.*?)^\}", text, re.M | re.S):
        names.update(re.findall(r"::(\w+),", list_.group(1)))
    for glob in re.finditer(r"(?<!\w)pub use (?:self::|crate::)?(\w+)::\*;", text):
        below = module_file(file, glob.group(1))
        names |= exported(below) if below else set()
    for line in text.splitlines():
        found = ITEM.match(line)
        if found and not line.startswith(" "):
            names.add(found.group(1))
    for module in re.finditer(r"^(#\[[^\]]*\]\n)*pub mod (\w+);", text, re.M):
        if "doc(hidden)" in (module.group(0)):
            continue
        below = module_file(file, module.group(2))
        if below:
            names |= exported(below)
    return names


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


# What a program sees of an item beside its name.
SIGNATURES = (
    re.compile(r"pub (?:const )?(?:unsafe )?(?:async )?fn [^{;]*"),
    re.compile(r"^ +pub \w+: [^\n]*", re.M),
    re.compile(r"^pub struct [^\n]*", re.M),
    re.compile(r"^( *)pub (?:enum|trait) [^{]*\{.*?^\1\}", re.M | re.S),
    re.compile(r"^ +(?:type \w+ = [^\n]*|fn [^{;]*)", re.M),
    re.compile(r"^pub type [^;]*", re.M),
)
REGISTERED = re.compile(r"impl (?:Strategy|OptimizerSettings|Architecture) for (\w+)")


def met(texts: list[str]) -> set[str]:
    """The names that stand in signatures, and those of settings that a registry names."""
    found: set[str] = set()
    for text in texts:
        for pattern in SIGNATURES:
            for item in pattern.finditer(text):
                # An item does not keep itself.
                own = re.match(r"\s*pub (?:struct|enum|trait|type) (\w+)", item.group(0))
                found |= words(item.group(0)) - ({own.group(1)} if own else set())
        found |= set(REGISTERED.findall(text))
    return found


def main() -> int:
    crates = sorted(ROOT.glob("crates/*/src/lib.rs"))
    everywhere = words("\n".join(p.read_text() for p in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/**/*.rs"),
                                                  *ROOT.glob("crates/*/README.md")]))
    sources, outside = {}, set()
    for lib in crates:
        texts = [p.read_text() for p in lib.parent.rglob("*.rs")]
        sources[lib] = words("\n".join(re.sub(r"//[^\n]*", "", t) for t in texts))
        doc = "\n".join(line for t in texts for line in re.findall(r"//[/!] (.*)", t))
        outside |= words("\n".join(re.findall(r"^```[\w,]*\n(.*?)^```$", doc, re.M | re.S)))
        for p in [*lib.parent.parent.glob("tests/**/*.rs"), *lib.parent.parent.glob("benches/**/*.rs")]:
            outside |= words(p.read_text())
    total, doors = 0, 0
    for lib in crates:
        elsewhere = everywhere | outside | set().union(*(w for other, w in sources.items() if other != lib))
        names = exported(lib)
        unused = {name for name in names if name not in elsewhere}
        open_doors = sorted(unused - met([re.sub(r"//[^\n]*", "", p.read_text()) for p in lib.parent.rglob("*.rs")]))
        total, doors = total + len(unused), doors + len(open_doors)
        kept = " ".join(sorted(unused - set(open_doors)))
        print(f"{lib.parent.parent.name}: {len(names)} names; met in signatures and registries: {kept or 'none'}")
        if open_doors:
            print(f"  doors to close: {' '.join(open_doors)}")
    print(f"{total} names in all, {doors} doors to close")
    return int(doors > 0)


if __name__ == "__main__":
    sys.exit(main())
