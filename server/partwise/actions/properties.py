"""The live properties (RFC 4918 §15 and extensions), one table; and how their values are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from partwise.actions.methods import reports_on
from partwise.actions.sync_token import write_token
from partwise.errors import DAV_NS, NotFound
from partwise.protocol.dates import format_http_date, format_instant
from partwise.protocol.limits import LIMITS, Limits, limits_element
from partwise.protocol.locking import SUPPORTED_LOCK, active_lock
from partwise.protocol.multistatus import text
from partwise.protocol.paths import Mount, Path
from partwise.protocol.served_types import served_type
from partwise.storage.base import Lock, Properties, Resource, Store

XML_NS = "http://www.w3.org/XML/1998/namespace"

CREATION_DATE = f"{{{DAV_NS}}}creationdate"
CONTENT_TYPE = f"{{{DAV_NS}}}getcontenttype"
CONTENT_LANGUAGE = f"{{{DAV_NS}}}getcontentlanguage"


@dataclass(slots=True)
class Findings:
    """What need not be found out twice while one answer is made."""

    #: Collections that were compared with all below, so that their sync-tokens are exact.
    compared: set[Path] = field(default_factory=set)
    #: The locks whose ``lockdiscovery`` was written last, in which second, and what was written.
    locks: tuple[tuple[Lock, ...], int] = ((), 0)
    lockdiscovery: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Where and for whom properties are read, for one answer. ``now``: seconds since 1970."""

    store: Store
    mount: Mount
    principal: str | None
    now: Callable[[], float]
    limits: Limits
    findings: Findings = field(default_factory=Findings)


class Facts(NamedTuple):
    """One resource, its stored properties, and the view."""

    resource: Resource
    stored: Properties
    view: View


#: Many files have the same second; what is written of it is.
http_date, instant = lru_cache(4096)(format_http_date), lru_cache(4096)(format_instant)


def content_type(resource: Resource, stored: Properties) -> str:
    """What GET answers: as it was declared, else by the name."""
    return stored.get(CONTENT_TYPE) or served_type(resource.path[-1] if resource.path else "")


