"""The page *Cost*: what tokens cost to buy and to make, build or buy, energy and carbon, this machine, how levers multiply.

Comes in: what a browser asks for, in the address: a period, an open model, a part, a grid. Goes out: a page that stands at once and fetches its
slow parts, or with `whole=1` all of it, for who runs no scripts. Does not know: how a figure is found. What is missing is said in its place.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from jevons.core.limits import PAGE_ROWS_MAX
from jevons.dashboard import made, missing, rows
from jevons.dashboard.answers import Answers
from jevons.dashboard.aside import aside
from jevons.dashboard.bill import periods, presets, said
from jevons.dashboard.guard import Handler
from jevons.dashboard.kept import Kept
from jevons.dashboard.rows import Period
from jevons.economics import build_or_buy, build_or_buy_picture
from jevons.economics.energy import picture as energy_picture
from jevons.economics.energy.beside import MISSING as NO_ECOLOGITS
from jevons.economics.energy.facts import stated as stated_sizes
from jevons.economics.energy.grids import WORLD, grids
from jevons.economics.energy.report import energy
from jevons.economics.unitcost import local_saved, machine, synergy
from jevons.economics.unitcost.cost import Hourly, owned, rented
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.gguf_read import from_gguf
from jevons.economics.unitcost.hardware import find as find_part
from jevons.economics.unitcost.hardware import parts
from jevons.economics.unitcost.known import models
from jevons.economics.unitcost.local import LocalModel
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.quiet import crowded
from jevons.economics.ways import Here
from jevons.economics.workload import Workload, workload
from jevons.engine.gguf import NotGguf, header, tensors
from jevons.engine.models import find_model
from jevons.engine.settings import usable_cores
from jevons.ledger.errors import LedgerError
from jevons.meter.pricebook import open_book

MODEL, PART = "gpt-oss-120b", "H100-SXM-80GB"
"""What is compared where nobody chose: an open model that one device holds, on the part with most quotes."""
ENERGY_ROWS = 30


class Asked(NamedTuple):
    """What the page is about."""

    period: Period
    model: str
    part: str
    grid: str
    uneven: float | None
    """The busiest hour's work over the mean one's; None = as the ledger has it."""

    def link(self) -> dict[str, str]:
        """What differs from the defaults, for addresses."""
        chosen = {"model": (self.model, MODEL), "part": (self.part, PART), "grid": (self.grid, WORLD)}
        found = {name: value for name, (value, default) in chosen.items() if value != default}
        return found if self.uneven is None else found | {"uneven": f"{self.uneven:g}"}


class CostPages:
    """Handlers over the ledger's file and its folder."""

    def __init__(self, ledger: Path, home: Path, model: str, answers: Answers) -> None:
        """`model`: the file that the local engine serves; "" = the packaged one."""
        self._ledger = ledger
        self._model = model
        self._home = home
        self._answers = answers
        self._kept: Kept[dict[str, Any]] = Kept()
        self._parts = {
            "made": self._made,
            "buy": self._buy,
            "energy": self._energy,
            "machine": self._machine,
            "synergy": self._synergy,
        }

    def doors(self) -> tuple[tuple[str, Handler], ...]:
        return (("/cost", self._page), *((f"/cost/{name}", partial(self._part, name)) for name in self._parts))

    async def _page(self, request: Request) -> Response:
        asked = _asked(request)
        values = self._values(request, asked)
        anything = await aside(rows.anything, self._ledger)
        whole = self._parts if anything and request.query_params.get("whole") else ()
        drawn = {name: Markup(await aside(self._drawn, name, asked, values)) for name in whole}
        chooser = await aside(self._chooser)
        return await self._answers.page(request, "cost", any=anything, drawn=drawn, presets=presets(), **chooser, **values)

    async def _part(self, name: str, request: Request) -> Response:
        """One part: it may take a while, so the page asks for it when it stands."""
        asked = _asked(request)
        found = await aside(self._found, name, asked)
        return await self._answers.page(request, f"cost_{name}", **found, **self._values(request, asked))

    def _drawn(self, name: str, asked: Asked, values: dict[str, Any]) -> str:
        return self._answers.fragment(f"cost_{name}", **self._found(name, asked), **values)

    def _found(self, name: str, asked: Asked) -> dict[str, Any]:
        """The part's figures; `missing` says what is not there, and how to get it."""
        try:
            return {"missing": ""} | self._parts[name](asked)
        except missing.MISSING as error:
            return {"missing": missing.said(error)}

    def _values(self, request: Request, asked: Asked) -> dict[str, Any]:
        return said(*periods(request)) | {"asked": asked, "chosen": asked.link()}

    def _chooser(self) -> dict[str, Any]:
        """What can be chosen. A hardware.toml that cannot be read is said by the parts that need it."""
        try:
            among = parts(self._home)
        except UnitCostError:
            among = parts()
        usable = [part.name for part in among if part.memory_gb and part.bandwidth_gb_s]
        return {
            "models": sorted(one.name for one in models()),
            "parts": sorted(usable, key=str.lower),
            "grids": [(one.name, one.label) for one in grids()],
            "model_default": MODEL,
        }

    def _made(self, asked: Asked) -> dict[str, Any]:
        bought = made.bought(self._ledger, asked.period)
        if not bought:
            return {"rows": [], "kinds": made.KINDS}
        part, hourly = self._on(asked)
        everything = made.together(bought)

        def work() -> dict[str, Any]:
            one = self._one(asked, everything, part, hourly)
            return {"rows": made.making(bought, part, hourly, self._home), "open": one, "picture": made.drawn(one)}

        shown = self._kept.get(("made", asked, everything), work)
        return {**shown, "all": everything, "kinds": made.KINDS, "more": len(bought[PAGE_ROWS_MAX:]), "part": part.name}

    def _one(self, asked: Asked, everything: made.Bought, part: Part, hourly: Hourly | UnknownFact) -> made.Made:
        """The model that was chosen, under the load of all."""
        try:
            return made.made(asked.model, everything.load, part, hourly)
        except UnitCostError as error:
            return made.Made(str(error))

    def _on(self, asked: Asked) -> tuple[Part, Hourly | UnknownFact]:
        among = parts(self._home)
        part = find_part(asked.part, among)
        try:
            return part, rented(part, among)
        except UnknownFact as error:
            return part, error

    def _buy(self, asked: Asked) -> dict[str, Any]:
        work = workload(self._ledger, asked.period.since_ms, asked.period.until_ms)
        if work is None:
            return {"found": None}
        part, hour = self._on(asked)
        try:
            own: Hourly | UnknownFact = owned(part)
        except UnknownFact as error:
            own = error
        model, names = build_or_buy.model_of(asked.model)
        found = build_or_buy.compare(
            work, model, part, shipped(), rented=hour, owned=own, here=self._here(work), book=open_book(self._home), names=names, uneven=asked.uneven
        )  # fmt: skip
        return {
            "found": found,
            "picture": build_or_buy_picture.picture(found),
            "volume": build_or_buy_picture.volume,
            "infinite": math.inf,
        }

    def _here(self, work: Workload) -> Here | str:
        """The model that is served on this machine, as it was calibrated; or what is missing."""
        packaged = None if self._model else find_model()
        if packaged is None and not self._model:
            return "no local model is installed; `jevons serve` installs the packaged one"
        path = Path(self._model).expanduser() if packaged is None else packaged.path
        try:
            saved, weights = local_saved.calibration(self._home), tensors(path)
            model = LocalModel(from_gguf(header(path), weights), weights, saved.rates)
            return build_or_buy.on_this_machine(path.stem, model, saved, machine.load(self._home), work)
        except (UnitCostError, NotGguf) as error:
            return str(error)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"

    def _energy(self, asked: Asked) -> dict[str, Any]:
        here = machine.load(self._home)
        found = energy(
            self._ledger, since_ms=asked.period.since_ms, until_ms=asked.period.until_ms, in_grid=asked.grid,
            own=stated_sizes(self._home), watts=None if here is None else here.busy_watts,
        )  # fmt: skip
        return {
            "found": found,
            "shown": found.rows[:ENERGY_ROWS],
            "picture": energy_picture.picture(found),
            "figure": _figure,
            "no_ecologits": NO_ECOLOGITS,
            "unbilled": [row for row in made.bought(self._ledger, asked.period) if row.shadow_nusd],
        }

    def _machine(self, asked: Asked) -> dict[str, Any]:
        found = machine.load(self._home)
        try:
            local, why = made.here(self._home), ""
        except UnknownFact as error:
            local, why = None, str(error)
        saved = local_saved.load(self._home)
        return {
            "found": found,
            "part": found and found.part(),
            "crowded": found and crowded(found.load, found.processor.cores, "jevons hw measure"),
            "local": local,
            "local_crowded": saved and crowded(saved.load, usable_cores(), "jevons hw calibrate"),
            "why": why,
            "figure": _figure,
        }

    def _synergy(self, asked: Asked) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            among = parts(self._home)
            first = synergy.end_of(synergy.FROM, among, 0.0, synergy.FEW)
            last = synergy.end_of(synergy.TO, among, synergy.CACHED_SHARE, None)
            found = synergy.synergy(first, last, synergy.Task(), shipped())
            return {"found": found, "picture": synergy.picture(found), "quality": synergy.quality(*found.models)}

        return self._kept.get("synergy", work)


def _asked(request: Request) -> Asked:
    """Raises LedgerError."""
    query = request.query_params
    uneven = query.get("uneven") or None
    try:
        times = None if uneven is None else float(uneven)
    except ValueError:
        times = 0.0
    if times is not None and not 1 <= times <= 1_000:
        raise LedgerError(f"The busiest hour has 1 to 1,000 times the mean hour's work; not {uneven!r}")
    period, _ = periods(request)
    return Asked(period, query.get("model") or MODEL, query.get("part") or PART, query.get("grid") or WORLD, times)


def _figure(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
