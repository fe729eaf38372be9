"""One connection's worth of knowledge: addresses, credentials, and what has been learned about the server."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from partwise.client.rows import message
from partwise.errors import reason

__all__ = ["Address", "CannotConnect", "ClientError", "Refused", "Wire", "authorization", "explain", "retry_after"]

#: Bytes of the answer to a failed request that are looked at.
_EXPLANATION = 64 * 1024
_MONITOR = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?monitor"?')
_FINAL_SLASH = re.compile("/*$")


class ClientError(Exception):
    """The work cannot be begun, or cannot go on; ``str()`` is a sentence for people."""


class CannotConnect(ClientError):
    """No server answers under the address."""


class Refused(ClientError):
    """The server refuses a whole request; ``status`` is its answer's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """The collection that is pushed to. ``path`` is percent-encoded and ends with a slash."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError for what is no http or https URL, and for a query or fragment.

        User and password, if the URL has them, are left out.
        """
        url = URL(text)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"{text!r} is no address of a server; it should begin with http:// or https://.")
        if url.query_string or url.fragment:
            raise ValueError(f"{text!r} should name a folder, without '?' or '#'; write them as %3F and %23.")
        path = _FINAL_SLASH.sub("/", url.raw_path, count=1)
        return cls(URL.build(scheme=url.scheme, authority=_authority(url), path=path, encoded=True))

    @property
    def path(self) -> str:
        return self.url.raw_path

    def below(self, encoded: str, query: str = "") -> URL:
        """A resource below the collection, by its percent-encoded relative name."""
        return self.at(self.path + encoded, query)

    def at(self, path: str, query: str = "") -> URL:
        """Any place on the server, by its absolute percent-encoded path."""
        return URL.build(
            scheme=self.url.scheme, authority=_authority(self.url), path=path, query_string=query, encoded=True
        )


def _authority(url: URL) -> str:
    return url.raw_authority.rpartition("@")[2]


def authorization(user: str, password: str) -> str:
    """Basic credentials in UTF-8 (RFC 7617 §2.1)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


class Wire:
    """Requests to one server. Nothing is followed, nothing is decompressed, nothing is sent twice."""

    def __init__(self, session: aiohttp.ClientSession, address: Address, headers: Mapping[str, str]) -> None:
        self.address = address
        self._session = session
        self._headers = dict(headers)
        #: The absolute path, with a slash, below which this server keeps its batches; ``None`` until one was met.
        self.batches: str | None = None
        #: Does the server take names for batches? True until it refuses one.
        self.named = True

    def request(self, method: str, url: URL, data: Any = None, **headers: str) -> aiohttp.client._RequestContextManager:
        """``Content_Type="…"`` is sent as ``Content-Type: …``."""
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.request(method, url, data=data, headers=sent, allow_redirects=False)

    def meet(self, response: aiohttp.ClientResponse) -> None:
        """Learn from the answer to an upload where its batch can be found (RFC 8288 §3: ``Link``)."""
        found = _MONITOR.search(", ".join(response.headers.getall("Link", ())))
        if found is not None and found[1].startswith("/"):
            self.batches = found[1].rpartition("/")[0] + "/"

    def batch_places(self) -> list[str]:
        """Where batches may be found: where one was or should be, and below the service prefix of every mount there could
        be, because a server that is asked past its proxy calls its resources otherwise than they are called here."""
        segments = self.address.path.strip("/").split("/") if self.address.path != "/" else []
        places = ["/".join(["", *segments[:count], "-", "batches", ""]) for count in range(len(segments) + 1)]
        return list(dict.fromkeys(places if self.batches is None else [self.batches, *places]))


async def explain(response: aiohttp.ClientResponse) -> str:
    """What a refusal says, in one sentence."""
    body = await response.content.read(_EXPLANATION)
    told = message(body) if body else None
    if told is not None:
        return told
    where = response.headers.get("Location")
    if where is not None and response.status < HTTPStatus.BAD_REQUEST:
        return f"The address leads to {where}; use that one."
    return f"The server answered {response.status} {_phrase(response)}."


def _phrase(response: aiohttp.ClientResponse) -> str:
    try:
        return reason(response.status)
    except ValueError:
        return response.reason or ""


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds that the server asks to wait (RFC 9110 §10.2.3)."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
