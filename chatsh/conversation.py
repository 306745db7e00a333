"""What a typed line does and what an event shows, for whatever takes the lines and shows the text.

Two threads meet here: `enter` belongs to the one that reads the keyboard or the pipe, `handle` to
the one that reads the link (or to `enter` itself, for what is answered at once). What both touch is
replaced as a whole or belongs to the link, which has a lock. What was said is handed to the front
as something still to be done: the first thread decides, when it shows things, whether it is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from msgspec.structs import replace
from rich.text import Text

from chatd.wire.errors import ErrorCode
from chatd.wire.messages import (
    Ack,
    AskSeen,
    Bye,
    Error,
    Group,
    GroupEvent,
    GroupInfo,
    History,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Item,
    Newname,
    Notice,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Quit,
    Receipt,
    Register,
    Set,
    Who,
)
from chatd.wire.names import same
from chatd.wire.text import harmless, whole
from chatsh import helping, options, render
from chatsh.client import Answered, Event, Opened, Request, is_text
from chatsh.destination import words_for
from chatsh.drafts import Drafts
from chatsh.exits import ExitCode, code_of
from chatsh.fences import fenced
from chatsh.grammar import (
    Begin,
    Complaint,
    Disturb,
    Edit,
    Focus,
    Help,
    Mode,
    More,
    Mute,
    Next,
    Protect,
    Setting,
    Situation,
    Status,
    Switch,
    Unsent,
    Where,
    did_you_mean,
    parse,
)
from chatsh.link import GaveUp, Keeper, Link, Lost, Told, wall_clock
from chatsh.logs import Logs
from chatsh.settings import Settings
from chatsh.status import Statuses
from chatsh.talks import own_item, talk_of
from chatsh.transcript import Transcript
from chatsh.unsent import Message as Unanswered
from chatsh.unsent import Spool
from chatsh.view import Screen, Shown, View


class Front(Screen, Protocol):
    """What shows the conversation. `leave` may be called from any thread."""

    def edit(self, text: str) -> str | None:
        """The text as its writer has changed it in an editor; None where that cannot be."""

    def leave(self, code: int) -> None:
        """End with this exit code, unless an earlier call gave one."""

    def secret(self, prompt: str) -> str | None:
        """Ask for something that nobody may read; None where that cannot be asked."""


UNKNOWN = (ErrorCode.NO_SUCH_USER, ErrorCode.NO_SUCH_GROUP)  # may be a slip of the pen
_Table = Mapping[type, Callable[[Any, Any], None]]


def _named(request: Request) -> str:
    """Whom a request is about."""
    fields = ("group", "peer", "name", "to")
    return next((name for field in fields if (name := getattr(request, field, None))), "")


class Conversation:
    """One person's, from the first prompt to the exit code."""

    def __init__(
        self,
        link: Link,
        front: Front,
        *,
        reconnect: bool,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.transcript = Transcript(lambda: self.settings, front.columns, wall_clock)
        self.keeper = Keeper(link, self.handle, reconnect=reconnect)
        self._link = link
        self._front = front
        self._mode = Mode.GENERAL
        self._down = False  # the link is lost and being opened again
        self._begun = False  # it has been open
        self._silent: set[str] = set()  # ids of requests that nobody typed
        self._wanted = ""  # the name of the group that is being made
        self._statuses = Statuses()
        self.view = View(link, front, lambda: self.settings, self.transcript, Drafts(*self._own()))
        self._logs = Logs(link.home, lambda: self.settings, wall_clock, self._complain_of)
        self._spool = Spool(*self._own())
        self._unsent = self._kept = self._spool.load()

    @property
    def mode(self) -> Mode:
        """What a line without a slash means now."""
        return Mode.TALK if self.view.focus else self._mode

    @property
    def prompt(self) -> str:
        """What stands before the line being typed."""
        focus = self.view.focus
        return self.mode.value.format(harmless(focus.name if focus else "")) + render.PROMPT

    @property
    def situation(self) -> Situation:
        """What the next line's meaning depends on; a snapshot, for any thread."""
        client, focus = self._link.client, self.view.focus
        talk = (focus.name, focus.group) if focus else ("", False)
        return Situation(
            self.mode, client.users, client.groups, self._wanted, *talk, client.name or ""
        )

    @property
    def status(self) -> str:
        """The link, the newest of our messages, and what waits unseen, for a status line."""
        waiting = self.view.waiting
        parts = (
            render.OFFLINE if self._down else self._at,
            harmless(self._statuses.newest),
            f"unseen: {waiting}" if waiting else "",
        )
        return "  |  ".join(part for part in parts if part)

    @property
    def _at(self) -> str:
        """Which of several servers this is."""
        return f"at {self._link.address}" if self._link.several else ""

    # --- what could not be sent ---

    def _own(self) -> tuple[str, str]:
        """The server and the name that files are kept for."""
        address = self._link.home
        return f"{address.host}:{address.port}", self._link.client.name or ""

    def offer_unsent(self) -> None:
        """Show what an earlier shell could not send. It is sent only when that is asked for."""
        if self._unsent:
            self._front.show(render.unsent(self._unsent.values()))

    def keep_unsent(self) -> None:
        """Put what has no answer now, at the end, where the next shell finds it."""
        try:
            left = self._spool_pending()
        except OSError as error:
            self._front.show(render.complaint(f"{render.NOT_KEPT} {error.strerror}"))
        else:
            if left:
                self._front.show(render.complaint(self._kept_for_later))

    @property
    def _kept_for_later(self) -> str:
        """With several servers, which of them the next shell has to be started with."""
        if not self._link.several:
            return render.KEPT_FOR_LATER
        command = words_for(self._link.addresses, self._link.client.name)
        return f"{render.KEPT_FOR_LATER.removesuffix('.')}: chatsh {command}"

    def _spool_pending(self) -> bool:
        """Write what has no answer where the next shell finds it; whether there is any of ours.

        Raises `OSError`.
        """
        pending = self._link.client.pending.items()
        left = {key: said for key, said in pending if isinstance(said, Unanswered)}
        unsent = self._unsent | left
        if unsent != self._kept:
            spool = Spool(*self._own())
            if spool.path != self._spool.path:  # we have another name now
                unsent = spool.load() | unsent
                self._spool.save({})
            spool.save(unsent)
            self._spool, self._kept = spool, unsent
        return bool(left)

    def _send_unsent(self, wanted: Unsent) -> None:
        unsent, self._unsent = self._unsent, {}
        if not unsent:
            self._front.show(render.notice("Nothing from before is unsent."))
        elif wanted.drop:
            self._front.show(render.notice("What was unsent is forgotten."))
        else:
            for key, message in unsent.items():
                self._request(message, key)

    # --- lines ---

    def enter(self, line: str, *, code: bool = False) -> None:
        """Do what a line asks for; a message in it is `code`. Never raises for what it holds."""
        action = parse(whole(line), self.situation)
        if code and isinstance(action, Unanswered):
            action = replace(action, content=fenced(action.content))
        if action is not None:
            self._DO[type(action)](self, action)

    def quit(self) -> None:
        """Leave, as asked."""
        self._front.leave(ExitCode.NORMAL)

    def _request(self, request: Request, key: str = "") -> None:
        self._link.send(request, key)
        if self._down:
            with contextlib.suppress(OSError):  # that is told at the end, where it counts
                self._spool_pending()  # now, for whatever may end this shell
            self._front.show(self._kept_meanwhile)
            self.keeper.hurry()

    def _kept_meanwhile(self) -> Text | None:
        """What becomes of a line, where it still is not sent when that would be shown."""
        return render.complaint(render.KEPT) if self._down else None

    def _switch(self, switch: Switch) -> None:
        if self.view.focus:
            self.view.go(None)
        self._mode = switch.mode

    def _talk(self, wanted: Focus) -> None:
        self._mode = Mode.GENERAL
        if wanted.name:
            self.view.talk_to(wanted.name, group=wanted.group)
        else:
            self.view.go(None)

    def _begin(self, begin: Begin) -> None:
        self._wanted, self._mode = begin.group, Mode.GROUP_MEMBERS

    def _group(self, request: Group) -> None:
        if self.mode is Mode.GROUP_MEMBERS:
            self._mode = Mode.GROUP
        self._request(request)

    def _tell_status(self, wanted: Status) -> None:
        nothing = f"You have sent nothing to {wanted.name}." if wanted.name else render.NOTHING_SENT
        lines = self._statuses.lines(wanted.name)
        self._front.show(render.notice_lines(lines or [nothing]))

    def _complain(self, complaint: Complaint) -> None:
        self._front.show(render.complaint(complaint.text))

    def _complain_of(self, text: str) -> None:
        self._front.show(render.complaint(text))

    def _tell_where(self, _: Where) -> None:
        self._front.show(render.notice(self._logs.where))

    def _help(self, wanted: Help) -> None:
        command, width = wanted.command, self._front.columns()
        shown = helping.one(command, width) if command else helping.overview(width)
        self._front.show(shown)

    def _more(self, wanted: More) -> None:
        whole = self.transcript.unfolded(wanted.number)
        self._front.show(whole or render.complaint(render.NOT_FOLDED))

    def _set(self, wanted: Setting) -> None:
        self.settings, text = options.answer(self.settings, wanted)
        self._front.show(text)
        self._front.refresh()

    def edit(self, begun: str = "") -> None:
        """Go on with this, or with the draft, in an editor; what comes of it is the draft."""
        text = self._front.edit(begun or self.view.draft)
        if text is not None:
            self.view.keep_draft(text)

    def _mute(self, wanted: Mute) -> None:
        muted = {same(name): name for name in self.settings.mute}
        if not wanted.name:
            self._front.show(render.notice(render.muted(self.settings.mute)))
            return
        muted.pop(same(wanted.name), None)
        if wanted.on:
            muted[same(wanted.name)] = wanted.name
        self.settings = replace(self.settings, mute=tuple(muted.values()))
        self._front.show(options.kept(self.settings, "mute", render.muted(self.settings.mute)))
        self._front.refresh()

    def _disturb(self, wanted: Disturb) -> None:
        if wanted.on is not None:
            self.settings = replace(self.settings, dnd=wanted.on)
        self._front.show(render.notice(render.UNDISTURBED if self.settings.dnd else render.CALLED))

    def _protect(self, _: Protect) -> None:
        password = self._front.secret("password: ")
        if not password or not is_text(password):
            self._complain(Complaint("No password was given; your name stays as it is."))
        elif self._front.secret("the same again: ") != password:
            self._complain(Complaint("The two are not the same; your name stays as it is."))
        else:
            self._request(Register(password))

    # --- events ---

    def handle(self, event: Event | Lost | GaveUp | Told) -> None:
        """Show what happened."""
        handler = self._SHOW.get(type(event))
        if handler:
            handler(self, event)

    def _heard(self, message: Item) -> None:
        self._logs.keep(message, self._link.client.name)
        self._front.show(lambda: self.view.arrived(message))
        if isinstance(message, GroupEvent) and message.kind == "renamed":
            self._renamed(message.group, message.to)

    def _reported(self, receipt: Receipt) -> None:
        if self._statuses.reported(receipt):
            self._front.refresh()

    def _noticed(self, notice: Notice) -> None:
        self._front.show(lambda: self.view.told(notice))
        if notice.kind == "renamed":
            self._renamed(notice.name, notice.new)

    def _renamed(self, old: str | None, new: str | None) -> None:
        if old and new:
            self._statuses.renamed(old, new)
            self._front.show(lambda: self.view.renamed(old, new))

    def _warned(self, error: Error) -> None:
        self._front.show(render.wrong(error.text))

    def _answered(self, answered: Answered) -> None:
        silent = answered.id in self._silent
        self._silent.discard(answered.id)
        if silent or self.view.earlier(answered.id, getattr(answered.reply, "items", ())):
            self._front.refresh()  # what is to be shown of it is shown: it is answered all the same
            return
        if isinstance(answered.reply, Error):
            self._refused(answered.request, answered.reply)
        else:
            self._front.show(self._ANSWERS[type(answered.request)](self, answered))

    def _refused(self, request: Request, error: Error) -> None:
        self._front.show(render.wrong(error.text))
        others = [*self.situation.others, *self.situation.groups]
        if error.error in UNKNOWN and (hint := did_you_mean(_named(request), others)):
            self._front.show(render.notice(f"{hint} {render.AGAIN}"))

    def _said(self, answered: Answered) -> Shown:
        """Our own message, once the server has it."""
        ack = answered.reply if isinstance(answered.reply, Ack) else None
        assert isinstance(answered.request, Unanswered)
        item = own_item(answered.request, ack, self._link.client.name or "")
        self._logs.keep(item, self._link.client.name)
        if ack and not isinstance(item, IncomingBroadcast):
            to, group = talk_of(item)
            self._statuses.acknowledged(to, ack, group=group)
            self._front.refresh()
        if ack and isinstance(item, Incoming) and ack.state == "queued":
            self._front.show(lambda: self.view.arrived(item))
            return render.away(ack)
        return lambda: self.view.arrived(item)

    def _regrouped(self, answered: Answered) -> Text:
        asked = answered.request
        assert isinstance(asked, Group)
        assert isinstance(answered.reply, GroupInfo)
        if asked.op == "rename":
            self._renamed(asked.group, asked.to)
        return render.groups(answered.reply, asked=asked.op)

    def _goodbye(self, bye: Bye) -> None:
        if self.keeper.called_back:
            return  # it is about to be open again, without anybody's notice
        if bye.reason != "quit":
            text = render.SHUTDOWN if bye.reason == "shutdown" else bye.text
            self._front.show(render.complaint(text))
        self._front.leave(code_of(bye))

    def _lost(self, lost: Lost) -> None:
        self._down = lost.again
        self._front.refresh()
        self._front.show(render.complaint(render.LOST))
        if lost.again and not self._link.settled:
            self._front.show(self._kept_meanwhile)
            self.keeper.hurry()

    def _opened(self, opened: Opened) -> None:
        down, again = self._down, self._begun
        self._down, self._begun = False, True
        if down:
            self._front.show(render.notice(" ".join((render.CONNECTED_AGAIN, self._at)).strip()))
        if again:  # others may have gone, or come, meanwhile
            self._front.refresh()
            self._silent.add(self._link.send(Who()))
        if opened.gap:
            self._front.show(render.complaint(render.GAP))

    def _gave_up(self, gave_up: GaveUp) -> None:
        error = gave_up.error
        text = f"{error.error}: {error.text}" if error else gave_up.why or render.UNREACHABLE
        self._front.show(render.complaint(text))
        self._front.leave(ExitCode.REFUSED if error else ExitCode.LOST)

    _DO: ClassVar[_Table] = {
        Switch: _switch,
        Complaint: _complain,
        Help: _help,
        Protect: _protect,
        Begin: _begin,
        Focus: _talk,
        Next: lambda self, _: self.view.next(),
        Edit: lambda self, begun: self.edit(begun.text),
        Mute: _mute,
        Disturb: _disturb,
        Group: _group,
        Status: _tell_status,
        Unsent: _send_unsent,
        Setting: _set,
        More: _more,
        Where: _tell_where,
        Quit: lambda self, _: self.quit(),
        **dict.fromkeys(
            (Who, Outgoing, OutgoingBroadcast, OutgoingGroup, AskSeen, Newname, Set, History, Ping),
            _request,
        ),
    }
    _SHOW: ClassVar[_Table] = {
        **dict.fromkeys((Incoming, IncomingBroadcast, IncomingGroup, GroupEvent), _heard),
        Receipt: _reported,
        Notice: _noticed,
        Answered: _answered,
        Error: _warned,
        Bye: _goodbye,
        Opened: _opened,
        Lost: _lost,
        GaveUp: _gave_up,
        Told: lambda self, told: self._front.show(render.notice(told.text)),
    }
    _ANSWERS: ClassVar[Mapping[type, Callable[[Any, Any], Shown]]] = {
        Who: lambda _, answered: render.users(answered.reply.users),
        Outgoing: _said,
        OutgoingBroadcast: _said,
        OutgoingGroup: _said,
        Group: _regrouped,
        History: lambda self, answered: self.transcript.page(
            answered.reply, self._link.client.name
        ),
        Set: lambda _, answered: render.notice(
            render.SHARED if answered.request.receipts else render.NOT_SHARED
        ),
        AskSeen: lambda _, answered: render.seen(answered.reply),
        Newname: lambda self, _: render.notice(f"You are now {self._link.client.name}."),
        Register: lambda _, __: render.notice("Your name is protected now."),
        Ping: lambda _, answered: render.pong(answered.request.n),
    }
