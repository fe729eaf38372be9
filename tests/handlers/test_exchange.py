"""The seats of several workers in one process: who is least busy, what is passed on, and what is left by the dead."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from partwise.handlers.exchange import Exchange, Seat
from partwise.handlers.load import Load

WORKERS = 3


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with closing(Exchange(WORKERS)) as found:
        yield found


def seated(exchange: Exchange, number: int) -> tuple[Seat, Load]:
    seat, load = exchange.seat(number), Load()
    load.show(seat.load)
    seat.open()
    return seat, load


@pytest.fixture
def workers(exchange: Exchange) -> list[tuple[Seat, Load]]:
    return [seated(exchange, number) for number in range(WORKERS)]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection, of which the second one can be given away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=20)
        return client, listening.accept()[0]


def test_a_connection_arrives_as_it_was(workers: list[tuple[Seat, Load]]) -> None:
    (giver, _), (taker, _), _ = workers
    client, connection = pair()
    with client:
        name = connection.getsockname()
        client.sendall(b"before")
        assert giver.give(connection, 1)
        assert connection.fileno() == -1
        [found] = taker.take()
        with found:
            assert (found.family, found.type, found.proto) == (
                socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
            )
            assert found.getsockname() == name
            assert not os.get_inheritable(found.fileno())
            assert found.recv(100) == b"before"
    assert list(taker.take()) == []


def test_who_is_least_busy(workers: list[tuple[Seat, Load]]) -> None:
    (first, _), (second, load_2), (third, load_3) = workers
    assert (first.least_busy(), second.least_busy()) == (0, 1)
    load_2.came()
    assert second.least_busy() == 0
    workers[0][1].came()
    load_3.came()
    load_3.batch_came()
    # Of equals those without a batch.
    assert (first.least_busy(), second.least_busy(), third.least_busy()) == (0, 1, 0)
    load_2.came()
    workers[0][1].came()
    assert first.least_busy() == 2
    load_3.batch_went()
    assert first.least_busy() == 2


def test_what_rests_decides_between_equals(workers: list[tuple[Seat, Load]]) -> None:
    (first, load_1), (_, load_2), (_, load_3) = workers
    for load in (load_1, load_1, load_2, load_3, load_3):
        load.came()
    load_1.resting(2)
    assert first.least_busy() == 0
    load_2.resting(1)
    load_3.resting(2)
    assert first.least_busy() == 1
    load_2.resting(7)
    assert first.least_busy() == 1, "some have gone since they were counted"


def test_what_is_on_its_way_counts(workers: list[tuple[Seat, Load]]) -> None:
    giver, load = workers[0]
    load.came()
    ends = [pair() for _ in range(2)]
    for client, connection in ends:
        place = giver.least_busy()
        assert giver.give(connection, place)
        client.close()
    for seat, _ in workers[1:]:
        [found] = seat.take()
        found.close()


def test_nothing_is_given_where_there_is_no_room(workers: list[tuple[Seat, Load]]) -> None:
    (giver, load), (taker, _), _ = workers
    client, connection = pair()
    with client, connection:
        given = 0
        while giver.give(copy := connection.dup(), 1):
            given += 1
        with copy:
            assert given > 0
            client.sendall(b"still ours")
            assert copy.recv(100) == b"still ours"
        taken = list(taker.take())
        assert len(taken) == given
        for each in taken:
            each.close()
        # What could not be given is not on its way.
        for _ in range(2):
            load.came()
        workers[2][1].came()
        assert giver.least_busy() == 1


def test_the_dead_get_nothing_and_leave_what_they_had(exchange: Exchange, workers: list[tuple[Seat, Load]]) -> None:
    (giver, load), (_, dead), _ = workers
    client, connection = pair()
    with client:
        dead.came()
        dead.batch_came()
        assert giver.give(connection, 1)
        exchange.vacate(1)
        for _ in range(5):
            load.came()
            workers[2][1].came()
        assert giver.least_busy() == 0
        successor = exchange.seat(1)
        assert giver.least_busy() == 0, "it is not ready"
        Load().show(successor.load)
        successor.open()
        assert giver.least_busy() == 1, "what kept the dead busy is gone"
        [found] = successor.take()
        with found:
            client.sendall(b"x")
            assert found.recv(1) == b"x"


def test_a_successor_is_not_charged_with_what_was_lost(exchange: Exchange, workers: list[tuple[Seat, Load]]) -> None:
    """A connection that its giver counted and never sent is forgotten with the next one that comes."""
    (giver, _), (taker, _), _ = workers
    giver._rows[1][giver._given][0] += 5
    assert taker.least_busy() == 0
    client, connection = pair()
    with client:
        assert giver.give(connection, 1)
        for found in taker.take():
            found.close()
    assert taker.least_busy() == 1
