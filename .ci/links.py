#!/usr/bin/env python3
"""Every relative link in README, book and data pages leads to a file and a heading; SUMMARY.md lists every page."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [ROOT / "README.md", *BOOK, *sorted(ROOT.glob("datasets/**/*.md"))]


def prose(page):
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchors(page):
    """The ids of the headings, as GitHub and mdbook make them."""
    titles = re.findall(r"^#+ +(.*)$", prose(page), flags=re.M)
    titles = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken(page):
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in (link for link in links if not re.match(r"[a-z]+:", link)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{page.relative_to(ROOT)}: {link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{page.relative_to(ROOT)}: {link}: no such heading"


faults = [fault for page in PAGES for fault in broken(page)]
listed = (ROOT / "docs/SUMMARY.md").read_text()
pages = {str(page.relative_to(ROOT / "docs")) for page in BOOK} - {"SUMMARY.md"}
faults += [f"docs/SUMMARY.md does not list {page}" for page in sorted(pages) if f"({page})" not in listed]
sys.exit("\n".join(faults) or 0)
