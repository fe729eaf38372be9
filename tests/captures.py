"""What clients send, in their own bytes: captures with gaps for what changes, and the answers to them."""

from __future__ import annotations

from tests.harness import Answer, Client

DAV = "{DAV:}"


async def send(client: Client, head: str, body: bytes = b"") -> Answer:
    """A request as it stands in a capture: ``{host}`` and ``{length}`` are filled in."""
    filled = head.strip().replace("{host}", f"127.0.0.1:{client.port}").replace("{length}", str(len(body)))
    return await client.raw(filled.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def token(answer: Answer) -> str:
    return answer.headers["Lock-Token"].strip("<>")


def stated(answer: Answer) -> dict[str, int]:
    """Each property of a multistatus with one response, and its status."""
    return {
        str(element.tag): int((propstat.findtext(f"{DAV}status") or "").split()[1])
        for propstat in answer.xml.iterfind(f"{DAV}response/{DAV}propstat")
        for element in propstat.iterfind(f"{DAV}prop/*")
    }


def value(answer: Answer, name: str) -> str | None:
    return answer.xml.findtext(f".//{name}")


def lockinfo(owner: str = "", eol: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8" ?>{eol}<D:lockinfo xmlns:D="DAV:">{eol}<D:lockscope><D:exclusive/>'
        f"</D:lockscope>{eol}<D:locktype><D:write/></D:locktype>{eol}{owner}</D:lockinfo>"
    ).encode()
