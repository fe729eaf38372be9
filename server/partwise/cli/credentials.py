"""Who is asking: user and password for ``partwise push``, never on the command line by force."""

from __future__ import annotations

import getpass
import netrc
import os
import sys

from yarl import URL

__all__ = ["VARIABLE", "find_credentials"]

VARIABLE = "PARTWISE_PASSWORD"


def find_credentials(url: str, user: str | None) -> tuple[str | None, str | None]:
    """User and password, ``None`` without. The user is ``user``, else that of the URL, else that of ``~/.netrc``.

    The password is the first of: the one in the URL, the environment's, the one in ``~/.netrc``, and what is typed at the
    terminal. Raises ValueError, with a sentence for people, if there is a user and no way to a password.
    """
    address = URL(url)
    name = user or address.user
    if name is not None and address.password is not None and name == address.user:
        return name, address.password
    kept = _from_netrc(address.host or "")
    if name is None:
        return kept if kept is not None else (None, None)
    password = os.environ.get(VARIABLE)
    if password is not None:
        return name, password
    if kept is not None and kept[0] == name:
        return kept
    if not sys.stdin.isatty():
        raise ValueError(f"there is no password for {name}: set {VARIABLE}, or write it into ~/.netrc")
    return name, getpass.getpass(f"Password of {name} at {address.host}: ")


def _from_netrc(host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc().authenticators(host)
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError) as error:
        raise ValueError(f"~/.netrc cannot be read: {error}") from None
    if found is None or found[2] is None:
        return None
    return found[0] or "", found[2]
