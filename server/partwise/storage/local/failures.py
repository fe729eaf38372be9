"""What errors of the operating system mean when names are changed."""

from __future__ import annotations

import errno
import logging
import os

from partwise.errors import Failure, ForbiddenName, NotAllowed, Overlapping, ParentMissing, TryAgain
from partwise.storage.local.beneath import absent_or_raise
from partwise.storage.local.staging import space_or_raise
from partwise.storage.local.tree import NO_PARENT

log = logging.getLogger(__name__)


def placing(error: OSError) -> Failure:
    """The meaning of a failed mkdir, link or rename; an error without one is raised again."""
    if error.errno == errno.ENOENT:
        return ParentMissing(NO_PARENT)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed("The server's account may not write in this collection.")
    if error.errno == errno.EXDEV:
        return NotAllowed("Another file system is mounted here; nothing can be stored in it.")
    return space_or_raise(error)


def removing(error: OSError) -> Failure:
    """The meaning of a failed rename or removal; an error without one is raised again."""
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return NotAllowed("Another file system is mounted here; it cannot be moved or deleted.")
    if error.errno == errno.EROFS:
        return NotAllowed("The file system is read-only; nothing in it can be moved or deleted.")
    if error.errno == errno.EINVAL:
        # rename(2): the new name lies below the old one.
        return overlapping()
    try:
        return absent_or_raise(error)
    except OSError:
        return space_or_raise(error)


def not_durable(error: OSError) -> TryAgain:
    log.error("a change could not be made durable: %s", os.strerror(error.errno or 0))
    return TryAgain("The server could not make the change durable, so it may be lost; send it again.")


def overlapping() -> Overlapping:
    return Overlapping("Source and destination are the same or one lies in the other; choose another destination.")


def taken() -> ForbiddenName:
    return ForbiddenName(
        "The name is taken by something that is not served, such as a link that leads out of the folder."
    )
