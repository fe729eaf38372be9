"""The client: a collection on a server, and what can be done with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType

import aiohttp

from partwise.client.attempt import Options, Row
from partwise.client.items import Item, split
from partwise.client.listing import LIMITS, PROPERTIES, Limits, Listing, ListingReader, Stored, read_limits
from partwise.client.upload import Progress, Upload
from partwise.client.wire import Address, CannotConnect, Refused, Wire, authorization, explain
from partwise.protocol.paths import encode

__all__ = ["Client"]

#: Per batch, where the server says nothing: small enough for live rows and a cheap retry, large enough to be fast.
MOST_ITEMS, MOST_BYTES = 1_000, 16 * 1024 * 1024
#: Batches at once.
JOBS = 4
#: Requests at once, of those that are small.
_REQUESTS = 8

_XML = "application/xml"


class Client:
    """A collection on a partwise server::

        async with Client("https://files.example.org/photos/", user="alice", password="…") as client:
            async for row in client.push(find(["holiday/"]).items):
                print(row.item.name, row.status, row.text)

    ``url`` names the collection. ``verify=False`` takes any certificate. Raises ValueError for a URL that is none.
    """

    def __init__(self, url: str, *, user: str | None = None, password: str | None = None, verify: bool = True) -> None:
        self.address = Address.parse(url)
        self._headers = {"User-Agent": "partwise-push"}
        if user is not None:
            self._headers["Authorization"] = authorization(user, password or "")
        self._verify = verify
        self._stack = AsyncExitStack()
        self._wire: Wire | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._limits: Limits | None = None

    async def __aenter__(self) -> Client:
        tls: ssl.SSLContext | bool = self._verify
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
            auto_decompress=False,
            read_bufsize=256 * 1024,
        )
        self._wire = Wire(await self._stack.enter_async_context(session), self.address, self._headers)
        self._readers = self._stack.enter_context(ThreadPoolExecutor(JOBS, "reader"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _connected(self) -> Wire:
        assert self._wire is not None, "use the client in 'async with'"
        return self._wire

    # -- looking

    async def limits(self) -> Limits:
        """What the server says that one batch may hold; asked for once.

        Raises Refused, with status 404 if there is no such collection, or CannotConnect.
        """
        if self._limits is None:
            self._limits = read_limits(await self._propfind(LIMITS))
        return self._limits

    async def list(self, name: str = "", *, deep: bool = True, checksums: bool = False) -> Listing:
        """What there is in the collection, or in the one called ``name`` below it; nothing, if that is not there.

        ``deep``: with all that lies below. Raises Refused or CannotConnect.
        """
        body = PROPERTIES % (b"<oc:checksums/>" if checksums else b"")
        found = Listing()
        if not deep:
            await self._list_into(found, name, "1", body)
        elif not await self._list_into(found, name, "infinity", body):
            # RFC 4918 §9.1.1: a server may refuse to go all the way; then every collection is asked.
            waiting = [name]
            while waiting:
                asked = waiting.pop()
                one = Listing()
                await self._list_into(one, asked, "1", body)
                waiting += one.collections - {asked}
                found.files |= one.files
                found.collections |= one.collections
        return found

    async def _list_into(self, found: Listing, name: str, depth: str, body: bytes) -> bool:
        """False: the server does not go to this depth."""
        wire, reader = self._connected(), ListingReader(self.address.path, name)
        url = wire.address.below(_encoded(name) + "/" if name else "")
        try:
            async with wire.request("PROPFIND", url, body, Depth=depth, Content_Type=_XML) as response:
                if response.status == HTTPStatus.NOT_FOUND:
                    return True
                if response.status == HTTPStatus.FORBIDDEN and depth == "infinity":
                    return False
                if response.status != HTTPStatus.MULTI_STATUS:
                    raise Refused(response.status, await explain(response))
                async for data in response.content.iter_any():
                    reader.feed(data)
        except (aiohttp.ClientError, OSError) as error:
            raise _no_connection(error) from None
        except ValueError:
            raise Refused(HTTPStatus.BAD_GATEWAY, "The server's listing of the folder cannot be read.") from None
        found.files |= reader.listing.files
        found.collections |= reader.listing.collections
        return True

    async def _propfind(self, body: bytes) -> bytes:
        wire = self._connected()
        try:
            async with wire.request("PROPFIND", wire.address.url, body, Depth="0", Content_Type=_XML) as response:
                if response.status != HTTPStatus.MULTI_STATUS:
                    raise Refused(response.status, await explain(response))
                return await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _no_connection(error) from None

    async def make_collection(self) -> None:
        """Make the collection itself; the one that holds it must be there. Raises Refused or CannotConnect."""
        wire = self._connected()
        try:
            async with wire.request("MKCOL", wire.address.url) as response:
                if response.status != HTTPStatus.CREATED:
                    raise Refused(response.status, await explain(response))
        except (aiohttp.ClientError, OSError) as error:
            raise _no_connection(error) from None

    # -- changing

    async def push(
        self,
        items: Iterable[Item],
        options: Options = Options(),  # noqa: B008 - immutable
        *,
        jobs: int = JOBS,
        show: Callable[[Progress], None] = lambda progress: None,
    ) -> AsyncGenerator[Row]:
        """Send the items; gives the fate of each, once, as soon as it is final, in no particular order.

        The items travel in batches as large as the server takes, ``jobs`` at once (one, if ``options.atomic``: then all
        are stored or none). A batch whose connection is lost, or that the server cannot take now, is taken up again.
        ``show`` is called with the progress in between. A generator that is not read to its end is closed by
        ``contextlib.aclosing``; what is on its way then is cut off.

        Raises Refused or CannotConnect before anything is sent, and ValueError for an atomic batch of more or
        larger items than the server takes.
        """
        limits = await self.limits()
        wire, readers, told = self._connected(), self._readers, asyncio.Queue[list[Row] | None]()
        assert readers is not None
        # Raised here what speaks against all of it; a file that the server does not take is not sent in vain.
        batches = enumerate(_batches(limits, _fitting(limits, items, options, told.put_nowait), options), 1)

        async def send() -> None:
            # The iterator is shared: whoever is done takes the next batch.
            for number, batch in batches:
                await Upload(wire, number, batch, options, readers, told.put_nowait, show).run()

        async def send_all() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(1 if options.atomic else jobs):
                    tasks.create_task(send())

        sending = asyncio.create_task(send_all())
        sending.add_done_callback(lambda task: told.put_nowait(None))
        try:
            while (rows := await told.get()) is not None:
                for row in rows:
                    yield row
            await sending
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def delete(self, names: Mapping[str, Stored | None]) -> AsyncGenerator[Row]:
        """Delete what is called so below the collection; gives the fate of each, in no particular order.

        A file for which what is :class:`Stored` is given is deleted only if it has not changed since. What is gone already
        counts as deleted. Close the generator as that of :meth:`push`.
        """
        wire, waiting = self._connected(), iter(names.items())
        told: asyncio.Queue[Row | None] = asyncio.Queue()

        async def remove() -> None:
            for name, stored in waiting:
                told.put_nowait(await _delete(wire, name, stored))

        async def remove_all() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_REQUESTS):
                    tasks.create_task(remove())

        removing = asyncio.create_task(remove_all())
        removing.add_done_callback(lambda task: told.put_nowait(None))
        try:
            while (row := await told.get()) is not None:
                yield row
            await removing
        finally:
            removing.cancel()
            await asyncio.wait([removing])


def _fitting(
    limits: Limits, items: Iterable[Item], options: Options, tell: Callable[[list[Row]], None]
) -> Iterator[Item]:
    """The items that are not too large for the server; the fate of the others is told."""
    for item in items:
        if limits.item_size is None or item.size <= limits.item_size:
            yield item
            continue
        text = f"The server takes files of {limits.item_size} bytes at most; this one has {item.size}."
        if options.atomic:
            raise ValueError(f"{item.name!r} cannot be stored, and so nothing is. {text}")
        tell([Row(item, None, text, "too-large")])


def _batches(limits: Limits, items: Iterable[Item], options: Options) -> Iterator[list[Item]]:
    if not options.atomic:
        return split(items, min(limits.items or MOST_ITEMS, MOST_ITEMS), min(limits.bytes or MOST_BYTES, MOST_BYTES))
    together = list(items)
    if limits.items is not None and len(together) > limits.items:
        raise ValueError(
            f"These are {len(together)} files; the server stores {limits.items} at most as a whole. Send them without "
            "--atomic, or fewer of them."
        )
    return iter([together] if together else [])


async def _delete(wire: Wire, name: str, stored: Stored | None) -> Row:
    item = Item(name, "", 0, 0)
    headers = {"If_Match": stored.etag} if stored is not None and stored.etag else {}
    try:
        async with wire.request("DELETE", wire.address.below(_encoded(name)), **headers) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return Row(item, HTTPStatus.NO_CONTENT)
            # RFC 4918 §9.6.1: 207 tells of members that could not be deleted.
            if response.status == HTTPStatus.MULTI_STATUS:
                return Row(item, HTTPStatus.FAILED_DEPENDENCY, "Something in this folder could not be deleted.")
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                return Row(item, response.status, await explain(response))
            return Row(item, response.status)
    except (aiohttp.ClientError, OSError) as error:
        return Row(item, None, str(_no_connection(error)))


def _encoded(name: str) -> str:
    return encode(tuple(name.split("/")))


def _no_connection(error: Exception) -> CannotConnect:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CannotConnect("The server's certificate is not trusted here.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return CannotConnect(f"No server can be reached under this address ({error.os_error.strerror or error}).")
    return CannotConnect("The connection to the server was lost.")
