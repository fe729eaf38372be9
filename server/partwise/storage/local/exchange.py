"""Two names exchanged in one step, so that neither is missing for a moment (renameat2(2))."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

_RENAME_EXCHANGE = 2


def _load() -> Callable[[int, str, int, str], bool]:
    if not sys.platform.startswith("linux"):
        return _unable
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return _unable
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int

    def exchange(first_directory: int, first: str, second_directory: int, second: str) -> bool:
        names = os.fsencode(first), os.fsencode(second)
        return bool(function(first_directory, names[0], second_directory, names[1], _RENAME_EXCHANGE) == 0)

    return exchange


def _unable(first_directory: int, first: str, second_directory: int, second: str) -> bool:
    return False


#: ``exchange(directory, name, other_directory, other_name)``; False where that cannot be done: then nothing changed.
exchange = _load()
