"""nginx and Caddy before a shop, with the files of `deploy/single`; only addresses and certificates
are the test's own."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cli.terminal import eventually
from tests.support.local_engines import not_tested
from tests.support.processes import ROOT
from tools.engines.launch import ended_after, free_port

DOMAIN = "shop.example.com"
FOLDER = ROOT / "deploy/single"
# As Amazon's load balancer does: connections to servers are kept, whoever has least to do gets the
# next request, and what one server fails isn't sent to another.
AS_AMAZONS = {
    "upstream storekeeper {": "upstream storekeeper {\n\tleast_conn;\n\tkeepalive 16;",
    "proxy_set_header Connection close;": 'proxy_set_header Connection "";',
    "proxy_next_upstream error timeout;": "proxy_next_upstream off;",
}
_MAIN = """\
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


class Nginx:
    """A running one; `url` over TLS, `plain` without, `trust` for clients."""

    def __init__(self, folder: Path, servers: list[str], like: Mapping[str, str]) -> None:
        self.folder = folder
        self._like = like
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.plain = f"http://127.0.0.1:{self.plain_port}"
        (folder / "conf.d").mkdir(parents=True)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
        certificate(folder / "live")
        self.trust = ssl.create_default_context(cafile=folder / "live/fullchain.pem")
        http = {"listen 80;": f"listen 127.0.0.1:{self.plain_port};", "\tlisten [::]:80;\n": ""}
        (folder / "conf.d/storekeeper-http.conf").write_text(
            _swapped((FOLDER / "nginx-http.conf").read_text(), http)
        )
        self.name(servers)
        self.command = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]

    def name(self, servers: list[str]) -> None:
        """Writes who stands behind it; heeded from the next start or `reload` on."""
        swaps = {
            "server 127.0.0.1:8000;": " ".join(f"server {one};" for one in servers),
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "\tlisten [::]:443 ssl http2;\n": "",
            f"/etc/letsencrypt/live/{DOMAIN}": str(self.folder / "live"),
        }
        text = _swapped((FOLDER / "nginx.conf").read_text(), {**swaps, **self._like})
        (self.folder / "conf.d/storekeeper.conf").write_text(text)

    def reload(self, servers: list[str]) -> None:
        """As `systemctl reload nginx`; it is done when the workers of before are gone."""
        before = self._workers()
        self.name(servers)
        subprocess.run([*self.command, "-s", "reload"], check=True, timeout=30)
        eventually(lambda: not before & self._workers())

    def _workers(self) -> set[str]:
        master = (self.folder / "nginx.pid").read_text().strip()
        return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())

    def log(self) -> str:
        return (self.folder / "error.log").read_text()


@contextlib.contextmanager
def nginx(
    folder: Path, servers: list[str], *, like: Mapping[str, str] | None = None
) -> Iterator[Nginx]:
    """`like`: what another proxy does otherwise, new text by that of `deploy/single`."""
    require("nginx")
    here = Nginx(folder, servers, like or {})
    judged = subprocess.run(
        [*here.command, "-t", "-q"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (judged.returncode, judged.stderr) == (0, "")
    with ended_after(subprocess.Popen(here.command)) as process:
        eventually(lambda: process.poll() is not None or _is_open(here.port))
        assert process.poll() is None, here.log()
        yield here


@contextlib.contextmanager
def caddy(folder: Path, server: str) -> Iterator[str]:
    """Where Caddy answers, without TLS: it has no certificate of that name here."""
    require("caddy")
    folder.mkdir()
    port = free_port()
    file, log = folder / "Caddyfile", folder / "log"
    local = "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n"
    file.write_text(local + (FOLDER / "Caddyfile").read_text())
    options = ["--adapter", "caddyfile", "--config", str(file)]
    environment = {**os.environ, "HOME": str(folder), "DOMAIN": DOMAIN, "SHOP": server}
    with log.open("w") as told:
        judged = subprocess.run(
            ["caddy", "validate", *options],
            env=environment,
            stdout=told,
            stderr=told,
            timeout=30,
            check=False,
        )
        assert judged.returncode == 0, log.read_text()
        environment["DOMAIN"] = f"http://127.0.0.1:{port}"
        with ended_after(
            subprocess.Popen(["caddy", "run", *options], env=environment, stdout=told, stderr=told)
        ) as process:
            eventually(lambda: process.poll() is not None or _is_open(port))
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}"


def require(program: str) -> None:
    if which(program) is None:
        not_tested(
            "proxies before a shop (deploy/single)",
            f"There is no {program}. Install Debian's {program}, without starting it",
        )


def certificate(folder: Path) -> None:
    """As certbot leaves one, signed by itself, for the shop's name and this machine."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(DOMAIN), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _swapped(text: str, swaps: Mapping[str, str]) -> str:
    """With the shop's name, and each new text in the place of an old one, which has to be there."""
    text = text.replace("@DOMAIN@", DOMAIN)
    for old, new in swaps.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
