"""What a client prefers to be told (RFC 7240, RFC 8144), and the header that says what was done about it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import hdrs

from partwise.handlers.context import Call
from partwise.protocol.preferences import parse_prefer


@dataclass(frozen=True, slots=True)
class Wishes:
    """``minimal``: ``return=minimal`` or ``Brief: t``; ``representation``: ``return=representation``; ``depth-noroot``."""

    minimal: bool
    representation: bool
    noroot: bool
    brief: bool

    def applied(self, *, minimal: bool = False, representation: bool = False, noroot: bool = False) -> dict[str, str]:
        """The headers for what a handler did of it (RFC 7240 §3)."""
        done = []
        if minimal and self.minimal:
            done.append("return=minimal")
        if representation and self.representation:
            done.append("return=representation")
        if noroot and self.noroot:
            done.append("depth-noroot")
        headers: dict[str, str] = {hdrs.VARY: "Brief, Prefer"}  # RFC 8144 §5
        if done:
            headers["Preference-Applied"] = ", ".join(done)
        return headers


_NONE = Wishes(minimal=False, representation=False, noroot=False, brief=False)


def preferences(call: Call) -> Wishes:
    """``Brief: t`` is what Microsoft's clients send for the same (RFC 8144 §A)."""
    headers = call.request.headers
    if "Prefer" not in headers and "Brief" not in headers:
        return _NONE
    found = parse_prefer(call.header("Prefer"))
    brief = (call.header("Brief") or "").strip().lower() == "t"
    return Wishes(
        found.return_ == "minimal" or (brief and found.return_ is None),
        found.return_ == "representation",
        found.depth_noroot,
        brief,
    )
