"""A disk as a trace shows it: what stands there now, and what a power cut would leave of it.

It knows no more than what Linux promises. What a call wrote or renamed is durable when a sync of that file or that directory,
or of the whole file system, has returned that began after the call had returned. Nothing becomes durable by itself, and
no directory together with another one.
"""

from __future__ import annotations

import os
import posixpath
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.faults.disk_nodes import (
    COLLECTION,
    Change,
    Cut,
    File,
    Folder,
    Node,
    Stamp,
    Standing,
    file,
    give,
    make,
    new_file,
    new_folder,
    tree,
)
from tests.faults.tracing import DELETED, Call, Descriptor

#: The place of a descriptor that always writes at the end.
_END = -1


class Disk:
    """What lies below ``root``, an absolute path without links; at first what there was ``before``, durably (see ``tree``)."""

    def __init__(self, root: str, before: Mapping[str, Standing]) -> None:
        self.root = root
        self.top = tree(before)
        #: What had these paths until they were taken away; nameless files have theirs from the beginning.
        self._gone: dict[str, Node] = {}
        #: Not all of this is on the disk.
        self._changed: dict[Node, None] = {}
        #: All that was ever changed.
        self._ever: dict[Node, None] = {}
        #: Where the next byte is written, by process and descriptor.
        self._at: dict[tuple[int, int], int] = {}
        #: What each process opened last under a descriptor.
        self._opened: dict[tuple[int, int], str] = {}

    # -- looking

    def find(self, path: str) -> Node | None:
        """What has this absolute path now."""
        if path.endswith(DELETED):
            return self._gone.get(path.removesuffix(DELETED))
        node: Node | None = self.top
        inside = self.inside(path)
        for name in () if inside is None else inside:
            node = node.folder.entries.get(name) if node is not None and isinstance(node.now, Folder) else None
        return None if inside is None else node

    def inside(self, path: str) -> list[str] | None:
        """The names below the root; ``None`` if it lies elsewhere."""
        path = posixpath.normpath(path)
        if path == self.root:
            return []
        return path[len(self.root) + 1 :].split("/") if path.startswith(self.root + "/") else None

    def kept(self, name: str) -> Standing:
        """What a power cut would leave under a name below the root, if it left nothing that it need not."""
        node = self._kept(name)
        if node is None:
            return None
        return bytes(node.kept.data) if isinstance(node.kept, File) else COLLECTION

    def _kept(self, name: str) -> Node | None:
        node: Node | None = self.top
        for part in name.split("/"):
            node = node.kept.entries.get(part) if node is not None and isinstance(node.kept, Folder) else None
        return node

    def missing(self, name: str, wanted: Standing) -> str | None:
        """Why it is not sure that this stands under a name, with its modification time; ``None`` if it is."""
        if self.kept(name) == wanted:
            node = self._kept(name)
            stamped = node is not None and any(isinstance(change, Stamp) for _, change in node.waiting)
            return f"{name}: when it was modified was not synced" if stamped else None
        node, content = self.top, self.top.now
        for part in name.split("/"):
            if not isinstance(content, Folder) or not isinstance(node.kept, Folder):
                break
            here, there = content.entries.get(part), node.kept.entries.get(part)
            if here is not there:
                waiting = f"since line {node.waiting[-1][0]} at the latest" if node.waiting else "at all"
                return f"{name}: the directory that holds the name {part} was not synced {waiting}"
            if here is None:
                break
            node, content = here, here.now
        if node.waiting:
            return f"{name}: its content was not synced since line {node.waiting[-1][0]}"
        return f"{name}: something else stands there"

    # -- changing

    def apply(self, call: Call) -> None:
        """A call has returned."""
        if call.done and (change := _CHANGES.get(call.name)) is not None:
            change(self, call)

    def _change(self, call: Call, node: Node, change: Change) -> None:
        node.change(call.ended, change)
        self._changed[node] = self._ever[node] = None

    def _give(self, call: Call, path: str, node: Node | None) -> None:
        """Give a path to something, or take it away."""
        before = self.find(path)
        inside = self.inside(path)
        if not inside:
            return
        above = self.find(posixpath.dirname(path))
        if above is None:
            return
        if before is not None and before is not node:
            self._gone[path] = before
        self._change(call, above, lambda content: give(content, inside[-1], node))

    def _named(self, call: Call, index: int) -> str:
        """The path that the string with this index names, in the directory with the same index if there is one."""
        directory = call.descriptors[index].path if index < len(call.descriptors) else None
        return posixpath.normpath(posixpath.join(directory or "", os.fsdecode(call.strings[index])))

    def opens(self, call: Call) -> None:
        assert call.result is not None
        path = call.opened
        if path is None:
            return
        flags = " ".join(call.fields)
        self._opened[call.process, call.result] = path
        self._at[call.process, call.result] = _END if "O_APPEND" in flags else 0
        plain = path.removesuffix(DELETED)
        if self.inside(plain) is None or (call.name != "creat" and not re.search("O_CREAT|O_TRUNC|O_TMPFILE", flags)):
            return
        if "O_TMPFILE" in flags:
            nameless = self._gone[plain] = new_file()
            nameless.number = int(plain.rpartition("#")[2])
        elif (node := self.find(path)) is None:
            self._give(call, path, new_file())
        elif call.name == "creat" or "O_TRUNC" in flags:
            self._change(call, node, lambda content: file(content).resize(0))

    def makes(self, call: Call) -> None:
        self._give(call, self._named(call, 0), new_folder())

    def links(self, call: Call) -> None:
        source, target = self._named(call, 0), self._named(call, 1)
        own = re.fullmatch(r"/proc/(?:self|thread-self|\d+)/fd/(\d+)", source)
        if own:
            source = self._opened.get((call.process, int(own[1])), "")
        self._give(call, target, self.find(source))

    def renames(self, call: Call) -> None:
        source, target = self._named(call, 0), self._named(call, 1)
        one, other = self.find(source), self.find(target)
        if one is other and one is not None:
            return  # rename(2): two names of one file stay
        exchanged = "RENAME_EXCHANGE" in call.fields[-1]
        self._give(call, target, one)
        self._give(call, source, other if exchanged else None)

    def unlinks(self, call: Call) -> None:
        self._give(call, self._named(call, 0), None)

    def writes(self, call: Call) -> None:
        assert call.result is not None
        descriptor, data = call.descriptors[0], b"".join(call.strings)[: call.result]
        if call.name in ("pwrite64", "pwritev", "pwritev2"):
            index = {"pwrite64": -1, "pwritev": -1, "pwritev2": -2}[call.name]
            self._write(call, descriptor, int(call.fields[index]), data)
        else:
            self._write(call, descriptor, self._moved(call, descriptor, "NULL"), data)

    def _write(self, call: Call, descriptor: Descriptor, at: int, data: bytes) -> None:
        node = self.find(descriptor.path)
        if node is not None:
            self._change(call, node, lambda content: file(content).write(at, data))

    def seeks(self, call: Call) -> None:
        assert call.result is not None
        self._at[call.process, call.descriptors[0].number] = call.result

    def copies(self, call: Call) -> None:
        """From one file to the other, where both stand."""
        assert call.result is not None
        source, target = call.descriptors
        places = call.fields[1], call.fields[3]
        if call.name == "sendfile":
            source, target, places = target, source, (call.fields[2], "NULL")
        node = self.find(source.path)
        if node is None:
            return
        at = self._moved(call, source, places[0])
        data = bytes(node.file.data[at : at + call.result])
        self._write(call, target, self._moved(call, target, places[1]), data)

    def _moved(self, call: Call, descriptor: Descriptor, told: str) -> int:
        """Where a call began that reads or writes from where the descriptor is, if it was told no other place."""
        if told != "NULL":
            return int(re.findall(r"\d+", told)[0])
        place = call.process, descriptor.number
        at = self._at.get(place, 0)
        if at == _END:
            node = self.find(descriptor.path)
            return 0 if node is None else len(node.file.data)
        self._at[place] = at + (call.result or 0)
        return at

    def resizes(self, call: Call) -> None:
        path = call.descriptors[0].path if call.descriptors else self._named(call, 0)
        node = self.find(path)
        if node is not None:
            size = int(call.fields[1])
            self._change(call, node, lambda content: file(content).resize(size))

    def allocates(self, call: Call) -> None:
        node = self.find(call.descriptors[0].path)
        if node is not None and "KEEP_SIZE" not in call.fields[1]:
            size = int(call.fields[2]) + int(call.fields[3])
            self._change(call, node, lambda content: file(content).resize(max(size, len(file(content).data))))

    def stamps(self, call: Call) -> None:
        told = re.findall(r"tv_sec=(\d+), tv_nsec=(\d+)", ", ".join(call.fields))
        path = call.descriptors[0].path if not call.strings else self._named(call, 0)
        node = self.find(path)
        if node is not None and isinstance(node.now, File) and len(told) == 2:
            modified = int(told[1][0]) * 10**9 + int(told[1][1])
            self._change(call, node, Stamp(modified))

    def syncs(self, call: Call) -> None:
        node = self.find(call.descriptors[0].path)
        if node is not None:
            node.sync(call.begun, data_only=call.name == "fdatasync")

    def syncs_all(self, call: Call) -> None:
        if call.name == "sync" or self.inside(call.descriptors[0].path.removesuffix(DELETED)) is not None:
            for node in [*self._changed]:
                node.sync(call.begun)
                if not node.waiting:
                    del self._changed[node]

    # -- after a power cut

    def leave(self, folder: Path, chance: random.Random | None = None, *, ordered: bool = False) -> dict[Node, Path]:
        """Make what a power cut leaves now, in a folder that is empty (see :class:`Cut`); tells where its files are."""
        made: dict[Node, Path] = {}
        until = self._until(chance) if chance and ordered else None
        make(self.top, folder, Cut(chance, until), made)
        return made

    def _until(self, chance: random.Random) -> int:
        """Somewhere between the last change of a directory that is on the disk, and now."""
        folders = [node for node in self._ever if isinstance(node.now, Folder)]
        settled = max((node.settled for node in folders), default=0)
        waiting = {line for node in folders for line, _ in node.waiting if line > settled}
        return chance.choice([settled, *sorted(waiting)]) + 1


_CHANGES: Mapping[str, Callable[[Disk, Call], None]] = {
    **dict.fromkeys(("open", "openat", "openat2", "creat"), Disk.opens),
    **dict.fromkeys(("mkdir", "mkdirat"), Disk.makes),
    **dict.fromkeys(("link", "linkat"), Disk.links),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Disk.renames),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Disk.unlinks),
    **dict.fromkeys(("write", "writev", "pwrite64", "pwritev", "pwritev2"), Disk.writes),
    **dict.fromkeys(("copy_file_range", "sendfile"), Disk.copies),
    **dict.fromkeys(("truncate", "ftruncate"), Disk.resizes),
    "fallocate": Disk.allocates,
    "lseek": Disk.seeks,
    "utimensat": Disk.stamps,
    **dict.fromkeys(("fsync", "fdatasync"), Disk.syncs),
    **dict.fromkeys(("syncfs", "sync"), Disk.syncs_all),
}
