"""Tries after a failure: only before the first byte, each with a hold and an entry of its own, the last error passed on."""

import time
from typing import Any

import pytest

from tests.gateway.asking import Gateway, Got, Key, body_of, marker

TARGETS = {"chat": "again/gpt-4o", "messages": "again-an/claude-sonnet-4-5", "translated": "again-an/claude-sonnet-4-5"}


def asked(gateway: Gateway, key: Key, way: str, stream: bool = False, **script: Any) -> tuple[Got, str]:
    mark = marker()
    door = "chat" if way == "translated" else way
    return gateway.post(door, key, body_of(door, TARGETS[way], stream, marker=mark, reply="one two", **script)), mark


@pytest.mark.parametrize("way", TARGETS)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_that_may_pass_is_tried_again(gateway: Gateway, key: Key, way: str, status: int) -> None:
    got, mark = asked(gateway, key, way, fault="status", status=status, fault_times=1)
    assert got.status == 200
    entries = gateway.entries_of(got)
    assert [(one["outcome"], one["status"]) for one in entries] == [("error", status), ("ok", 200)]
    assert [one["id"] & 15 for one in entries] == [0, 1]
    assert entries[0]["billed_nusd"] == 0
    assert len(gateway.attempts(mark)) == 2
    assert int(got.headers["x-jevons-cost-nusd"]) == entries[1]["billed_nusd"]


@pytest.mark.parametrize(("way", "status"), [("chat", 503), ("messages", 429), ("translated", 429), ("translated", 503)])
def test_the_last_error_is_passed_on(gateway: Gateway, key: Key, way: str, status: int) -> None:
    """Our own tries are spent: the client is told not to add its own."""
    got, mark = asked(gateway, key, way, fault="status", status=status, message="all busy")
    assert got.status == status
    assert got.headers["x-should-retry"] == "false"
    assert got.error["message"] == "all busy"
    if way == "messages":
        assert got.json["type"] == "error"
    if status == 429:
        assert got.error["type"] == "rate_limit_error" if way != "chat" else got.error["type"]
    assert len(gateway.attempts(mark)) == len(gateway.entries_of(got)) == 3
    assert got.headers["x-jevons-cost-nusd"] == "0" if way != "translated" else True


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_an_error_that_will_not_pass_is_not_tried_again(gateway: Gateway, key: Key, status: int) -> None:
    got, mark = asked(gateway, key, "chat", fault="status", status=status)
    assert got.status == status
    assert len(gateway.attempts(mark)) == 1
    assert gateway.entry_of(got)["billed_nusd"] == 0


def test_retry_after_is_waited_for(gateway: Gateway, key: Key) -> None:
    """The journal's times tell; our own back-off would be over sooner."""
    got, mark = asked(gateway, key, "chat", fault="status", status=429, retry_after=1, fault_times=1)
    assert got.status == 200
    first, second = gateway.attempts(mark)
    assert second.received["time_ns"] - first.received["time_ns"] >= 10**9


@pytest.mark.parametrize("hint", [{"retry_after": 90}, {"headers": {"x-should-retry": "false"}}])
def test_a_provider_that_says_no_is_believed(gateway: Gateway, key: Key, hint: dict[str, Any]) -> None:
    """A long wait is the client's to decide on: it hears of it."""
    got, mark = asked(gateway, key, "chat", fault="status", status=429, **hint)
    assert got.status == 429
    assert len(gateway.attempts(mark)) == 1
    assert got.headers.get("retry-after") == ("90" if "retry_after" in hint else None)


def test_a_provider_that_says_yes_is_believed(gateway: Gateway, key: Key) -> None:
    got, mark = asked(gateway, key, "chat", fault="status", status=409, headers={"x-should-retry": "true"}, fault_times=1)
    assert got.status == 200
    assert len(gateway.attempts(mark)) == 2


