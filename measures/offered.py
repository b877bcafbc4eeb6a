#!/usr/bin/env python3
"""Says as a table in Markdown what a server offers over TLS when nothing is configured but certificates:

    measures/offered.py BINARY

It starts the binary, which may also be an nginx, with three certificates and asks it with OpenSSL's command and with hellos of its own.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = {"RSA": ["rsa:2048"], "ECDSA": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "Ed25519": ["ed25519"]}
VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303, "TLS 1.3": 0x0304}
GROUPS = {
    "X25519MLKEM768": 0x11EC, "SecP256r1MLKEM768": 0x11EB, "MLKEM768": 0x0201, "X25519": 29, "secp256r1": 23, "secp384r1": 24,
    "secp521r1": 25, "X448": 30, "ffdhe2048": 256, "ffdhe3072": 257, "ffdhe4096": 258,
}
ALGORITHMS = [
    *(f"rsa_pss_rsae_sha{size}" for size in (256, 384, 512)), *(f"rsa_pkcs1_sha{size}" for size in (256, 384, 512)), "rsa_pkcs1_sha1",
    "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "ecdsa_sha1", "ed25519", "ed448",
]
SERVER = """daemon off; master_process off; pid pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; {certificates}
    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    server {{ listen 127.0.0.1:{0} ssl http2; location / {{ return 200 ok; }} }}
    server {{ listen 127.0.0.1:{1} ssl; ssl_early_data on; ssl_session_cache shared:early:1m; location / {{ return 200 ok; }} }}
}}
"""


class Server:
    """A server with a certificate of each kind, in a directory of its own."""

    def __init__(self, binary, directory):
        self.directory = directory
        self.ports = [free_port(), free_port()]
        for kind, key in KINDS.items():
            make = ["openssl", "req", "-x509", "-nodes", "-newkey", *key, "-subj", "/CN=localhost", "-days", "9"]
            subprocess.run([*make, "-keyout", f"{directory}/{kind}.key", "-out", f"{directory}/{kind}.pem"], check=True, stderr=subprocess.DEVNULL)
        certificates = "".join(f"ssl_certificate {directory}/{kind}.pem; ssl_certificate_key {directory}/{kind}.key; " for kind in KINDS)
        Path(directory, "nginx.conf").write_text(SERVER.format(*self.ports, certificates=certificates))
        arguments = ["-p", f"{directory}/", "-c", f"{directory}/nginx.conf"]
        self.process = subprocess.Popen([binary, *arguments], stderr=subprocess.DEVNULL)
        for _ in range(100):
            if self.client().connected:
                return
            time.sleep(0.1)
        sys.exit("the server does not start")

    def client(self, *options, port=0, sends="GET / HTTP/1.0\r\n\r\n"):
        return Client(self.ports[port], options, sends)

    def raw(self, **hello):
        """The payload of the first record that answers a hello, and its type."""
        with socket.create_connection(("127.0.0.1", self.ports[0]), 5) as connection:
            connection.sendall(client_hello(**hello))
            answer = b""
            while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
                part = connection.recv(4096)
                if not part:
                    return 0, b""
                answer += part
            return answer[0], answer[5:]


class Client:
    """What `openssl s_client` says of a connection."""

    def __init__(self, port, options, sends):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", "-cipher", "ALL:@SECLEVEL=0", *options]
        done = subprocess.run(command, input=sends.encode(), capture_output=True, timeout=20)
        self.text = (done.stdout + done.stderr).decode(errors="replace")
        self.connected = not re.search(r"Cipher is \(NONE\)|Connection refused|no cipher match", self.text)

    def find(self, pattern):
        found = self.connected and re.search(pattern, self.text)
        return found[1] if found else None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def block(content, size=2):
    return len(content).to_bytes(size, "big") + content


def numbers(values):
    return b"".join(value.to_bytes(2, "big") for value in values)


def client_hello(version=0x0303, versions=(), group=None, compressions=b"\0", suites=None):
    """A hello in a record. With a group it shares no key, so that a server that knows the group asks for one."""
    extensions = [(13, block(numbers([0x0804, 0x0403, 0x0807, 0x0401])))]
    extensions += [(10, block(numbers([group or 23])))]
    if versions:
        extensions += [(43, block(numbers(versions), 1)), (51, block(b""))]
    listed = b"".join(number.to_bytes(2, "big") + block(content) for number, content in extensions)
    suites = suites or [0x1301, 0x1302, 0x1303, 0xC02F, 0xC02B, 0xC013, 0xC014, 0x009C, 0x002F, 0x0035, 0x000A]
    body = numbers([version]) + os.urandom(32) + block(b"", 1) + block(numbers(suites)) + block(compressions, 1) + block(listed)
    return b"\x16\x03\x01" + block(b"\1" + block(body, 3))


def is_hello(answer):
    return answer[0] == 22 and answer[1][:1] == b"\2"


def protocols(server):
    found = []
    for name, number in VERSIONS.items():
        answer = server.raw(version=min(number, 0x0303), versions=[number] if number > 0x0303 else (), group=23)
        if is_hello(answer):
            found.append(name)
    return found


def suites(server, version):
    """What the server chooses, then what it chooses of the rest, and so on."""
    option, left, found = ("-ciphersuites", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"], [])
    if version == "-tls1_2":
        listed = subprocess.run(["openssl", "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], capture_output=True, text=True, check=True)
        option, left = "-cipher", [name for name in listed.stdout.strip().split(":") if "PSK" not in name and "SRP" not in name]
    while left:
        names = ":".join(left) + (":@SECLEVEL=0" if option == "-cipher" else "")
        chosen = server.client(version, option, names).find(r"Cipher is (\S+)")
        if chosen not in left:
            break
        found.append(chosen)
        left.remove(chosen)
    return found


def chooser(server, found):
    """Whose order counts."""
    turned = ":".join(reversed(found)) + ":@SECLEVEL=0"
    return "the client's order" if server.client("-tls1_2", "-cipher", turned).find(r"Cipher is (\S+)") == found[-1] else "the server's order"


def algorithms(server, version):
    names = {"sha1": "SHA1", "sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
    offered = {name: re.sub(r"^(rsa|ecdsa)_(pkcs1_)?(sha\d+)$", lambda found: f"{found[1].upper()}+{names[found[3]]}", name) for name in ALGORITHMS}
    return [name for name, option in offered.items() if server.client(version, "-sigalgs", option).connected]


def resumed(server, *options, port=0):
    kept = f"{server.directory}/session"
    Path(kept).unlink(missing_ok=True)
    if not server.client(*options, "-sess_out", kept, port=port).connected or not Path(kept).exists():
        return False
    return bool(server.client(*options, "-sess_in", kept, port=port).find(r"(?m)^(Reused)"))


def early(server):
    told = server.client("-tls1_3", port=1).find(r"Max Early Data: (\d+)")
    return f"up to {told} bytes" if told and int(told) else "no"


def alpn(server):
    return [name for name in ("h2", "http/1.1", "http/1.0", "spdy/3") if server.client("-alpn", name).find(r"ALPN protocol: (\S+)") == name]


def yes(value):
    return "yes" if value else "no"


def rows(server):
    yield "Protocols", ", ".join(protocols(server))
    old = suites(server, "-tls1_2")
    yield "Suites of TLS 1.2", ", ".join(f"`{name}`" for name in old)
    yield "Suites of TLS 1.3", ", ".join(f"`{name}`" for name in suites(server, "-tls1_3"))
    yield "Who chooses", chooser(server, old)
    named = [name for name, number in GROUPS.items() if is_hello(server.raw(versions=[0x0304], group=number))]
    yield "Groups", ", ".join(named)
    for version, option in (("TLS 1.2", "-tls1_2"), ("TLS 1.3", "-tls1_3")):
        yield f"Signatures in {version}", ", ".join(f"`{name}`" for name in algorithms(server, option))
    kinds = [("RSA", "rsa_pss_rsae_sha256", "RSA-PSS"), ("ECDSA", "ecdsa_secp256r1_sha256", "ECDSA"), ("Ed25519", "ed25519", "Ed25519")]
    shown = [name for name, algorithm, said in kinds if (server.client("-sigalgs", algorithm).find(r"signature type: (\S+)") or "").lower() == said.lower()]
    yield "Kinds of certificates", ", ".join(shown)
    yield "Session tickets", ", ".join(name for name, option in (("TLS 1.2", "-tls1_2"), ("TLS 1.3", "-tls1_3")) if resumed(server, option)) or "no"
    yield "Session identifiers with `ssl_session_cache`", yes(resumed(server, "-tls1_2", "-no_ticket", port=1))
    yield "Early data with `ssl_early_data`", early(server)
    yield "OCSP answers without `ssl_stapling`", yes(not server.client("-status").find(r"(OCSP response: no response)"))
    kind, answer = server.raw(compressions=b"\1\0")
    behind = 39 + answer[38] if kind == 22 else 0
    yield "Compression", yes(behind and answer[behind + 2] != 0)
    yield "Secure renegotiation is signalled", yes(server.client("-tls1_2").find(r"(Secure Renegotiation IS supported)"))
    again = Client(server.ports[0], ("-tls1_2", "-no_ign_eof"), "R\nGET / HTTP/1.0\r\n\r\n")
    yield "Clients may renegotiate", yes("RENEGOTIATING" in again.text and not re.search(r"no renegotiation|error|failure", again.text))
    yield "Extended master secret", server.client("-tls1_2").find(r"Extended master secret: (\S+)") or "no"
    yield "Fallbacks are refused (TLS_FALLBACK_SCSV)", yes(not server.client("-tls1_2", "-fallback_scsv").connected)
    yield "ALPN with `http2`", ", ".join(f"`{name}`" for name in alpn(server))


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        server = Server(binary, directory)
        try:
            print("| | |\n|---|---|")
            for name, value in rows(server):
                print(f"| {name} | {value} |")
        finally:
            server.process.terminate()
            server.process.wait()


main()
