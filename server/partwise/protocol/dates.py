"""Points in time as headers write them (RFC 9110 §5.6.7; ``X-OC-Mtime`` of the ownCloud and Nextcloud clients)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from partwise import errors

__all__ = ["format_http_date", "parse_http_date", "parse_mtime"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMATS = (
    # IMF-fixdate, the only one that senders may still generate
    re.compile(f"(?:{'|'.join(_DAYS)}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    # rfc850-date
    re.compile(f"(?:{'|'.join(_LONG_DAYS)}), (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    # asctime-date
    re.compile(f"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z, where datetime begins
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, the last that four digits of a year can write

_MTIME = re.compile(r"([0-9]{1,12})(?:\.([0-9]{0,30}))?")


def parse_http_date(value: str, now: datetime | None = None) -> int | None:
    """Seconds since 1970 of an HTTP-date in any of its three formats; ``None`` for what is none.

    Nothing is raised, since conditions with an invalid date are to be ignored (RFC 9110 §13.1.3, §13.1.4).
    The day's name is not compared with the date. ``now`` (aware, UTC) settles the century of a two-digit year;
    it defaults to the clock, because only the long dead rfc850-date needs it.
    """
    value = value.strip(" \t")
    found = next(filter(None, (pattern.fullmatch(value) for pattern in _FORMATS)), None)
    if found is None:
        return None
    month = _MONTHS.index(found["month"]) + 1
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    # RFC 9110 §5.6.7: second = 2DIGIT, "00" to "60" for the leap second, which datetime does not know.
    leap = second == 60
    moment = (month, day, hour, minute, 59 if leap else second)
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _century(year, moment, now or datetime.now(UTC))
    try:
        since = datetime(year, *moment, tzinfo=UTC) - _EPOCH
    except ValueError:
        return None
    return since // timedelta(seconds=1) + leap


def _century(two_digits: int, moment: tuple[int, int, int, int, int], now: datetime) -> int:
    # RFC 9110 §5.6.7: a two-digit year "that appears to be more than 50 years in the future" means "the most recent
    # year in the past that had the same last two digits".
    horizon = now.year + 50
    year = horizon - (horizon - two_digits) % 100
    if (year, *moment) > (horizon, now.month, now.day, now.hour, now.minute, now.second):
        year -= 100
    return year


def format_http_date(seconds: float) -> str:
    """The IMF-fixdate of a finite number of seconds since 1970, rounded down; English whatever the locale.

    A time outside the years 1 to 9999 (some file systems keep such) becomes the nearest one that can be written.
    Source: RFC 9110 §5.6.7.
    """
    return _format(math.floor(seconds))


@lru_cache(maxsize=4096)
def _format(second: int) -> str:
    moment = _EPOCH + timedelta(seconds=min(max(second, _FIRST_SECOND), _LAST_SECOND))
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def format_instant(seconds: int) -> str:
    """The date-time of RFC 3339 in UTC, as ``creationdate`` has it (RFC 4918 §15.1)."""
    moment = _EPOCH + timedelta(seconds=min(max(seconds, _FIRST_SECOND), _LAST_SECOND))
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}T{moment.hour:02}:{moment.minute:02}:{moment.second:02}Z"


def parse_mtime(value: str) -> int:
    """Nanoseconds since 1970 of an ``X-OC-Mtime`` of whole or decimal seconds (digits past the ninth are cut).

    Raises ``Malformed`` for anything else, a time before 1970 and one after the year 9999.
    """
    found = _MTIME.fullmatch(value.strip(" \t"))
    if found is None or int(found[1]) > _LAST_SECOND:
        raise errors.Malformed("X-OC-Mtime must be a number of seconds since 1970, like 1700000000.")
    fraction = (found[2] or "")[:9].ljust(9, "0")
    return int(found[1]) * 1_000_000_000 + int(fraction)
