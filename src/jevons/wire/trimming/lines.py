"""What the lines of logs look like: instants, levels, the words of builds and tests, what says that something is wrong.

Data for logs.py, each with where it is seen. Does not know: what follows from it.
"""

import re

STAMP = re.compile(
    r"\[?(?:"
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"  # ISO 8601, Python's logging, Go's log
    r"|(?:\w{3} )?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"  # syslog, dmesg -T, journald
    r"|\d\d:\d\d:\d\d(?:[.,]\d+)?"  # a clock alone: gradle, many servers
    r"| *\d{1,6}\.\d{6}"  # dmesg
    r")\]?"
)
"""An instant at the beginning of a line."""

LEVEL = re.compile(r"\W{0,2}(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|FATAL|CRITICAL)\b")

ACCESS = re.compile(r"\S+ \S+ \S+ \[\d{1,2}/\w{3}/\d{4}:")
"""Apache and nginx: who, then when."""

ROUTINE = re.compile(
    "|".join(
        f"({pattern})"
        for pattern in (
            r"Requirement already satisfied: ",  # pip
            r"Collecting ",
            r"(?:Using cached|Downloading) ",
            r"(?:Building|Created|Stored|Preparing|Installing|Getting|Checking) (?:wheel|build|metadata|collected|in directory|if)",
            r"(?:copying|creating|adding|byte-compiling|removing|running) ",  # setuptools
            r"(?:Get|Hit|Ign):\d+ ",  # apt
            r"\(Reading database ",
            r"Selecting previously unselected package ",
            r"Preparing to unpack ",
            r"Unpacking ",
            r"Setting up ",
            r"Processing triggers for ",
            r"npm (?:http|timing|info|verb|notice) ",  # npm
            r"(?:Compiling|Checking|Downloaded|Fresh|Adding|Updating|Locking) \S+ v\d",  # cargo
            r"\[ *\d+%\] |\[\d+/\d+\] ",  # make of cmake, ninja
            r"(?:gcc|g\+\+|cc|c\+\+|clang(?:\+\+)?|ar|CC|CXX|LD|AR) ",
            r"\S+ PASSED\b",  # pytest -v
            r"\S+\.py [.sx]+ +\[ *\d+%\]$",  # pytest
            r"test \S+ \.\.\. ok$",  # cargo test
            r"\S+(?: \(\S+\))? \.\.\. ok$",  # unittest
            r"ok \d+ ",  # TAP
            r"=== (?:RUN|PAUSE|CONT) |--- PASS: |ok  \t",  # go test
            r"[✓✔√] ",  # vitest, mocha
            r"PASS ",  # jest
            r"(?:Enumerating|Counting|Compressing|Receiving|Resolving|Writing|Updating) (?:objects|deltas|files): ",  # git
            r"(?:remote: )?(?:Enumerating|Counting|Compressing) objects: ",
        )
    )
)
"""How lines begin by which a build, an installer or a test says that all is well."""

WRONG = (
    b"error", b"fatal", b"critical", b"warn", b"exception", b"traceback", b"panic", b"segfault", b"fail", b"denied", b"refused", b"timeout", b"timed out",
    b"cannot", b"could not", b"unable", b"killed", b"not found", b"no such", b"invalid", b"abort", b"conflict", b"unexpected", b"undefined", b"missing",
    b"corrupt", b"assert", b"broken",
)  # fmt: skip
"""In lower case: a line with one of them may say what is wrong. Rather too many than too few: these are kept."""

WRONG_NUMBERS = (
    re.compile(rb'" [45]\d\d\b'),  # the status of an access log, behind the quoted request
    *[
        re.compile(rb"%b(?<![a-z]%b)(?![a-z])[^\d\n]{0,12}(?![23]\d\d\b)[1-9]" % (word, word))
        for word in (b"code", b"exitcode", b"statuscode", b"status", b"exit", b"exited", b"errno", b"rc", b"signal")
    ],
)
"""In lower case: an exit code that is not 0, an HTTP status that is neither 2xx nor 3xx. Each begins with its word, by which it is found fast."""

ZERO = re.compile(rb"0(?<![\w.:,-]0)(?![\w.:,])")
"""0 standing alone: none of something is another thing than some."""

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Terminal colours and cursor movements."""

DIGITS = bytes.maketrans(b"123456789", b"000000000")
HEX = re.compile(rb"[0a-f]{6,}")
"""Ids and addresses, once all digits are 0; few words are written with these letters alone."""
