"""``partwise push SOURCE… URL``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from partwise.cli.credentials import VARIABLE, find_credentials
from partwise.cli.showing import Show, choose_show, shown, size
from partwise.client import Client, ClientError, Findings, Item, Listing, Options, Refused, Row, Stored, find
from partwise.client.deleting import Surplus, surplus

#: Of a shell, for a program that Ctrl-C has ended.
_INTERRUPTED = 130


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "push",
        help="send files and folders to a server",
        description="Sends what is new or has changed, in batches, and tells what became of each file. A folder is sent "
        "with its name; with a slash at its end only what it holds is.",
        epilog=f"The password comes from {VARIABLE}, ~/.netrc or the terminal. Exit code: 0 all is stored, 1 something is "
        "not, 2 it could not begin.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="a file or a folder")
    parser.add_argument("url", metavar="URL", help="the folder on the server; it is made if only it is missing")
    parser.add_argument("--user", metavar="NAME", help="who is asking")
    parser.add_argument(
        "--atomic", action="store_true", help="all or nothing: nothing is stored unless every file is good"
    )
    parser.add_argument("--dry-run", action="store_true", help="let the server judge every file and store none")
    parser.add_argument("--checksum", action="store_true", help="compare contents, not size and time of modification")
    parser.add_argument("--all", action="store_true", help="send what is unchanged, too")
    parser.add_argument(
        "--types", action="store_true", help="tell media types, by the names, so that contents are judged"
    )
    parser.add_argument("--follow", action="store_true", help="send what symbolic links lead to; else they are skipped")
    parser.add_argument(
        "--delete", action="store_true", help="delete on the server what is not in the sources any more"
    )
    parser.add_argument(
        "--max-delete", metavar="N", type=int, help="delete N files at most, or none (half of those there)"
    )
    parser.add_argument("--force", action="store_true", help="delete however many")
    parser.add_argument("--jobs", metavar="N", type=_positive, default=4, help="batches at once (4)")
    parser.add_argument(
        "--patience", metavar="SECONDS", type=_positive, default=120, help="how long to try without any progress (120)"
    )
    parser.add_argument("--insecure", action="store_true", help="take any certificate of the server")
    parser.add_argument("--json", action="store_true", help="tell everything as JSON, one object a line")
    parser.add_argument("--verbose", action="store_true", help="a line for each file")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run(options: argparse.Namespace) -> int:
    """Push. 0 if all is stored, 1 if something is not, 2 and one line that says why if it could not begin."""
    show = choose_show(as_json=options.json, verbose=options.verbose)
    push = _Push(options, show)
    try:
        user, password = find_credentials(options.url, options.user)
        client = Client(options.url, user=user, password=password, verify=not options.insecure)
        asyncio.run(push.run(client))
    except KeyboardInterrupt:
        push.end("Stopped; push again to send the rest.")
        return _INTERRUPTED
    except ClientError as error:
        if not push.begun:
            return _refuse(str(error))
        push.end(str(error))
        return 1
    except ValueError as error:
        return _refuse(str(error))
    push.end()
    return int(not push.good)


def _refuse(why: str) -> int:
    print(f"partwise: {why}", file=sys.stderr)
    return 2


@dataclass(slots=True)
class _Push:
    """One run, and what has come of it so far."""

    options: argparse.Namespace
    show: Show
    begun: bool = False
    stored: int = 0
    bytes: int = 0
    unchanged: int = 0
    deleted: int = 0
    undone: str | None = None
    failures: list[Row] = field(default_factory=list)
    skipped: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def good(self) -> bool:
        return not self.failures and self.undone is None

    async def run(self, client: Client) -> None:
        found = await asyncio.to_thread(find, self.options.sources, follow=self.options.follow)
        async with client:
            await self._reach(client)
            listing = await self._listing(client, found)
            items = found.items if self.options.all else await asyncio.to_thread(self._changed, found.items, listing)
            self.unchanged = len(found.items) - len(items)
            self._tell_skipped(found)
            self.show.begin(len(items), sum(item.size for item in items))
            self.begun = True
            await self._send(client, items)
            if self.options.delete:
                await self._delete(client, found, listing)

    async def _reach(self, client: Client) -> None:
        """The collection must be there; it is made unless nothing may be. Raises ClientError."""
        try:
            await client.limits()
        except Refused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            if self.options.dry_run:
                raise Refused(refusal.status, "The folder does not exist yet, and a dry run makes none.") from None
            try:
                await client.make_collection()
            except Refused as refusal:
                if refusal.status == HTTPStatus.CONFLICT:
                    raise Refused(refusal.status, "The folder that should hold it does not exist.") from None
                raise

    async def _listing(self, client: Client, found: Findings) -> Listing:
        """What is there already of what the sources stand for."""
        listing, checksums = Listing(), self.options.checksum
        if self.options.all and not self.options.delete:
            return listing
        deep = [""] if "" in found.scopes else found.scopes
        for scope in deep:
            part = await client.list(scope, checksums=checksums)
            listing.files |= part.files
            listing.collections |= part.collections
        if "" not in deep and any("/" not in item.name for item in found.items):
            listing.files |= (await client.list(deep=False, checksums=checksums)).files
        return listing

    def _changed(self, items: list[Item], listing: Listing) -> list[Item]:
        if not self.options.checksum:
            return [item for item in items if not listing.holds(item)]
        return [item for item in items if not _same(listing, item)]

    def _tell_skipped(self, found: Findings) -> None:
        self.skipped = len(found.skipped)
        for skipped in found.skipped:
            if skipped.broken:
                self.failures.append(Row(Item(skipped.name, "", 0, 0), None, skipped.reason))
            else:
                self.show.say(f"skipped {shown(skipped.name)}: {skipped.reason}")

    async def _send(self, client: Client, items: list[Item]) -> None:
        given = self.options
        options = Options(given.atomic, given.dry_run, given.checksum, given.types, given.patience)
        verb = "would store" if given.dry_run else "stored"
        async with aclosing(client.push(items, options, jobs=given.jobs, show=self.show.progress)) as rows:
            async for row in rows:
                if row.good:
                    self.stored += 1
                    self.bytes += row.item.size
                else:
                    self.failures.append(row)
                self.show.row(row, verb)

    # -- deleting

    async def _delete(self, client: Client, found: Findings, listing: Listing) -> None:
        """After everything else, and only if that went well."""
        if not self.good:
            self.undone = "Nothing was deleted, because not everything could be sent."
            return
        left = surplus(found, listing)
        self.undone = self._guard(left)
        if self.undone is not None or self.options.dry_run:
            for name in left.names if self.undone is None else ():
                self.show.say(f"would delete {shown(name)}")
            return
        names: dict[str, Stored | None] = dict(left.names)
        async with aclosing(client.delete(names)) as rows:
            async for row in rows:
                if row.good:
                    self.deleted += 1
                else:
                    self.failures.append(row)
                self.show.row(row, "deleted")

    def _guard(self, left: Surplus) -> str | None:
        """Why nothing is deleted: a wrong source must not empty a server."""
        options = self.options
        if options.force or not left.files:
            return None
        most = options.max_delete if options.max_delete is not None else left.there // 2
        if left.files <= most:
            return None
        return (
            f"Nothing was deleted: {left.files} of the {left.there} files there are not in the sources, more than "
            f"{most}. Allow it with --max-delete {left.files} or --force."
        )

    # -- telling

    def end(self, why: str | None = None) -> None:
        """The last words; ``why``: for what reason they come early."""
        verb = "would be stored" if self.options.dry_run else "stored"
        files = "1 file" if self.stored == 1 else f"{self.stored} files"
        told = [f"{files} {verb} ({size(self.bytes)})"]
        for number, what in (
            (self.unchanged, "unchanged"),
            (self.deleted, "deleted"),
            (len(self.failures), "failed"),
        ):
            if number:
                told.append(f"{number} {what}")
        sentence = ", ".join(told) + f", in {time.monotonic() - self.started:.1f} s."
        numbers = {
            "stored": self.stored,
            "bytes": self.bytes,
            "unchanged": self.unchanged,
            "deleted": self.deleted,
            "skipped": self.skipped,
            "failed": len(self.failures),
        }
        self.show.end(self.failures, " ".join(filter(None, (sentence, self.undone, why))), numbers)


def _same(listing: Listing, item: Item) -> bool:
    try:
        return listing.holds_bytes(item)
    except OSError:
        return False  # it is told when it is to be sent
