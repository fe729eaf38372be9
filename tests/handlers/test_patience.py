"""How long a client is waited for, on a clock that the tests turn."""

from __future__ import annotations

import pytest

from partwise.handlers.patience import Patience, Phase, Watch

PATIENCE = Patience(head=10, idle=30, body=20, send=25, rate=100, window=60)
SILENT, HEAD, IDLE, BODY, READER, BUSY = Phase

#: A phase, the number of the request, bytes so far.
Look = tuple[Phase, int, int]


def ends(looks: list[Look], patience: Patience = PATIENCE) -> int | None:
    """After how many seconds is it late, looked at once a second?"""
    watch = Watch(0.0)
    for second, look in enumerate(looks, 1):
        if watch.late(*look, float(second), patience):
            return second
    return None


def test_a_connection_that_says_nothing() -> None:
    assert ends([(SILENT, 0, 0)] * 20) == 10


def test_the_first_head_has_the_time_of_the_connection() -> None:
    assert ends([(SILENT, 0, 0)] * 8 + [(HEAD, 0, n) for n in range(20)]) == 10


def test_a_head_that_dribbles_is_late_as_a_whole() -> None:
    assert ends([(BUSY, 1, 90), *((HEAD, 1, 100 + n) for n in range(20))]) == 12


def test_each_head_has_its_own_time() -> None:
    assert ends([look for n in range(1, 9) for look in [*[(HEAD, n, n)] * 9, (BUSY, n + 1, n)]]) is None


def test_between_requests() -> None:
    assert ends([(BUSY, 1, 0)] * 100 + [(IDLE, 1, 0)] * 50) == 131
    assert ends([look for n in range(1, 5) for look in [*[(IDLE, n, 0)] * 29, (BUSY, n, 0)]]) is None


def test_a_body_that_stops() -> None:
    assert ends([(BODY, 1, min(n, 5) * 1000) for n in range(50)]) == 6 + 20


def test_a_body_that_stops_now_and_then() -> None:
    assert ends([(BODY, 1, n // 19 * 19 * 200) for n in range(600)]) is None


@pytest.mark.parametrize(("rate", "late"), [(1, 121), (99, 121), (101, None), (2000, None)])
@pytest.mark.parametrize("phase", [BODY, READER])
def test_what_dribbles(phase: Phase, rate: int, late: int | None) -> None:
    assert ends([(phase, 1, n * rate) for n in range(600)]) == late


def test_what_dribbles_after_a_good_beginning() -> None:
    assert ends([(BODY, 1, 10**9 + n) for n in range(1, 300)]) == 121
    assert ends([(BODY, 1, n * 1000 if n < 200 else 200_000 + n) for n in range(600)]) == 301


def test_no_rate_is_asked_for() -> None:
    free = Patience(head=10, idle=30, body=20, send=25, rate=0, window=60)
    assert ends([(BODY, 1, n // 10) for n in range(1000)], free) is None


def test_the_time_of_the_server_is_not_the_client_s() -> None:
    """While it computes, or holds bytes back."""
    assert ends([(BODY, 1, 5), *[(BUSY, 1, 5)] * 1000, (BODY, 1, 5)]) is None
    # One look that finds it waiting says nothing about the second before.
    assert ends([(BODY, 1, 5), (BUSY, 1, 5)] * 500) is None


def test_a_pause_of_the_server_forgives_nothing() -> None:
    assert ends([*[(BODY, 1, 5)] * 11, *[(BUSY, 1, 5)] * 5, *[(BODY, 1, 5)] * 50]) == 27


def test_the_next_request_starts_anew() -> None:
    assert ends([(BODY, n // 19, 0) for n in range(19, 600)]) is None


def test_a_reader_that_stops() -> None:
    assert ends([(READER, 1, min(n, 5) * 1000) for n in range(50)]) == 6 + 25


def test_a_reader_that_takes_all_there_is_is_never_slow() -> None:
    """Who follows a batch, row by row."""
    assert ends([look for n in range(50) for look in [*[(READER, 1, n)] * 20, (BUSY, 1, n)]]) is None
