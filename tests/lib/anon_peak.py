#!/usr/bin/env python3
"""anon_peak.py COMMAND: run a line of shell; when it has ended, print a line
"NAME KIB" for each program of it: the most anonymous memory that it was seen
with.  The exit code is the shell's."""
import os
import subprocess
import sys
import time

peak = {}
child = subprocess.Popen(["bash", "-o", "pipefail", "-c", sys.argv[1]], start_new_session=True)
while child.poll() is None:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            if int(rest.split()[2]) != child.pid:
                continue
            with open("/proc/%s/status" % pid) as f:
                kib = next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
        except (OSError, StopIteration, IndexError):
            continue
        peak[name] = max(peak.get(name, 0), kib)
    time.sleep(0.02)
for name, kib in sorted(peak.items()):
    print(name, kib)
sys.exit(child.returncode)
