"""What a token of the local model costs: seconds that the machine is busy with it, times what a busy second costs.

Comes in: a `LocalModel`, a turn, `Terms` of the machine. Goes out: dollars for a million tokens, and the entry of prices.toml. Does not know:
files, clocks, the price book.

    busy second = watts / 1000 × PUE × $/kWh / 3600 + machine $ / (years × 31,536,000 × utilisation)
    input       = busy second × seconds of the new prompt tokens, were nothing kept / their number
    cache_read  = busy second × (what they take longer after the kept ones / number of kept, + putting one back)
    output      = busy second × seconds of a step in the middle of the answer / conversations together

So a bill of input and cache_read is what the prompt of such a turn took. The first formula is that of meter/data/local_prices.toml, with PUE.
"""

from decimal import Decimal
from typing import NamedTuple

from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.local import LocalModel
from jevons.economics.unitcost.positions import within

YEAR_S = 31_536_000
DIGITS = 4
"""Of a price: a prediction knows no more."""


class Terms(NamedTuple):
    """What a machine costs; the defaults are those of meter/data/local_prices.toml."""

    watts: float = 30.0
    """While busy, with its share of memory, fans and power supply."""
    usd_per_kwh: float = 0.15
    pue: float = 1.0
    """What the room takes beside it, as a multiple: 1 at home."""
    machine_usd: float = 1000.0
    years: float = 4.0
    utilisation: float = 0.25
    """Share of its time in which it makes tokens: idle hours are paid by the busy ones."""

    def busy_second_usd(self) -> float:
        """Raises UnitCostError for terms that cannot be."""
        if (
            min(self.watts, self.usd_per_kwh, self.machine_usd) < 0
            or self.pue < 1
            or self.years <= 0
            or not 0 < self.utilisation <= 1
        ):
            raise UnitCostError(
                "watts, $/kWh and the machine's price are 0 or more, PUE 1 or more, years above 0, utilisation above 0 and at most 1"
            )
        power = self.watts / 1000 * self.pue * self.usd_per_kwh / 3600
        return power + self.machine_usd / (self.years * YEAR_S * self.utilisation)


class Turn(NamedTuple):
    """What is asked of the model at a time."""

    prompt: int = 1000
    repeated: int = 800
    """Of the prompt, kept from the turn before."""
    output: int = 100
    batch: int = 1
    """Conversations that are answered together."""


class Prices(NamedTuple):
    """Dollars for a million tokens."""

    input: Decimal
    cache_read: Decimal
    output: Decimal


class Speed(NamedTuple):
    """What the prices come from."""

    prefill_tok_s: float
    cached_tok_s: float | None
    """Kept tokens that a second puts back and looks at. None: nothing is kept."""
    decode_tok_s: float
    """Of all conversations together."""


def speed(model: LocalModel, turn: Turn, restore_element_s: float) -> Speed:
    """Raises UnitCostError for a turn that cannot be, TooLong for one longer than the model takes."""
    if not 0 <= turn.repeated < turn.prompt or turn.output < 1 or turn.batch < 1:
        raise UnitCostError("a prompt has more tokens than are repeated, an answer and a batch at least one")
    within(model.architecture, turn.prompt, turn.output, "such a turn")
    new = turn.prompt - turn.repeated
    cold = model.prefill(new)
    warm = model.prefill(new, turn.repeated) + restore_element_s * model.architecture.cache_elements(turn.repeated)
    decode = model.decode_tok_s(turn.batch, turn.prompt + turn.output // 2)
    return Speed(new / cold, turn.repeated / (warm - cold) if turn.repeated else None, decode)


def prices(found: Speed, terms: Terms) -> Prices:
    """Raises UnitCostError. Where nothing is kept, a kept token is priced as a new one."""
    busy = terms.busy_second_usd()
    per_million = [
        busy * 1e6 / rate for rate in (found.prefill_tok_s, found.cached_tok_s or found.prefill_tok_s, found.decode_tok_s)
    ]
    return Prices(*(_rounded(usd) for usd in per_million))


def entry(found: Prices, model: str, since: str, said: str) -> str:
    """The [[price]] of prices.toml, which holds from `since` on ("2026-11-22T19:02:00Z"). `said`: where it comes from, in one line."""
    lines = ["[[price]]", f"# {said}", 'provider = "local"', f'model = "{model}"', f"from = {since}"]
    lines += [f'{kind} = "{usd}"' for kind, usd in found._asdict().items()]
    return "\n".join(lines) + "\n"


def _rounded(usd: float) -> Decimal:
    """To so many digits, never written with an exponent."""
    return Decimal(format(Decimal(f"{usd:.{DIGITS - 1}e}"), "f"))
