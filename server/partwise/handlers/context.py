"""What every handler needs: the rooms of this application, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from partwise.auth.policy import Policy
from partwise.batch.archive import Archive
from partwise.config import Config
from partwise.handlers.arriving import Arriving
from partwise.handlers.hop import Hop
from partwise.intake.pipeline import Intake
from partwise.protocol.paths import Mount, Target
from partwise.storage.base import Store
from partwise.storage.committer import Committer


@dataclass(frozen=True, slots=True)
class Services:
    config: Config
    mount: Mount
    policy: Policy
    store: Store
    committer: Committer
    intake: Intake
    archive: Archive
    hop: Hop
    arriving: Arriving


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the rooms, the request as aiohttp gives it, and its target as we read it."""

    services: Services
    request: web.Request
    target: Target

    def header(self, name: str) -> str | None:
        """A field of the request; repeated lines joined with ", " (RFC 9110 §5.3)."""
        values = self.request.headers.getall(name, None)
        return None if values is None else ", ".join(values)

    def headers(self) -> dict[str, str]:
        """All fields by their lower-case names; repeated lines joined."""
        found: dict[str, str] = {}
        for name, value in self.request.headers.items():
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
        return found


SERVICES = web.AppKey("services", Services)
