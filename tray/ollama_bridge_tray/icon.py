"""The icon, drawn: each look has its own outline, its own sign and its own colour.

Strategy: every size is drawn by itself, eight times as large with edges on whole pixels, and then
reduced, so that 16 pixels are as crisp as 64. Panels are light or dark and do not tell which: the
colours stand out on both, and signs are white on colour.
"""

from collections.abc import Callable
from functools import cache

from PIL import Image, ImageDraw

from .status import Look

SIZES = (16, 22, 24, 32, 44, 48, 64)

_FINE = 8
_WHITE, _CLEAR = "#ffffff", "#00000000"

Draw = ImageDraw.ImageDraw
Box = tuple[float, float, float, float]


class _Pen:
    """Draws in hundredths of the width that the margins leave, on whole pixels."""

    def __init__(self, size: int) -> None:
        self._margin = size // 16  # icons stand side by side
        self._size = size - 2 * self._margin
        self.image = Image.new("RGBA", (size * _FINE, size * _FINE))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, *hundredths: float) -> list[float]:
        """Where that is."""
        return [(self._margin + round(part * self._size / 100)) * _FINE for part in hundredths]

    def wide(self, hundredths: float) -> int:
        """A line's width, never less than one pixel."""
        return max(1, round(hundredths * self._size / 100)) * _FINE

    def box(self, *hundredths: float) -> Box:
        """A rectangle; the last pixel belongs to it in Pillow's way of counting."""
        left, top, right, bottom = self.at(*hundredths)
        return left, top, right - 1, bottom - 1


def picture(look: Look) -> Image.Image:
    """The icon at its largest; `info["sizes"]` has it at every size."""
    sizes = tuple(drawn(look, size) for size in SIZES)
    image = sizes[-1].copy()
    image.info["sizes"] = sizes
    return image


@cache
def drawn(look: Look, size: int) -> Image.Image:
    """The icon at one size."""
    pen = _Pen(size)
    _LOOKS[look](pen)
    return pen.image.reduce(_FINE)


def _running(pen: _Pen) -> None:
    """A full tile with a bridge."""
    colour = "#138850"
    pen.draw.rounded_rectangle(pen.box(0, 0, 100, 100), pen.wide(22), fill=colour)
    _bridge(pen, _WHITE, colour)


def _busy(pen: _Pen) -> None:
    """A speech bubble: somebody is answering."""
    colour = "#1a73d9"
    pen.draw.rounded_rectangle(pen.box(0, 6, 100, 76), pen.wide(26), fill=colour)
    tail = [pen.at(20, 70), pen.at(20, 100), pen.at(52, 70)]
    pen.draw.polygon([tuple(point) for point in tail], fill=colour)
    for left in (18.75, 43.75, 68.75):
        dot = pen.box(left, 34, left + 12.5, 34 + 12.5)
        pen.draw.rounded_rectangle(dot, pen.wide(5), fill=_WHITE)


def _stopped(pen: _Pen) -> None:
    """An empty tile."""
    colour = "#888888"
    pen.draw.rounded_rectangle(
        pen.box(0, 0, 100, 100), pen.wide(22), outline=colour, width=pen.wide(10)
    )
    _bridge(pen, colour, _CLEAR)


def _starting(pen: _Pen) -> None:
    """A ring that is not closed, with a dot in it."""
    colour = "#b87400"
    pen.draw.arc(pen.box(0, 0, 100, 100), -60, 210, fill=colour, width=pen.wide(14))
    pen.draw.ellipse(pen.box(34, 34, 66, 66), fill=colour)


def _error(pen: _Pen) -> None:
    """A warning triangle."""
    corners = [pen.at(50, 0), pen.at(100, 97), pen.at(0, 97)]
    pen.draw.polygon([tuple(point) for point in corners], fill="#dc3731")
    pen.draw.rectangle(pen.box(44, 34, 56, 66), fill=_WHITE)
    pen.draw.rectangle(pen.box(44, 74, 56, 86), fill=_WHITE)


def _bridge(pen: _Pen, colour: str, ground: str) -> None:
    """A deck on two piers, and the arch between them."""
    pen.draw.rectangle(pen.box(15, 27, 85, 42), fill=colour)
    pen.draw.rectangle(pen.box(22, 42, 78, 78), fill=colour)
    pen.draw.ellipse(pen.box(36, 50, 64, 78), fill=ground)
    pen.draw.rectangle(pen.box(36, 64, 64, 78), fill=ground)


_LOOKS: dict[Look, Callable[[_Pen], None]] = {
    Look.RUNNING: _running,
    Look.BUSY: _busy,
    Look.STOPPED: _stopped,
    Look.STARTING: _starting,
    Look.ERROR: _error,
}
