"""A few lines of text beside an icon, as a small window of its own; plain X has nothing for it."""

import textwrap
from typing import Any

import Xlib.error
from PIL import Image, ImageDraw, ImageFont

_WIDEST = 64
"""Letters in a line."""
_MOST = 8
"""Lines."""
_SIZE = 13
_EDGE = 8
_GAP = 4
_GROUND, _FRAME, _INK = "#2b2b2b", "#767676", "#f6f5f4"


def drawn(text: str) -> Image.Image:
    """The text as a picture."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, _WIDEST) or [""]]
    if len(lines) > _MOST:
        lines = [*lines[: _MOST - 1], "…"]
    shown = "\n".join(lines)
    font = ImageFont.load_default(_SIZE)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox(
        (0, 0), shown, font
    )
    size = int(right - left) + 2 * _EDGE, int(bottom - top) + 2 * _EDGE
    image = Image.new("RGB", size, _GROUND)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_FRAME)
    draw.multiline_text((_EDGE - left, _EDGE - top), shown, _INK, font)
    return image


class Bubble:
    """Shown and hidden by the thread that owns the connection."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._window: Any = None

    def show(self, text: str, beside: Any) -> bool:
        """Show the text as near as the screen's edges allow; False without a window beside it."""
        self.hide()
        image = drawn(text)
        screen = self._display.screen()
        try:
            place = screen.root.translate_coords(beside, 0, 0)
            size = beside.get_geometry()
        except Xlib.error.XError:
            return False
        if size.height <= 1:
            return False  # no panel has taken it yet
        below = place.y + size.height + _GAP
        fits = below + image.height <= screen.height_in_pixels
        x = max(0, min(place.x, screen.width_in_pixels - image.width))
        y = below if fits else max(0, place.y - _GAP - image.height)
        self._window = window = screen.root.create_window(
            x, y, image.width, image.height, 0, screen.root_depth, override_redirect=True
        )
        ground = window.create_pixmap(image.width, image.height, screen.root_depth)
        ground.put_pil_image(ground.create_gc(), 0, 0, image)
        window.change_attributes(background_pixmap=ground)  # painted again by the server itself
        ground.free()
        window.map()
        return True

    def hide(self) -> None:
        """Take it away, if it is there."""
        if self._window is not None:
            self._window.destroy()
            self._window = None
