"""The settings, typed and validated: flags beat the environment (``PARTWISE_…``), which beats a TOML file."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from partwise.protocol.media_types import AcceptedTypes

_PREFIX = "PARTWISE_"
#: What begins like a setting in the environment and is none: ``partwise push`` reads the first, this project's tests the others.
_OTHER_VARIABLES = {"PARTWISE_PASSWORD", "PARTWISE_LONG", "PARTWISE_SEED"}

Size = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Config(BaseSettings):
    """Everything an operator can set. Sizes in bytes, times in seconds; ``None`` as a limit: bounded by the disk alone."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    #: The served folder; it must exist.
    directory: Path
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    #: Processes that serve together. One Python process uses little more than one core; more than this is a typing mistake.
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    #: Do the threads of a process stay on one processor (Linux)? It makes uploads of many small files up to twice as fast.
    stay: bool = True
    #: When is a write acknowledged? ``full``: when it survives a power cut; ``os``: when the operating system has it.
    durability: Literal["full", "os"] = "full"
    #: The path under which requests arrive.
    prefix: str = "/"
    #: How the outside world sees the folder's root, where a proxy stands in front.
    public_url: str | None = None
    #: The reserved name directly below the prefix.
    service_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$")] = "-"
    #: A file of users and hashed passwords, as Apache's htpasswd writes it.
    htpasswd: Path | None = None
    #: Users of that file who may not write.
    read_only: tuple[str, ...] = ()
    #: What somebody without credentials may do. Not said: nothing where there are users; else on loopback everything, and
    #: elsewhere the server does not start.
    anonymous: Literal["read", "write"] | None = None
    #: Networks of proxies whose ``X-Forwarded-Host``, ``-Proto`` and ``-Port`` are believed. Anybody can send these fields,
    #: and they decide what counts as a URL of this server: so nobody is believed unasked.
    trusted_proxies: tuple[str, ...] = ()
    #: Does the report begin before the upload has ended? ``auto``: for clients that can certainly read it.
    early: Literal["auto", "always", "never"] = "auto"
    #: Networks of clients or proxies that can read an early report.
    early_peers: tuple[str, ...] = ()
    #: A folder of XML schemas; items in their namespaces are validated.
    schemas: Path | None = None
    #: The media types that are taken, such as ``image/*``.
    accept: tuple[str, ...] = ("*/*",)
    #: What happens to ``._*`` and ``.DS_Store``, which macOS leaves in every folder that it visits.
    apple_files: Literal["keep", "refuse"] = "keep"
    #: The most bytes that a collection may hold, by its path: ``/alice``, or ``/`` for all.
    quota: dict[str, Size] = {}

    max_item_size: Size | None = None
    max_batch_size: Size | None = None
    #: A name and its fate take about 200 bytes of memory each while a batch runs.
    max_items: Size = 200_000
    #: What is good in an atomic batch is held until its end, with about 2 KiB of memory an item; it is stored while all other
    #: writers wait.
    max_atomic_items: Size = 20_000
    #: A DAV: request body; real ones have a few KiB.
    max_protocol_body: Size = 1024 * 1024
    #: All stored properties of one resource together; they are held in memory while a listing shows them. Larger values are
    #: contents and belong into a file.
    max_properties_size: Size = 1024 * 1024
    #: Rows in one answer to sync-collection; a client with more to learn goes on from the token it gets (RFC 6578 §3.6).
    max_sync: Size = 10_000
    #: Header fields of a request; long ``If`` headers are legal, so more than usual.
    max_header: Size = 64 * 1024
    #: Parts of one range request; more are a way to make a server work (RFC 9110 §14.2).
    max_ranges: Size = 64
    #: ``Depth: infinity`` for PROPFIND.
    infinite_depth: bool = True
    #: How long a lock holds whose client asks for nothing.
    lock_timeout: Seconds = 3600
    #: The longest lock, also for ``Infinite``: the owner of a forgotten one may never come back (RFC 4918 §10.7).
    max_lock_timeout: Seconds = 7 * 24 * 3600
    #: How long a connection may take until its first request has arrived, and a request from its first byte to the end of its
    #: head. The longest legal head takes 32 s at 2 KiB/s.
    header_timeout: Seconds = 40
    #: How long a connection may wait between two requests. Longer than most proxies keep theirs (60 to 90 s), since a request
    #: that meets the end of its connection must be sent again; an idle connection costs some 10 KiB.
    keep_alive: Seconds = 120
    #: How long the server waits for a next byte of a body, and for a reader to take one. A train is through its tunnel by then.
    body_timeout: Seconds = 60
    send_timeout: Seconds = 60
    #: Bytes a second that a body or a reader must make on average of ``rate_window`` seconds, after a first one that counts for
    #: nothing. Bad mobile links make 2,000; what makes less than this only holds something open. 0: anything is fast enough.
    min_rate: Annotated[int, Field(ge=0)] = 256
    rate_window: Seconds = 60
    #: Connections of one worker. More than half of the descriptors that the system grants are never used for them.
    max_connections: Size = 4096
    #: Connections from one address to one worker. Behind a proxy or NAT all clients have the same one: so none is set.
    max_address_connections: Size | None = None
    #: Bodies that one worker receives at once; each may take 512 KiB of memory. What comes whole with its head is
    #: not counted.
    max_uploads: Size = 256
    #: Batches that one worker receives or judges at once, and those of one user among them.
    max_batches: Size = 64
    max_user_batches: Size = 16
    #: Bytes that one worker has received, or was promised by the length of a PUT, and not stored yet.
    max_staging: Size | None = None
    #: How long judges that a validator asked may take.
    judge_timeout: Annotated[float, Field(gt=0)] = 60.0
    #: How long the report of an ended batch is kept.
    keep_reports: Annotated[int, Field(ge=0)] = 24 * 3600
    #: How long running requests may go on when the server is told to stop.
    grace: Annotated[float, Field(ge=0)] = 10.0

    @model_validator(mode="before")
    @classmethod
    def _environment(cls, values: object) -> object:
        # A misspelled limit that is silently no limit would be found out when it is needed.
        settings = {name.upper(): _PREFIX + name.upper() for name in cls.model_fields}
        wrong = [name for name in sorted(os.environ) if _is_ours(name) and name[len(_PREFIX) :].upper() not in settings]
        if wrong:
            sentences = (
                f"the environment has {name}, but {_unknown(name[len(_PREFIX) :].upper(), settings)}" for name in wrong
            )
            raise ValueError("; ".join(sentences))
        return values

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not value.startswith("/") or any(c in value for c in "?#%\\ ") or "//" in value or "/." in value:
            raise ValueError("must be a path such as /files")
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
                raise ValueError("must be a URL such as https://files.example.org/share")
        return value

    @field_validator("accept")
    @classmethod
    def _accept(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        AcceptedTypes(value)
        return value

    @field_validator("early_peers", "trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @field_validator("quota")
    @classmethod
    def _quota(cls, value: dict[str, int]) -> dict[str, int]:
        for path in value:
            if not path.startswith("/") or (path != "/" and {"", ".", ".."} & set(path[1:].split("/"))):
                raise ValueError(f"{path!r} must be the path of a collection such as /alice")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.lock_timeout > self.max_lock_timeout:
            raise ValueError("lock_timeout must not be longer than max_lock_timeout")
        if self.read_only and self.htpasswd is None:
            # Taken silently, it would look like a protection.
            raise ValueError("read_only names users of the htpasswd file, but no htpasswd is given")
        return self

    @property
    def largest_item(self) -> int | None:
        """Bytes of an item that can be taken at all: what is received must have room until it is stored."""
        return min((size for size in (self.max_item_size, self.max_staging) if size is not None), default=None)

    @property
    def on_loopback(self) -> bool:
        return _is_loopback(self.host)

    @property
    def may_read(self) -> bool:
        """May somebody without credentials read?"""
        return self.anonymous is not None or self._open

    @property
    def may_write(self) -> bool:
        """May somebody without credentials write?"""
        return self.anonymous == "write" or self._open

    @property
    def _open(self) -> bool:
        """Nothing is said about who may do what, and only programs of this machine can ask."""
        return self.anonymous is None and self.htpasswd is None and self.on_loopback


def load(file: Path | None, flags: dict[str, Any]) -> Config:
    """Flags, environment and file together. Raises ValueError with one sentence that names the setting."""

    class WithFile(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if file is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
        raise ValueError(f"the configuration file {file} does not exist or cannot be read")
    try:
        return WithFile(**flags)
    except SettingsError as error:
        raise ValueError(f'{error}; lists are written as in JSON: ["image/*"]') from None
    except TOMLDecodeError as error:
        raise ValueError(f"the configuration file {file} cannot be read: {error}") from None
    except ValidationError as error:
        raise ValueError("; ".join(map(_sentence, error.errors()))) from None


@cache
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sentence(problem: object) -> str:
    assert isinstance(problem, dict)
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{name}: {_unknown(name, {name: name for name in Config.model_fields})}"
    said: str = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {said}" if name else said


def _is_ours(variable: str) -> bool:
    return variable.upper().startswith(_PREFIX) and variable.upper() not in _OTHER_VARIABLES


def _unknown(name: str, settings: Mapping[str, str]) -> str:
    """``settings``: what each is called where ``name`` was found."""
    near = difflib.get_close_matches(name, settings, 1)
    return "there is no such setting" + (f" (is {settings[near[0]]} meant?)" if near else "")
