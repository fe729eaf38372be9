"""The settings: what is taken, what is refused and in which words, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from partwise.config import Config, load


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workers": 0}, "workers: "),
        ({"workers": 65}, "workers: "),
        ({"workers": "two"}, "workers: "),
        ({"read_only": ["alice"]}, "read_only names users of the htpasswd file, but no htpasswd is given"),
        (
            {"trusted_proxies": ["localhost"]},
            "trusted_proxies: 'localhost' does not appear to be an IPv4 or IPv6 network",
        ),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ({"early_peers": ["x"]}, "early_peers: "),
        ({"quota": {"alice": 1}}, "quota: 'alice' must be the path of a collection such as /alice"),
        ({"quota": {"": 1}}, "quota: ''"),
        ({"quota": {"/alice/": 1}}, "quota: '/alice/'"),
        ({"quota": {"//": 1}}, "quota: '//'"),
        ({"quota": {"/a//b": 1}}, "quota: '/a//b'"),
        ({"quota": {"/a/./b": 1}}, "quota: '/a/./b'"),
        ({"quota": {"/..": 1}}, "quota: '/..'"),
        ({"quota": {"/a": 0}}, "quota./a: "),
        ({"quota": {"/a": "1k"}}, "quota./a: "),
        ({"lock_timeout": 0}, "lock_timeout: "),
        ({"max_lock_timeout": float("inf")}, "max_lock_timeout: "),
        ({"lock_timeout": 20, "max_lock_timeout": 10}, "lock_timeout must not be longer than max_lock_timeout"),
        ({"apple_files": "hide"}, "apple_files: "),
        ({"max_properties_size": 0}, "max_properties_size: "),
        ({"max_sync": 0}, "max_sync: "),
        ({"header_timeout": 0}, "header_timeout: "),
        ({"keep_alive": float("inf")}, "keep_alive: "),
        ({"min_rate": -1}, "min_rate: "),
        ({"max_connections": 0}, "max_connections: "),
        ({"max_staging": "much"}, "max_staging: "),
        ({"frobnicate": 1}, "frobnicate: there is no such setting"),
        ({"max_item_siz": 1}, "max_item_siz: there is no such setting (is max_item_size meant?)"),
    ],
)
def test_refused(folder: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        load(None, {"directory": folder, **values})
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


MEANT = "there is no such setting (is PARTWISE_{} meant?)"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["PARTWISE_MAX_BATCHSIZE"],
            "the environment has PARTWISE_MAX_BATCHSIZE, but " + MEANT.format("MAX_BATCH_SIZE"),
        ),
        (["partwise_keepalive"], "the environment has partwise_keepalive, but " + MEANT.format("KEEP_ALIVE")),
        (["PARTWISE_XYZZY"], "the environment has PARTWISE_XYZZY, but there is no such setting"),
        (
            ["PARTWISE_XYZZY", "PARTWISE_PROT"],
            f"the environment has PARTWISE_PROT, but {MEANT.format('PORT')}; the environment has PARTWISE_XYZZY, but"
            " there is no such setting",
        ),
    ],
)
def test_a_misspelled_variable_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], said: str
) -> None:
    for name in names:
        monkeypatch.setenv(name, "secret")
    with pytest.raises(ValueError) as raised:
        load(None, {"directory": folder})
    assert str(raised.value) == said
    with pytest.raises(ValueError, match="there is no such setting"):
        Config(directory=folder)


def test_variables_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `partwise push` reads is nothing to a server, and capitals are one as the other."""
    for name, value in {"PARTWISE_PASSWORD": "x", "PARTWISE_LONG": "1", "partwise_port": "1", "PARTWISER": "x"}.items():
        monkeypatch.setenv(name, value)
    assert load(None, {"directory": folder}).port == 1


def test_taken(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "partwise.toml"
    file.write_text(
        'workers = 64\nhtpasswd = "users"\nread_only = ["bob"]\ntrusted_proxies = ["10.0.0.0/8", "::1"]\n'
        'apple_files = "refuse"\nlock_timeout = 10\nmax_lock_timeout = 10\n'
        '[quota]\n"/" = 5\n"/a b/ü" = 7\n"/...x" = 1\n'
    )
    config = load(file, {"directory": folder, "quota": {"/": "6"}})
    assert (config.workers, config.htpasswd, config.read_only) == (64, Path("users"), ("bob",))
    assert config.trusted_proxies == ("10.0.0.0/8", "::1")
    assert (config.apple_files, config.lock_timeout, config.max_lock_timeout) == ("refuse", 10, 10)
    # A flag speaks of its own path only.
    assert config.quota == {"/": 6, "/a b/ü": 7, "/...x": 1}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "files.example.org"])
@pytest.mark.parametrize("htpasswd", [None, Path("users")])
@pytest.mark.parametrize("anonymous", [None, "read", "write"])
def test_what_somebody_without_credentials_may_do(
    folder: Path, host: str, htpasswd: Path | None, anonymous: Any
) -> None:
    config = Config(directory=folder, host=host, htpasswd=htpasswd, anonymous=anonymous)
    if anonymous is not None:
        expected = (True, anonymous == "write")
    elif htpasswd is not None:
        expected = (False, False)
    else:
        expected = (host in ("127.0.0.1", "localhost", "::1"),) * 2
    assert (config.may_read, config.may_write) == expected
