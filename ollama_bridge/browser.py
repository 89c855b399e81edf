"""Pages shown in the user's browser."""

import os
import sys
from collections.abc import Mapping


def has_screen(environ: Mapping[str, str] = os.environ, system: str = sys.platform) -> bool:
    """Whether a browser could show itself; those of the terminal cannot show our page."""
    if system in ("win32", "darwin"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def opened(address: str) -> bool:
    """Open it in the browser; False where there is none."""
    import webbrowser  # only for those who open a page

    return has_screen() and webbrowser.open(address)
