"""Peers that are no Python programs: where they and their modules are found, and what they are told."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from benchmarks.compiled import go_version, tool
from benchmarks.servers import START, Place, cpus, told_version

#: Where distributions keep what is not on everybody's path.
_SYSTEM_PROGRAMS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def _program(*names: str) -> str | None:
    places = (None, os.pathsep.join(_SYSTEM_PROGRAMS))
    return next((found for name in names for place in places if (found := shutil.which(name, path=place))), None)


def _module(folders: tuple[str, ...], name: str) -> Path | None:
    """None: it is not installed, or it is part of the program."""
    return next((file for folder in folders if (file := Path(folder) / name).is_file()), None)


def _given_away(place: Place, *more: Path) -> str | None:
    """Servers give root away, and then need folders that they may write to: the user they become, None if we are not root."""
    if os.geteuid() != 0:
        return None
    them = next(entry for entry in pwd.getpwall() if entry.pw_name in ("www-data", "apache", "nginx", "nobody"))
    for folder in (place.folder, place.state, *more):
        os.chown(folder, them.pw_uid, them.pw_gid)
    place.folder.parent.chmod(0o711)
    return them.pw_name


# -- Apache

_APACHE_PROGRAMS = ("apache2", "httpd")
_APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
_APACHE = """\
ServerRoot {state}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {state}/pid
ErrorLog {state}/output.log
LogLevel error
Mutex file:{state} default
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{modules}
{user}
DocumentRoot {folder}
DavLockDB {state}/locks/db
<Directory {folder}>
    Dav On
    DavDepthInfinity On
    AllowOverride None
    Require all granted
</Directory>
"""


def apache_version() -> str | None:
    """None without mod_dav_fs."""
    program = _program(*_APACHE_PROGRAMS)
    return told_version(program, "-v") if program and _module(_APACHE_MODULES, "mod_dav_fs.so") else None


def apache(place: Place) -> list[str]:
    names = ("mpm_event", "unixd", "authz_core", "dav", "dav_fs")
    modules = ((name, _module(_APACHE_MODULES, f"mod_{name}.so")) for name in names)
    locks = place.state / "locks"
    locks.mkdir()
    user = _given_away(place, locks)
    settings = {
        "modules": "\n".join(f"LoadModule {name}_module {file}" for name, file in modules if file is not None),
        "user": f"User {user}\nGroup #{pwd.getpwnam(user).pw_gid}" if user else "",
    }
    config = place.state / "apache.conf"
    config.write_text(_APACHE.format(**asdict(place), **settings))
    return [_program(*_APACHE_PROGRAMS) or "apache2", "-f", str(config), "-DFOREGROUND"]


# -- nginx

_NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_NGINX_EXT = "ngx_http_dav_ext_module.so"
_NGINX = """\
{load}
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 8192;
pid {state}/pid;
error_log {state}/output.log crit;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_max_body_size 0;
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        location / {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            {ext}
            create_full_put_path on;
        }}
    }}
}}
"""


def nginx_version() -> str | None:
    """None without ngx_http_dav_module; that of dav-ext, which answers PROPFIND, is optional."""
    if (program := _program("nginx")) is None:
        return None
    done = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=START, check=False)
    return told_version(program, "-v") if "http_dav_module" in done.stderr + done.stdout else None


def nginx(place: Place) -> list[str]:
    ext, user = _module(_NGINX_MODULES, _NGINX_EXT), _given_away(place)
    settings = {
        "load": f"load_module {ext};" if ext else "",
        "ext": "dav_ext_methods PROPFIND OPTIONS;" if ext else "",
        "user": f"user {user};" if user else "",
        "workers": cpus(),
    }
    config = place.state / "nginx.conf"
    config.write_text(_NGINX.format(**asdict(place), **settings))
    return [
        _program("nginx") or "nginx",
        "-c",
        str(config),
        "-p",
        str(place.state),
        "-e",
        str(place.state / "early.log"),
    ]


# -- lighttpd

_LIGHTTPD_MODULES = ("/usr/lib/lighttpd", "/usr/lib64/lighttpd", "/usr/local/lib/lighttpd")
_LIGHTTPD = """\
server.modules = ("mod_webdav")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.pid-file = "{state}/pid"
server.errorlog = "{state}/error.log"
server.upload-dirs = ("{state}")
server.max-worker = {workers}
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
{user}
webdav.activate = "enable"
webdav.is-readonly = "disable"
webdav.sqlite-db-name = "{state}/webdav.db"
"""


def lighttpd_version() -> str | None:
    """None without mod_webdav."""
    program = _program("lighttpd")
    return told_version(program, "-v") if program and _module(_LIGHTTPD_MODULES, "mod_webdav.so") else None


def lighttpd(place: Place) -> list[str]:
    user = _given_away(place)
    settings = {
        "user": f'server.username = "{user}"\nserver.groupname = "{user}"' if user else "",
        "workers": cpus(),
    }
    config = place.state / "lighttpd.conf"
    config.write_text(_LIGHTTPD.format(**asdict(place), **settings))
    return [_program("lighttpd") or "lighttpd", "-D", "-f", str(config)]


# -- in Go


def rclone_version() -> str | None:
    return told_version("rclone", "version")


def rclone(place: Place) -> list[str]:
    (config := place.state / "rclone.conf").touch()
    command = ["rclone", "serve", "webdav", str(place.folder), "--addr", f"127.0.0.1:{place.port}"]
    return [*command, "--config", str(config), "--log-level", "ERROR"]


def xnet_version() -> str | None:
    return go_version()


def xnet(place: Place) -> list[str]:
    return [str(tool("xnet")), f"127.0.0.1:{place.port}", str(place.folder)]
