"""What clients send that no RFC foresees: the story of each, and the one function that knows it.

Quirks that are a whole task stand where it is done: ``MS-Author-Via`` for Windows in ``handlers.options``, the times that
Windows and rclone set in ``actions.settable``, rclone's checksums in ``handlers.recalculate``.
"""

from __future__ import annotations

import re

__all__ = [
    "APPLE_NAME",
    "bare_token",
    "expected_length",
    "is_apple_name",
    "matches_nothing",
    "means_all_members",
    "sends_if_everywhere",
]

_BARE = re.compile(r'[A-Za-z][A-Za-z0-9+.\-]*+:[^<>()\[\]",#\x00-\x20\x7f]++')
_JOPLIN = re.compile(r"JoplinIgnore-[0-9]{1,10}")

#: Why a name of macOS's own is refused.
APPLE_NAME = "Names like ._* and .DS_Store, which macOS leaves in every folder, are not taken here."

# More is no size of a file.
_MOST_DIGITS = 18


def bare_token(field: str | None) -> str | None:
    """The lock token that is all of ``If`` or ``Lock-Token``, without brackets and parentheses; else ``None``.

    npm's ``webdav`` takes the token from the lockdiscovery in the answer to LOCK and sends it back as it is. As a bad
    request its UNLOCK would leave every file locked until the timeout. ``lock()`` with ``refreshToken`` sends it in ``If``
    together with a lockinfo, which in RFC 4918 asks for a new lock and would be in conflict with the one to be refreshed.
    No RFC has a bare token in these fields, so nobody else's request is read in another way than it was meant.
    """
    found = _BARE.fullmatch((field or "").strip(" \t"))
    return None if found is None else found[0]


def expected_length(field: str | None) -> int | None:
    """The bytes of the body that ``X-Expected-Entity-Length`` announces, ``None`` if it is absent or no number.

    The Finder uploads with a chunked body, since a file may change while it is sent, and tells here how large it was at the
    beginning. Without it, what is too large is refused only after it was sent; and where something on the way ends the body
    early but properly, as proxies have done until whole shares were full of empty files, half a file would replace a whole
    one. What is longer than announced is taken: the file has grown.
    """
    value = (field or "").strip(" \t")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS else None


def is_apple_name(name: str) -> bool:
    """Is it the name of an AppleDouble or Finder file?

    WebDAV has no place for resource forks and window positions that macOS knows of, so it writes them beside each file as
    ``._name`` and into each folder as ``.DS_Store``; whoever shares the folder from another system sees them all.
    """
    return name.startswith("._") or name == ".DS_Store"


def means_all_members(user_agent: str | None) -> bool:
    """Does ``Depth: 1`` of this client's COPY mean infinity?

    webdavclient3 sends ``Depth: 1`` with every COPY (and PROPPATCH, where no depth is defined and none is read) and expects
    the whole tree; so does aiodav. RFC 4918 §9.8.3 knows 0 and infinity, and a copy without what lies deeper would lose data
    unseen. They can be told from a mistake only by the libraries that they are built on, requests and aiohttp.
    """
    agent = user_agent or ""
    return agent.startswith("python-requests/") or " aiohttp/" in agent


def sends_if_everywhere(user_agent: str | None) -> bool:
    """Is the ``If`` of this client's reading requests without meaning?

    webdavclient3 sends the token of a lock that it holds, untagged, with every request while it holds it, also with a HEAD of
    the parent collection, which that lock does not cover. RFC 4918 §10.4.3 makes that a 412, and nothing could be uploaded
    under a lock. Nothing is written by such a request; it can be told only by ``requests``, on which it is built.
    """
    return (user_agent or "").startswith("python-requests/")


def matches_nothing(field: str) -> bool:
    """Is an ``If-None-Match`` meant to match no entity tag whatever?

    Joplin sends ``If-None-Match: JoplinIgnore-4711``, a new number each time and no entity tag for want of quotes, with
    every request but GET and HEAD, so that the caches of telephones let it pass. As the bad request that it is, no note
    would ever be stored.
    """
    return _JOPLIN.fullmatch(field.strip(" \t")) is not None
