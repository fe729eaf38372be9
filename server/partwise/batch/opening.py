"""Which container an upload is, from the header fields of the request."""

from __future__ import annotations

from partwise.actions.methods import CONTAINERS
from partwise.batch.codings import CODINGS, CodedDecoder
from partwise.batch.containers import ArchiveContainer, Container, Decoder, FormContainer, MixedContainer
from partwise.batch.zip_reader import ZipDecoder, ZipLimits
from partwise.errors import Malformed, UnsupportedType
from partwise.protocol.media_types import MediaType
from partwise.protocol.multipart import MultipartDecoder
from partwise.protocol.paths import Mount, Path
from partwise.protocol.tar import TarDecoder

#: The media types of tar archives and the coding that each implies. Only the first has many users, and none is
#: registered: the others are what desktops (shared-mime-info), GNU tar and people who call curl say.
_TARS = {
    "application/x-tar": "",
    "application/tar": "",
    "application/x-gtar": "",
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/x-tar+gzip": "gzip",
    "application/x-compressed-tar": "gzip",
    "application/x-gtar-compressed": "gzip",
    "application/x-tgz": "gzip",
    "application/zstd": "zstd",
    "application/x-zstd-compressed-tar": "zstd",
}
_ZIPS = ("application/zip", "application/x-zip-compressed")
_MULTIPART = ("multipart/form-data", "multipart/mixed", "multipart/related")


def open_container(
    kind: MediaType | None,
    coding: str | None,
    mount: Mount,
    collection: Path,
    authority: str | None,
    spool_folder: str,
    *,
    limit: int | None = None,
    members: int = 200_000,
) -> tuple[Container, Decoder]:
    """How a body of this ``Content-Type`` and ``Content-Encoding``, posted to ``collection``, is taken apart.

    ``authority`` is the request's Host. ``spool_folder``: where a ZIP archive waits until it is whole. ``limit``: bytes of
    a body, and of what it is expanded to before its items are looked at; ``members``: entries of a ZIP archive.
    Raises ``UnsupportedType`` for other types and codings, ``Malformed`` for a missing or illegal boundary.
    """
    essence = None if kind is None else kind.essence
    codings = [name for part in (coding or "").lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if essence in _TARS:
        return ArchiveContainer(mount, collection), _tar(codings, _TARS[essence], limit)
    if kind is None or (essence not in _ZIPS and essence not in _MULTIPART):
        raise UnsupportedType(f"Send items as one of these: {', '.join(CONTAINERS)}.", accepted=CONTAINERS)
    if codings:
        raise UnsupportedType(f"The coding {coding!r} is not taken here; send the bytes as they are.")
    if essence in _ZIPS:
        return ArchiveContainer(mount, collection), ZipDecoder(spool_folder, ZipLimits(size=limit, members=members))
    boundary = kind.parameter("boundary")
    if boundary is None:
        raise Malformed("The Content-Type has no boundary.")
    decoder = MultipartDecoder(boundary.encode("utf-8", "surrogateescape"), whole=True)
    if essence == "multipart/form-data":
        return FormContainer(mount, collection), decoder
    return MixedContainer(mount, collection, authority), decoder


def _tar(codings: list[str], implied: str, limit: int | None) -> Decoder:
    codings = [*([implied] if implied else []), *codings]
    # "Content-Type: application/gzip" with "Content-Encoding: gzip" is what people write who mean one gzip.
    if len(codings) == 2 and implied and codings[1].removeprefix("x-") == implied:
        del codings[1]
    if not codings:
        return TarDecoder()
    if len(codings) > 1 or codings[0] not in CODINGS:
        taken = ", ".join(CODINGS)
        raise UnsupportedType(f"The coding {', '.join(codings)!r} of an archive is not taken here; use one of {taken}.")
    return CodedDecoder(codings[0], TarDecoder(), limit)
