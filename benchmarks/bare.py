"""A bare aiohttp handler that sends files of one folder: ``python bare.py FOLDER PORT PROCESSES``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from aiohttp import web


def _application(folder: Path) -> web.Application:
    async def get(request: web.Request) -> web.StreamResponse:
        path = folder / request.path.lstrip("/")
        # A large file is sent by the kernel; a small one costs less when it is read.
        if path.stat().st_size > 65536:
            return web.FileResponse(path)
        return web.Response(body=path.read_bytes())

    application = web.Application()
    application.router.add_get("/{path:.*}", get)
    return application


def main() -> None:
    folder, port, processes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    children: list[int] = []
    for _ in range(processes - 1):
        if (pid := os.fork()) == 0:
            children = []
            break
        children.append(pid)
    try:
        web.run_app(
            _application(folder), host="127.0.0.1", port=port, reuse_port=True, access_log=None, print=lambda *_: None
        )
    finally:
        for pid in children:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    main()
