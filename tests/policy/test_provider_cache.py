"""What a provider's cache is believed to hold."""

import pytest

from jevons.core.cache_rules import CacheRules, Style, Ttl
from jevons.policy.provider_cache import Counted, Mark, Path, ProviderCache, Warm

TTLS = (Ttl("5m", 300, "cache_write_5m"), Ttl("1h", 3_600, "cache_write_1h"))
CLAUDE = CacheRules(Style.EXPLICIT, TTLS, min_tokens=1_000, breakpoints_max=4, lookback_blocks=20)
GPT = CacheRules(Style.EXPLICIT, (Ttl("30m", 1_800, "cache_write_5m"),), min_tokens=1_000, breakpoints_max=4, by_itself=True)
FREE = CacheRules(
    Style.AUTOMATIC,
    (Ttl("", 300, "input"), Ttl("24h", 86_400, "input")),
    min_tokens=1_024,
    step_tokens=128,
    by_itself=True,
)


def path(words: str, tokens: int = 1_000, blocks: int = 1) -> Path:
    """A message for each letter."""
    links = tuple([words[: end + 1].encode() for end in range(len(words))])
    return Path(
        links,
        tuple([tokens * (end + 1) for end in range(len(words))]),
        tuple([blocks * (end + 1) for end in range(len(words))]) if blocks > 1 else (),
    )


def cache(rules: CacheRules = CLAUDE) -> ProviderCache:
    return ProviderCache(rules, 100)


def test_written_then_read_then_lost():
    kept = cache()
    assert kept.apply(path("ab"), [Mark(1, 0)], 0.0) == Counted(0, (2_000, 0), 0)
    assert kept.apply(path("abc"), [Mark(2, 0)], 300.0) == Counted(2_000, (1_000, 0), 0)
    assert kept.warm(path("abcd"), 600.0) == (Warm(1, 0, 600.0), Warm(2, 0, 600.0))
    assert kept.warm(path("abcd"), 601.0) == ()
    assert kept.apply(path("abc"), [], 600.0) == Counted(0, (0, 0), 3_000)


def test_a_beginning_is_found_only_where_it_was_marked():
    kept = cache()
    kept.apply(path("ab"), [Mark(1, 0)], 0.0)
    assert kept.warm(path("ax"), 1.0) == ()
    kept.apply(path("ax"), [Mark(0, 0), Mark(1, 0)], 1.0)
    assert kept.warm(path("ay"), 2.0) == (Warm(0, 0, 301.0),)


def test_reading_begins_every_lifetime_anew():
    """The system prompt is read with what stands behind it."""
    kept = cache()
    kept.apply(path("ab"), [Mark(0, 1), Mark(1, 0)], 0.0)
    kept.apply(path("abc"), [Mark(1, 0)], 200.0)
    assert kept.warm(path("ab"), 200.0) == (Warm(0, 1, 3_800.0), Warm(1, 0, 500.0))


def test_a_lifetime_that_does_not_begin_anew():
    kept = cache(CacheRules(Style.EXPLICIT, TTLS, breakpoints_max=4, refreshes=False))
    kept.apply(path("a"), [Mark(0, 0)], 0.0)
    kept.apply(path("a"), [Mark(0, 0)], 200.0)
    assert kept.warm(path("a"), 301.0) == ()


def test_what_stands_behind_a_shorter_life_is_lost_with_it():
    kept = cache()
    kept.apply(path("a"), [Mark(0, 0)], 0.0)
    kept.apply(path("ab"), [Mark(1, 1)], 10.0)
    assert [part.ttl for part in kept.warm(path("ab"), 310.0)] == [0, 1]
    assert kept.warm(path("ab"), 311.0) == ()


def test_a_lifetime_is_at_least_that_of_a_later_mark():
    assert cache().apply(path("ab"), [Mark(0, 0), Mark(1, 1)], 0.0) == Counted(0, (0, 2_000), 0)
    assert cache().apply(path("ab"), [Mark(1, 0), Mark(0, 1)], 0.0) == Counted(0, (1_000, 1_000), 0)


