"""Candidates for a model name: aliases, then upstream/model, then patterns."""

from jevons.core.ask import Dialect
from jevons.policy.route import Alias, Offer, Table, Target, allowed, choose, offered, reachable

CHAT, MESSAGES, RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES
TABLE = Table(
    offers=(
        Offer("openai", ("gpt-*",), frozenset({CHAT, RESPONSES, Dialect.EMBEDDINGS})),
        Offer("anthropic", ("claude-*",), frozenset({MESSAGES, Dialect.COUNT_TOKENS})),
        Offer("azure", ("gpt-5*", "house-model"), frozenset({CHAT})),
    ),
    aliases=(
        Alias("fast", "azure", "gpt-5-nano", 2.0),
        Alias("fast", "anthropic", "claude-haiku"),
        Alias("gpt-old", "openai", "gpt-4"),
    ),
)


def test_every_upstream_whose_pattern_fits_is_a_candidate_in_the_operators_order() -> None:
    assert choose(TABLE, "gpt-5.1", CHAT) == (Target("openai", "gpt-5.1", CHAT), Target("azure", "gpt-5.1", CHAT))
    assert choose(TABLE, "gpt-4o", CHAT) == (Target("openai", "gpt-4o", CHAT),)


def test_a_dialect_that_an_upstream_lacks_is_translated_or_leaves_it_out() -> None:
    assert choose(TABLE, "claude-x", CHAT) == (Target("anthropic", "claude-x", MESSAGES),)
    assert choose(TABLE, "gpt-5.1", MESSAGES) == (Target("openai", "gpt-5.1", CHAT), Target("azure", "gpt-5.1", CHAT))
    assert choose(TABLE, "gpt-5.1", RESPONSES) == (Target("openai", "gpt-5.1", RESPONSES),)
    assert choose(TABLE, "claude-x", Dialect.EMBEDDINGS) == ()
    assert offered(TABLE, "claude-x")
    assert reachable(MESSAGES, frozenset({CHAT, MESSAGES})) is MESSAGES
    assert reachable(Dialect.COUNT_TOKENS, frozenset({CHAT})) is None


def test_an_alias_comes_before_patterns_and_may_have_several_targets() -> None:
    first, second = choose(TABLE, "fast", CHAT)
    assert (first, second) == (
        Target("azure", "gpt-5-nano", CHAT, "fast", 2.0),
        Target("anthropic", "claude-haiku", MESSAGES, "fast"),
    )
    assert first.group == second.group == "fast"
    assert choose(TABLE, "gpt-old", CHAT) == (Target("openai", "gpt-4", CHAT, "gpt-old"),)
    assert choose(TABLE, "gpt-4o", CHAT)[0].group == "gpt-4o"


def test_an_upstream_can_be_named() -> None:
    assert choose(TABLE, "azure/anything/at-all", CHAT) == (Target("azure", "anything/at-all", CHAT),)
    assert choose(TABLE, "nobody/gpt-5.1", CHAT) == ()
    assert choose(TABLE, "azure/", CHAT) == ()


def test_an_unknown_name_has_no_candidates() -> None:
    assert choose(TABLE, "llama", CHAT) == ()
    assert not offered(TABLE, "llama")


def test_the_allow_list_of_a_key() -> None:
    assert allowed((), "anything")
    assert allowed(("gpt-5*", "claude-haiku"), "gpt-5.1")
    assert not allowed(("gpt-5*", "claude-haiku"), "claude-opus")
    assert not allowed(("gpt-5*",), "GPT-5")
