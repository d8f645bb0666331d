"""What a policy would have done, said once more in plain lists and sums: no accounts, no windows, no order of events but a sorted list.

Rates are written by hand: gpt-4o at $2.50 and $10 per million tokens is 2,500 and 10,000 nano-dollars a token.
"""

from typing import Any, NamedTuple

from tests.replay.recorder import Request

INPUT_NUSD, CACHED_NUSD, OUTPUT_NUSD = 2_500, 1_250, 10_000
DAY_MS = 86_400_000
PATIENCE_MS = 2_000
FLOOR = 16


class Cap(NamedTuple):
    """A limit as the reference knows it."""

    name: str
    scope: str
    """key, team or run."""
    measure: str
    """usd or steps."""
    amount: int
    per: str = "total"
    """or day"""


class Done(NamedTuple):
    """One request that was admitted."""

    held_nusd: int
    billed_nusd: int
    admitted_ms: int


def team_of(key_id: int) -> str:
    return f"team-{key_id % 2}"


def reference(requests: list[Request], caps: list[Cap], changes: list[tuple[int, list[Cap]]]) -> dict[int, Done]:
    """Place of each admitted request -> what it held and came to. `changes`: from an instant on these limits hold, and no others."""
    calls: list[dict[str, Any]] = []
    pending: list[tuple[int, Request, int]] = []
    admitted: dict[int, Done] = {}
    todo: list[tuple[int, int, int, Any]] = [(request.at_ms, 1, n, request) for n, request in enumerate(requests)]
    todo += [(at_ms, 0, n, new) for n, (at_ms, new) in enumerate(changes)]

    def used(cap: Cap, request: Request, held: bool) -> int:
        """What counts in a limit for this request's caller."""
        total = 0
        for call in calls:
            other = call["request"]
            same = {
                "key": other.key_id == request.key_id,
                "team": team_of(other.key_id) == team_of(request.key_id),
                "run": (other.key_id, other.run) == (request.key_id, request.run),
            }[cap.scope]
            if not same or (cap.per == "day" and other.at_ms // DAY_MS != request.at_ms // DAY_MS):
                continue
            if call["open"]:
                total += call["held"][cap.measure] if held else 0
            else:
                total += call["spent"][cap.measure]
        return total

    def holding(request: Request) -> list[Cap]:
        return [cap for cap in caps if cap.scope != "run" or request.run is not None]

    def decide(request: Request) -> Any:
        """An output cap, "wait" or "no"."""
        mine = holding(request)
        money = any(cap.measure == "usd" for cap in mine)
        wanted = request.output_cap if request.output_cap is not None else (8_192 if money else 16_384)

        def fits(output: int, held: bool) -> bool:
            weight = {"usd": request.input_tokens * INPUT_NUSD + output * OUTPUT_NUSD, "steps": 1}
            return all(used(cap, request, held) + weight[cap.measure] <= cap.amount for cap in mine)

        if fits(wanted, True):
            return wanted
        least = min(wanted, FLOOR)
        if not fits(least, False):
            return "no"
        best, over = least, wanted + 1
        while over - best > 1:  # the largest that could be had if nobody else were under way
            middle = (best + over) // 2
            best, over = (middle, over) if fits(middle, False) else (best, middle)
        return best if fits(best, True) else "wait"

    def attempt(n: int, request: Request, now_ms: int) -> bool:
        """Is it decided?"""
        found = decide(request)
        if found == "wait":
            return False
        if found == "no":
            return True
        asked = request.output_cap if request.output_cap is not None else 10**9
        output = min(request.used_output, found) if found < asked else request.used_output
        spent = request.used_input * INPUT_NUSD + request.used_cached * CACHED_NUSD + output * OUTPUT_NUSD
        held = request.input_tokens * INPUT_NUSD + found * OUTPUT_NUSD
        call = {"request": request, "open": True, "held": {"usd": held, "steps": 1}, "spent": {"usd": spent, "steps": 1}}
        calls.append(call)
        admitted[n] = Done(held, spent, now_ms)
        todo.append((now_ms + request.takes_ms, -1, n, call))
        return True

    def again(now_ms: int) -> None:
        """Whoever waits tries once more, in the order in which they came."""
        for waiting in list(pending):
            n, request, _ = waiting
            if attempt(n, request, now_ms):
                pending.remove(waiting)

    while todo:
        todo.sort(key=lambda one: (one[0], -one[1], one[2]))
        now_ms, what, n, thing = todo.pop(0)
        if what == 1:
            if not attempt(n, thing, now_ms):
                pending.append((n, thing, now_ms))
                todo.append((now_ms + PATIENCE_MS, -2, n, None))
        elif what == 0:
            caps = thing
            again(now_ms)
        elif what == -1:
            thing["open"] = False
            again(now_ms)
        else:
            pending[:] = [waiting for waiting in pending if waiting[0] != n]
    return admitted
