"""Debian's nginx and haproxy in front of a server: with the settings of docs/proxies.md, and with their packages' own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

DOCUMENT = Path(__file__).parents[2] / "docs" / "proxies.md"

#: Whatever the packages' files say of their own places; everything else in them stays as it is.
_NGINX_PLACES = r"^\s*(user|pid|error_log|access_log|include (?!.*mime\.types)).*;$"
_HAPROXY_PLACES = r"^\s*(log|chroot|stats|user|group|daemon|ca-base|crt-base)\b.*$"


def documented(heading: str, language: str) -> str:
    """The block in this language under a heading of docs/proxies.md."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.M | re.S | re.I)
    found = section and re.search(rf"^```{language}\n(.*?)^```$", section[1], re.M | re.S)
    assert found, f"docs/proxies.md has no {language} under {heading}"
    block: str = found[1]
    return block


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def nginx(work: Path, site: str, port: int, upstream: str) -> Iterator[str]:
    """nginx with the package's nginx.conf and one ``server`` block; the URL. ``work`` takes what it writes."""
    packaged = re.sub(r"#.*", "", Path("/etc/nginx/nginx.conf").read_text())
    packaged = re.sub(_NGINX_PLACES, "", packaged, flags=re.M)
    places = "".join(
        f"    {name}_temp_path {work}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    site = _moved(site, port, upstream)
    http = packaged.rindex("}")
    file = work / "nginx.conf"
    # One process, which ends with its parent's signal: there is nothing to wait for but it.
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {work}/nginx.pid;\n"
        f"{packaged[:http]}    access_log off;\n{places}{site}}}\n"
    )
    with _running(work, port, "nginx", "-p", work, "-e", work / "nginx.log", "-c", file):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def haproxy(work: Path, site: str, port: int, upstream: str) -> Iterator[str]:
    """haproxy with the package's haproxy.cfg and the given sections; the URL."""
    packaged = re.sub(_HAPROXY_PLACES, "", Path("/etc/haproxy/haproxy.cfg").read_text(), flags=re.M)
    file = work / "haproxy.cfg"
    file.write_text(f"{packaged}\n{_moved(site, port, upstream)}")
    with _running(work, port, "haproxy", "-db", "-f", file):
        yield f"http://127.0.0.1:{port}/"


def _moved(site: str, port: int, upstream: str) -> str:
    """The example's addresses become those of this run."""
    site = re.sub(r"(listen|bind) \S*?80\b", rf"\1 127.0.0.1:{port}", site)
    return site.replace("127.0.0.1:8080", urlsplit(upstream).netloc)


@contextmanager
def _running(work: Path, port: int, program: str, *arguments: str | Path) -> Iterator[None]:
    found = shutil.which(program)
    assert found is not None
    log = work / f"{program}.out"
    with log.open("wb") as said:
        process = subprocess.Popen([found, *arguments], stdout=said, stderr=said, cwd=work)
    try:
        _listening(process, port, log)
        yield
        assert process.poll() is None, f"{program} ended: {log.read_text()}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """A proxy does not say when it listens: knock until it does, or has ended."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with closing(socket.socket()) as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{process.args} does not listen: {log.read_text()}")
