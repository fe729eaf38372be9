"""POST of XML to a collection: Apple's ``multiput``, through the same engine as every batch."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.batch.doors.multiput import MultiputContainer, MultiputForm
from partwise.batch.forms import choose_form
from partwise.batch.steering import Steering
from partwise.handlers.context import Call
from partwise.handlers.expect import check_expectation
from partwise.handlers.posting import check_coding, check_length
from partwise.handlers.upload import Posted, receive
from partwise.protocol.media_types import MediaType
from partwise.protocol.multiput import MultiputDecoder
from partwise.protocol.paths import Path
from partwise.storage.base import Resource

_XML_TYPES = ("application/xml", "text/xml")


def is_multiput(kind: MediaType | None) -> bool:
    """May a body of this type be one? Whether it is tells its root element; another is refused before anything is done."""
    return kind is not None and kind.essence in _XML_TYPES


async def multiput(call: Call, collection: Resource, steering: Steering, gate: Gate) -> web.StreamResponse:
    """Change members of the collection.

    It was found out before who asks, from which site, that this person may write, that the collection is one, and that its
    ``If`` and locks let it pass.
    """
    services = call.services
    check_coding(call)
    form = choose_form(call.header(hdrs.ACCEPT))
    check_length(call)
    gate.check_conditions(collection)
    check_expectation(call.request)
    decoder = MultiputDecoder()

    def standing(path: Path) -> Mapping[str, str]:
        return services.store.properties([path]).get(path, {})

    container = MultiputContainer(
        services.mount,
        collection.path,
        call.request.host,
        decoder,
        new_name=lambda: str(uuid4()),
        most=services.config.max_properties_size,
        standing=standing,
    )
    # The other forms are ours, and so is whoever asks for them.
    told = MultiputForm() if form.media_type in _XML_TYPES else form
    return await receive(call, Posted(told, container, decoder, steering, gate))
