#!/usr/bin/env python3
"""Takes the figures of a comparison of two servers into measures/figures/requests.json:

    measures/requests.py ROWS.json "Lunette 0.1.0" "nginx 1.22.1 with its Lua module" 2026-11-29

ROWS.json is a list with an object for each case: `us_a` and `us_b` are processor microseconds for a request, `rps_a` and `rps_b` requests per second,
`p99_a` and `p99_b` microseconds that one request of a hundred takes longer than. What names this machine's files stays away.
"""
import json
import math
import os
import platform
import re
import sys
from pathlib import Path

KEYS = ("us_a", "us_b", "rps_a", "rps_b", "p99_a", "p99_b")


def figure(value):
    return None if value is None or math.isnan(value) else round(value, 2)


rows, a, b, date = sys.argv[1:]
cases = [{"case": row["case"], **{key: figure(row[key]) for key in KEYS}} for row in json.loads(Path(rows).read_text())]
processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
about = {
    "date": date,
    "processor": f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores",
    "kernel": f"{platform.system()} {platform.release()}",
    "a": a,
    "b": b,
}
lines = ",\n    ".join(json.dumps(case) for case in cases)
text = json.dumps(about)[:-1] + f', "cases": [\n    {lines}\n]}}\n'
(Path(__file__).parent / "figures" / "requests.json").write_text(text)
