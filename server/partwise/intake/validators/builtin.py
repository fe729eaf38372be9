"""The validators that come with the server, in the order in which they judge."""

from __future__ import annotations

from partwise.intake.validators.base import Candidate, Validator, ValidatorFactory
from partwise.intake.validators.gif import gif
from partwise.intake.validators.jpeg import jpeg
from partwise.intake.validators.json_text import json_text
from partwise.intake.validators.pdf import pdf
from partwise.intake.validators.png import png
from partwise.intake.validators.schemas import Schemas
from partwise.intake.validators.signatures import SignatureValidator
from partwise.intake.validators.xml_text import XmlRules
from partwise.intake.validators.zip_archive import zip_archive

#: Declared types remembered.
_TYPES = 256


def in_order(schemas: Schemas | None) -> tuple[ValidatorFactory, ...]:
    """Signatures, formats, JSON, XML: the wrong type (415) is told before what is broken in the right one (400)."""
    return (SignatureValidator(), png, jpeg, gif, pdf, zip_archive, json_text, XmlRules(schemas))


def builtin_validators(schemas: Schemas | None) -> tuple[ValidatorFactory, ...]:
    """All of them, asked about each declared type only once."""
    return (_ByType(in_order(schemas)),)


class _ByType:
    """The built-in factories choose by the declared type alone; so each type is asked about once."""

    def __init__(self, factories: tuple[ValidatorFactory, ...]) -> None:
        self._factories = factories
        self._chosen: dict[str | None, tuple[ValidatorFactory, ...]] = {}

    def __call__(self, candidate: Candidate) -> Validator | None:
        chosen = self._chosen.get(candidate.media_type)
        if chosen is None:
            if len(self._chosen) >= _TYPES:
                self._chosen.clear()  # types are the clients' words, and they have many
            chosen = tuple(factory for factory in self._factories if factory(candidate) is not None)
            self._chosen[candidate.media_type] = chosen
        return _Several(tuple(filter(None, (factory(candidate) for factory in chosen)))) if chosen else None


class _Several:
    """Several validators of one body, in their order. None of the built-in ones ever waits."""

    def __init__(self, validators: tuple[Validator, ...]) -> None:
        self._validators = validators

    def feed(self, data: bytes) -> None:
        for validator in self._validators:
            validator.feed(data)

    def finish(self) -> None:
        for validator in self._validators:
            validator.finish()
