"""Fixtures: the real server over a real socket, and a client that validates every XML document it is given."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tests.harness import Client, Running, running

# In CI the same examples each time: what was never seen before is found where somebody can look into it.
settings.register_profile("partwise", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("partwise")

#: Bytes and files that the tests may need for a while, by far.
_ROOM, _FILES = 6 << 30, 1_000_000


def _in_memory() -> str | None:
    """Where temporary folders do not wait for a disk; ``None`` if there is too little room."""
    try:
        status = os.statvfs("/dev/shm")
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    room = min(status.f_bavail * status.f_frsize, int(found[1]) << 10 if found else 0)
    # A virtual environment is made in one of them.
    usable = os.access("/dev/shm", os.W_OK) and not status.f_flag & os.ST_NOEXEC
    return "/dev/shm" if usable and room >= _ROOM and status.f_favail >= _FILES else None


# A test waits for its disk with every write that must be durable. What looks at a disk asks for one: see tests/storage.
if "TMPDIR" not in os.environ and (memory := _in_memory()):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)

Serve = Callable[..., Awaitable[Client]]


def pytest_configure(config: pytest.Config) -> None:
    # Processes that share the tests would begin the files with the fewest last: some of these take the longest.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_make_parametrize_id(val: object) -> str | None:
    """Hashes of passwords are salted anew in each process; processes that share the tests must name them alike."""
    text = val.decode("latin-1") if isinstance(val, bytes) else val
    return "hash" if isinstance(text, str) and re.search(r"\$(2.?|argon2.*)\$", text) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            reason = f"needs {', '.join(missing)}"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}: .ci/run must install it", pytrace=False)
            pytest.skip(reason)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The served folder."""
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture
async def serve(folder: Path) -> AsyncIterator[Serve]:
    """Start a server with the given settings; gives its client. Stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(validators: tuple[Any, ...] = (), **values: Any) -> Client:
            found: Running = await stack.enter_async_context(running(folder, validators, **values))
            return await stack.enter_async_context(Client(found))

        yield start


@pytest.fixture
async def client(serve: Serve) -> Client:
    """A client of a server with default settings."""
    return await serve()
