"""Who is asked for: a guard against web pages that reach a server on loopback under a name of their own.

A page of evil.example whose name is made to lead to 127.0.0.1 (DNS rebinding) would be of the same origin as a server that
answers to any name, and could read and write the folder with its visitor's browser. Programs are not concerned: they are
asked nothing, since many send no sensible Host.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from aiohttp import hdrs, web

from partwise.config import Config
from partwise.errors import NotAllowed

#: What browsers cannot help to send, one or the other with every request.
_BROWSER = (hdrs.ACCEPT_LANGUAGE, hdrs.ORIGIN, hdrs.REFERER, "Sec-Fetch-Site")


def check_host(request: web.Request, config: Config) -> None:
    """Raises NotAllowed for a browser that asks a server on loopback, open to anybody, for another name."""
    if config.anonymous is not None or config.htpasswd is not None or not config.on_loopback:
        return  # the operator has said who may come, and a browser keeps credentials for the name they were given under
    if _is_ours(request.host, config.host, config.public_url) or not _is_browser(request):
        return
    raise NotAllowed("This server answers browsers under localhost only; start it with --public-url to give it a name.")


def _is_browser(request: web.Request) -> bool:
    agent = request.headers.get(hdrs.USER_AGENT, "")
    return agent.startswith("Mozilla/") or any(name in request.headers for name in _BROWSER)


@lru_cache(256)
def _is_ours(host: str, listening: str, public_url: str | None) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name in ("localhost", listening.lower()) or name.endswith(".localhost"):
        return True
    if public_url is not None and host.lower() == public_url.partition("://")[2].partition("/")[0].lower():
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
