"""What routes learn by, and from: promises, students, predictors, captured answers, and what finds out how good answers are.

Comes in: the configuration, the ledger, the embedder. Goes out: a `Learning`; what no route asks for is None. Does not know: the gate, but for
`labelling_of`, which asks again through it.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jevons.config import Config, ConfigError
from jevons.core.limits import PROMISE_LABELS_MAX
from jevons.embed import Embedder, missing
from jevons.gateway.gate import Gate
from jevons.gateway.labelling import Labelling
from jevons.gateway.promises import KIND as PROMISE
from jevons.gateway.promises import Promises
from jevons.gateway.reading import Reading
from jevons.gateway.unseen import Asides
from jevons.gateway.upstreams import Live
from jevons.ledger.capture import FILE as CAPTURED
from jevons.ledger.capture import SECRET as CAPTURE_SECRET
from jevons.ledger.capture import Captured
from jevons.ledger.home import Home
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import StudentPut
from jevons.ledger.routing import latest_labels, learnt
from jevons.ledger.routing import students as registered
from jevons.policy.promise import Judged
from jevons.policy.route import Table
from jevons.policy.routes import STUDENT
from jevons.serve.meaning import reading_of

if TYPE_CHECKING:
    from jevons.gateway.capturing import Capturing
    from jevons.gateway.predictors import Predictors
    from jevons.gateway.students import Students
    from jevons.learn.student import Student, Tried


class Learning(NamedTuple):
    """None is what no route asks for."""

    reading: Reading | None
    promises: Promises | None
    students: "Students | None"
    capturing: "Capturing | None"
    predictors: "Predictors | None"

    async def start(self) -> "asyncio.Task[None] | None":
        """Read what was learnt before. The task keeps up with what is learnt from now on; cancel it at the end."""
        keeping_up = None
        if self.predictors is not None:
            await self.predictors.reload()
            keeping_up = asyncio.create_task(self.predictors.keep_up())
        if self.students is not None:
            await self.students.reload()
        if self.capturing is not None:
            self.capturing.start()
        return keeping_up


async def learning_of(
    config: Config, home: Home, ledger: Ledger, embedder: Embedder | None, captured: Captured | None
) -> Learning:
    """Nothing of it is started."""
    reading = await reading_of(config, home, embedder) if config.routes or config.capture.on else None
    promises = _promises(config, home, ledger)
    students = _students(config, home, ledger, embedder, captured, promises)
    capturing = _capturing(config, ledger, embedder, captured, students, promises, reading)
    predictors = _predictors(config, home, captured, promises)
    return Learning(reading, promises, students, capturing, predictors)


def captured_of(config: Config, home: Home) -> Captured | None:
    """The file of captured examples, where somebody opted in, or a route has what is sealed under a key of it: a student, or what it learnt of such
    examples before."""
    sealed = any(model.startswith(STUDENT) for route in config.routes for model in route.to) or (
        any(route.choose == "learned" for route in config.routes) and (home.path / CAPTURED).exists()
    )
    if config.capture.on or sealed:
        return Captured(home.path / CAPTURED, home.secret(CAPTURE_SECRET))
    return None


def labelling_of(
    config: Config, gate: Gate, lives: dict[str, Live], asides: Asides, table: Table, learning: Learning
) -> Labelling | None:
    """What finds out how good answers are; None where there are no routes."""
    if not config.routes:
        return None
    embedder = learning.reading.embedder if learning.reading is not None else None
    likeness = None if embedder is None else lambda one, other: float(embedder.vector(one) @ embedder.vector(other))
    taught = None if learning.capturing is None else learning.capturing.taught
    try:
        labelling = Labelling(gate, lives, asides, table, config.routes, learning.promises, likeness, taught)
    except ValueError as error:
        raise ConfigError(f"jevons.toml: {error}.") from None
    labelling.recall()
    return labelling


def _promises(config: Config, home: Home, ledger: Ledger) -> Promises | None:
    """What is promised of models that a route chooses by what it learns."""
    learning = [route.name for route in config.routes if route.choose != "first"]
    if not learning:
        return None
    promises = Promises(config.routes, ledger.writer.submit)
    judged = (label for route in learning for label in latest_labels(home.ledger, route, PROMISE_LABELS_MAX))
    promises.recall(learnt(home.ledger, PROMISE), judged)
    return promises


def _students(
    config: Config, home: Home, ledger: Ledger, embedder: Embedder | None, captured: Captured | None, promises: Promises | None
) -> "Students | None":
    """The students that routes name; their versions are loaded by `reload`."""
    named = {route.name: [model for model in route.to if model.startswith(STUDENT)] for route in config.routes}
    if not any(named.values()) or embedder is None or captured is None or promises is None:
        return None
    from jevons.gateway.students import Ready, Students  # noqa: PLC0415  numpy is for those who name students
    from jevons.learn import student_file  # noqa: PLC0415

    folder = home.path / student_file.FOLDER

    def opened(put: StudentPut) -> tuple["Student", "Sequence[Tried]"]:
        sealer = captured.sealer(put.org)
        return student_file.load(folder, put.name, put.version, sealer), student_file.trial(folder, put.name, put.version, sealer)

    def begun(ready: Ready) -> None:
        trial = [Judged(one.score, one.harm) for one in ready.trial]
        for route, names in named.items():
            if f"{STUDENT}{ready.put.name}" in names:
                promises.seed(ready.put.org, route, ready.model, trial, str(ready.put.version), ready.put.at_ms)

    students = Students(lambda: registered(home.ledger), opened, embedder.vector, ledger.writer.submit, begun)
    promises.on_withdrawn = students.withdrawn
    return students


def _predictors(config: Config, home: Home, captured: Captured | None, promises: Promises | None) -> "Predictors | None":
    """What was learnt of routes; the files are read by `reload`."""
    if promises is None or all(route.choose != "learned" for route in config.routes):
        return None
    from jevons.gateway.predictors import Predictors  # noqa: PLC0415  numpy is for those whose routes learn
    from jevons.learn.place import FOLDER  # noqa: PLC0415

    return Predictors(config.routes, home.path / FOLDER, None if captured is None else captured.sealer, promises)


def _capturing(
    config: Config,
    ledger: Ledger,
    embedder: Embedder | None,
    captured: Captured | None,
    students: "Students | None",
    promises: Promises | None,
    reading: Reading | None,
) -> "Capturing | None":
    """What keeps answers for students, and holds them against what students would have said."""
    if reading is None or (students is None and not config.capture.on):
        return None
    try:
        from jevons.gateway.capturing import Capturing  # noqa: PLC0415  it knows students, and they need numpy
    except ModuleNotFoundError as error:
        raise ConfigError(f"jevons.toml: [capture] names somebody. {missing(error.name or 'numpy')}") from None

    embed = None if embedder is None else embedder.vector
    return Capturing(config.capture, captured, students, promises, config.routes, reading, embed, ledger.writer.submit)
