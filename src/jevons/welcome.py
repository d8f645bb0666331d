"""What a person sees when the gateway starts: where it is, what to paste, which upstreams there are, how the local model comes along."""

import shutil
import sys
from pathlib import Path

from jevons.config import Config, found_keys
from jevons.engine.process import Engine, EngineState
from jevons.imports.kinds import count_sessions
from jevons.ledger.home import Home
from jevons.ledger.importing import anything_of


class Welcome:
    """Writes to standard error, so that standard output stays free. A progress bar only where there is a terminal."""

    def __init__(self, config: Config, home: Home) -> None:
        self._config = config
        self._home = home
        self._terminal = sys.stderr.isatty()
        self._state = ""
        self._bar = False
        self._command = command_to_paste()

    def show(self, address: str, first_key: str, settled: int) -> None:
        """The banner. `first_key` is shown this once; "" when there are keys already."""
        say = self._say
        say(f"Jevons serves on {address}   (everything it keeps: {self._home.path})")
        if settled:
            say(
                f"  {settled} calls were under way when it last stopped; each is settled at what was held for it, marked as an estimate."
            )
        key = first_key or "jv-…"
        if first_key:
            say(f"\n  Your first key, named default, shown this once:   {first_key}\n")
            say(f"  It has no limit. So that it never spends more than $5: `{self._command} keys limit default 5`.")
        else:
            say(f"  Keys: `{self._command} keys list`; a new one: `{self._command} keys create NAME`.")
        say("  Try it:")
        say(f"    curl {address}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\")
        model = "local" if self._config.engine.enabled else "MODEL"
        say(f"""      -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'""")
        say("  Point your agents here:")
        say(f"    export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={key}")
        say(f"    export ANTHROPIC_BASE_URL={address} ANTHROPIC_API_KEY={key}")
        self._show_upstreams()
        self._show_sessions()
        say(
            f"  What it cost: `{self._command} bill`, live: `{self._command} top`, in a browser: `{self._command} dashboard`. Stop with Ctrl-C.\n"
        )

    def preparing(self) -> None:
        """Before what takes long at the first start, and seconds at any."""
        self._say("Preparing the semantic cache. The first start compiles its search, once: that takes some ten seconds.")

    def engine_changed(self, engine: Engine) -> None:
        """Told at every change of the local engine."""
        if engine.progress is not None and self._terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r  local model: {engine.progress.bar()}"[: width - 1].ljust(width - 1), end="", file=sys.stderr, flush=True)
            self._bar = True
            return
        if engine.progress is not None and engine.progress.total_bytes:
            return  # in a log the steps are enough
        line = f"  {engine.detail}"
        if engine.state is EngineState.READY:
            line = "  local model: ready. It answers to `local`: 135M parameters, for trying, and for simple tasks."
            if engine.settings.model is not None:
                line = f"  local model: ready. {engine.settings.model.name} answers to `local`."
        if engine.state in (EngineState.STOPPED, EngineState.STARTING) or line == self._state:
            return
        self._state = line
        self._say(line)

    def _show_upstreams(self) -> None:
        names = [upstream.name for upstream in self._config.upstreams]
        if names:
            self._say(f"  Upstreams: {', '.join(names)}")
        for offer in found_keys():
            if offer.name not in names:
                self._say(
                    f"  {offer.key_env} is set: `{self._command} init --add {offer.name}` puts that upstream into jevons.toml"
                    " (by reference; the key stays where it is)."
                )

    def _show_sessions(self) -> None:
        """Logs of local agents, until one is imported: they are counted, not opened."""
        if anything_of(self._home.ledger, ("claude-code", "codex")):
            return
        found = (("Claude Code", count_sessions("claude-code")), ("Codex", count_sessions("codex")))
        if told := " and ".join(f"{number:,} {name}" for name, number in found if number):
            one = sum(number for _, number in found) == 1
            self._say(f"  Found {told} session{'' if one else 's'}: `{self._command} import --local` shows your last 30 days.")

    def _say(self, line: str) -> None:
        if self._bar:
            print(file=sys.stderr)
            self._bar = False
        print(line, file=sys.stderr, flush=True)


def command_to_paste() -> str:
    """How this very installation's `jevons` is called from the shell: by name where that finds it, else by path."""
    script = Path(sys.executable).with_name("jevons")
    found = shutil.which("jevons")
    if not script.exists() or (found and Path(found).samefile(script)):
        return "jevons"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)
