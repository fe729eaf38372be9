"""XML items: well-formed, and valid where the operator has a schema for the root element.

Nothing is loaded or expanded: no DTD, no entity, no ``xsi:schemaLocation``. Memory is constant; refused at the first
error. One validator belongs to the thread that feeds it.
"""

from __future__ import annotations

from partwise.errors import TooLarge
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.schemas import Schemas
from partwise.intake.validators.xml_encoding import ToUtf8
from partwise.intake.validators.xml_form import Form
from partwise.intake.validators.xml_prolog import Prolog
from partwise.intake.validators.xml_schema import SchemaReader, no_such_root

#: The root's start tag must be complete within this many bytes; they are kept until then.
MAX_PROLOG = 64 * 1024
_SLICE = 1024


class XmlValidator:
    """One XML document."""

    def __init__(self, schemas: Schemas | None, charset: str | None) -> None:
        self._schemas = schemas
        self._utf8 = ToUtf8(charset)
        self._begun = False
        self._prolog = Prolog()
        self._form = Form()
        self._buffer = b""
        self._reader: Form | SchemaReader | None = None

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.NotWellFormed`, :class:`~partwise.errors.SchemaInvalid`,
        :class:`~partwise.errors.RuleFailed` (entities), :class:`~partwise.errors.TooLarge` or
        :class:`~partwise.errors.UnsupportedType` (charset)."""
        self._begun = self._begun or bool(data)
        self._read(self._utf8.feed(data))

    def finish(self) -> None:
        """Raises as :meth:`feed`. An empty body passes."""
        if not self._begun:
            return
        self._read(self._utf8.finish())
        if self._reader is None:
            # The form keeps bytes of a long token: only now the root element may be known.
            self._form.finish()
            self._reader = self._choose()
        self._reader.finish()

    def _read(self, data: bytes) -> None:
        at = 0
        while self._reader is None and at < len(data):
            self._look(data[at : at + _SLICE])
            at += _SLICE
        if self._reader is not None and at < len(data):
            self._reader.feed(data[at:])

    def _look(self, piece: bytes) -> None:
        """Chooses the reader once the root element is known."""
        self._buffer += piece
        self._prolog.feed(piece)
        self._form.feed(piece)
        if len(self._buffer) > MAX_PROLOG:
            self._form.flush()
        if self._form.root is not None:
            self._reader = self._choose()
        elif len(self._buffer) > MAX_PROLOG:
            raise TooLarge("The XML item's root element does not begin within 64 KiB.", limit=MAX_PROLOG)

    def _choose(self) -> Form | SchemaReader:
        head, self._buffer = self._buffer, b""
        # A document without a root element does not come here: its form is refused.
        namespace, name = self._form.root or (None, "")
        if self._schemas is None or not self._schemas.covers(namespace):
            return self._form
        schema = self._schemas.get(namespace, name)
        if schema is None:
            raise no_such_root(head, name)
        return SchemaReader(schema, self._form, head)


class XmlRules:
    """The factory for ``text/xml``, ``application/xml`` and ``*+xml``; without schemas: well-formedness only."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas

    def __call__(self, candidate: Candidate) -> Validator | None:
        declared = candidate.media_type or ""
        if declared not in ("text/xml", "application/xml") and not declared.endswith("+xml"):
            return None
        return XmlValidator(self._schemas, candidate.charset)
