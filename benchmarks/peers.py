"""The servers that are compared. A new peer is one more ``Server`` in ``PEERS``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import programs
from benchmarks.servers import NotStarted, Place, Running, Server, cpus, script, script_version, serving

__all__ = [
    "APACHE",
    "BARE",
    "PARTWISE",
    "PEERS",
    "NotStarted",
    "Place",
    "Running",
    "Server",
    "partwise",
    "script",
    "serving",
]


_BARE = Path(__file__).with_name("bare.py")


def _partwise(workers: int, durability: str, place: Place) -> list[str]:
    command = [sys.executable, "-m", "partwise.cli", "serve", str(place.folder), "--port", str(place.port)]
    command += ["--durability", durability] if durability != "full" else []
    return [*command, "--workers", str(workers)] if workers > 1 else command


def partwise(workers: int = 1, durability: str = "full") -> Server:
    """``durability``: ``full``, or ``os``, which acknowledges what the operating system has, as the peers do."""
    durable = durability == "full"
    label = "durable" if durable else durability
    name = f"partwise {label}, {workers} worker{'s' if workers > 1 else ''}"
    version = partial(script_version, "partwise", "partwise")
    return Server(name, version, partial(_partwise, workers, durability), durable, label)


def _asgi_webdav(place: Place) -> list[str]:
    config = {
        "anonymous": {"enable": True},
        "provider_mapping": [{"prefix": "/", "uri": f"file://{place.folder}"}],
        "logging": {"enable": False},
    }
    file = place.state / "asgi-webdav.json"
    file.write_text(json.dumps(config))
    return [script("asgi-webdav"), "--host", "127.0.0.1", "--port", str(place.port), "--config", str(file)]


def _wsgidav(place: Place) -> list[str]:
    config = {
        "host": "127.0.0.1",
        "port": place.port,
        "provider_mapping": {"/": str(place.folder)},
        "simple_dc": {"user_mapping": {"*": True}},
        "server": "cheroot",
        # As many threads as there are connections; with fewer it tells some clients that they are late.
        "server_args": {"numthreads": 64, "request_queue_size": 128},
        "verbose": 0,
    }
    file = place.state / "wsgidav.json"
    file.write_text(json.dumps(config))
    return [script("wsgidav"), "--config", str(file), "-q"]


def _copyparty(place: Place) -> list[str]:
    quiet = ["-q", "--http-only", "--no-crt", "--no-thumb", "--wram", "--dav-inf"]
    command = [script("copyparty"), *quiet, "-j", str(cpus()), "--hist", str(place.state / "hist")]
    return [*command, "-i", "127.0.0.1", "-p", str(place.port), "-v", f"{place.folder}::A"]


def _bare(place: Place) -> list[str]:
    return [sys.executable, str(_BARE), str(place.folder), str(place.port), str(cpus())]


def _package(program: str, *packages: str) -> Callable[[], str | None]:
    return partial(script_version, program, *packages)


#: As it comes.
PARTWISE = replace(partwise(), name="partwise")
APACHE = Server("Apache mod_dav", programs.apache_version, programs.apache)
PEERS = (
    Server("ASGIWebDAV", _package("asgi-webdav", "ASGIWebDAV", "uvicorn"), _asgi_webdav),
    Server("WsgiDAV", _package("wsgidav", "WsgiDAV", "cheroot"), _wsgidav),
    Server("copyparty", _package("copyparty", "copyparty"), _copyparty),
    Server("nginx + dav-ext", programs.nginx_version, programs.nginx),
    APACHE,
    Server("lighttpd mod_webdav", programs.lighttpd_version, programs.lighttpd),
    Server("rclone serve webdav", programs.rclone_version, programs.rclone),
    Server("x/net/webdav", programs.xnet_version, programs.xnet),
)
#: No peer but a floor: what is left of aiohttp when nothing of WebDAV is done.
BARE = Server("floor: a bare aiohttp handler", lambda: "", _bare)
