"""What is kept of an upload's headers beside its bytes: stored properties that change together with the contents."""

from __future__ import annotations

import re
from collections.abc import Mapping

from partwise.errors import DAV_NS
from partwise.intake.declaration import Declaration
from partwise.protocol.media_types import MediaType
from partwise.protocol.multistatus import text
from partwise.protocol.served_types import served_type

CONTENT_TYPE = f"{{{DAV_NS}}}getcontenttype"
CONTENT_LANGUAGE = f"{{{DAV_NS}}}getcontentlanguage"
OC_NS = "http://owncloud.org/ns"
CHECKSUMS = f"{{{OC_NS}}}checksums"

#: Contents changed, nothing else was said: what described the old ones is gone.
CHANGED: Mapping[str, str | None] = {CONTENT_TYPE: None, CONTENT_LANGUAGE: None, CHECKSUMS: None}

# What clients send that do not know the type: curl -T sends nothing, curl --data the second, many others the first.
_UNSAID = {"application/octet-stream", "application/x-www-form-urlencoded"}

#: ``Content-Language`` (RFC 9110 §8.5): language tags, few and short.
LANGUAGES = re.compile(r"[A-Za-z0-9-]{1,60}([ \t]*,[ \t]*[A-Za-z0-9-]{1,60}){0,15}")
_LONGEST = 1024


def kept(declared: Declaration, name: str) -> Mapping[str, str | None]:
    """The stored properties that an upload under this name sets, and with ``None`` those that it ends."""
    content_type = kept_type(declared.media_type, name)
    if content_type is None and declared.language is None and declared.checksum is None:
        return CHANGED
    language = declared.language
    if language is not None and not LANGUAGES.fullmatch(language):
        language = None
    return {CONTENT_TYPE: content_type, CONTENT_LANGUAGE: language, CHECKSUMS: _checksums(declared.checksum)}


def kept_type(declared: MediaType | None, name: str) -> str | None:
    """The type that GET shall answer (RFC 4918 §15.5), ``None`` where the name says the same, or nothing was said."""
    if declared is None or declared.essence in _UNSAID:
        return None
    written = str(declared)
    return None if written == served_type(name) or len(written) > _LONGEST else written


def _checksums(header: str | None) -> str | None:
    if header is None or len(header) > _LONGEST:
        return None
    return f'<oc:checksums xmlns:oc="{OC_NS}"><oc:checksum>{text(header)}</oc:checksum></oc:checksums>'
