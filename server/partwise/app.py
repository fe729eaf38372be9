"""make_app: the one place that knows all rooms, and the only one that names a concrete store."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote, urlsplit

from aiohttp import hdrs, web

from partwise.auth.htpasswd import HtpasswdFile
from partwise.auth.policy import Policy
from partwise.auth.verifier import Verifier
from partwise.batch.archive import Archive
from partwise.config import Config
from partwise.errors import Failure
from partwise.handlers.answer import SERVER
from partwise.handlers.arriving import Arriving, Bounds
from partwise.handlers.background import Background
from partwise.handlers.context import SERVICES, Accounts, Services
from partwise.handlers.dispatch import everything, handle
from partwise.handlers.expect import leave_to_handler
from partwise.handlers.hop import Hop
from partwise.handlers.load import Load
from partwise.intake.admission import Admission
from partwise.intake.pipeline import Intake
from partwise.intake.validators.base import ValidatorFactory
from partwise.intake.validators.builtin import builtin_validators
from partwise.intake.validators.schemas import load_schemas
from partwise.protocol.media_types import AcceptedTypes
from partwise.protocol.paths import Mount
from partwise.storage.base import Path
from partwise.storage.committer import Committer
from partwise.storage.local.store import LocalStore
from partwise.storage.one_at_a_time import OneAtATime

log = logging.getLogger(__name__)

#: Seconds between two looks at what has grown old.
_SWEEP = 3600
#: Seconds between two looks whether a batch was cancelled.
_CANCELLED = 1
#: Seconds between two looks whether something must be counted again.
_COUNT = 20


def make_app(config: Config, validators: Sequence[ValidatorFactory] = ()) -> web.Application:
    """The application that serves ``config.directory``. ``validators`` judge after the built-in ones.

    Raises OSError if the folder cannot be read and written, ValueError for schemas or an htpasswd file that cannot be used
    and for a served folder that holds the service prefix as a name.
    """
    if os.path.lexists(config.directory / config.service_prefix):
        raise ValueError(
            f"the folder has an entry named {config.service_prefix!r}, which the server reserves; "
            "choose another name with --service-prefix"
        )
    schemas = None if config.schemas is None else load_schemas(config.schemas)
    factories = (*builtin_validators(schemas), *validators)
    file, policy = _open_htpasswd(config), _make_policy(config)
    # The largest request that aiohttp would read by itself; we read all bodies as streams and count them.
    app = web.Application(client_max_size=0, middlewares=[everything])

    async def services(app: web.Application) -> AsyncIterator[None]:
        threads = OneAtATime()
        store = LocalStore(
            os.fspath(config.directory), quotas=_quotas(config), durable=config.durability == "full", threads=threads
        )
        made = app[SERVICES] = _make_services(config, store, threads, policy, file, factories)
        stopping = threading.Event()
        background = [
            asyncio.create_task(_sweep(made.archive, made.hop)),
            asyncio.create_task(_watch(made.archive, made.hop)),
        ]
        if config.quota:
            background.append(asyncio.create_task(_count(store, made.hop, stopping)))
        yield
        stopping.set()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await made.background.finished()
        await asyncio.to_thread(made.committer.close)
        if made.accounts is not None:
            made.accounts.verifier.close()
        made.hop.close()
        store.close()

    async def stop(app: web.Application) -> None:
        await app[SERVICES].arriving.stop(config.grace)

    async def name_server(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = SERVER

    app.cleanup_ctx.append(services)
    app.on_shutdown.append(stop)
    app.on_response_prepare.append(name_server)
    # One route for everything: targets are read by our own rules, see protocol.paths. The route exists for its expect
    # handler; the middleware also gets what no route can match, such as "*".
    app.router.add_route("*", r"/{target:[\s\S]*}", handle, expect_handler=leave_to_handler)
    return app


def _make_services(
    config: Config,
    store: LocalStore,
    threads: OneAtATime,
    policy: Policy,
    file: HtpasswdFile | None,
    factories: Sequence[ValidatorFactory],
) -> Services:
    """On top of a store; to be closed by whoever asked for them."""
    hop = Hop()
    mount = make_mount(config)
    reports = os.path.join(store.state_folder(), "reports")
    bounds = Bounds(config.max_uploads, config.max_batches, config.max_user_batches, config.max_staging)
    load = Load()
    return Services(
        config,
        mount,
        policy,
        store,
        Committer(store, hop.bell.ring, threads),
        Intake(Admission(store, AcceptedTypes(config.accept), config.largest_item), factories),
        Archive(reports, config.keep_reports, href=lambda batch: mount.service_href("batches", batch)),
        hop,
        Arriving(bounds, store.staged, load),
        Background(),
        None if file is None else Accounts(file, Verifier()),
        threads=threads,
        load=load,
    )


def _make_policy(config: Config) -> Policy:
    read_only = frozenset(unicodedata.normalize("NFC", user) for user in config.read_only)
    return Policy(config.may_read, config.may_write, config.htpasswd is not None, read_only)


def _open_htpasswd(config: Config) -> HtpasswdFile | None:
    if config.htpasswd is None:
        return None
    folder = os.path.realpath(config.directory)
    # Both the file and the link that may lead to it.
    places = os.path.realpath(config.htpasswd), os.path.realpath(config.htpasswd.parent)
    if folder in (os.path.commonpath((folder, place)) for place in places):
        raise ValueError(
            f"the password file {config.htpasswd} lies in the served folder, where others could read or replace it; "
            "move it elsewhere"
        )
    file = HtpasswdFile(config.htpasswd)
    for user in config.read_only:
        if unicodedata.normalize("NFC", user) not in file.users.hashes:
            log.warning("the user %r, who may only read, is not in the htpasswd file %s", user, config.htpasswd)
    return file


def make_mount(config: Config) -> Mount:
    """Where the folder stands in the space of URLs."""
    prefix = "/".join(quote(part, safe="!$()*+,;=:@~") for part in config.prefix.rstrip("/").split("/"))
    if config.public_url is None:
        return Mount(prefix, prefix, None, config.service_prefix, apple=config.apple_files == "keep")
    public = urlsplit(config.public_url)
    origin = f"{public.scheme}://{public.netloc}"
    return Mount(prefix, public.path.rstrip("/"), origin, config.service_prefix, apple=config.apple_files == "keep")


def _quotas(config: Config) -> dict[Path, int]:
    return {tuple(path[1:].split("/")) if path != "/" else (): limit for path, limit in config.quota.items()}


async def _count(store: LocalStore, hop: Hop, stopping: threading.Event) -> None:
    """Look what the collections with a quota hold, so that no request has to wait for it."""
    while True:
        try:
            await hop.run(store.recount, stopping.is_set)
        except (OSError, Failure):
            log.exception("the files of a quota could not be counted; tried again later")
        await asyncio.sleep(_COUNT)


async def _sweep(archive: Archive, hop: Hop) -> None:
    while True:
        try:
            await hop.run(archive.sweep, time.time())
        except OSError:
            log.exception("old reports could not be removed; tried again later")
        await asyncio.sleep(_SWEEP)


async def _watch(archive: Archive, hop: Hop) -> None:
    """Batches of this process can be cancelled through any other."""
    while True:
        if archive.busy:
            await hop.run(archive.watch)
        await asyncio.sleep(_CANCELLED)
