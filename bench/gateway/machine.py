"""Processes and the machine as the kernel accounts for them: CPU time and memory of a process tree, who is busy, the hardware.

It does not know what the processes are for."""

import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPU_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, the clock that clock_getcpuclockid(3) gives: user + system time of all threads, in ns


def tree(root: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(int(stat[stat.rindex(")") + 2 :].split()[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User + system seconds of the processes with all their threads, ended ones included; nanosecond resolution."""
    return sum(time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS) for pid in pids)


def rss_mib(pids: Iterable[int]) -> float:
    """Resident memory, shared pages counted in each process."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy_s(cpu: int | None = None) -> float:
    """Seconds that the whole machine, or one core, has spent working; 10 ms resolution. Stolen time counts: it was not ours."""
    name = "cpu" if cpu is None else f"cpu{cpu}"
    fields = next(line.split() for line in Path("/proc/stat").read_text().splitlines() if line.split()[0] == name)
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def facts() -> dict[str, object]:
    """What a reader must know of the machine to compare figures."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
