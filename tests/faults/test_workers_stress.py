"""Two workers, many clients, few names: nothing is lost, nothing torn, no lock ignored, nothing left over."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.harness import form_part, multipart
from tests.interop.served import served
from tests.xml_documents import check_xml

OPERATIONS = 10_000
TOKENS = 4
MEMBERS = 5

LOCKINFO = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
MARK = (
    '<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><m:mark xmlns:m="urn:marks">{}</m:mark>'
    "</D:prop></D:set></D:propertyupdate>"
)
ASK_MARK = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><m:mark xmlns:m="urn:marks"/></D:prop></D:propfind>'
)
ASK_LOCKS = b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>'

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="several workers need Linux")


@dataclass(frozen=True)
class Answer:
    status: int
    etag: str | None
    token: str | None
    body: bytes


@dataclass
class Budget:
    """Requests that may still begin; an actor ends its round when there are none, or when another found a fault."""

    port: int
    taken: Iterator[int] = field(default_factory=itertools.count)
    counted: Counter[str] = field(default_factory=Counter)
    failed: threading.Event = field(default_factory=threading.Event)
    number: int = 0

    @property
    def open(self) -> bool:
        return self.number < OPERATIONS and not self.failed.is_set()


class Client:
    """One kept-alive connection."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._connection = http.client.HTTPConnection("127.0.0.1", budget.port, timeout=60)

    def __call__(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        self._budget.number = next(self._budget.taken)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, body or None, fields)
        response = self._connection.getresponse()
        answer = Answer(
            response.status, response.headers.get("ETag"), response.headers.get("Lock-Token"), response.read()
        )
        self._budget.counted[f"{method} {answer.status}"] += 1
        # A copy whose source was changed each time that it was tried is given up.
        assert answer.status < 500 or (method, answer.status) == ("COPY", 503), (method, target, answer)
        return answer

    def expect(self, statuses: set[int], method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        answer = self(method, target, body, **headers)
        assert answer.status in statuses, (method, target, headers, answer)
        return answer

    def close(self) -> None:
        self._connection.close()


@contextmanager
def client_of(budget: Budget) -> Iterator[Client]:
    client = Client(budget)
    try:
        yield client
    except BaseException:
        budget.failed.set()
        raise
    finally:
        client.close()


def as_if(token: str | None) -> str:
    return f"({token})"


# -- no update is lost


def increment_locked(budget: Budget) -> int:
    """Increments that were acknowledged."""
    done = 0
    with client_of(budget) as client:
        while budget.open:
            lock = client.expect({200, 423}, "LOCK", "/locked-counter", LOCKINFO, Depth="0", Timeout="Second-600")
            if lock.status == 423:
                continue
            number = int(client.expect({200}, "GET", "/locked-counter").body)
            client.expect({204}, "PUT", "/locked-counter", b"%d" % (number + 1), If=as_if(lock.token))
            done += 1
            client.expect({204}, "UNLOCK", "/locked-counter", Lock_Token=lock.token or "")
    return done


def increment_matched(budget: Budget) -> int:
    done = 0
    with client_of(budget) as client:
        while budget.open:
            found = client.expect({200}, "GET", "/matched-counter")
            number = b"%d" % (int(found.body) + 1)
            done += (
                client.expect({204, 412}, "PUT", "/matched-counter", number, If_Match=found.etag or "").status == 204
            )
    return done


# -- no file is torn


def described(maker: str, size: int) -> bytes:
    """Contents that tell their own length and digest, so that a part or a mixture is found out."""
    filling = random.Random(f"{maker} {size}").randbytes(size)
    return b"%s %d %s\n" % (maker.encode(), size, hashlib.sha256(filling).hexdigest().encode()) + filling


def is_whole(body: bytes) -> bool:
    head, _, filling = body.partition(b"\n")
    _, size, digest = head.rsplit(b" ", 2)
    return len(filling) == int(size) and hashlib.sha256(filling).hexdigest().encode() == digest


SIZES = (0, 1, 4_000, 70_000, 300_000)
TORN = ("/torn-0", "/torn-1", "/torn-2")


def write_and_read(budget: Budget, seed: int, etags: dict[str, bytes]) -> None:
    """Contents by every verb that brings some; what is read is whole, and an ETag always means the same bytes."""
    choose = random.Random(seed)
    with client_of(budget) as client:
        for number in itertools.count():
            if not budget.open:
                return
            name, other = choose.sample(TORN, 2)
            match choose.randrange(10):
                case 0 | 1:
                    body = described(f"writer {seed} {number}", choose.choice(SIZES))
                    stored = client.expect({201, 204}, "PUT", name, body)
                    if stored.etag is not None:
                        assert (
                            etags.setdefault(stored.etag, hashlib.sha256(body).digest())
                            == hashlib.sha256(body).digest()
                        )
                case 2:
                    bodies = [described(f"batch {seed} {number} {name}", choose.choice(SIZES[:3])) for name in TORN]
                    form = multipart([form_part(n[1:], b) for n, b in zip(TORN, bodies, strict=True)], "b")
                    client.expect({207}, "POST", "/", form, Content_Type="multipart/form-data; boundary=b")
                case 3:
                    client.expect({204, 404}, "DELETE", name)
                case 4:
                    client.expect({201, 204, 404, 503}, "COPY", name, Destination=other)
                case 5:
                    client.expect({201, 204, 404}, "MOVE", name, Destination=other)
                case 6:
                    client.expect({207, 404}, "PROPPATCH", name, MARK.format(number).encode())
                case _:
                    read = client.expect({200, 404}, "GET", name)
                    if read.status == 200:
                        assert is_whole(read.body), (name, len(read.body))
                        digest = hashlib.sha256(read.body).digest()
                        assert etags.setdefault(read.etag or "", digest) == digest, "one ETag, two contents"


# -- no lock is ignored


@dataclass
class Held:
    """The round in which the witness holds the lock, else 0."""

    round: int = 0


def witness(budget: Budget, held: Held) -> None:
    """While the lock is held the file holds what its holder wrote."""
    with client_of(budget) as client:
        for number in itertools.count(1):
            if not budget.open:
                return
            lock = client.expect({200, 201, 423}, "LOCK", "/guarded", LOCKINFO, Timeout="Second-600")
            if lock.status == 423:
                continue
            held.round = number
            own = described(f"witness {number}", 100)
            client.expect({204}, "PUT", "/guarded", own, If=as_if(lock.token))
            for _ in range(8):
                assert client.expect({200}, "GET", "/guarded").body == own, "somebody wrote although it is locked"
            held.round = 0
            client.expect({204}, "UNLOCK", "/guarded", Lock_Token=lock.token or "")


def intrude(budget: Budget, seed: int, held: Held) -> int:
    """Attempts made and refused wholly within one hold."""
    choose, refused = random.Random(seed), 0
    with client_of(budget) as client:
        client.expect({201, 204}, "PUT", f"/intruder-{seed}", described(f"intruder {seed}", 10))
        while budget.open:
            before = held.round
            match choose.randrange(6):
                case 0:
                    answer = client("PUT", "/guarded", described(f"intruder {seed}", 50))
                case 1:
                    answer = client("DELETE", "/guarded")
                case 2:
                    answer = client("COPY", f"/intruder-{seed}", Destination="/guarded")
                case 3:
                    answer = client("PROPPATCH", "/guarded", MARK.format("intruder").encode())
                case 4:
                    answer = client("MOVE", "/guarded", Destination=f"/taken-{seed}")
                case _:
                    answer = client("LOCK", "/guarded", LOCKINFO, Timeout="Second-600")
                    if answer.token is not None:
                        client.expect({204}, "UNLOCK", "/guarded", Lock_Token=answer.token)
            if before and before == held.round:
                assert answer.status == 423, answer
                refused += 1
    return refused


# -- nothing is lost or doubled by moving


def shuttle(budget: Budget, seed: int) -> int:
    """Moves of files and whole folders there and back; how many were made."""
    choose, moved = random.Random(seed), 0
    with client_of(budget) as client:
        while budget.open:
            pair = choose.choice([*((f"/here-{n}", f"/there-{n}") for n in range(TOKENS)), ("/folder-a", "/folder-b")])
            source, destination = choose.sample(pair, 2)
            answer = client.expect({201, 404, 412}, "MOVE", source, Destination=destination, Overwrite="F")
            moved += answer.status == 201
    return moved


def marks(client: Client, target: str) -> list[str | None]:
    """The mark of a resource and of its members."""
    answer = client.expect({207}, "PROPFIND", target, ASK_MARK, Depth="1")
    return sorted(element.text or "" for element in check_xml(answer.body).iter("{urn:marks}mark"))


def prepare(client: Client) -> None:
    client.expect({201}, "PUT", "/locked-counter", b"0")
    client.expect({201}, "PUT", "/matched-counter", b"0")
    client.expect({201}, "MKCOL", "/folder-a")
    named = {
        **{f"/here-{n}": f"token {n}" for n in range(TOKENS)},
        **{f"/folder-a/{n}": f"{n}" for n in range(MEMBERS)},
    }
    for name, mark in named.items():
        client.expect({201}, "PUT", name, mark.encode())
        client.expect({207}, "PROPPATCH", name, MARK.format(mark).encode())


def check_moved(client: Client) -> None:
    for number in range(TOKENS):
        found = [f"/{side}-{number}" for side in ("here", "there") if client("GET", f"/{side}-{number}").status == 200]
        assert len(found) == 1, "one of both names, never both or neither"
        assert client("GET", found[0]).body == b"token %d" % number
        with_mark = [check_xml(client("PROPFIND", found[0], ASK_MARK, Depth="0").body).findtext(".//{urn:marks}mark")]
        assert with_mark == [f"token {number}"]
        # What is made under the name that was left has no property of the one that moved on.
        (left,) = {f"/here-{number}", f"/there-{number}"} - set(found)
        client.expect({201}, "PUT", left, b"new")
        assert [text for text in marks(client, left) if text] == []
    (folder,) = [name for name in ("/folder-a", "/folder-b") if client("GET", name + "/").status == 200]
    for number in range(MEMBERS):
        assert client("GET", f"{folder}/{number}").body == b"%d" % number
    assert [text for text in marks(client, folder) if text] == [f"{n}" for n in range(MEMBERS)]


def leftovers(folder: Path) -> list[Path]:
    """What uploads, copies and deletions have left in staging."""
    return list((folder / ".partwise" / "staging").glob("*/*"))


def test_ten_thousand_operations(folder: Path) -> None:
    with served(folder, "--workers", "2") as url:
        budget = Budget(int(re.findall(r":(\d+)/", url)[0]))
        with client_of(budget) as client:
            prepare(client)
        etags: dict[str, bytes] = {}
        held = Held()
        jobs: dict[str, list[Callable[[], int | None]]] = {
            "locked": [lambda: increment_locked(budget)] * 3,
            "matched": [lambda: increment_matched(budget)] * 3,
            "torn": [lambda n=n: write_and_read(budget, n, etags) for n in range(4)],  # type: ignore[misc]
            "witness": [lambda: witness(budget, held)],
            "intruders": [lambda n=n: intrude(budget, n, held) for n in range(2)],  # type: ignore[misc]
            "moved": [lambda n=n: shuttle(budget, n) for n in range(3)],  # type: ignore[misc]
        }
        with ThreadPoolExecutor(sum(map(len, jobs.values()))) as pool:
            going = {name: [pool.submit(job) for job in work] for name, work in jobs.items()}
        done = {name: sum(future.result() or 0 for future in futures) for name, futures in going.items()}
        count = budget.counted
        assert count["COPY 503"] < count["COPY 201"] + count["COPY 204"], count
        with client_of(budget) as client:
            assert int(client("GET", "/locked-counter").body) == done["locked"] > 0
            assert int(client("GET", "/matched-counter").body) == done["matched"] > 0
            assert done["intruders"] > 0 and done["moved"] > 0, budget.counted
            check_moved(client)
            discovered = client.expect({207}, "PROPFIND", "/", ASK_LOCKS, Depth="infinity")
            assert check_xml(discovered.body).find(".//{DAV:}activelock") is None
        assert leftovers(folder) == []
        assert sum(budget.counted.values()) >= OPERATIONS
    assert list((folder / ".partwise" / "staging").iterdir()) == []
