"""The validators that come with the server, in the order in which they judge."""

from __future__ import annotations

from partwise.intake.validators.base import ValidatorFactory
from partwise.intake.validators.gif import gif
from partwise.intake.validators.jpeg import jpeg
from partwise.intake.validators.json_text import json_text
from partwise.intake.validators.pdf import pdf
from partwise.intake.validators.png import png
from partwise.intake.validators.schemas import Schemas
from partwise.intake.validators.signatures import SignatureValidator
from partwise.intake.validators.xml_text import XmlRules
from partwise.intake.validators.zip_archive import zip_archive


def builtin_validators(schemas: Schemas | None) -> tuple[ValidatorFactory, ...]:
    """Signatures, formats, JSON, XML: the wrong type (415) is told before what is broken in the right one (400)."""
    return (SignatureValidator(), png, jpeg, gif, pdf, zip_archive, json_text, XmlRules(schemas))
