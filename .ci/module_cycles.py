#!/usr/bin/env python3
"""Circles between the modules of each crate, re-exports followed: none may stand. Run in the root of the checkout."""
import collections
import re
import subprocess
import sys
from pathlib import Path


def source(path):
    """The text without comments and without what follows the first test module."""
    text = re.sub(r"//[^\n]*", "", Path(path).read_text())
    return re.split(r"#\[cfg\((?:all\()?test", text)[0]


def expanded(tree):
    """`a::{b, c::{d}}` as `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [re.sub(r"\s+as\s+\w+", "", tree).replace(" ", "")]
    parts, depth, part = [], 0, ""
    for char in rest[: rest.rfind("}")]:
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    return [path for part in [*parts, part] if part.strip() for path in expanded(head + part)]


class Crate:
    def __init__(self, name, files):
        self.name = name.replace("-", "_")
        self.modules = {}
        for file in files:
            *folders, stem = file.split("/src/")[1].removesuffix(".rs").split("/")
            self.modules[tuple(folders if stem in ("mod", "lib") else [*folders, stem])] = file
        self.text = {file: source(file) for file in files}
        item = r"^\s*(?:pub(?:\([^)]*\))? )?(?:const |unsafe |async )*(?:fn|struct|enum|trait|type|const|static|macro_rules!)\s+(\w+)"
        self.defined = {file: set(re.findall(item, text, re.M)) for file, text in self.text.items()}
        self.uses = {file: list(self.paths(text)) for file, text in self.text.items()}

    def paths(self, text):
        """Every path that a file names, and whether it hands it on (`pub use`)."""
        for public, tree in re.findall(r"\b(pub(?:\([^)]*\))? )?use\s+([^;]+);", text):
            for path in expanded(" ".join(tree.split())):
                yield bool(public), path.split("::")
        for path in re.findall(r"\b((?:crate|super)(?:::\w+)+)", re.sub(r"\buse\s+[^;]+;", "", text)):
            yield False, path.split("::")

    def module(self, at, path):
        """The module that `path` leads to from the module `at`, if it is one of this crate's."""
        first, *rest = path
        if first in ("crate", self.name):
            at = ()
        elif first == "super":
            while rest[:1] == ["super"]:
                at, rest = at[:-1], rest[1:]
            at = at[:-1]
        elif first != "self":
            rest = path
            if (*at, first) not in self.modules:
                return None
        for part in rest:
            at = (*at, part)
            if at not in self.modules:
                return None
        return at

    def home(self, module, name, seen=()):
        """The file that defines `name`, which is reached through `module`."""
        file = self.modules.get(module)
        if file is None or (module, name) in seen:
            return None
        if (*module, name) in self.modules:
            return self.modules[(*module, name)]
        if name in self.defined[file]:
            return file
        for _, path in self.uses[file]:
            if path[-1] in (name, "*") and len(path) > 1:
                through = self.module(module, path[:-1])
                found = through is not None and self.home(through, name, (*seen, (module, name)))
                if found:
                    return found
        return None

    def edges(self):
        edges = collections.defaultdict(lambda: collections.defaultdict(set))
        for module, file in self.modules.items():
            for public, path in self.uses[file]:
                if public and file.endswith(("lib.rs", "mod.rs")):
                    continue
                for length in range(len(path) - 1, 0, -1):
                    target = self.module(module, path[:length])
                    if target is not None:
                        home = self.home(target, path[length]) or self.modules[target]
                        if home != file:
                            edges[file][home].add(path[length])
                        break
        return edges


def circles(edges):
    """Pairs of files that reach each other."""
    reach = {}
    for start in edges:
        seen, todo = set(), [start]
        while todo:
            for file in edges.get(todo.pop(), ()):
                if file not in seen:
                    seen.add(file)
                    todo.append(file)
        reach[start] = seen
    return sorted({tuple(sorted((a, b))) for a in reach for b in reach[a] if a != b and a in reach.get(b, ())})


faults = []
for crate in sorted(Path("crates").iterdir()):
    listed = subprocess.check_output(["git", "ls-files", f"{crate}/src/*.rs"], text=True).split()
    edges = Crate(crate.name, [file for file in listed if not file.endswith("main.rs")]).edges()
    for a, b in circles(edges):
        names = f" ({', '.join(sorted(edges[a][b]))} / {', '.join(sorted(edges[b][a]))})" if b in edges[a] and a in edges[b] else ""
        faults.append(f"{a} and {b} reach each other{names}")
sys.exit("\n".join(faults) or 0)
