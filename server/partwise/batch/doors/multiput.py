"""Apple's ``multiput``: what each resource of it means to the engine, and the multistatus that its clients read.

Source: ``calendarserver-bulk-change``, August 2011, §4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import NAMESPACE_URL, uuid5

import partwise.batch.forms.xml as xml
from partwise.actions.property_changes import check_size, plan
from partwise.batch.containers import Headers, ItemPart, OperationPart
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import BATCH_NS, Depends, Failure
from partwise.protocol.http_request import RequestHead
from partwise.protocol.multiput import MultiputDecoder
from partwise.protocol.multiput_resource import CALENDARSERVER_NS, Resource
from partwise.protocol.multistatus import MAX_ISSUES, condition, shortened, status_line, text
from partwise.protocol.paths import Mount, Path

_NAMES = uuid5(NAMESPACE_URL, BATCH_NS)


@dataclass(frozen=True, slots=True)
class MultiputContainer:
    """The parts that ``decoder`` finds, posted to ``collection``; ``authority`` is Host.

    ``new_name`` makes a name, without a suffix, for a resource that has neither href nor UID. ``most`` is how many bytes
    the properties of a resource may have together, ``standing`` tells those that it has.
    """

    mount: Mount
    collection: Path
    authority: str | None
    decoder: MultiputDecoder
    new_name: Callable[[], str]
    most: int
    standing: Callable[[Path], Mapping[str, str]]

    def part(self, headers: Headers) -> ItemPart | OperationPart:
        resource = self.decoder.resource
        assert resource is not None
        name = resource.href or ""
        path: Path | None = None
        try:
            if resource.failure is None:
                path = self._path(resource)
                return self._item(resource, path) if resource.method == "PUT" else self._operation(resource, path)
            if resource.href is not None:
                path = self._path(resource)
            failure = resource.failure
        except Failure as found:
            failure = resource.failure or found
        return ItemPart(name, {}, path, failure, content_id=resource.uid)

    def _path(self, resource: Resource) -> Path:
        """Raises MalformedName, ForbiddenName."""
        if resource.href is not None:
            path = self.mount.resolve(resource.href, self.collection, self.authority, "The href of a resource")
        else:
            # The UID names it, so that it cannot be created twice (RFC 4791 §4.1: a UID is unique within a collection),
            # and one that is sent again is known again.
            name = self.new_name() if resource.uid is None else str(uuid5(_NAMES, resource.uid))
            path = (*self.collection, f"{name}{resource.suffix}")
        self.mount.check_new(path)
        return path

    def _item(self, resource: Resource, path: Path) -> ItemPart:
        headers = {"content-type": resource.media_type or "", "content-length": str(len(resource.body))}
        if resource.if_match is not None:
            headers["if-match"] = resource.if_match
        if resource.href is None:
            headers["if-none-match"] = "*"
        properties: Mapping[str, str | None] = {}
        if resource.changes:
            outcome, properties, modified_ns = plan(resource.changes)
            refused = next((each for each in outcome.failures.values() if each and not isinstance(each, Depends)), None)
            if refused is not None:
                # §4.1: "The server MUST fail the request if any one property or data fails to be set".
                return ItemPart(resource.href or "", {}, path, refused, content_id=resource.uid)
            check_size({**self.standing(path), **properties}, self.most)
            if modified_ns is not None:
                headers["x-oc-mtime"] = str(modified_ns // 1_000_000_000)
        name = resource.href or path[-1]
        return ItemPart(name, headers, path, promised=True, content_id=resource.uid, properties=properties)

    def _operation(self, resource: Resource, path: Path) -> OperationPart:
        headers = {} if resource.if_match is None else {"if-match": resource.if_match}
        if resource.media_type is not None:
            headers |= {"content-type": resource.media_type, "content-length": str(len(resource.body))}
        request = RequestHead(resource.method, self.mount.href(path), headers)
        return OperationPart(resource.href or "", None, request=request)


class MultiputForm:
    """A multistatus in which contents that were stored are told by their ``getetag`` (§4.1, §4.2) and ``CS:uid``.

    Everything else is told by a status. A resource that could not be created has an href all the same, where the
    description leaves it empty: one href stands in one response only (RFC 4918 §14.24).
    """

    media_type = xml.media_type
    content_type = xml.content_type
    keep_alive = xml.keep_alive

    def head(self, collection: str) -> bytes:
        return xml.head(collection)

    def rows(self, outcomes: Sequence[Outcome]) -> bytes:
        return "".join(map(_row, outcomes)).encode()

    def end(self, summary: Summary) -> bytes:
        return xml.end(summary)

    def single(self, collection: str, outcome: Outcome) -> bytes:
        """One row as a document of its own, which sums up nothing."""
        return xml.single(collection, outcome)


def _row(outcome: Outcome) -> str:
    for issues in (MAX_ISSUES, 5, 1, 0):
        row = _written(outcome, issues)
        if len(row.encode()) <= xml.MAX_ROW:
            break
    return row


def _written(outcome: Outcome, issues: int) -> str:
    href = f"<D:href>{text(outcome.href)}</D:href>"
    item = f'<P:item index="{outcome.index}" name="{text(shortened(outcome.name, 200))}"/>'
    uid = ""
    if outcome.content_id is not None:
        uid = f'<CS:uid xmlns:CS="{CALENDARSERVER_NS}">{text(shortened(outcome.content_id, 200))}</CS:uid>'
    if outcome.failure is not None:
        inner = condition(outcome.failure, issues) + uid
        error = f"<D:error>{inner}</D:error>" if inner else ""
        told = f"<D:responsedescription>{text(shortened(outcome.failure.text, 300))}</D:responsedescription>"
        return f"<D:response>{href}<D:status>{status_line(outcome.status)}</D:status>{error}{told}{item}</D:response>\n"
    place = "" if outcome.location is None else f"<D:location><D:href>{text(outcome.location)}</D:href></D:location>"
    if outcome.etag is None:
        return f"<D:response>{href}<D:status>{status_line(outcome.status)}</D:status>{place}{item}</D:response>\n"
    found = f"<D:getetag>{text(outcome.etag)}</D:getetag>{uid}"
    return (
        f"<D:response>{href}<D:propstat><D:prop>{found}</D:prop><D:status>{status_line(HTTPStatus.OK)}</D:status>"
        f"</D:propstat>{place}{item}</D:response>\n"
    )
