"""The gate of a request: its conditions, who asks, and under which names this server was reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import partial

from aiohttp import hdrs, web

from partwise.actions import relocate
from partwise.actions.gate import UNCONDITIONAL, Gate
from partwise.actions.properties import View
from partwise.errors import NotFound
from partwise.handlers.context import Call
from partwise.handlers.limiting import limits_of
from partwise.protocol.conditions import Conditions
from partwise.protocol.if_header import parse_if
from partwise.protocol.paths import Path, Target, authority
from partwise.protocol.quirks import sends_if_everywhere


def gate_of(call: Call, conditions: Conditions | None = None, *, overwrite: bool = True) -> Gate:
    """``conditions`` are those of the request if not given. Raises Malformed."""
    services = call.services
    field = call.header("If")
    return Gate(
        services.store,
        services.mount,
        call.target.path,
        partial(_locate, call),
        call.principal,
        Conditions.parse(call.header) if conditions is None else conditions,
        overwrite,
        None if field is None else parse_if(field),
    )


def _locate(call: Call, tag: str) -> Path:
    # Few requests have tags: so what may stand in them is looked up when one is met.
    tagged = call.services.mount.locate(tag, authorities(call))
    if tagged.service:
        raise NotFound("Nothing below the service prefix has a state that If could ask for.")
    return tagged.path


def unconditional(call: Call) -> Gate:
    """As :func:`gate_of`, without the conditions of HTTP."""
    return gate_of(call, UNCONDITIONAL)


def reading(call: Call) -> Gate | None:
    """The gate of a request that changes nothing; ``None`` where it has no ``If``, or one without meaning."""
    if call.header("If") is None or sends_if_everywhere(call.header(hdrs.USER_AGENT)):
        return None
    return unconditional(call)


def view_of(call: Call) -> View:
    services = call.services
    return View(services.store, services.mount, call.principal, services.clock, limits_of(services.config))


def destination(call: Call) -> Target:
    """What ``Destination`` names (RFC 4918 §10.3). Raises Malformed, OtherServer, and what a bad name raises."""
    return relocate.destination(call.header("Destination"), call.services.mount, authorities(call))


def authorities(call: Call) -> frozenset[str]:
    """The names under which this request was sent to us; more than one where a trusted proxy tells another."""
    found = {authority(call.request.host)}
    trusted = call.services.config.trusted_proxies
    if trusted and _is_trusted(call.request, trusted):
        hosts = (call.header("X-Forwarded-Host") or "").split(",")
        port = (call.header("X-Forwarded-Port") or "").strip()
        for host in (host.strip() for host in hosts):
            if host:
                found.add(authority(host))
                if port.isdigit() and ":" not in host.rpartition("]")[2]:
                    found.add(authority(f"{host}:{port}"))
    return frozenset(found)


def _is_trusted(request: web.Request, networks: Sequence[str]) -> bool:
    try:
        peer = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in ipaddress.ip_network(network) for network in networks)
