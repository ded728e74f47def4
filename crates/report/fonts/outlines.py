"""Writes a font's glyphs as the `report` crate reads them: `python3 outlines.py Roboto-Regular.ttf > Roboto-Regular.glyphs`.

The first line is the units per em. Then a line for each character: its code point in hexadecimal (`none` for the box that
stands for every other character), its advance, and its outline as SVG writes paths: M x y, L x y, Q cx cy x y, Z, in font
units, y up. Needs fonttools.
"""

import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

RANGES = (
    "20-7E A0-FF 100-17F 370-3FF 2010-2015 2018-201E 2020-2022 2026 2030 2032 2033 2070 2074-208E 20AC 2122 2202 2206 220F "
    "2211 2212 221A 221E 222B 2248 2260 2264 2265 FFFD"
)


class Outline(BasePen):
    def __init__(self, glyphs):
        super().__init__(glyphs)
        self.parts = []

    def add(self, command, *points):
        self.parts += [command, *(f"{number:g}" for point in points for number in point)]

    def _moveTo(self, point):
        self.add("M", point)

    def _lineTo(self, point):
        self.add("L", point)

    def _qCurveToOne(self, control, point):
        self.add("Q", control, point)

    def _closePath(self):
        self.add("Z")


font = TTFont(sys.argv[1])
glyphs, names = font.getGlyphSet(), font.getBestCmap()
ends = [[int(end, 16) for end in part.split("-")] for part in RANGES.split()]
wanted = [code for part in ends for code in range(part[0], part[-1] + 1) if code in names]
print(font["head"].unitsPerEm)
for code, name in [("none", ".notdef"), *((f"{code:x}", names[code]) for code in sorted(wanted))]:
    outline = Outline(glyphs)
    glyphs[name].draw(outline)
    print(code, glyphs[name].width, *outline.parts)
