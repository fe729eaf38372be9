"""Uploads appear in the tree: the one way in for every byte stored."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from partwise.errors import Failure, TryAgain
from partwise.storage.base import Path, Properties, Publication, Published, Resource, Upload
from partwise.storage.local.beneath import Directories
from partwise.storage.local.failures import not_durable, placing
from partwise.storage.local.journal import Kept, Made, Placed, Step
from partwise.storage.local.ledger import Shift
from partwise.storage.local.medium import AnyMedium
from partwise.storage.local.names import Name, Site, collection_in_the_way, is_open, make_parent, writable
from partwise.storage.local.recovery import CREATED
from partwise.storage.local.status import just_made, resource
from partwise.storage.local.tree import look
from partwise.storage.local.upload import LocalUpload

log = logging.getLogger(__name__)


class Done(NamedTuple):
    """What was done for one publication.

    ``name`` is where it stands, ``before`` what stood there; ``kept`` that file's name in staging, if it can be given back.
    """

    published: Published
    name: Name
    before: Resource | None = None
    kept: str | None = None

    def undo(self, medium: AnyMedium) -> None:
        """Raises OSError."""
        if self.kept is not None:
            Name(medium.staging.descriptor, self.kept).rename(self.name)
        elif self.before is None:
            os.unlink(self.name.name, dir_fd=self.name.parent)


def publish(medium: AnyMedium, publications: Sequence[Publication]) -> list[Published | Failure]:
    """See ``storage.base.Store.publish``."""
    uploads = [local(publication) for publication in publications]
    kept: list[str] = []
    try:
        medium.sync_contents(uploads)
        with Directories(medium.root) as directories:
            site = Site(directories)
            with medium.turn():
                with medium.section() as site.ledger:
                    if medium.journalled:
                        site.aside = _announced(medium, publications, site)
                    known = medium.state.properties([publication.path for publication in publications])
                    answers = [_try(publication, site, known) for publication in publications]
                    kept = [answer.kept for answer in answers if isinstance(answer, Done) and answer.kept is not None]
                    results, relied = _follow(medium, publications, answers, known, site)
                done, uploads = uploads, []
                _close(done)
            # If that fails, the names may or may not survive a power cut: nobody is told that they do.
            medium.sync(site.descriptors(), state=relied)
        return results
    except Failure as failure:
        return [failure] * len(publications)
    finally:
        for name in kept:
            medium.discard(name)
        _close(uploads)


def _close(uploads: Sequence[LocalUpload]) -> None:
    for upload in uploads:
        try:
            upload.close()
        except OSError:
            log.exception("a staged file could not be given back")


def _announced(medium: AnyMedium, publications: Sequence[Publication], site: Site) -> dict[Upload, Name]:
    """Journal all that may be done for a group at once; where the old contents are to be kept."""
    steps: list[Step] = []
    aside: dict[Upload, Name] = {}
    made: set[Path] = set()
    for publication in publications:
        path = publication.path
        if not path:
            continue
        for length in range(publication.existing + 1, len(path)):
            if path[:length] not in made and not is_open(site.directories, path[:length]):
                made.add(path[:length])
                steps.append(Made(path[:length]))
        upload = local(publication)
        kept = aside[upload] = Name(medium.staging.descriptor, medium.staging.name())
        steps += Placed(path, upload.identity()), Kept(kept.name, path)
    medium.about_to(*steps)
    return aside


def _try(publication: Publication, site: Site, known: Mapping[Path, Properties]) -> Done | Failure:
    upload = local(publication)
    try:
        if upload.parked:
            upload.wake()
        return place(publication, site, known.get(publication.path, {}))
    except Failure as failure:
        return failure
    except OSError as error:
        try:
            return placing(error)
        except OSError:
            return not_durable(error)
    finally:
        if upload.parked:
            upload.rest()


def place(publication: Publication, site: Site, has: Properties) -> Done:
    """Give an upload its name. ``has``: the stored properties of that name. Raises a Failure or OSError.

    Most names are new: so it is tried as one, and looked at only if something stands there.
    """
    if not publication.path:
        raise collection_in_the_way()
    try:
        publication.check(None)
        return _place_new(publication, site)
    except (FileExistsError, Failure) as hindrance:
        existing = writable(site.directories, publication.path)
        if existing is None:
            if isinstance(hindrance, Failure):
                # A parent that is missing is told before what the check says.
                look(site.directories, publication.path, publication.existing)
                raise
            raise TryAgain("Somebody else changed this name at the same moment. Send it again.") from None
    return _replace(publication, existing, site, has)


def _place_new(publication: Publication, site: Site) -> Done:
    upload, path = local(publication), publication.path
    ledger = site.ledger
    shift = None if ledger is None or not ledger.active else _accounted(site, path, upload, 0)
    name = Name(make_parent(publication, site), path[-1])
    upload.link(name.parent, name.name)
    if shift is not None:
        _record(site, shift)
    site.touched.add(path[:-1])
    return Done(Published(True, just_made(path, os.fstat(upload.descriptor))), name)


def _replace(publication: Publication, existing: tuple[Path, os.stat_result], site: Site, has: Properties) -> Done:
    upload, path = local(publication), publication.path
    canonical, status = existing
    name = Name(site.directories.open(canonical[:-1]), canonical[-1])
    before = resource(path, status, name.parent, name.name)
    publication.check(before)
    os.fchmod(upload.descriptor, stat.S_IMODE(status.st_mode))
    # Only where the state must follow can there be a need to give the old contents back.
    keep = CREATED not in has or bool(_changes(publication, has))
    shift = _accounted(site, canonical, upload, status.st_size)
    aside = site.aside.get(upload)
    if aside is not None:
        name.keep(aside)
    kept = upload.replace(name.parent, name.name, keep=keep and aside is None)
    kept = kept if aside is None else aside.name
    _record(site, shift)
    site.touched.add(canonical[:-1])
    return Done(Published(False, just_made(path, os.fstat(upload.descriptor))), name, before, kept)


def _accounted(site: Site, path: Path, upload: LocalUpload, old: int) -> Shift | None:
    """An upload is about to be placed where ``old`` bytes stood. Raises QuotaExceeded."""
    ledger = site.ledger
    if ledger is None or not ledger.active:
        return None
    place = (*site.directories.canonical(path[:-1]), path[-1])
    return ledger.replacing(place, os.fstat(upload.descriptor).st_size, old)


def _record(site: Site, shift: Shift | None) -> None:
    """It was placed."""
    if site.ledger is not None and shift is not None:
        site.ledger.record(shift)


def _sets_nothing(publication: Publication) -> bool:
    # A plain loop: it is asked for each item, and a generator costs more than all it does.
    for value in publication.properties.values():  # noqa: SIM110
        if value is not None:
            return False
    return True


def _changes(publication: Publication, has: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: value for name, value in publication.properties.items() if has.get(name) != value}


def _follow(
    medium: AnyMedium,
    publications: Sequence[Publication],
    answers: Sequence[Done | Failure],
    known: Mapping[Path, Properties],
    site: Site,
) -> tuple[list[Published | Failure], bool]:
    """Write what changes in the stored properties of what was placed; True if somebody relies on it being durable."""
    cleared = list(medium.state.properties(site.made)) if site.made else []
    changed: dict[int, dict[str, str | None]] = {}
    # As they will be, for a name that is given more than once.
    current: dict[Path, Mapping[str, str | None]] = {}
    relied = False
    # Whether those of the last item set anything: most items of an upload share theirs.
    last, sets_nothing = None, False
    for index, (publication, answer) in enumerate(zip(publications, answers, strict=True)):
        if isinstance(answer, Failure):
            continue
        if publication.properties is not last:
            last, sets_nothing = publication.properties, _sets_nothing(publication)
        if sets_nothing and answer.before is None and not known and not current:
            continue
        has = current.get(publication.path, known.get(publication.path, {}))
        if answer.before is None and has:
            cleared.append(publication.path)
            has = {}
        changes = _changes(publication, has)
        relied = relied or bool(changes)
        if answer.before is not None and CREATED not in has:
            changes[CREATED] = str(answer.before.created_ns)
        if changes:
            changed[index] = changes
        current[publication.path] = {**has, **changes}
    results = [answer if isinstance(answer, Failure) else answer.published for answer in answers]
    if cleared or changed:
        try:
            with medium.state.writing() as state:
                state.clear(cleared)
                for index, changes in changed.items():
                    state.set_properties(publications[index].path, changes)
        except Failure as failure:
            if site.ledger is not None:
                site.ledger.doubt()
            concerned = {*cleared, *(publications[index].path for index in changed)}
            # From the last on: a name may have been given more than once.
            for index in reversed(range(len(answers))):
                answer = answers[index]
                if isinstance(answer, Done) and publications[index].path in concerned:
                    _undo(medium, answer)
                    results[index] = failure
    return results, relied


def _undo(medium: AnyMedium, placed: Done) -> None:
    try:
        placed.undo(medium)
    except OSError:
        log.exception("contents whose properties could not be written stay")


def local(publication: Publication) -> LocalUpload:
    assert isinstance(publication.upload, LocalUpload), "an upload is published by the store that staged it"
    return publication.upload
