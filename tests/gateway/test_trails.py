"""Requests as agents send them, in all dialects: their whole history again, cut, marked for caches, retried, many at once."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.chain import chain
from jevons.core.limits import (
    TRAIL_CONVERSATIONS_MAX,
    TRAIL_MESSAGE_BYTES_MAX,
    TRAIL_MESSAGES_KEPT,
    TRAIL_OPEN_CALL_BYTES_MAX,
    TRAIL_REQUESTS_MAX,
    TRAIL_STEPS_MAX,
    TRAIL_STEPS_SEEN_MAX,
)
from jevons.gateway import trails as module
from jevons.gateway.trails import Trails
from jevons.policy.loops import Loops, Trail
from jevons.wire.parse import parse

SECRET = b"s" * 32
CHAT, RESPONSES, MESSAGES = Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES
DIALECTS = (CHAT, RESPONSES, MESSAGES)
WORDS = (
    "I apologize for the confusion. It seems the file is not where I looked for it. Let me try once more to find it in the folder, "
    "and then I will tell you what it says so that we can go on with the task."
)


class Agent:
    """One conversation: grows as an agent's does, and makes the body of each request."""

    def __init__(self, dialect: Dialect, task: str = "Fix the bug.", *, system: str = "You are an agent.") -> None:
        self.dialect = dialect
        self.system = system
        self.items: list[Any] = [{"role": "user", "content": task}]
        self.calls = 0

    def call(self, *calls: tuple[str, Any, str], text: str = "") -> "Agent":
        """Tools called at once: (name, arguments, result) each, with ids of their own."""
        ids = [f"call_{id(self)}_{self.calls + number}" for number in range(len(calls))]
        self.calls += len(calls)
        named = list(zip(ids, calls, strict=True))
        if self.dialect is CHAT:
            functions = [
                {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for id_, (name, arguments, _) in named
            ]
            self.items.append({"role": "assistant", "content": text or None, "tool_calls": functions})
            self.items += [{"role": "tool", "tool_call_id": id_, "content": result} for id_, (_, _, result) in named]
        elif self.dialect is RESPONSES:
            self.items.append({"type": "reasoning", "id": f"rs_{ids[0]}", "summary": [], "encrypted_content": ids[0]})
            if text:
                self.items.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
            self.items += [
                {"type": "function_call", "call_id": id_, "name": name, "arguments": json.dumps(arguments)}
                for id_, (name, arguments, _) in named
            ]
            self.items += [{"type": "function_call_output", "call_id": id_, "output": result} for id_, (_, _, result) in named]
        else:
            blocks = [{"type": "thinking", "thinking": "hm", "signature": ids[0]}]
            blocks += [{"type": "text", "text": text}] if text else []
            uses = [{"type": "tool_use", "id": id_, "name": name, "input": arguments} for id_, (name, arguments, _) in named]
            self.items.append({"role": "assistant", "content": [*blocks, *uses]})
            results = [{"type": "tool_result", "tool_use_id": id_, "content": result} for id_, (_, _, result) in named]
            self.items.append({"role": "user", "content": results})
        return self

    def turn(self, assistant: str, user: str) -> "Agent":
        """An answer without tools, and what the user said to it."""
        kind = "output_text" if self.dialect is RESPONSES else "text"
        self.items.append({"role": "assistant", "content": [{"type": kind, "text": assistant}]})
        self.items.append({"role": "user", "content": user})
        return self

    def ask(self, *, first: int = 0, previous: str | None = None, cache: bool = False) -> Ask:
        """A request with the items from `first` on."""
        items = self.items[first:]
        body: dict[str, Any] = {"model": "m"}
        if self.dialect is CHAT:
            body["tools"] = [{"type": "function", "function": {"name": "search"}}]
            body["messages"] = [{"role": "system", "content": self.system}, *items]
        elif self.dialect is RESPONSES:
            body |= {"instructions": self.system, "input": items}
            body |= {"previous_response_id": previous} if previous else {}
        else:
            body |= {"max_tokens": 9, "system": self.system, "messages": _marked(items) if cache else items}
        return parse(self.dialect, json.dumps(body).encode())


def _marked(messages: list[Any]) -> list[Any]:
    """As Claude Code marks: the last message, whose string becomes a block for it."""
    content = messages[-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    blocks = [*blocks[:-1], {**blocks[-1], "cache_control": {"type": "ephemeral"}}]
    return [*messages[:-1], {**messages[-1], "content": blocks}]


class Run:
    """A run that is followed."""

    def __init__(self) -> None:
        self.trails = Trails(SECRET)
        self.trail = Trail()

    def __call__(self, ask: Ask, tokens: int = 100) -> Loops:
        return self.trails.follow(self.trail, ask, chain(SECRET, ask.messages).digests, tokens)


def each(agent: Agent, moves: Sequence[Callable[[Agent], Agent]], run: Run | None = None, **how: Any) -> list[Loops]:
    """What is seen when the agent asks at first and after every move."""
    run = run or Run()
    found = [run(agent.ask(**how))]
    return found + [run(move(agent).ask(**how)) for move in moves]


def search(result: str = "nothing found", **arguments: Any) -> Callable[[Agent], Agent]:
    return lambda agent: agent.call(("search", arguments or {"q": "bug"}, result))


def said(assistant: str, user: str) -> Callable[[Agent], Agent]:
    return lambda agent: agent.turn(assistant, user)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_call_with_the_same_result(dialect: Dialect) -> None:
    found = each(Agent(dialect), [search()] * 12)
    assert [loops.repeats for loops in found] == [1, *range(1, 13)]
    assert [loops.identical for loops in found] == list(range(13))
    assert found[-1].why.startswith("the call search was made 12 times in a row with the same result")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_polling_and_batch_work(dialect: Dialect) -> None:
    polls = [search(f"pending, {second} s") for second in range(30)]
    assert {loops.repeats for loops in each(Agent(dialect), polls)} == {1}
    batch = [search("ok", item=number) for number in range(30)]
    assert {loops.repeats for loops in each(Agent(dialect), batch)} == {1}
    assert {loops.why for loops in each(Agent(dialect), [*polls, *batch])} == {""}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("period", [2, 3])
def test_cycles(dialect: Dialect, period: int) -> None:
    moves = [search(q=number % period) for number in range(5 * period)]
    found = each(Agent(dialect), moves)
    assert found[-1].repeats == 5
    assert found[-1].identical == 5
    assert "were made 5 times in a row with the same results" in found[-1].why


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_at_once_in_any_order(dialect: Dialect) -> None:
    one, other = ("read", {"path": "a"}, "x"), ("read", {"path": "b"}, "y")
    moves = [(lambda agent, calls=calls: agent.call(*calls)) for calls in ((one, other), (other, one)) * 3]
    assert each(Agent(dialect), moves)[-1].repeats == 6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_beside_calls_does_not_count(dialect: Dialect) -> None:
    """The model says something else each time it makes the same call."""
    texts = ["Let me look.", "Hm, once more.", "That is odd; again.", "I look again."]
    moves = [(lambda agent, text=text: agent.call(("search", {"q": 1}, "none"), text=text)) for text in texts]
    assert each(Agent(dialect), moves)[-1].repeats == 4


def beside(dialect: Dialect, text: str) -> Callable[[Agent], Agent]:
    """The same call, and words beside its result: in one message where the dialect can."""

    def move(agent: Agent) -> Agent:
        search()(agent)
        if dialect is MESSAGES:
            agent.items[-1]["content"].append({"type": "text", "text": text})
        else:
            agent.items.append({"role": "user", "content": text})
        return agent

    return move


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stopped_run_can_be_told_to_do_otherwise(dialect: Dialect) -> None:
    run, agent = Run(), Agent(dialect)
    assert each(agent, [search()] * 20, run)[-1].repeats == 20
    agent.items.append({"role": "user", "content": "Stop that; look into the tests instead."})
    found = run(agent.ask(), 900)
    assert (found.repeats, found.identical, found.stalled_tokens) == (1, 0, 0)
    assert [run(search()(agent).ask()).repeats for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_reminders_hide_no_loop(dialect: Dialect) -> None:
    """Programs put notes beside results: always, the same again, or changing each time."""
    same = [beside(dialect, "<reminder>The list is empty.</reminder>") if n % 4 == 1 else search() for n in range(20)]
    assert each(Agent(dialect), same)[-1].repeats == 18
    changing = [beside(dialect, f"<time>12:{n}</time>") for n in range(10, 30)]
    assert each(Agent(dialect), changing)[-1].repeats == 19


@pytest.mark.parametrize("dialect", DIALECTS)
def test_near_identical_turns(dialect: Dialect) -> None:
    answers = [
        WORDS,
        WORDS.replace("once more", "again"),
        WORDS.replace("It seems", "Apparently"),
        WORDS,
        WORDS.replace("find", "see"),
    ]
    found = each(Agent(dialect), [said(text, "Please continue.") for text in answers])
    assert found[-1].repeats == 5
    assert found[-1].why.startswith("the last 5 turns without tools say nearly the same")
    assert each(Agent(dialect), [said(WORDS, text) for text in ("one", "two", "three")])[-1].repeats == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_short_answers_to_templated_questions_are_batch_work(dialect: Dialect) -> None:
    """The answer is one word, so the question must be the very same."""
    reviews = ["quite good", "not so bad", "rather dull", "simply great", "a bit long"]
    question = f"{WORDS} Is this review positive or negative? "
    found = each(Agent(dialect), [said("positive", question + review) for review in reviews])
    assert found[-1].repeats == 1
    assert each(Agent(dialect), [said("positive", question)] * 5)[-1].repeats == 5


def test_several_messages_of_one_side_are_one_turn() -> None:
    def move(agent: Agent) -> Agent:
        agent.turn(WORDS, "Go on.")
        agent.items.append({"role": "user", "content": "Hurry up."})
        return agent

    assert [loops.repeats for loops in each(Agent(CHAT), [move] * 3)] == [1, 1, 2, 3]


def told(text: str) -> Callable[[Agent], Agent]:
    return lambda agent: beside(agent.dialect, text)(agent)


MOVES = st.sampled_from([
    search(), search("found", q="x"), search("more", q="y"), said(WORDS, "Go on."), said("Done.", "No, go on."),
    lambda agent: agent.call(("read", {"a": 1}, "1"), ("read", {"a": 2}, "2"), text="Both."), told("Try the tests."), told("Hurry."),
])  # fmt: skip


@given(st.sampled_from(DIALECTS), st.lists(MOVES, max_size=40))
def test_request_by_request_is_as_at_once(dialect: Dialect, moves: list[Callable[[Agent], Agent]]) -> None:
    one = each(Agent(dialect), moves)[-1]
    agent = Agent(dialect)
    for move in moves:
        move(agent)
    other = Run()(agent.ask())
    assert (one.repeats, one.identical) == (other.repeats, other.identical)


@given(st.lists(MOVES, max_size=25), st.data())
def test_cache_marks_that_move_change_nothing(moves: list[Callable[[Agent], Agent]], data: st.DataObject) -> None:
    marked, plain, one, other = Agent(MESSAGES), Agent(MESSAGES), Run(), Run()
    for number, move in enumerate([lambda agent: agent, *moves]):
        cache = data.draw(st.booleans() if number % 2 else st.just(True))
        got = one(move(marked).ask(cache=cache), 100 + number)
        assert got == other(move(plain).ask(), 100 + number)


@given(st.sampled_from(DIALECTS), st.lists(MOVES, min_size=1, max_size=12), st.integers(1, 3))
def test_requests_sent_again_count_no_step_twice(dialect: Dialect, moves: list[Callable[[Agent], Agent]], sends: int) -> None:
    agent, run = Agent(dialect), Run()
    run(agent.ask())
    for move in moves:
        move(agent)
        found = [run(agent.ask()) for _ in range(sends)]
    assert found[-1] == found[0] == each(Agent(dialect), moves)[-1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_request_that_is_stuck(dialect: Dialect) -> None:
    run, agent = Run(), Agent(dialect)
    found = [run(agent.ask()) for _ in range(20)]
    assert [loops.repeats for loops in found[:4]] == [1, 1, 1, 1]
    assert (found[-1].repeats, found[-1].why) == (5, "the same request was sent 20 times")
    assert run(search()(agent).ask()).repeats == 1


def test_an_agent_that_starts_anew_after_each_crash() -> None:
    """It sends its first request again and again; between, a step that brings nothing new."""
    run = Run()
    for _ in range(18):
        agent = Agent(CHAT)
        found = run(agent.ask())
        run(search()(agent).ask())
    assert found.repeats == 5


def test_a_first_request_that_is_due_again() -> None:
    """Every night the same prompt, and other work to do."""
    run = Run()
    for night in range(40):
        agent = Agent(CHAT)
        found = run(agent.ask())
        run(search(f"mail of night {night}")(agent).ask())
    assert found.repeats == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_conversations_of_one_run_are_batch_work(dialect: Dialect) -> None:
    """Each begins with the same call; only the task differs."""
    run = Run()
    for number in range(40):
        agent = Agent(dialect, f"Do task {number} as the guidelines say.")
        found = [run(agent.ask()), run(search("the guidelines")(agent).ask()), run(search(f"task {number}")(agent).ask())]
        assert {loops.repeats for loops in found} == {1}
    assert len(run.trail.conversations) <= TRAIL_CONVERSATIONS_MAX


@pytest.mark.parametrize("dialect", DIALECTS)
def test_examples_in_front_of_every_task(dialect: Dialect) -> None:
    run = Run()
    for number in range(30):
        agent = Agent(dialect, WORDS).turn(WORDS, WORDS).turn(WORDS, f"Now do what is asked for in number {number}, please.")
        assert run(agent.ask()).repeats <= 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_loop_beside_other_conversations(dialect: Dialect) -> None:
    run, agent = Run(), Agent(dialect)
    other = Agent(dialect, "Another task.", system="You are a subagent.")
    run(agent.ask())
    for number in range(10):
        found = run(search()(agent).ask())
        assert run(search(f"result {number}")(other).ask()).repeats == 1
        assert run(Agent(dialect, f"Give conversation {number} a title.", system="You make titles.").ask()).repeats == 1
    assert found.repeats == 10


@pytest.mark.parametrize("dialect", DIALECTS)
def test_more_conversations_than_are_kept_are_read_anew(dialect: Dialect) -> None:
    run = Run()
    agents = [Agent(dialect, f"Task {number}.") for number in range(TRAIL_CONVERSATIONS_MAX + 3)]
    for _ in range(6):
        found = [run(search()(agent).ask()).repeats for agent in agents]
    assert found == [6] * len(agents)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_window_that_slides(dialect: Dialect) -> None:
    """The client sends its latest messages only."""
    run, agent = Run(), Agent(dialect)
    run(agent.ask())
    for _ in range(15):
        found = run(search()(agent).ask(first=max(0, len(agent.items) - 2 * len(search()(Agent(dialect)).items) + 2)))
    assert found.repeats == 15


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("keep", [0, 1])
def test_a_loop_goes_on_after_compaction(dialect: Dialect, keep: int) -> None:
    """The history becomes a summary, with the latest calls or without."""
    run, agent = Run(), Agent(dialect)
    run(agent.ask())
    for _ in range(6):
        run(search()(agent).ask(), 5_000)
    summary = Agent(dialect, "A summary of the work so far.")
    if keep:
        summary.items += agent.items[-(len(agent.items) - 1) // 6 :]
    assert run(summary.ask(), 500).repeats in (1, 6)
    found = run(search()(summary).ask(), 600)
    assert found.repeats == 7
    assert found.stalled_tokens == 100
    assert run(search("something else")(summary).ask(), 700).repeats == 1


def test_compaction_by_a_client_that_marks_for_caches() -> None:
    run, agent = Run(), Agent(MESSAGES)
    run(agent.ask(cache=True))
    for _ in range(6):
        run(search()(agent).ask(cache=True), 5_000)
    summary = Agent(MESSAGES, "A summary of the work so far.")
    run(summary.ask(cache=True), 500)
    assert [run(search()(summary).ask(cache=True), 600).repeats for _ in range(3)] == [7, 8, 9]


def test_a_new_conversation_beside_a_loop_has_not_looped() -> None:
    run, agent = Run(), Agent(CHAT)
    run(agent.ask())
    for _ in range(8):
        run(search()(agent).ask())
    assert run(Agent(CHAT, "Something else.").ask()).repeats == 1


def test_history_at_the_provider() -> None:
    """With `previous_response_id` only what is new is sent: calls are not seen, so their results are nobody's repetition."""
    run, agent = Run(), Agent(RESPONSES)
    run(agent.ask())
    for number in range(30):
        item = {"type": "function_call_output", "call_id": f"c{number}", "output": "ok"}
        agent.items.append(item)
        ask = agent.ask(first=len(agent.items) - 1, previous=f"resp_{number}")
        assert run(ask).repeats == 1
        assert run(ask).repeats == 1  # a retry
    assert len(run.trail.conversations) == 1


def test_calls_sent_with_their_results_count_without_history() -> None:
    run, agent = Run(), Agent(RESPONSES)
    run(agent.ask())
    for number in range(5):
        first = len(agent.items)
        ask = search()(agent).ask(first=first, previous=f"resp_{number}")
        found = [run(ask), run(ask)]
    assert [loops.repeats for loops in found] == [5, 5]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_growth_without_progress(dialect: Dialect) -> None:
    """No period, nothing new: a few calls in no order."""
    run, agent = Run(), Agent(dialect)
    order = [0, 1, 2, 3, 1, 0, 2, 2, 3, 0, 1, 3, 0, 2, 1]
    found = [run(search(q=number)(agent).ask(), 1_000 * (place + 1)) for place, number in enumerate(order)]
    assert [loops.stalled_tokens for loops in found] == [0, 0, 0, 0, *range(1_000, 12_000, 1_000)]
    assert found[-1].why.endswith("the context grew by 11,000 tokens since anything new happened")
    assert run(search("found it")(agent).ask(), 20_000).stalled_tokens == 0


def test_taken_up_again_further_back() -> None:
    """A person goes back some messages and lets the agent try again."""
    run, agent = Run(), Agent(CHAT)
    for number in range(10):
        run(search(q=number)(agent).ask())
    del agent.items[-4:]
    found = [run(search(q=1)(agent).ask()).repeats for _ in range(3)]
    assert found == [1, 2, 3]


def test_each_message_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    parts = module.parts
    monkeypatch.setattr(module, "parts", lambda dialect, message: (read.append(message), parts(dialect, message))[1])
    agent = Agent(CHAT)
    each(agent, [search(q=number) for number in range(30)])
    assert len(read) == len(set(read)) == 2 + len(agent.items)  # tools and system too
    read.clear()
    each(Agent(MESSAGES), [search(q=number) for number in range(30)], cache=True)
    assert len(read) < 4 * 31  # the marked message again


def test_results_that_come_with_a_later_request() -> None:
    """The arguments of an open call are kept, if they are few."""
    for size, repeats in ((10, 3), (TRAIL_OPEN_CALL_BYTES_MAX, 1)):
        run, agent = Run(), Agent(RESPONSES)
        for _ in range(3):
            search(text="x" * size)(agent)
            output = agent.items.pop()
            run(agent.ask())
            agent.items.append(output)
            found = run(agent.ask())
        assert found.repeats == repeats


def test_messages_too_large_to_be_read() -> None:
    run, agent = Run(), Agent(CHAT)
    moves = [search("x" * TRAIL_MESSAGE_BYTES_MAX), search(), search(), search()]
    assert [loops.repeats for loops in each(agent, moves, run)] == [1, 1, 1, 2, 3]


def test_an_unknown_history_is_read_from_its_end() -> None:
    agent = Agent(CHAT)
    for number in range(400):
        search(q=number)(agent)
    for _ in range(7):
        search()(agent)
    assert Run()(agent.ask()).repeats == 7


def test_a_trail_stays_small() -> None:
    run = Run()
    for number in range(30):
        agent = Agent(CHAT, f"Task {number}.")
        for step in range(40):
            run(search(f"{number} {step}")(agent).ask())
    trail = run.trail
    assert len(trail.conversations) <= TRAIL_CONVERSATIONS_MAX
    assert all(len(known.marks) <= TRAIL_MESSAGES_KEPT for known in trail.conversations)
    assert len(trail.seen) <= TRAIL_STEPS_SEEN_MAX
    assert len(trail.sends) <= TRAIL_REQUESTS_MAX
    assert all(len(known.state.history.steps) <= TRAIL_STEPS_MAX for known in trail.conversations)


def test_a_request_without_messages() -> None:
    run = Run()
    ask = parse(CHAT, b'{"model": "m", "messages": []}')
    assert run(ask) == run(ask) == Loops(1)


def test_other_secrets_other_keys() -> None:
    ask = search()(Agent(CHAT)).ask()
    trails = [Trail(), Trail()]
    for secret, trail in zip((b"a" * 32, b"b" * 32), trails, strict=True):
        Trails(secret).follow(trail, ask, chain(secret, ask.messages).digests, 1)
    assert not set(trails[0].seen) & set(trails[1].seen)