def test_a_mark_on_too_little_is_ignored():
    kept = cache()
    assert kept.apply(path("ab", 500), [Mark(0, 0), Mark(1, 0)], 0.0) == Counted(0, (1_000, 0), 0)
    assert len(kept) == 1


@pytest.mark.parametrize(("blocks", "found"), [(1, True), (20, True), (21, False)])
def test_a_mark_looks_back_so_many_blocks(blocks: int, found: bool):
    kept = cache()
    kept.apply(path("a", blocks=blocks), [Mark(0, 0)], 0.0)
    counted = kept.apply(path("ab", blocks=blocks), [Mark(1, 0)], 1.0)
    assert counted.read == (1_000 if found else 0)


def test_what_is_too_far_for_one_mark_another_finds():
    """And where only a shorter part is within reach, that is read."""
    kept = cache()
    kept.apply(path("a" * 5), [Mark(0, 0), Mark(4, 0)], 0.0)
    long = path("a" * 30)
    assert kept.apply(long, [Mark(29, 0)], 1.0).read == 0
    kept = cache()
    kept.apply(path("a" * 5), [Mark(0, 0), Mark(4, 0)], 0.0)
    assert kept.apply(long, [Mark(4, 0), Mark(29, 0)], 1.0).read == 5_000
    kept = cache()
    kept.apply(path("a" * 5), [Mark(0, 0), Mark(4, 0)], 0.0)
    assert kept.apply(path("a" * 5), [Mark(2, 0)], 1.0) == Counted(1_000, (2_000, 0), 2_000)


def test_a_provider_that_marks_the_end_by_itself():
    kept = cache(GPT)
    assert kept.apply(path("ab"), [], 0.0) == Counted(0, (2_000,), 0)
    assert kept.apply(path("abc"), [], 1_800.0, only_marks=True) == Counted(0, (0,), 3_000)
    assert kept.apply(path("abc"), [Mark(1, 0)], 1_800.0, only_marks=True) == Counted(2_000, (0,), 1_000)


def test_a_provider_that_finds_beginnings_by_itself():
    """In steps of 128 tokens, wherever prompts part; what is written is as dear as what is not."""
    kept = cache(FREE)
    assert kept.apply(path("abc"), [], 0.0) == Counted(0, (3_000, 0), 0)
    assert kept.apply(path("abd"), [], 10.0) == Counted(1_920, (1_080, 0), 0)
    assert kept.apply(path("abce"), [], 20.0).read == 2_944
    assert kept.apply(path("abce"), [Mark(0, 1)], 1_000.0) == Counted(0, (0, 4_000), 0)
    assert kept.apply(path("abce"), [], 80_000.0).read == 3_968
    assert cache(FREE).apply(path("a"), [], 0.0) == Counted(0, (0, 0), 1_000)


def test_no_cache_and_no_messages():
    assert cache(CacheRules(Style.NONE)).apply(path("ab"), [], 0.0) == Counted(0, (), 2_000)
    assert cache().apply(Path((), ()), [], 0.0) == Counted(0, (0, 0), 0)
    assert cache().warm(Path((), ()), 0.0) == ()


def test_what_was_believed_and_is_not_there():
    kept = cache()
    kept.apply(path("ab"), [Mark(0, 0), Mark(1, 0)], 0.0)
    kept.forget(path("abc"))
    assert kept.warm(path("ab"), 1.0) == () and len(kept) == 0


def test_memory_is_bounded():
    """What was read or written longest ago goes."""
    kept = ProviderCache(CLAUDE, 2)
    kept.apply(path("a"), [Mark(0, 1)], 0.0)
    kept.apply(path("b"), [Mark(0, 1)], 1.0)
    kept.apply(path("a"), [Mark(0, 1)], 2.0)
    kept.apply(path("c"), [Mark(0, 1)], 3.0)
    assert len(kept) == 2
    assert kept.warm(path("a"), 4.0) and not kept.warm(path("b"), 4.0)
