"""Who may do what: the whole table."""

from __future__ import annotations

import pytest

from partwise.auth.policy import Policy
from partwise.errors import Failure, NotAllowed, Unauthenticated

READ_ONLY = frozenset({"rob"})
NOTHING, READS, WRITES = (False, False), (True, False), (True, True)

#: what anonymous may do, is there a file of users, principal, failure of reading, failure of writing
TABLE: list[tuple[tuple[bool, bool], bool, str | None, type[Failure] | None, type[Failure] | None]] = [
    (NOTHING, False, None, NotAllowed, NotAllowed),
    (READS, False, None, None, NotAllowed),
    (WRITES, False, None, None, None),
    (NOTHING, True, None, Unauthenticated, Unauthenticated),
    (READS, True, None, None, Unauthenticated),
    (WRITES, True, None, None, None),
    (NOTHING, True, "ann", None, None),
    (READS, True, "ann", None, None),
    (WRITES, True, "ann", None, None),
    (NOTHING, True, "rob", None, NotAllowed),
    (READS, True, "rob", None, NotAllowed),
    (WRITES, True, "rob", None, NotAllowed),
]


@pytest.mark.parametrize(("anonymous", "has_users", "principal", "reading", "writing"), TABLE)
def test_policy(
    anonymous: tuple[bool, bool],
    has_users: bool,
    principal: str | None,
    reading: type[Failure] | None,
    writing: type[Failure] | None,
) -> None:
    policy = Policy(*anonymous, has_users, READ_ONLY)
    assert policy.may_read(principal) is (reading is None)
    assert policy.may_write(principal) is (writing is None)
    for require, failure in ((policy.require_read, reading), (policy.require_write, writing)):
        if failure is None:
            require(principal)
        else:
            with pytest.raises(failure):
                require(principal)
