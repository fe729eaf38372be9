"""The query of a request-target as fields (``application/x-www-form-urlencoded``, WHATWG URL §5)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from partwise.errors import Malformed

#: Fields in one query.
MAX_FIELDS = 100


def parse_query(query: str) -> list[tuple[str, str]]:
    """Names and values in their order. Raises Malformed for more than 100 fields."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Malformed(f"The query has more than {MAX_FIELDS} fields.") from None
