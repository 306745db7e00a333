"""The front of a conversation on a terminal: a thin cmd2 application with a loop of its own.

One rule carries all of it: only the main thread writes to the terminal. Whoever has something to
show appends it to the outbox and wakes the main thread, which erases the line being typed, writes
everything at once, and draws the line again. Text typed goes to the grammar and never to cmd2's
parser, for which `|`, `>`, `!`, `#` and an open quote mean something.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import sys
import termios
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from cmd2 import Cmd, Statement
from cmd2 import rich_utils as ru
from cmd2.parsing import StatementParser
from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.application.current import get_app_or_none
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.lexers import SimpleLexer
from prompt_toolkit.output.plain_text import PlainTextOutput
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.renderer import Renderer
from prompt_toolkit.shortcuts import CompleteStyle, PromptSession
from prompt_toolkit.utils import is_dumb_terminal

from chatsh import keys, reflow, render
from chatsh.bodies import breaks
from chatsh.completer import ChatCompleter
from chatsh.conversation import Conversation
from chatsh.editor import EditorError, edit
from chatsh.exits import ExitCode
from chatsh.grammar import BY_WORD
from chatsh.link import Link
from chatsh.settings import Settings
from chatsh.typed import typed_lines
from chatsh.view import Shown, text_of

CHAT = "say"  # cmd2's name for every line that is not a command
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
EDIT = "/edit"  # instead of a line: the draft is to be edited
BLOCK_KEYS = {
    **dict.fromkeys(("y", "Y", "enter"), "text"),
    **dict.fromkeys(("c", "C"), "code"),
    **dict.fromkeys(("n", "N", "escape", "c-c", "c-d"), ""),
}
STATUS_ROWS = 3  # at most
BUSY = 0.05  # seconds until a terminal that another program has is asked for again


class LineParser(StatementParser):
    """Gives cmd2 the name of the command and keeps the line as it was typed. Never raises."""

    def parse(self, line: str) -> Statement:
        """The statement of a line; one without a command for a blank line."""
        word = line.split(maxsplit=1)[0].lower() if line.strip() else ""
        command = word if word in BY_WORD else CHAT
        return Statement(line, raw=line, command=command if word else "")


class Unseen(Processor):
    """Shows nothing of what is typed, not even how much it is."""

    def apply_transformation(self, _: TransformationInput) -> Transformation:
        """The same nothing for every text."""
        return Transformation([], source_to_display=lambda _: 0, display_to_source=lambda _: 0)


class Shell(Cmd):
    """One conversation on a terminal. Construct it where the terminal is already quiet."""

    def __init__(
        self, link: Link, modes: list[Any], *, reconnect: bool, settings: Settings
    ) -> None:
        self._modes = modes  # of the terminal, before us
        # Set before cmd2 looks at the terminal.
        ru.ALLOW_STYLE = ru.AllowStyle.NEVER if is_dumb_terminal() else ru.AllowStyle.TERMINAL
        super().__init__(
            allow_cli_args=False,
            allow_clipboard=False,
            allow_redirection=False,
            auto_suggest=False,
            shortcuts={},
            terminators=[],
        )
        self._conversation = Conversation(link, self, reconnect=reconnect, settings=settings)
        self._outbox: deque[Shown] = deque()
        self._calls: dict[str, None] = {}  # what calls, each once however often it was given
        self._view = self._conversation.view
        self._code: int | None = None
        self._interrupted = False
        self._blocked = False  # in a system call that only an exception ends
        self._editing = False  # the terminal is the editor's, and Ctrl-C too
        self._question = ""  # what is asked instead of a line
        self._dumb = is_dumb_terminal()
        self._wraps_anew = reflow.wraps_anew()
        self._replace_commands()
        self._set_up_session()

    def _replace_commands(self) -> None:
        """Take cmd2's own commands away and bind ours, from the grammar's table."""
        for name in super().get_all_commands():
            setattr(self, f"do_{name}", None)
        for name in list(self.settables):
            self.remove_settable(name)
        for word in (*BY_WORD, CHAT):
            setattr(self, f"do_{word}", self._do)
        self.hidden_commands = [CHAT]
        self.statement_parser = LineParser(terminators=[], shortcuts={})

    def _set_up_session(self) -> None:
        session = self.main_session
        session.completer = ChatCompleter(lambda: self._conversation.situation)
        session.complete_style = CompleteStyle.COLUMN  # it shows what each command does
        session.lexer = SimpleLexer()
        session.key_bindings = keys.bindings(self)
        session.multiline = keys.several_lines
        session.history = typed_lines(lambda: self._conversation.settings.history)
        session.default_buffer.history = session.history
        session.prompt_continuation = ""
        session.default_buffer.on_text_changed += self._changed
        # Whoever presses a key has seen what stands on the screen.
        session.app.key_processor.before_key_press += lambda _: self._view.attended()
        keys.listen_for_focus(session.input, self._view.attention.focused)
        self._follow_size(session.app)

    def _changed(self, line: Buffer) -> None:
        appended = line.text[:-1] == self._view.draft
        self._view.keep_draft(line.text)
        app = get_app_or_none()
        if self._dumb and not appended and app and app.loop:
            app.loop.call_soon(self._draw_anew)

    def _draw_anew(self) -> None:
        """On a dumb terminal prompt_toolkit shows nothing of an edit but the last character."""
        app = get_app_or_none()
        if app and app.is_running and not app.is_done:
            self._write(f"\n{self._prompt()}{app.current_buffer.text}")

    def _do(self, statement: Statement) -> bool:
        self._conversation.enter(statement.raw)
        return self._code is not None

    # --- the front, called from any thread and from signal handlers ---

    def show(self, shown: Shown) -> None:
        """Queue lines to stand above the line being typed."""
        self._outbox.append(shown)
        self._wake()

    def call(self, sequence: str) -> None:
        """Queue a sequence behind the lines that are being shown."""
        self._calls[sequence] = None

    def leave(self, code: int) -> None:
        """End with this code; the first one counts."""
        if self._code is None:
            self._code = code
        self._wake()

    def refresh(self) -> None:
        """Show the new status below the line being typed; there is none before the first."""
        self._wake()

    def _status(self) -> str:
        status, columns = self._conversation.status, self.columns()
        starts = [0, *breaks(status, columns)][:STATUS_ROWS]
        return "\n".join(status[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True))

    def secret(self, prompt: str) -> str | None:
        """Ask without echo; None for an empty answer, Ctrl-C, Ctrl-D or the end of the link."""
        try:
            return (self._ask_plainly(prompt) if self._dumb else self._ask(prompt)) or None
        except (EOFError, KeyboardInterrupt):
            return None

    def columns(self) -> int:
        """How wide the terminal is now."""
        return self.main_session.output.get_size().columns

    def _ask(self, prompt: str, bindings: KeyBindings | None = None) -> str:
        session = self.main_session
        # Of its own, so that no history keeps the answer. Where prompt_toolkit is to find out that
        # the terminal is dumb, it must find the output by itself.
        output = None if self._dumb else session.output
        asking: PromptSession[str] = PromptSession(input=session.input, output=output)
        self._follow_size(asking.app)
        self._question = prompt
        try:
            return asking.prompt(
                self._prompt,
                input_processors=[Unseen()],
                key_bindings=bindings,
                pre_run=self.pre_prompt,
                handle_sigint=False,
            )
        finally:
            self._question = ""

    def edit(self, text: str) -> str | None:
        """What the editor makes of it, on the terminal as it was before us."""
        self._blocked = self._editing = True
        try:
            with self._lent():
                return edit(text)
        except EditorError as error:
            self.show(render.complaint(str(error)))
        except KeyboardInterrupt:
            self.show(render.complaint(render.NOT_EDITED))
        finally:
            self._blocked = self._editing = False
        return None

    @contextlib.contextmanager
    def _lent(self) -> Iterator[None]:
        fd = sys.stdin.fileno()
        ours = termios.tcgetattr(fd)
        termios.tcsetattr(fd, termios.TCSANOW, self._modes)
        try:
            yield
        finally:
            termios.tcsetattr(fd, termios.TCSANOW, ours)

    # --- the keys ---

    def go(self, where: str) -> None:
        """Put another conversation on the screen, and its draft into the line."""
        {"next": self._view.next, "back": self._view.back}[where]()
        draft = self._view.draft
        self.main_session.default_buffer.document = Document(draft, len(draft))

    def edit_line(self) -> None:
        """End this prompt without a line; its draft is edited before the next one."""
        self.main_session.app.erase_when_done = True
        self.main_session.app.exit(result=EDIT)

    def _ask_plainly(self, prompt: str) -> str:
        self._blocked = True
        try:
            with self._lent():
                return getpass.getpass(prompt)
        except (EOFError, KeyboardInterrupt):
            self._write("\n")
            raise
        finally:
            self._blocked = False

    def _wake(self) -> None:
        app = get_app_or_none()
        loop = app.loop if app else None
        if loop:
            # The loop may have closed just now: then the next prompt drains.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._on_wake)

    # --- the main thread ---

    def _on_wake(self) -> None:
        """Show what waits, around the prompt that is on the screen."""
        app = get_app_or_none()
        if app is None or not app.is_running or app.is_done:
            return  # left in the outbox for the next prompt
        # Private, but nothing public tells that Ctrl-Z or an editor has the terminal.
        if getattr(app, "_running_in_terminal", False):
            assert app.loop
            app.loop.call_later(BUSY, self._on_wake)
            return
        taken = self._taken()
        if taken and self._dumb:
            self._write(f"\n{taken}{self._prompt()}{app.current_buffer.text}")
        elif taken:
            self._write_above(app, taken)
        app.invalidate()
        if self._code is not None:
            app.exit(exception=EOFError())
        elif self._interrupted:
            self._interrupted = False
            app.exit(exception=KeyboardInterrupt())

    def _write_above(self, app: Application[Any], taken: str) -> None:
        """Lines above the prompt, in one frame with the prompt and what stands below it."""
        renderer, output = app.renderer, app.output
        assert isinstance(output, keys.ChatOutput)
        assert app.context
        # Private: how many rows there are from the prompt downwards. After an erase nobody knows
        # until the terminal has answered, and so long the status line would be gone, at each
        # message anew. What is written takes so many of them away, but not the last.
        below = renderer._min_available_height  # noqa: SLF001
        with output.together():
            self._erase(renderer)
            output.write_raw(taken)
            if below:
                rows = render.rows(taken, self.columns())
                renderer._min_available_height = max(below - rows, 1)  # noqa: SLF001
            renderer.request_absolute_cursor_position()
            app.context.copy().run(renderer.render, app, app.layout)

    def _erase(self, renderer: Renderer) -> None:
        """Take the line being typed off the screen; it is drawn again at once."""
        if self._wraps_anew:
            reflow.follow(renderer)
        renderer.erase()

    def _follow_size(self, app: Application[Any]) -> None:
        """Let it erase what it has drawn where that is in a terminal of another size."""
        output, draw = app.output, getattr(app, "_on_resize", None)
        if draw is None or not isinstance(output, keys.ChatOutput):
            return

        def resized() -> None:
            with output.together():
                self._erase(app.renderer)
                draw()

        # Private, but nothing public comes before the line is drawn for the new size.
        setattr(app, "_on_resize", resized)  # noqa: B010

    def pre_prompt(self) -> None:
        """Show what came between two prompts."""
        self._interrupted = False
        self.main_session.app.erase_when_done = False
        self._drain()
        app = get_app_or_none()
        if app:
            # Private: there is one row at least, and so the status line stands in the first frame.
            # Unknown, it would come when the terminal has told where its cursor is.
            app.renderer._min_available_height = 1  # noqa: SLF001
        if self._code is not None and app:
            app.exit(exception=EOFError())

    def _drain(self) -> None:
        taken = self._taken()
        if taken:
            self._write(taken)

    def _taken(self) -> str:
        """Everything that waits, as the bytes for this terminal; the outbox is empty then."""
        console = ru.Cmd2GeneralConsole(file=self.stdout)
        styles = render.styles(self._conversation.transcript.theme)
        with console.use_theme(styles), console.capture() as capture:
            while self._outbox:
                text = text_of(self._outbox.popleft())
                if text is not None:
                    console.print(text, soft_wrap=True)
        self.main_session.bottom_toolbar = self._status if self._conversation.status else None
        called, self._calls = self._calls, {}
        return capture.get() + "".join(called)

    def _write(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _read_line(self) -> str:
        if self._dumb:
            self._drain()  # there, prompt_toolkit calls no pre_prompt
        with patch_stdout():  # a net for what a library might print
            return self.main_session.prompt(
                self._prompt_and_draft if self._dumb else self._prompt,
                default=self._view.draft,
                pre_run=self.pre_prompt,
                handle_sigint=False,
            )

    def _prompt(self) -> str:
        # Asked for at every redraw: on a dumb terminal the one hook inside the running loop, where
        # what came just before the loop began can still be shown.
        if self._dumb and (self._outbox or self._code is not None):
            self._wake()
        if self._question:
            return self._question
        waiting = self._view.waiting if self._dumb else ""  # others have a status line for it
        return f"({waiting}) {self._conversation.prompt}" if waiting else self._conversation.prompt

    def _prompt_and_draft(self) -> str:
        """On a dumb terminal prompt_toolkit does not show what a line begins with."""
        return self._prompt() + self._view.draft

    def cmdloop(self, intro: Any = "") -> int:
        """Read and do lines until somebody leaves; the exit code."""
        while self._code is None:
            try:
                line = self._read_line()
            except KeyboardInterrupt:
                self._view.keep_draft("")
            except (EOFError, OSError):  # Ctrl-D, or the terminal is gone
                self._conversation.quit()
            else:
                self._enter(line)
        return self._code

    def _enter(self, line: str) -> None:
        if self._dumb:  # the keys are there those of another application
            self._view.attended()
        if line is EDIT:
            self._conversation.edit()
            return
        self._view.keep_draft("")
        if "\n" in line:
            self._enter_block(line)
        elif line.strip():
            self.onecmd_plus_hooks(line)
        else:  # cmd2 would pass it over, but it may be an answer
            self._conversation.enter(line)

    def _enter_block(self, block: str) -> None:
        """Several lines are one message, if that is what was meant."""
        answer = self._choose(render.several(block.count("\n") + 1), BLOCK_KEYS)
        if answer is None:
            self._view.keep_draft(block)
        else:
            self._conversation.enter(block, code=answer == "code")

    def _choose(self, question: str, answers: dict[str, str]) -> str | None:
        """One key's answer; None for every way of leaving it open."""
        try:
            return self._ask(question, keys.answers(answers)) or None
        except (EOFError, KeyboardInterrupt):
            return None

    def run(self) -> int:
        """The whole conversation, with the terminal as it was before and after."""
        handlers = dict.fromkeys(SIGNALS, self._on_end) | {signal.SIGINT: self._on_interrupt}
        with _handling(handlers):
            self._view.attended()
            self._conversation.offer_unsent()
            self._view.offer_drafts()
            self._conversation.keeper.start()
            try:
                return self.cmdloop()
            finally:
                self._conversation.keeper.stop()
                self._conversation.keep_unsent()
                with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
                    self._drain()
                    if self._code != ExitCode.NORMAL:
                        # Who was typing did not mean it for the next program.
                        termios.tcflush(sys.stdin, termios.TCIFLUSH)

    def _on_interrupt(self, _: int, __: FrameType | None) -> None:
        # An exception at any other place would break a frame in two, or prompt_toolkit's own work.
        if self._editing:
            return
        if self._blocked:
            raise KeyboardInterrupt
        self._interrupted = True
        self._wake()

    def _on_end(self, number: int, _: FrameType | None) -> None:
        self.leave(128 + number)
        if self._blocked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _handling(
    handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]],
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def quiet_terminal(fd: int) -> Iterator[list[Any]]:
    """Keys as they are, also while no prompt is there; yields what was before, and restores it.

    The terminal itself would show those typed between two prompts, edit them, take Enter for
    another key and Ctrl-D for none, and drop what is pasted beyond the length of its line.
    """
    before = termios.tcgetattr(fd)
    quiet = [*before]
    quiet[0] &= ~(termios.ICRNL | termios.IXON)
    quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    quiet[6] = [*before[6]]
    quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, quiet)
    try:
        yield before
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSANOW, before)


def run(link: Link, *, reconnect: bool, settings: Settings) -> int:
    """Chat on the terminal; the exit code."""
    # Else prompt_toolkit writes escape sequences even to a terminal that knows none.
    dumb, term = is_dumb_terminal(), os.environ.get("TERM")
    output = PlainTextOutput(sys.stdout) if dumb else keys.ChatOutput.from_pty(sys.stdout, term)
    with quiet_terminal(sys.stdin.fileno()) as modes, create_app_session(output=output):
        return Shell(link, modes, reconnect=reconnect, settings=settings).run()
