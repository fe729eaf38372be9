"""A transaction: many changes in one critical section, all of which are undone if the last does not come.

What it does to names is written into a journal before (see ``local.journal``), what it replaces or removes is kept in its
folder inside the state folder, and what it does to the state is one transaction of the database. An intent says that all
of it is to be undone, and the commit that makes the state true removes it: that is the moment which decides.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from partwise.storage.local.failures import not_durable
from partwise.storage.local.folder import Folder
from partwise.storage.local.journal import Journal, Step
from partwise.storage.local.ledger import Ledger, Limits
from partwise.storage.local.medium import AnyMedium, Medium
from partwise.storage.local.recovery import TRANSACTION, identity, throw_away
from partwise.storage.local.staging import NO_SPACE, space_or_raise
from partwise.storage.local.upload import LocalUpload
from partwise.storage.sql.intents import Intent, Verb
from partwise.storage.sql.joint import JointState

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TransactionMedium(AnyMedium):
    """What the changes of one transaction are made with."""

    journalled = True

    def __init__(self, medium: Medium, folder: Folder, journal: Journal, state: JointState, ledger: Ledger) -> None:
        self.root, self.staging = medium.root, folder
        self._limits = medium.limits
        self._journal, self._state, self._ledger = journal, state, ledger
        self._device = os.fstat(medium.root.descriptor).st_dev

    @property
    def state(self) -> JointState:
        return self._state

    @property
    def limits(self) -> Limits:
        return self._limits

    def critical_section(self) -> AbstractContextManager[None]:
        """It is entered already."""
        return nullcontext()

    def section(self) -> AbstractContextManager[Ledger]:
        return nullcontext(self._ledger)

    def turn(self) -> AbstractContextManager[None]:
        """It is a long one."""
        return nullcontext()

    def about_to(self, *steps: Step) -> None:
        # Nothing may happen to names once something could not be written down.
        self._state.require_sound()
        self._journal.write(steps)

    def sync_contents(self, uploads: Sequence[LocalUpload]) -> None:
        """Everything is synced at the end."""

    def sync(self, descriptors: Iterable[int], *, state: bool) -> None:
        """As :meth:`sync_contents`, but for what lies on another file system."""
        try:
            for descriptor in descriptors:
                if os.fstat(descriptor).st_dev != self._device:
                    self.staging.durability.sync_one(descriptor)
        except OSError as error:
            raise not_durable(error) from None

    def discard(self, trash: str | None) -> None:
        """It may have to be given back."""


@contextlib.contextmanager
def begun(medium: Medium) -> Iterator[TransactionMedium]:
    """A transaction that ends with the block. Raises OutOfSpace, TryAgain, also at its end.

    If the block raises, or its end does, the critical section ends as after a kill: with undoing what the journal says.
    """
    trash: list[str] = []
    with medium.section() as ledger, contextlib.ExitStack() as opened:
        folder, journal = _begun(medium, opened)
        number = medium.state.intend(Intent(Verb.TRANSACTION, (), (), identity(os.fstat(folder.descriptor))))
        medium.sync([], state=True)
        try:
            with medium.state.joint(number) as state:
                yield TransactionMedium(medium, folder, journal, state, ledger)
                ledger.write(state)
                try:
                    medium.durability.sync_all(medium.root.descriptor)
                except OSError as error:
                    raise not_durable(error) from None
        except BaseException:
            ledger.withdraw()
            raise
        throw_away(medium.folder, medium.staging, trash)
    for name in trash:
        medium.discard(name)


def _begun(medium: Medium, opened: contextlib.ExitStack) -> tuple[Folder, Journal]:
    """A folder and a journal, both durable and empty. Raises OutOfSpace, TryAgain."""
    left: list[str] = []
    # Of one that died before its intent was written.
    throw_away(medium.folder, medium.staging, left)
    place = os.path.join(medium.folder, TRANSACTION)
    try:
        os.mkdir(place, 0o700)
        folder = Folder(os.open(place, _DIRECTORY), medium.durability)
        opened.callback(os.close, folder.descriptor)
        journal = Journal(folder)
        opened.callback(journal.close)
        above = os.open(medium.folder, _DIRECTORY)
        opened.callback(os.close, above)
        medium.durability.sync_one(above)
    except OSError as error:
        raise (space_or_raise(error) if error.errno in NO_SPACE else not_durable(error)) from None
    for name in left:
        medium.discard(name)
    return folder, journal
