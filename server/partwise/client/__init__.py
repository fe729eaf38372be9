"""The client of a partwise server: what ``partwise push`` uses, for any program.

::

    async with Client("https://files.example.org/photos/", user="alice", password="…") as client:
        found = find(["holiday/"])
        listing = await client.list()
        changed = [item for item in found.items if not listing.holds(item)]
        async for row in client.push(changed):
            if not row.good:
                print(row.item.name, row.status, row.text)

Files are sent in batches, several at once, and streamed; each has a :class:`Row` with its fate as soon as that is final.
Uploads that break off are taken up again: only what was not stored is sent a second time.
"""

from partwise.client.attempt import Options, Row
from partwise.client.client import Client
from partwise.client.items import Findings, Item, Skipped, find
from partwise.client.listing import Limits, Listing, Stored
from partwise.client.upload import Progress
from partwise.client.wire import CannotConnect, ClientError, Refused

__all__ = [
    "CannotConnect",
    "Client",
    "ClientError",
    "Findings",
    "Item",
    "Limits",
    "Listing",
    "Options",
    "Progress",
    "Refused",
    "Row",
    "Skipped",
    "Stored",
    "find",
]
