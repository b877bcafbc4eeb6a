#!/usr/bin/env python3
"""Counts the instructions of a request under callgrind:

    measures/instructions.py BINARY [WHAT...]

Sends 10,000 and 20,000 requests one after the other on one connection, and divides the difference, so that start and end do not count. WHAT chooses
among the requests below (default: all). Behind each total stands what of it the counters for `metrics` cost, by the lines of their source files
(a release build has line tables). Needs valgrind.
"""
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REQUESTS = {
    "return_200": 'return 200 "hello\\n";',
    "lua_hello": 'content_by_lua_block { ngx.say("hello") }',
}
COUNTING = re.compile(r"/(tally|observers|observers/\w+)\.rs$")
FEW, MANY = 10_000, 20_000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configure(prefix, port):
    (prefix / "conf").mkdir()
    (prefix / "logs").mkdir()
    locations = "".join(f"location = /{name} {{ {text} }}\n" for name, text in REQUESTS.items())
    (prefix / "conf" / "nginx.conf").write_text(
        "daemon off; master_process off; error_log logs/error.log; events { }\n"
        f"http {{ access_log off; keepalive_requests {2 * MANY};\nserver {{ listen 127.0.0.1:{port};\n{locations}}} }}\n"
    )


def connect(port, server):
    for _ in range(600):
        if server.poll() is not None:
            sys.exit("the server did not start")
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.1)
    sys.exit("the server does not answer")


def costs(out):
    """Instructions by source file. A name is written once, and then its number."""
    names, cost, file, is_call = {}, {}, "", False
    for line in out.read_text().splitlines():
        if found := re.match(r"(fl|fi|fe|cfi|cfl)=(\(\d+\))(?: (.*))?$", line):
            kind, number, name = found.groups()
            names.setdefault(number, name)
            if kind[0] == "f":
                file = names[number]
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[\d+*-]", line):
            # What was called has lines of its own.
            if not is_call:
                cost[file] = cost.get(file, 0) + int(line.split()[1])
            is_call = False
    return cost


def run(binary, name, count):
    with tempfile.TemporaryDirectory() as directory:
        prefix, port = Path(directory), free_port()
        configure(prefix, port)
        out = prefix / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", binary, "-p", directory]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            stream = connect(port, server)
            request = f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
            for _ in range(count):
                stream.sendall(request)
                if not stream.recv(4096):
                    sys.exit("the server closed the connection")
            stream.close()
            server.send_signal(signal.SIGQUIT)
            server.wait()
        cost = costs(out)
        total = int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)[1])
        return total, sum(value for file, value in cost.items() if file and COUNTING.search(file))


def main():
    binary, *names = sys.argv[1:] or sys.exit(__doc__)
    for name in names or REQUESTS:
        few, many = run(binary, name, FEW), run(binary, name, MANY)
        total, counting = ((b - a) / (MANY - FEW) for a, b in zip(few, many))
        print(f"{name}: {total:.0f} instructions, {counting:.0f} of them for counting", flush=True)


if __name__ == "__main__":
    main()
