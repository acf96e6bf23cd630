"""wire.py NAME MBIT CEILING BUDGET NETNS COMMAND...: run COMMAND and print a row
of what the link carried meanwhile: this network namespace's device wan0 is
looked at five times a second, and so are the processes here and in NETNS, the
other end.  A BUDGET that is not "-" is a file for dm-window --status.  MBIT is
the link's rate, CEILING what plain TCP streams got through it.  The exit code
is COMMAND's."""
import json
import os
import subprocess
import sys
import time

EVERY = 0.2
COLUMNS = ("case", "MiB", "s", "Mbit/s", "of link", "of TCP", "busy", "flight", "memory", "cpu", "busiest")
FORMAT = "{:<34} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>5}  {}"


def received():
    with open("/proc/self/net/dev") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name.strip() == "wan0":
                return int(rest.split()[0])
    return 0


def processors():
    """Seconds all of them worked, and were there."""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:9]]
    return sum(t) - t[3] - t[4], sum(t)


class Processes:
    """What the processes of some network namespaces used: processor time for
    each name, and the most memory of their own that those here had at once."""

    def __init__(self, inodes):
        self.inodes, self.here, self.time, self.most = inodes, os.stat("/proc/self/ns/net").st_ino, {}, 0

    def look(self):
        memory = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                inode = os.stat(f"/proc/{pid}/ns/net").st_ino
                if inode not in self.inodes:
                    continue
                with open(f"/proc/{pid}/stat") as f:
                    name, _, rest = f.read().partition(" (")[2].rpartition(") ")
                rest = rest.split()
                self.time[pid, rest[19]] = name, int(rest[11]) + int(rest[12])
                if inode == self.here and name.startswith("dm-"):
                    with open(f"/proc/{pid}/status") as f:
                        memory += sum(int(x.split()[1]) for x in f if x.startswith("RssAnon"))
            except (OSError, IndexError):
                continue
        self.most = max(self.most, memory)

    def busiest(self):
        by = {}
        for name, ticks in self.time.values():
            by[name] = by.get(name, 0) + ticks / os.sysconf("SC_CLK_TCK")
        return " ".join(f"{n} {t:.1f}" for n, t in sorted(by.items(), key=lambda x: -x[1])[:6] if t >= 0.1)


def in_flight(budget):
    done = subprocess.run(["dm-window", "--status", "--json", "--budget", budget], capture_output=True, text=True)
    if done.returncode:
        return 0
    return sum(p["flight"] for p in json.loads(done.stdout)["pipelines"])


def middle(samples, first):
    """Bits per second between the first and the last twentieth of the bytes:
    without what it takes to begin and to end."""
    all_bytes = samples[-1][1] - first
    part = [s for s in samples if 0.05 * all_bytes <= s[1] - first <= 0.95 * all_bytes]
    if len(part) < 2 or part[-1][0] == part[0][0]:
        return 0
    return 8 * (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


def main():
    name, mbit, ceiling, budget, ns, command = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:6], sys.argv[6:]
    processes = Processes({os.stat("/proc/self/ns/net").st_ino, os.stat(f"/run/netns/{ns}").st_ino})
    first, t0, c0 = received(), time.monotonic(), processors()
    samples, flight, trace = [(0, first)], 0, os.environ.get("WIRE_TRACE")
    child = subprocess.Popen(command)
    while True:
        processes.look()
        if budget != "-":
            flight = max(flight, in_flight(budget))
        try:
            child.wait(EVERY)
            break
        except subprocess.TimeoutExpired:
            samples.append((time.monotonic() - t0, received()))
    seconds, c1 = time.monotonic() - t0, processors()
    samples.append((seconds, received()))
    if child.returncode:
        return child.returncode
    got = samples[-1][1] - first
    rate = 8e-6 * got / seconds
    print(FORMAT.format(
        name, got >> 20, f"{seconds:.1f}", f"{rate:.1f}", f"{100 * rate / mbit:.1f}%",
        f"{100 * rate / ceiling:.1f}%" if ceiling else "-", f"{1e-4 * middle(samples, first) / mbit:.1f}%",
        f"{flight >> 20}M" if budget != "-" else "-", f"{processes.most >> 10}M",
        f"{100 * (c1[0] - c0[0]) / (c1[1] - c0[1]):.0f}%", processes.busiest()), flush=True)
    if trace:
        with open(trace, "a") as f:
            f.write(f"# {name}\n")
            f.writelines(f"{s[0]:.2f} {8e-6 * (s[1] - p[1]) / (s[0] - p[0]):.1f}\n" for p, s in zip(samples, samples[1:]) if s[0] > p[0])
    return 0


if len(sys.argv) == 1:
    print(FORMAT.format(*COLUMNS), flush=True)
    sys.exit(0)
sys.exit(main())
