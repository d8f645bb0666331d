"""Bilingual text that Debian packages ship: manuals whose pages exist in English and in Spanish under one name.

Comes in: the package registry (apt-get), or the packages of an earlier fetch. Goes out: pairs of pages, for training and held out.
Because every page is there in both languages, language is what differs between the halves, and not the topic.
Does not know: tokens. Nothing of the text is kept in the repository.
"""

import hashlib
import html.parser
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HELD_OUT_OF = 20
"""One page pair in so many is never trained on; its number is the hash of its name, so that another order changes nothing."""
PARAGRAPH_CHARS_MIN = 25
PAGE_CHARS_MIN = 200
SKIPPED = frozenset({"script", "style", "nav", "header", "footer", "aside", "pre", "title", "head"})
BLOCKS = frozenset("p div li td th dt dd h1 h2 h3 h4 h5 h6 tr table ul ol body section br".split())


@dataclass(frozen=True, slots=True)
class Manual:
    """Where one manual's pages are. `english` and `spanish` are (package, folder in it, end of file names)."""

    licence: str
    english: tuple[str, str, str]
    spanish: tuple[str, str, str]


MANUALS = (
    Manual(
        "MPL-2.0",
        ("libreoffice-help-en-us", "usr/share/libreoffice/help/en-US/text", ".html"),
        ("libreoffice-help-es", "usr/share/libreoffice/help/es/text", ".html"),
    ),
    Manual(
        "GFDL-1.2+",
        ("gimp-help-en", "usr/share/gimp/2.0/help/en", ".html"),
        ("gimp-help-es", "usr/share/gimp/2.0/help/es", ".html"),
    ),
    Manual(
        "GPL-2.0+ or CC-BY-SA-3.0",
        ("debian-handbook", "usr/share/doc/debian-handbook/html/en-US", ".html"),
        ("debian-handbook", "usr/share/doc/debian-handbook/html/es-ES", ".html"),
    ),
    Manual(
        "GPL-2.0+",
        ("debian-reference-en", "usr/share/debian-reference", ".en.html"),
        ("debian-reference-es", "usr/share/debian-reference", ".es.html"),
    ),
    Manual(
        "GPL-2.0+",
        ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/en", ".html"),
        ("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/es", ".html"),
    ),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One page in both languages: paragraphs joined by line ends. `name` is the package and the path in it."""

    name: str
    en: str
    es: str

    @property
    def held_out(self) -> bool:
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4]) % HELD_OUT_OF == 0


def fetch(folder: Path) -> None:
    """Download and unpack what is missing (160 MB, most of it pictures). Raises SystemExit with what to do."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = {package for manual in MANUALS for package, _, _ in (manual.english, manual.spanish)}
    for package in sorted(packages):
        if (folder / package).is_dir():
            continue
        print(f"fetching {package}", flush=True)
        done = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True, check=False)
        files = sorted(folder.glob(f"{package}_*.deb"))
        if done.returncode or not files:
            raise SystemExit(
                f"{package} cannot be had from the package registry: {done.stderr.strip()}. It needs Debian or Ubuntu; try apt-get update."
            )
        subprocess.run(["dpkg-deb", "-x", files[-1], folder / f"{package}.part"], check=True)
        files[-1].unlink()
        (folder / f"{package}.part").rename(folder / package)


def pages(work: Path) -> list[Pair]:
    """All pages; kept in `work`/pages.json once they were taken from the packages."""
    kept = work / "pages.json"
    if not kept.is_file():
        fetch(work / "packages")
        found = pairs(work / "packages")
        kept.write_text(json.dumps([asdict(pair) for pair in found], ensure_ascii=False), "utf-8")
    return [Pair(**pair) for pair in json.loads(kept.read_text("utf-8"))]


def held_out(work: Path) -> list[Pair]:
    """Those that the twins have not seen."""
    return [page for page in pages(work) if page.held_out]


def pairs(folder: Path) -> list[Pair]:
    """All pages, in the order of their names. A paragraph that both languages have (not translated, or code) is in neither."""
    raw: list[tuple[str, list[str], list[str]]] = []
    for manual in MANUALS:
        (package, en, en_end), (es_package, es, es_end) = manual.english, manual.spanish
        for page in sorted((folder / package / en).rglob(f"*{en_end}")):
            path = str(page.relative_to(folder / package / en)).removesuffix(en_end)
            other = folder / es_package / es / (path + es_end)
            if other.is_file():
                raw.append((f"{package}/{path}", paragraphs(page), paragraphs(other)))
    both = {part for _, en_parts, _ in raw for part in en_parts} & {part for _, _, es_parts in raw for part in es_parts}
    seen = set(both)
    made = [Pair(name, _fresh(en_parts, seen), _fresh(es_parts, seen)) for name, en_parts, es_parts in raw]
    return [pair for pair in made if min(len(pair.en), len(pair.es)) >= PAGE_CHARS_MIN]


def _fresh(parts: list[str], seen: set[str]) -> str:
    """What no page before had: manuals repeat themselves, and a repeated paragraph would be held out and trained on."""
    fresh = [part for part in parts if part not in seen]
    seen.update(fresh)
    return "\n".join(dict.fromkeys(fresh))


def paragraphs(page: Path) -> list[str]:
    reader = _Reader()
    reader.feed(page.read_text("utf-8", "replace"))
    reader.close()
    return list(reader.finished())


class _Reader(html.parser.HTMLParser):
    """The prose of a page: text between block elements, white space folded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._skipping: list[str] = []
        self._parts: list[str] = [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED:
            self._skipping.append(tag)
        elif tag in BLOCKS:
            self._parts.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._skipping and tag == self._skipping[-1]:
            self._skipping.pop()
        elif tag in BLOCKS:
            self._parts.append("")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._parts[-1] += data

    def finished(self) -> Iterator[str]:
        for part in self._parts:
            text = re.sub(r"\s+", " ", part).strip()
            if len(text) >= PARAGRAPH_CHARS_MIN and sum(map(str.isalpha, text)) > len(text) / 2:
                yield text
