"""What setting or removing a property means: most are kept as they are, some do something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from partwise.actions.properties import CONTENT_LANGUAGE, CONTENT_TYPE, LIVE, split
from partwise.errors import DAV_NS, ProtectedProperty, RuleFailed
from partwise.intake.kept import LANGUAGES
from partwise.protocol.dates import parse_http_date, parse_mtime
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.property_update import Change

#: RFC 4331, RFC 6578, RFC 3253, RFC 3744: protected where they exist, and not to be faked where they do not.
_PROTECTED = {
    "quota-available-bytes",
    "quota-used-bytes",
    "sync-token",
    "supported-report-set",
    "supported-method-set",
    "supported-live-property-set",
}

MICROSOFT_NS = "urn:schemas-microsoft-com:"


@dataclass(frozen=True, slots=True)
class Setting:
    """Stored properties to change (``None`` removes one), and a modification time to set, nanoseconds since 1970."""

    stored: Mapping[str, str | None]
    modified_ns: int | None = None


def setting(change: Change) -> Setting:
    """Raises ProtectedProperty, RuleFailed."""
    special = _SPECIAL.get(change.name)
    if special is not None:
        return special(change)
    namespace, local = split(change.name)
    live = LIVE.get(change.name)
    if (namespace == DAV_NS and local in _PROTECTED) or (live is not None and not live.settable):
        raise ProtectedProperty(f"The property {local} is computed by the server and cannot be set.")
    return Setting({change.name: change.value})


def _content_type(change: Change) -> Setting:
    if change.value is None or not change.text.strip():
        return Setting({CONTENT_TYPE: None})
    try:
        parsed = parse_media_type(change.text.strip())
    except Exception:
        raise RuleFailed("The value of getcontenttype is no media type, such as text/plain.") from None
    return Setting({CONTENT_TYPE: str(parsed)})


def _content_language(change: Change) -> Setting:
    value = change.text.strip()
    if change.value is None or not value:
        return Setting({CONTENT_LANGUAGE: None})
    if not LANGUAGES.fullmatch(value):
        raise RuleFailed("The value of getcontentlanguage is no list of language tags, such as en, de-CH.")
    return Setting({CONTENT_LANGUAGE: value})


def _win32_modified(change: Change) -> Setting:
    """The Windows redirector sets the time of what it copied by a property of its own, as an HTTP date, and reads it back."""
    seconds = None if change.value is None else parse_http_date(change.text.strip())
    return Setting({change.name: change.value}, None if seconds is None else seconds * 1_000_000_000)


def _lastmodified(change: Change) -> Setting:
    """rclone and clients of Nextcloud set the time by DAV:lastmodified, in seconds since 1970; it is not kept as such."""
    if change.value is None:
        return Setting({})
    try:
        return Setting({}, parse_mtime(change.text.strip()))
    except Exception:
        raise RuleFailed("The value of lastmodified is no number of seconds since 1970.") from None


_SPECIAL: dict[str, Callable[[Change], Setting]] = {
    CONTENT_TYPE: _content_type,
    CONTENT_LANGUAGE: _content_language,
    f"{{{DAV_NS}}}lastmodified": _lastmodified,
    f"{{{MICROSOFT_NS}}}Win32LastModifiedTime": _win32_modified,
}
