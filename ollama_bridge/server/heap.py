"""How the C library's allocator keeps memory: at hand while there is work, given back after it.

Left alone, glibc returns every large piece to the system as soon as it is freed and asks for it
again for the next, and the system hands it out page by page, wiped: for a 10 MB image that cost
more than all that the bridge does with it. Other C libraries are left as they are.
"""

import asyncio
import ctypes
import sys
from typing import Any

AT_HAND = 1024 * 1024 * 1024
"""Free bytes at the heap's end that are kept between two looks."""

PAUSE = 2.0
"""Seconds after a request's end until all free memory goes back; so often, and no more, it costs
what it costs to get it again."""

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
_IN_HEAP = 32 * 1024 * 1024  # the largest value that glibc takes
_MARGIN = 4 * 1024 * 1024


class Heap:
    """The process's heap."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._trim: Any = None

    def keep(self) -> None:
        """From now on keep free memory at hand."""
        library = _glibc()
        if library is None:
            return
        library.mallopt(_TRIM_THRESHOLD, AT_HAND)
        library.mallopt(_MMAP_THRESHOLD, _IN_HEAP)
        library.mallopt(_TOP_PAD, _MARGIN)
        self._trim = library.malloc_trim

    def worked(self) -> None:
        """A request is over: what it needed goes back soon."""
        if self._timer is None and self._trim is not None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._give_back)

    def _give_back(self) -> None:
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, self._trim, 0)


def _glibc() -> Any:
    """The C library where it has both calls, else None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    has_both = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")
    return library if has_both else None
