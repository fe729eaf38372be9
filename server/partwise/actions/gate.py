"""The one gate before any write: may this request change what stands at the target now?

It is asked at admission, so that a refusal costs no bytes, and again inside the store's critical section, where the
answer counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from partwise.errors import PreconditionFailed
from partwise.protocol.conditions import Conditions, Verdict
from partwise.protocol.etags import ETag
from partwise.storage.base import Resource

UNCONDITIONAL = Conditions()


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions of one write. ``overwrite=False``: the target must not exist (RFC 4918 §10.6).

    ``if_header`` is the field ``If`` (§10.4). There are no locks yet, so no state token can hold; and a condition that is
    not understood must not be taken for true, since ignoring it loses data.
    """

    conditions: Conditions = UNCONDITIONAL
    overwrite: bool = True
    if_header: str | None = None

    def check_if(self, standing: Resource | None) -> None:
        """What is judged before the kind of the body. Raises PreconditionFailed."""
        if self.if_header is not None:
            raise PreconditionFailed(
                "Conditions in 'If' are not understood by this server yet, so nothing was done; use If-Match."
            )

    def check(self, standing: Resource | None) -> None:
        """Raises PreconditionFailed. ``standing`` is what the target is now, ``None`` if nothing."""
        self.check_if(standing)
        if not self.overwrite and standing is not None:
            raise PreconditionFailed("Something stands under this name, and overwriting was forbidden.")
        if self.conditions.is_unconditional:
            return
        verdict = self.conditions.evaluate(
            False,
            standing is not None,
            etag_of(standing),
            None if standing is None else standing.modified_ns / 1e9,
        )
        if verdict is not Verdict.PASS:
            raise PreconditionFailed("The resource is not in the state that the request's conditions ask for.")


def etag_of(resource: Resource | None) -> ETag | None:
    """The entity tag of a file; collections have none."""
    return None if resource is None or resource.etag is None else ETag(resource.etag)
