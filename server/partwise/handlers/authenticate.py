"""Who asks (RFC 7617), and may they do anything of the kind? Judged before anything is said about a resource."""

from __future__ import annotations

import asyncio
import hmac

from aiohttp import hdrs, web

from partwise.auth.credentials import Credentials, parse_basic
from partwise.errors import Unauthenticated
from partwise.handlers.context import Accounts, Services

#: RFC 9110 §9.2.1, RFC 3253 §3.6, RFC 5323 §2.2: methods that change nothing.
_SAFE = {"GET", "HEAD", "PROPFIND", "REPORT", "SEARCH"}


async def authenticate(request: web.Request, services: Services) -> str | None:
    """The principal's name; ``None`` for somebody without credentials, who may do something of the kind all the same.

    Raises Unauthenticated (also for wrong credentials where none are needed), NotAllowed, TooManyRequests, TryAgain.
    Without an htpasswd file, ``Authorization`` is ignored.
    """
    principal = None
    if services.accounts is not None and (values := request.headers.getall(hdrs.AUTHORIZATION, ())):
        # RFC 9110 §5.3: a field that is no list must not come twice; which of the two would a proxy have judged?
        principal = await _verified(parse_basic(", ".join(values)), services, services.accounts)
    # Windows and davfs2 ask for OPTIONS before they have credentials.
    if request.method != "OPTIONS":
        require = services.policy.require_read if request.method in _SAFE else services.policy.require_write
        require(principal)
    return principal


async def _verified(credentials: Credentials, services: Services, accounts: Accounts) -> str:
    file, verifier = accounts.file, accounts.verifier
    if file.is_due():
        await services.hop.run(file.refresh)
    stored = file.users.hashes.get(credentials.user)
    if stored is not None and verifier.remembers(credentials, stored):
        return credentials.user
    # A name that does not exist takes as long as one that does, so that names cannot be found out.
    judged = stored or verifier.decoy(file.users, credentials.user)
    if judged is not None:
        # Others may wait for the same verification: shielded from the end of this request.
        right = await asyncio.shield(asyncio.wrap_future(verifier.verify(credentials, judged)))
        # The file may have changed meanwhile.
        present = file.users.hashes.get(credentials.user)
        if right and stored is not None and present is not None and hmac.compare_digest(present, stored):
            return credentials.user
    raise Unauthenticated("The name or the password is wrong.")
