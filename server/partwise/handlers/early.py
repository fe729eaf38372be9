"""When the head of the report is sent: with the first outcome, or at the end of the request.

Early rows are what this server is for, but some proxies stop forwarding an upload for good once they have passed on the
head of an early response; hence the caution of ``auto``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import HttpVersion11, hdrs, web

from partwise.config import Config

#: Fields by which a proxy shows itself.
_PROXY = (hdrs.VIA, hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_HOST, hdrs.X_FORWARDED_PROTO, "X-Real-IP")


def may_be_early(request: web.Request, config: Config, asked: bool | None) -> bool:
    """``asked`` is the client's own steering: ``early=0`` always holds, ``Incremental: ?1`` or ``early=1`` asks for it."""
    if asked is False or request.version < HttpVersion11 or config.early == "never":
        return False
    if config.early == "always":
        return True
    peer = _peer(request)
    declared = peer is not None and _in(peer, config.early_peers)
    if any(name in request.headers for name in _PROXY):
        return declared
    return declared or asked is True or (peer is not None and peer.is_loopback)


def _peer(request: web.Request) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    address = request.transport.get_extra_info("peername") if request.transport is not None else None
    if isinstance(address, (tuple, list)):
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        # A dual-stack socket shows 127.0.0.1 as ::ffff:127.0.0.1.
        return getattr(found, "ipv4_mapped", None) or found
    return None


def _in(peer: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[str]) -> bool:
    return any(peer in ipaddress.ip_network(network) for network in networks)
