"""What a transaction is about to do to names, written down durably before, so that it can be undone after a kill.

A journal is a file of lines, one step each. They are undone from the last to the first, and a line goes when its step has
been undone. Undoing a step that was not done, or was undone just now, does nothing: so a kill is allowed at any moment.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from partwise.errors import Failure, NotFound
from partwise.storage.base import Path
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.failures import not_durable
from partwise.storage.local.folder import Folder
from partwise.storage.local.staging import NO_SPACE, space_or_raise
from partwise.storage.sql.intents import Identity

log = logging.getLogger(__name__)

_FILE = "journal"
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_CHANGE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: What an undo meets where somebody else has changed names meanwhile; everything else may be mended and tried again.
_FOREIGN = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP}

#: A path in the tree, or a name in the folder of the transaction.
Place = Path | str


class Placed(NamedTuple):
    """A file appears under a name."""

    path: Path
    identity: Identity


class Made(NamedTuple):
    """A collection appears under a name that is free."""

    path: Path


class Kept(NamedTuple):
    """What is about to be replaced is kept in the folder of the transaction."""

    kept: str
    path: Path


class Renamed(NamedTuple):
    """``destination`` is free."""

    source: Place
    destination: Place


class Touched(NamedTuple):
    """A modification time changes; ``modified_ns`` is the one before."""

    path: Path
    modified_ns: int


Step = Placed | Made | Kept | Renamed | Touched

_KINDS: dict[str, Callable[..., Step]] = {kind.__name__: kind for kind in (Placed, Made, Kept, Renamed, Touched)}


def written(step: Step) -> str:
    """One line. Names that are not UTF-8 become escapes."""
    return json.dumps([type(step).__name__, *step], separators=(",", ":")) + "\n"


def read(line: str | bytes) -> Step:
    """The inverse of :func:`written`. Raises ValueError."""
    kind, *fields = json.loads(line)
    return _KINDS[kind](*(tuple(field) if isinstance(field, list) else field for field in fields))


class Journal:
    """The steps of one transaction, in its folder. Raises OSError if it cannot be made durable."""

    def __init__(self, folder: Folder) -> None:
        self._failure: Failure | None = None
        self._durability = folder.durability
        self._descriptor = os.open(_FILE, _NEW, 0o600, dir_fd=folder.descriptor)
        try:
            self._durability.sync_one(self._descriptor)
            self._durability.sync_one(folder.descriptor)
        except OSError:
            self.close()
            raise

    def write(self, steps: Sequence[Step]) -> None:
        """They may be done when this returns. Raises OutOfSpace, TryAgain; after that nothing can be written any more."""
        if self._failure is not None:
            raise self._failure
        view = memoryview("".join(map(written, steps)).encode())
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._durability.sync_one(self._descriptor)
        except OSError as error:
            # A part of a line may be there: what followed it would not be found.
            self._failure = space_or_raise(error) if error.errno in NO_SPACE else not_durable(error)
            raise self._failure from None

    def close(self) -> None:
        os.close(self._descriptor)


def roll_back(root: Root, folder: int) -> bool:
    """Undo all steps of the transaction in this folder; False if something of it has to stay there.

    Raises OSError or NotAllowed if that is to be tried again.
    """
    complete = True
    try:
        descriptor = os.open(_FILE, _CHANGE, dir_fd=folder)
    except FileNotFoundError:
        return True
    with open(descriptor, "r+b") as file:
        for start, step in reversed(_steps(file)):
            try:
                _undo(step, root, folder)
            except NotFound:
                complete = complete and not _keeps(step, folder)
            except OSError as error:
                if error.errno not in _FOREIGN:
                    raise
                complete = complete and not _keeps(step, folder)
            os.ftruncate(file.fileno(), start)
    return complete


def _steps(file: BinaryIO) -> list[tuple[int, Step]]:
    """Where the line of each begins, and the step."""
    steps: list[tuple[int, Step]] = []
    start = 0
    for line in file:
        try:
            steps.append((start, read(line)))
        except (ValueError, KeyError, TypeError):
            # What was not written whole was not begun.
            break
        start += len(line)
    return steps


def _undo(step: Step, root: Root, folder: int) -> None:
    """Raises NotFound, NotAllowed, OSError."""
    # Opened anew for each: what an undone step renamed, or removed, is not what was open.
    with Directories(root) as directories:
        match step:
            case Placed(path, found):
                parent = directories.open(path[:-1])
                status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
                if (status.st_dev, status.st_ino) == found:
                    os.unlink(path[-1], dir_fd=parent)
            case Made(path):
                os.rmdir(path[-1], dir_fd=directories.open(path[:-1]))
            case Kept(kept, path):
                if _stands(folder, kept):
                    parent = directories.open(path[:-1])
                    os.rename(kept, path[-1], src_dir_fd=folder, dst_dir_fd=parent)
            case Renamed(source, destination):
                _rename_back(_name(destination, directories, folder), _name(source, directories, folder))
            case Touched(path, modified_ns):
                with _opened(directories, path) as descriptor:
                    status = os.fstat(descriptor)
                    if status.st_mtime_ns != modified_ns:
                        os.utime(descriptor, ns=(status.st_atime_ns, modified_ns))


def _keeps(step: Step, folder: int) -> bool:
    """Is there something that the undoing of this step would have given back?"""
    match step:
        case Kept(kept=name) | Renamed(destination=str() as name):
            if _stands(folder, name):
                log.error("something could not be given back, for its place was changed by somebody else")
                return True
    return False


def _rename_back(present: tuple[int, str], former: tuple[int, str]) -> None:
    if not _stands(*present):
        return
    if _stands(*former):
        # Not done; or somebody else has taken the name.
        raise FileExistsError(errno.EEXIST, "the name is taken")
    os.rename(present[1], former[1], src_dir_fd=present[0], dst_dir_fd=former[0])


def _name(place: Place, directories: Directories, folder: int) -> tuple[int, str]:
    return (folder, place) if isinstance(place, str) else (directories.open(place[:-1]), place[-1])


def _stands(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _opened(directories: Directories, path: Path) -> Iterator[int]:
    canonical, _ = directories.locate(path)
    if not canonical:
        yield directories.root.descriptor
        return
    descriptor = os.open(canonical[-1], _READ, dir_fd=directories.open(canonical[:-1]))
    try:
        yield descriptor
    finally:
        os.close(descriptor)