def _creation(facts: Facts) -> str:
    kept = facts.stored.get(CREATION_DATE)
    return instant((facts.resource.created_ns if kept is None else int(kept)) // 1_000_000_000)


def _displayname(facts: Facts) -> str | None:
    # Kept as the client's own element: it may have a language.
    return facts.stored.get(f"{{{DAV_NS}}}displayname")


def _language(facts: Facts) -> str | None:
    kept = facts.stored.get(CONTENT_LANGUAGE)
    return None if kept is None else text(kept)


def _length(facts: Facts) -> str | None:
    return None if facts.resource.collection else str(facts.resource.size)


def _type(facts: Facts) -> str | None:
    return None if facts.resource.collection else text(content_type(facts.resource, facts.stored))


def _etag(facts: Facts) -> str | None:
    return None if facts.resource.etag is None else f"&quot;{facts.resource.etag}&quot;"


def _modified(facts: Facts) -> str:
    return http_date(facts.resource.modified_ns // 1_000_000_000)


def _resourcetype(facts: Facts) -> str:
    return "<D:collection/>" if facts.resource.collection else ""


def _lockdiscovery(facts: Facts) -> str:
    view, locks = facts.view, facts.view.store.locks_on(facts.resource.path)
    if not locks:
        return ""
    # Members share the locks of the collection above, and each lock needs a look at its root.
    findings, known = view.findings, (locks, int(view.now()))
    if findings.locks != known:
        findings.locks, findings.lockdiscovery = known, active_locks(view, locks)
    return findings.lockdiscovery


def active_locks(view: View, locks: tuple[Lock, ...]) -> str:
    """The contents of ``lockdiscovery``: inherited locks too, with their own root (RFC 4918 §15.8, §14.12)."""
    now = view.now()
    return "".join(
        active_lock(
            exclusive=lock.exclusive,
            infinite=lock.infinite,
            owner=lock.owner,
            remaining=lock.expires - now,
            token=lock.token,
            root=root_href(view, lock.root),
        )
        for lock in locks
    )


def root_href(view: View, root: Path) -> str:
    """The href of a lock's root, with a slash if a collection stands there."""
    standing = view.store.look(root, 0)
    return view.mount.href(root, collection=standing is not None and standing.collection)


def _supportedlock(facts: Facts) -> str:
    return SUPPORTED_LOCK


def _principal(facts: Facts) -> str:
    # RFC 5397 §3: the principal's URL, or unauthenticated.
    if facts.view.principal is None:
        return "<D:unauthenticated/>"
    return f"<D:href>{text(facts.view.mount.service_href('principals', facts.view.principal))}</D:href>"


def _add_member(facts: Facts) -> str | None:
    # RFC 5995 §3.2.1
    if not facts.resource.collection:
        return None
    return f"<D:href>{text(facts.view.mount.href(facts.resource.path, collection=True))}?add-member</D:href>"


def _available(facts: Facts) -> str | None:
    """RFC 4331 §3: of the quotas that apply the one with the least left, and never more than the disk has."""
    if not facts.resource.collection:
        return None
    store = facts.view.store
    quota, free = store.quota(facts.resource.path), store.free_space()
    found = [size for size in (None if quota is None else quota.left, free) if size is not None]
    return str(max(0, min(found))) if found else None


def _used(facts: Facts) -> str | None:
    """RFC 4331 §4: what counts against the same quota; where there is none, all that is in use on the disk."""
    if not facts.resource.collection:
        return None
    store = facts.view.store
    quota = store.quota(facts.resource.path)
    used = store.used_space() if quota is None else quota.used
    return None if used is None else str(used)


def _sync_token(facts: Facts) -> str | None:
    # RFC 6578 §4. A token that were not exact would tell a client that nothing has changed.
    path = facts.resource.path
    if not facts.resource.collection or path not in facts.view.findings.compared:
        return None
    try:
        return text(write_token(facts.view.store.changes(path, True, None, 0).mark))
    except NotFound:  # gone just now
        return None


def _reports(facts: Facts) -> str:
    # RFC 3253 §3.1.5
    return "".join(
        f"<D:supported-report><D:report><D:{name}/></D:report></D:supported-report>"
        for name in reports_on(facts.resource)
    )


def _limits(facts: Facts) -> str | None:
    return limits_element(facts.view.limits) if facts.resource.collection else None


class Source(Enum):
    """What the value of a live property follows from, but for stored properties; so when it may be another."""

    #: The kind of a resource: it is the same, or missing, for all files of one answer, and for all its collections.
    KIND = auto()
    #: The fields of Resource but ``created_ns``. The kind says whether there is one, and then it is never empty.
    RESOURCE = auto()
    #: All fields of Resource; otherwise as RESOURCE.
    BIRTH = auto()
    #: Locks; as KIND where there are none at all.
    LOCKS = auto()
    #: Something that changes without a notice, or costs much.
    ELSEWHERE = auto()


@dataclass(frozen=True, slots=True)
class Live:
    """A live property.

    ``value`` gives what stands inside its element, ``None`` where a resource does not have it; with ``whole`` it gives the
    element itself, as it must outside of DAV:. ``settable`` by PROPPATCH; ``in_allprop``: told without being named. COPY and
    MOVE keep what is stored, but for ``creationdate``, which is new on COPY; everything else follows from the resource.
    """

    value: Callable[[Facts], str | None]
    source: Source
    settable: bool = False
    in_allprop: bool = True
    whole: bool = False
    #: Stored properties come before the source.
    stored: bool = False
    #: Every collection has it, and nothing else; its value is told when all below was compared (:func:`comparing`).
    compares: bool = False


_OF_DAV = {
    "resourcetype": Live(_resourcetype, Source.KIND),
    "creationdate": Live(_creation, Source.BIRTH, stored=True),
    "displayname": Live(_displayname, Source.KIND, settable=True, whole=True, stored=True),
    "getcontentlength": Live(_length, Source.RESOURCE),
    "getcontenttype": Live(_type, Source.RESOURCE, settable=True, stored=True),
    "getcontentlanguage": Live(_language, Source.KIND, settable=True, stored=True),
    "getetag": Live(_etag, Source.RESOURCE),
    "getlastmodified": Live(_modified, Source.RESOURCE),
    "lockdiscovery": Live(_lockdiscovery, Source.LOCKS),
    "supportedlock": Live(_supportedlock, Source.KIND),
    "current-user-principal": Live(_principal, Source.KIND, in_allprop=False),
    "add-member": Live(_add_member, Source.RESOURCE, in_allprop=False),
    "sync-token": Live(_sync_token, Source.ELSEWHERE, in_allprop=False, compares=True),
    "supported-report-set": Live(_reports, Source.KIND, in_allprop=False),
    "quota-available-bytes": Live(_available, Source.ELSEWHERE, in_allprop=False),
    "quota-used-bytes": Live(_used, Source.ELSEWHERE, in_allprop=False),
}

#: Name in Clark notation → what is to be known of it.
LIVE: dict[str, Live] = {
    **{f"{{{DAV_NS}}}{local}": live for local, live in _OF_DAV.items()},
    LIMITS: Live(_limits, Source.KIND, in_allprop=False, whole=True),
}


def is_live(name: str) -> bool:
    """Is the name, in Clark notation, that of a live property?"""
    return name in LIVE


def needs_stored(name: str) -> bool:
    """Must the stored properties be read for it?"""
    return name not in LIVE or LIVE[name].stored


def source(name: str) -> Source:
    """Of a property in Clark notation. A dead one that is not stored is missing everywhere."""
    return LIVE[name].source if name in LIVE else Source.KIND


def needs_comparing(name: str) -> bool:
    """Must :func:`comparing` come before its value is written?"""
    return name in LIVE and LIVE[name].compares


def comparing(view: View, resource: Resource) -> Iterator[str]:
    """Compare all below a collection as the report sync-collection does, once for each answer.

    In small steps, with nothing told by each: it may take long, and others wait for the same thread. Raises NotFound if the
    collection is gone.
    """
    compared = view.findings.compared
    if resource.collection and resource.path not in compared:
        for _ in view.store.compare(resource.path, True):
            yield ""
        compared.add(resource.path)


def dead(stored: Properties) -> Mapping[str, str]:
    """The dead properties among the stored ones."""
    return {name: value for name, value in stored.items() if not is_live(name)}


def writer(name: str) -> Callable[[Facts], str | None]:
    """Writes the whole element of a property in Clark notation, ``None`` where a resource does not have it."""
    live = LIVE.get(name)
    if live is None:
        return lambda facts: facts.stored.get(name)
    value_of = live.value
    if live.whole:
        return value_of
    frame = framed(name)

    def write(facts: Facts) -> str | None:
        value = value_of(facts)
        return None if value is None else frame(value)

    return write


def framed(name: str) -> Callable[[str], str]:
    """Puts a value of a live property into its element."""
    if LIVE[name].whole:
        return str
    local = split(name)[1]
    opening, closing, nothing = f"<D:{local}>", f"</D:{local}>", f"<D:{local}/>"
    return lambda value: opening + value + closing if value else nothing


def split(name: str) -> tuple[str, str]:
    """A name in Clark notation as namespace and local name."""
    namespace, _, local = name.rpartition("}")
    return namespace.removeprefix("{"), local


def empty(name: str) -> str:
    """An empty element of any name in Clark notation."""
    namespace, local = split(name)
    if namespace == DAV_NS:
        return f"<D:{local}/>"
    if namespace == XML_NS:
        return f"<xml:{local}/>"
    return f'<x:{local} xmlns:x="{text(namespace)}"/>' if namespace else f'<{local} xmlns=""/>'
