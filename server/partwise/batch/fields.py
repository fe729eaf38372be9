"""The fields of a form that are no files: those before the first file steer the upload."""

from __future__ import annotations

from partwise.batch import steering as steer
from partwise.batch.containers import Container, FormContainer
from partwise.batch.steering import Steering
from partwise.errors import Malformed, TooLarge

#: What a field costs beyond its value, so that empty ones are bounded too.
COST = 64


class FormFields:
    """``limit``: bytes of all fields together."""

    def __init__(self, container: Container, limit: int) -> None:
        self._container = container
        self._limit = limit
        self._size = 0
        self._name = ""
        self._value = bytearray()
        self.steering = Steering()
        #: Fields that mean nothing.
        self.ignored = 0

    def count(self, size: int) -> None:
        """Raises TooLarge."""
        self._size += size
        if self._size > self._limit:
            raise TooLarge(
                f"The fields of the form are larger than {self._limit} bytes together.",
                limit=self._limit,
            )

    def begin(self, name: str) -> None:
        self.count(COST)
        self._name, self._value = name, bytearray()

    def add(self, data: bytes) -> None:
        self.count(len(data))
        self._value += data

    def end(self, *, items: bool) -> None:
        """``items``: some have come already. Raises Malformed."""
        name, value = self._name, self._value.decode("utf-8", "replace")
        if name == "_charset_" and isinstance(self._container, FormContainer):
            self._container.use_charset(value)
        elif not steer.is_steering(name):
            self.ignored += 1
        elif items:
            raise Malformed(f"The field {name!r} steers the upload and must stand before the first file.")
        elif name == "batch":
            # The report has begun under another name.
            raise Malformed("Name the batch in the query or in Idempotency-Key; a field of the form comes too late.")
        else:
            self.steering = self.steering.with_field(name, value)
