"""How much there is to do in one process, so that new connections can go where there is less."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

#: Where each figure stands in the cells of a load: connections that are open; those of them that have had no request for
#: some seconds; batches that arrive or are judged.
_CONNECTIONS, _RESTING, _BATCHES = range(3)
#: Cells of a load.
CELLS = 3


class Load:
    """The figures of this process. They are written where things happen, and nowhere else."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: MutableSequence[int] | memoryview[int] = [0] * CELLS

    def show(self, cells: memoryview[int]) -> None:
        """From now on the figures stand in these ``CELLS`` cells, where others see them too."""
        for number, value in enumerate(self._cells):
            cells[number] = value
        self._cells = cells

    def came(self) -> None:
        """A connection."""
        self._cells[_CONNECTIONS] += 1

    def went(self) -> None:
        """A connection."""
        self._cells[_CONNECTIONS] -= 1

    def resting(self, count: int) -> None:
        """So many connections have had no request for some seconds."""
        self._cells[_RESTING] = count

    def batch_came(self) -> None:
        self._cells[_BATCHES] += 1

    def batch_went(self) -> None:
        self._cells[_BATCHES] -= 1


def weight(cells: Sequence[int], coming: int) -> tuple[int, int, int]:
    """To be compared: who has less of it gets the next connection. ``coming``: connections that are on their way there."""
    connections = cells[_CONNECTIONS] + coming
    # A batch keeps a whole interpreter busy. But of connections that come at once nobody knows yet which will bring one: would a
    # batch weigh more than a connection, the others would all go elsewhere, and bring theirs there.
    # What rests is counted now and then, and may have gone since; so it decides only between those who are equally busy.
    return max(0, connections - cells[_RESTING]), cells[_BATCHES], connections
