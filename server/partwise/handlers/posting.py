"""What is checked of every upload, through whichever door it comes."""

from __future__ import annotations

from aiohttp import hdrs

from partwise.batch.steering import Steering, from_headers, from_query
from partwise.errors import TooLarge, UnsupportedType
from partwise.handlers.context import Call


def said(call: Call) -> Steering:
    """What the headers and the query say about the batch. Raises Malformed."""
    headers = from_headers(
        call.header("Overwrite"), call.header("Prefer"), call.header("Incremental"), call.header("Idempotency-Key")
    )
    return from_query(call.target.query).under(headers)


def check_length(call: Call) -> None:
    """Raises TooLarge."""
    limit, length = call.services.config.max_batch_size, call.request.content_length
    if limit is not None and length is not None and length > limit:
        raise TooLarge(f"An upload may have {limit} bytes at most; send it in parts.", limit=limit)


def check_coding(call: Call) -> None:
    """Raises UnsupportedType for a body that is not sent as it is."""
    coding = (call.header(hdrs.CONTENT_ENCODING) or "").strip()
    if coding.lower() not in ("", "identity"):
        raise UnsupportedType(f"The coding {coding!r} is not taken here; send the bytes as they are.")
