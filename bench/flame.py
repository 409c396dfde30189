"""A flame graph: where a profile's time went, as one SVG file that needs nothing else.  Pure.

Each box is a function as called by the box under it, and as wide as its share of the time; boxes of one
caller stand in the order of their names, not of time.  A box's tooltip says its name and its share.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

from bench.sampling import Profile

WIDTH_PX: Final = 1200
ROW_PX: Final = 17
MARGIN_PX: Final = 10
TITLE_PX: Final = 30
WIDTH_MIN_PX: Final = 0.4  # what is narrower is left out
CHAR_PX: Final = 6.6  # of the font below
HUES: Final = {"emu": 205, "kernel": 28, "orrery": 130}  # by package; what is not ours is grey
STYLE: Final = "text{font:11px monospace}rect{stroke:#fff;stroke-width:.5}"


@dataclass(slots=True)
class _Box:
    """A function as called from its parent, with the time of all below it."""

    ns: int = 0
    children: "dict[str, _Box]" = field(default_factory=dict)

    def depth(self) -> int:
        """How many boxes stand on one another, this one included."""
        return 1 + max((child.depth() for child in self.children.values()), default=0)


def svg(profile: Profile, title: str) -> str:
    """The flame graph of `profile`, as the text of an SVG file."""
    root = _tree(profile)
    height_px = TITLE_PX + root.depth() * ROW_PX + MARGIN_PX
    scale = (WIDTH_PX - 2 * MARGIN_PX) / max(root.ns, 1)
    floor_px = height_px - MARGIN_PX - ROW_PX
    boxes = "\n".join(_boxes("all", root, MARGIN_PX, floor_px, scale, max(root.ns, 1)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height_px}"'
        f' viewBox="0 0 {WIDTH_PX} {height_px}">\n<style>{STYLE}</style>\n'
        f'<text x="{MARGIN_PX}" y="{TITLE_PX - MARGIN_PX}">{escape(title)}</text>\n{boxes}\n</svg>\n'
    )


def _tree(profile: Profile) -> _Box:
    root = _Box()
    for stack, ns in profile.by_stack.items():
        box = root
        box.ns += ns
        for name in stack:
            box = box.children.setdefault(name, _Box())
            box.ns += ns
    return root


def _boxes(name: str, box: _Box, x_px: float, y_px: float, scale: float, total_ns: int) -> Iterator[str]:
    """The elements of `box` and of all above it, from left to right."""
    width_px = box.ns * scale
    if width_px < WIDTH_MIN_PX:
        return
    tip = escape(f"{name}: {box.ns / total_ns:.1%}, {box.ns / 1e6:.0f} ms")
    yield (
        f'<g><title>{tip}</title><rect x="{x_px:.1f}" y="{y_px:.1f}" width="{width_px:.1f}"'
        f' height="{ROW_PX}" fill="{_colour(name)}"/>{_label(name, x_px, y_px, width_px)}</g>'
    )
    for child_name, child in sorted(box.children.items()):
        yield from _boxes(child_name, child, x_px, y_px - ROW_PX, scale, total_ns)
        x_px += child.ns * scale


def _label(name: str, x_px: float, y_px: float, width_px: float) -> str:
    """As much of the function's name as there is room for, without its module."""
    text = name.rpartition(":")[2][: int((width_px - 4) / CHAR_PX)] if width_px > 4 else ""
    return f'<text x="{x_px + 2:.1f}" y="{y_px + 12:.1f}">{escape(text)}</text>' if len(text) > 1 else ""


def _colour(name: str) -> str:
    """A hue for the package, a shade for the function: the same in every graph."""
    hue = HUES.get(name.partition(".")[0])
    light = 62 + crc32(name.encode()) % 18
    return f"hsl(0,0%,{light}%)" if hue is None else f"hsl({hue},70%,{light}%)"
