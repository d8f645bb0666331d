"""Texts in nearly the same words are near, others far; what is data is compared exactly."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.limits import PRINT_TEXT_CHARS_MAX, PRINT_WORDS_MEMO_MAX
from jevons.policy.prints import NEAR_BITS, Prints, near

PRINTS = Prints(b"s" * 32)
SORRY = (
    "I apologize for the confusion about the earlier step. Let me try once more to find the file that you asked for in the folder, "
    "and then I will tell you what is written in it so that we can go on with the task as planned"
)


def close(one: str, other: str) -> bool:
    return near(PRINTS.of(one).bits, PRINTS.of(other).bits)


@pytest.mark.parametrize("other", [
    SORRY.replace("apologize", "am sorry"),
    SORRY.replace("once more", "again"),
    SORRY.replace("find the file", "find that file"),
    SORRY.replace("I apologize", "Sure, I apologize"),
    SORRY.upper().lower(),
    SORRY.replace(". ", "!  ").replace(",", " –"),
])  # fmt: skip
def test_a_few_other_words_are_near(other: str) -> None:
    assert close(SORRY, other)


@pytest.mark.parametrize(("one", "other"), [
    (SORRY, "The build is green again: all tests pass, and the change to the parser is merged into the main branch as of this morning"),
    (SORRY, SORRY.replace("once more", "for the 3rd time")),
    (SORRY + " in 2024", SORRY + " in 2025"),
    (SORRY.replace("the file", "app_test"), SORRY.replace("the file", "app_main")),
    (SORRY.replace("you asked", "Alice asked"), SORRY.replace("you asked", "Bob asked")),
    ("yes", "no"),
    ("please go on", "please stop it"),
    ("", "yes"),
])  # fmt: skip
def test_other_words_and_other_data_are_far(one: str, other: str) -> None:
    assert not close(one, other)
    assert close(one, one)
    assert close(other, other)


def test_the_first_word_of_a_sentence_is_no_name() -> None:
    assert close("Certainly. " + SORRY, "Sure. " + SORRY)


def test_too_short_to_have_a_wording() -> None:
    assert not PRINTS.of("Please continue.").worded
    assert PRINTS.of(SORRY).worded


def test_exact_prints() -> None:
    assert near(PRINTS.exact(SORRY).bits, PRINTS.exact(SORRY).bits)
    assert not near(PRINTS.exact(SORRY).bits, PRINTS.exact(SORRY.replace("once more", "again")).bits)


def test_a_text_too_long_for_its_words_is_near_to_itself_only() -> None:
    long = SORRY * (PRINT_TEXT_CHARS_MAX // len(SORRY) + 1)
    assert close(long, long)
    assert not close(long, long.replace("once more", "again", 1))


def test_another_installation_has_other_prints() -> None:
    other = Prints(b"t" * 32)
    for text in (SORRY, "yes"):
        assert not near(PRINTS.of(text).bits, other.of(text).bits)
    assert PRINTS.of(SORRY) == Prints(b"s" * 32).of(SORRY)


def test_remembered_words_are_bounded_and_change_nothing() -> None:
    prints = Prints(b"s" * 32)
    first = prints.of(SORRY)
    letters = "abcdefghij"
    words = ("".join(letters[int(digit)] for digit in str(number)) for number in range(PRINT_WORDS_MEMO_MAX + 10))
    for word in words:
        prints.of(word)
    assert len(prints._memo) <= PRINT_WORDS_MEMO_MAX
    assert prints.of(SORRY) == first


@given(st.text(max_size=200))
def test_any_text_has_one_print(text: str) -> None:
    assert PRINTS.of(text) == PRINTS.of(text)
    assert near(PRINTS.of(text).bits, PRINTS.of(f" {text}  ").bits)


def test_distances_are_those_of_a_simhash() -> None:
    """With eight of 80 words replaced the texts share 69 % of their triples: 16 bits on average; unrelated texts 32."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(2000)]

    def distances(changed: int) -> list[int]:
        found = []
        for _ in range(100):
            one = chance.choices(words, k=80)
            other = list(one)
            for place in chance.sample(range(80), changed):
                other[place] = chance.choice(words)
            found.append((PRINTS.of(" ".join(one)).bits ^ PRINTS.of(" ".join(other)).bits).bit_count())
        return found

    assert 13 < sum(distances(8)) / 100 < 18
    assert 30 < sum(distances(80)) / 100 < 34
    assert min(distances(80)) > NEAR_BITS
