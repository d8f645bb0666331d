"""When a tool's output is made shorter."""

import itertools

import pytest

from jevons.policy.trim import READS_FILE, Fate, Rates, Sent, fate, is_kept, is_worth, pays


def test_what_was_sent_in_one_way_stays_so():
    for fresh, failed in itertools.product([True, False], repeat=2):
        assert fate(Sent.TRIMMED, fresh=fresh, failed=failed) is Fate.SAME
        assert fate(Sent.WHOLE, fresh=fresh, failed=failed) is Fate.KEEP


def test_only_what_is_new_and_went_well_is_made_shorter():
    assert fate(Sent.UNKNOWN, fresh=True, failed=False) is Fate.TRIM
    assert fate(Sent.UNKNOWN, fresh=False, failed=False) is Fate.KEEP
    assert fate(Sent.UNKNOWN, fresh=True, failed=True) is Fate.KEEP


def test_tools_are_kept_by_pattern():
    keep = ("read", "*read_file*")
    assert is_kept("Read", keep) and is_kept("mcp__fs__read_file", keep)
    assert not is_kept("ThreadList", keep) and not is_kept("Bash", keep)


@pytest.mark.parametrize(
    "command",
    [
        "cat a.json",
        "cd x && sed -n 1,9p a.py",
        "(cat x)",
        "ls; tail -f y",
        "cd web\ncat package.json",
        "/bin/cat package.json",
        "echo `cat a`",
        "bash\n-lc\ncat a.json",
        "cat\na.json",
        "git show HEAD:a.json",
        "git -C web show main:package.json",
        "git cat-file -p 1a2b3c",
        "jq . package.json",
        "awk 1 a.json",
        'grep -n "" a.json',
    ],
)
def test_commands_that_print_files(command: str):
    assert READS_FILE.search(command)


@pytest.mark.parametrize(
    "command", ["git diff", "concat a", "npm run category list", "make type", "git show HEAD", "curl -s x/a.json | jq .items"]
)
def test_commands_that_do_not(command: str):
    assert not READS_FILE.search(command)


def test_it_must_be_worth_it():
    assert is_worth(1_000, 800, 0.2) and not is_worth(1_000, 801, 0.2)
    assert not is_worth(1_000, 1_000, 0.0001) and not is_worth(0, 0, 0.2)


@pytest.mark.parametrize("rates", [Rates(10, 125), Rates(5, 125), Rates(50, 100)])
@pytest.mark.parametrize(
    ("removed", "behind", "turns"), [(1_000, 5_000, 20), (1_000, 500, 6), (20_000, 1_000, 1), (10, 10_000, 500)]
)
def test_a_prefix_is_broken_only_where_the_sum_says_so(rates: Rates, removed: int, behind: int, turns: int):
    """The bill added up turn by turn, from the request that changes the prefix on: what stands before it costs the same either way."""
    left_alone = sum(rates.read * (removed + behind) for _ in range(turns + 1))
    rewritten = rates.write * behind + sum(rates.read * behind for _ in range(turns))
    assert pays(removed, behind, turns + 1, rates) is (rewritten < left_alone)
