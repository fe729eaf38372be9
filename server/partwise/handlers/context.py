"""What every handler needs: the rooms of this application, and what was asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from partwise.auth.htpasswd import HtpasswdFile
from partwise.auth.policy import Policy
from partwise.auth.verifier import Verifier
from partwise.batch.archive import Archive
from partwise.config import Config
from partwise.handlers.arriving import Arriving
from partwise.handlers.background import Background
from partwise.handlers.hop import Hop
from partwise.handlers.listings import Listings
from partwise.handlers.load import Load
from partwise.handlers.turns import Turns
from partwise.intake.pipeline import Intake
from partwise.protocol.paths import Mount, Target
from partwise.storage.base import Store
from partwise.storage.committer import Committer
from partwise.storage.one_at_a_time import OneAtATime


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who may log in."""

    file: HtpasswdFile
    verifier: Verifier


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
    background: Background
    #: None: nobody can log in.
    accounts: Accounts | None = None
    #: Wall clock, seconds since 1970.
    clock: Callable[[], float] = time.time
    #: Of this process.
    threads: OneAtATime = field(default_factory=OneAtATime)
    #: For partial updates.
    turns: Turns = field(default_factory=Turns)
    listings: Listings = field(default_factory=Listings)
    load: Load = field(default_factory=Load)


class Call(NamedTuple):
    """One request: the rooms, the request as aiohttp gives it, and its target as we read it."""

    services: Services
    request: web.Request
    target: Target
    #: Who asks, ``None`` for somebody without credentials.
    principal: str | None = None

    @property
    def may_write(self) -> bool:
        return self.services.policy.may_write(self.principal)

    def require_read(self) -> None:
        """Raises NotAllowed or Unauthenticated."""
        self.services.policy.require_read(self.principal)

    def require_write(self) -> None:
        """Raises NotAllowed or Unauthenticated."""
        self.services.policy.require_write(self.principal)

    def header(self, name: str) -> str | None:
        """A field of the request; repeated lines joined with ", " (RFC 9110 §5.3)."""
        headers = self.request.headers
        return ", ".join(headers.getall(name)) if name in headers else None

    def headers(self, only: Collection[str] | None = None) -> dict[str, str]:
        """The fields by their lower-case names, all or those named so; repeated lines joined."""
        found: dict[str, str] = {}
        for name, value in self.request.headers.items():
            key = name.lower()
            if only is None or key in only:
                found[key] = f"{found[key]}, {value}" if key in found else value
        return found


SERVICES = web.AppKey("services", Services)