def test_a_wait_is_passed_on_across_dialects(gateway: Gateway, key: Key) -> None:
    got, _ = asked(gateway, key, "translated", fault="status", status=429, retry_after=90)
    assert (got.status, got.headers.get("retry-after"), got.error["type"]) == (429, "90", "rate_limit_error")


@pytest.mark.parametrize("stream", [False, True])
def test_a_break_before_the_first_byte_is_tried_again(gateway: Gateway, key: Key, stream: bool) -> None:
    """Nobody knows what the first try cost: it is charged, and the second is too."""
    got, mark = asked(gateway, key, "chat", stream, fault="reset_before_headers", fault_times=1)
    assert got.status == 200
    first, second = gateway.entries_of(got)
    assert (first["outcome"], first["estimate"]) == ("error", "seen" if stream else "hold")
    assert (second["outcome"], second["estimate"]) == ("ok", "")
    assert len(gateway.attempts(mark)) == 2


def test_nothing_is_tried_again_after_the_first_event(gateway: Gateway, key: Key) -> None:
    got, mark = asked(gateway, key, "chat", True, fault="reset_mid_stream", fault_times=1)
    assert not got.whole
    assert len(gateway.attempts(mark)) == len(gateway.entries_of(got)) == 1


def test_no_money_for_a_second_try(gateway: Gateway) -> None:
    """The first try's charge leaves too little: the first error stands."""
    probe = gateway.key(10**12)
    got, _ = asked(gateway, probe, "chat", fault="reset_before_headers")
    held = gateway.entries_of(got)[0]["held_nusd"]
    key = gateway.key(held + 1000)
    got, mark = asked(gateway, key, "chat", fault="reset_before_headers")
    assert (got.status, got.headers["x-should-retry"]) == (502, "false")
    assert "broke off" in got.error["message"]
    assert len(gateway.attempts(mark)) == len(gateway.entries_of(got)) == 1


def test_an_upstream_that_cannot_be_reached_costs_nothing(gateway: Gateway, key: Key) -> None:
    got = gateway.post("chat", key, body_of("chat", "o3-mini"))
    assert got.status == 502
    assert "cannot be reached" in got.error["message"]
    entry = gateway.entry_of(got)
    assert (entry["outcome"], entry["billed_nusd"], entry["list_nusd"]) == ("unreachable", 0, 0)
    assert gateway.account(key)["posted_nusd"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_upstream_of_a_model(gateway: Gateway, key: Key, stream: bool) -> None:
    """The first that offers it is dead; the client does not notice."""
    mark = marker()
    got = gateway.post("chat", key, body_of("chat", "o3", stream, cap=2000, marker=mark, reply="one"))
    assert got.status == 200
    assert got.whole
    assert [(one["upstream"], one["outcome"]) for one in gateway.entries_of(got)] == [("dead", "unreachable"), ("alive", "ok")]
    assert got.headers["x-jevons-route"] == "alive/o3"


def test_a_refused_upstream_key_is_the_operators_matter(gateway: Gateway, key: Key) -> None:
    """A client must not think that its own key is wrong, nor see ours."""
    got = gateway.post("chat", key, body_of("chat", "badkey/gpt-4o"))
    assert got.status == 502
    assert "its operator must check it" in got.error["message"]
    assert b"canary" not in got.body
    assert gateway.entry_of(got)["billed_nusd"] == 0


def test_a_client_that_leaves_between_two_tries(gateway: Gateway, key: Key) -> None:
    """It is not asked for again."""
    from tests.gateway.test_leaving import leave, wait_received  # noqa: PLC0415  a client's bad manners

    mark = marker()
    leave(gateway, key, "chat", False, b"", "again/gpt-4o", marker=mark, fault="status", status=503, retry_after=2)
    wait_received(gateway, mark)
    gateway.settled(key, 1)
    later = time.monotonic() + 2.5
    while time.monotonic() < later and len(gateway.attempts(mark)) == 1:
        time.sleep(0.05)
    assert len(gateway.attempts(mark)) == 1
