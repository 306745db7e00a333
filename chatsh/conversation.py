"""What a typed line does and what an event shows, for whatever takes the lines and shows the text.

Two threads meet here: `enter` belongs to the one that reads the keyboard or the pipe, `handle` to
the one that reads the link (or to `enter` itself, for what is answered at once). What both touch is
replaced as a whole or belongs to the link, which has a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from rich.text import Text

from chatd.wire.errors import ErrorCode
from chatd.wire.messages import (
    SERVER,
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
from chatd.wire.text import harmless
from chatsh import helping, options, render
from chatsh.client import Answered, Event, Opened, Request, is_text
from chatsh.exits import ExitCode, code_of
from chatsh.grammar import (
    Begin,
    Complaint,
    Help,
    Mode,
    More,
    Protect,
    Setting,
    Situation,
    Status,
    Switch,
    Unsent,
    did_you_mean,
    parse,
)
from chatsh.link import GaveUp, Keeper, Link, Lost, wall_clock
from chatsh.settings import Settings
from chatsh.status import Statuses
from chatsh.transcript import Transcript
from chatsh.unsent import Message as Unanswered
from chatsh.unsent import Spool


class Front(Protocol):
    """What shows the conversation. `show` and `leave` may be called from any thread."""

    def show(self, text: Text, item: Item | None = None) -> None:
        """Put lines before the person, soon and in the order of the calls.

        A front with a person before it tells `Conversation.shown` of the item, once it is.
        """

    def leave(self, code: int) -> None:
        """End with this exit code, unless an earlier call gave one."""

    def refresh(self) -> None:
        """The status has changed."""

    def secret(self, prompt: str) -> str | None:
        """Ask for something that nobody may read; None where that cannot be asked."""

    def columns(self) -> int | None:
        """How wide the terminal is now; None where a program reads. From any thread."""


UNKNOWN = (ErrorCode.NO_SUCH_USER, ErrorCode.NO_SUCH_GROUP)  # may be a slip of the pen
_Table = Mapping[type, Callable[[Any, Any], None]]


def _named(request: Request) -> str:
    """Whom a request is about."""
    fields = ("to", "name", "peer", "group")
    return next((name for field in fields if (name := getattr(request, field, None))), "")


class Conversation:
    """One person's, from the first prompt to the exit code."""

    def __init__(
        self, link: Link, front: Front, *, reconnect: bool, settings: Settings | None = None
    ) -> None:
        self.mode = Mode.GENERAL
        self.settings = settings or Settings()
        self.transcript = Transcript(lambda: self.settings, front.columns, wall_clock)
        self.keeper = Keeper(link, self.handle, reconnect=reconnect)
        self._link = link
        self._front = front
        self._down = False  # the link is lost and being opened again
        self._silent: set[str] = set()  # ids of requests that nobody typed
        self._wanted = ""  # the name of the group that is being made
        self._statuses = Statuses()
        self._unread: dict[tuple[str | None, str | None], int] = {}  # shown, and not looked at
        self._spool = self._own_spool()
        self._unsent = self._kept = self._spool.load()

    @property
    def prompt(self) -> str:
        """What stands before the line being typed."""
        return self.mode.value + render.PROMPT

    @property
    def situation(self) -> Situation:
        """What the next line's meaning depends on; a snapshot, for any thread."""
        client = self._link.client
        return Situation(self.mode, client.users, client.groups, self._wanted)

    @property
    def status(self) -> str:
        """What became of the newest of our messages, for a status line."""
        return harmless(self._statuses.newest)

    def shown(self, item: Item) -> None:
        """It stands before the person. Of the thread that reads the keyboard, as `attended`."""
        if item.seq is None:
            return
        if isinstance(item, Incoming) and item.sender != SERVER:
            self._unread[item.sender, None] = item.seq
        elif isinstance(item, IncomingGroup):
            self._unread[None, item.group] = item.seq

    def attended(self) -> None:
        """Somebody is at the keyboard: what was shown before this has been read."""
        unread, self._unread = self._unread, {}
        for (peer, group), seq in unread.items():
            self._link.looked(seq, peer=peer, group=group)

    # --- what could not be sent ---

    def _own_spool(self) -> Spool:
        address = self._link.address
        return Spool(f"{address.host}:{address.port}", self._link.client.name or "")

    def offer_unsent(self) -> None:
        """Show what an earlier shell could not send. It is sent only when that is asked for."""
        if self._unsent:
            self._front.show(render.unsent(self._unsent.values()))

    def keep_unsent(self) -> None:
        """Put what has no answer now, at the end, where the next shell finds it."""
        pending = self._link.client.pending.items()
        left = {key: said for key, said in pending if isinstance(said, Unanswered)}
        unsent = self._unsent | left
        if unsent == self._kept:
            return
        spool = self._own_spool()
        try:
            if spool.path != self._spool.path:  # we have another name now
                unsent = spool.load() | unsent
                self._spool.save({})
            spool.save(unsent)
        except OSError as error:
            self._front.show(render.complaint(f"{render.NOT_KEPT} {error.strerror}"))
        else:
            if left:
                self._front.show(render.complaint(render.KEPT_FOR_LATER))

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

    def enter(self, line: str) -> None:
        """Do what a line asks for. Never raises for what it holds."""
        whole = line.encode(errors="replace").decode()  # a terminal may give half characters
        action = parse(whole, self.situation)
        if action is not None:
            self._DO[type(action)](self, action)

    def quit(self) -> None:
        """Leave, as asked."""
        self._front.leave(ExitCode.NORMAL)

    def _request(self, request: Request, key: str = "") -> None:
        self._link.send(request, key)
        if self._down:
            self._front.show(render.complaint(render.KEPT))
            self.keeper.hurry()

    def _switch(self, switch: Switch) -> None:
        self.mode = switch.mode

    def _begin(self, begin: Begin) -> None:
        self._wanted, self.mode = begin.group, Mode.GROUP_MEMBERS

    def _group(self, request: Group) -> None:
        if self.mode is Mode.GROUP_MEMBERS:
            self.mode = Mode.GROUP
        self._request(request)

    def _tell_status(self, wanted: Status) -> None:
        lines = self._statuses.lines(wanted.name)
        self._front.show(render.notice_lines(lines or ["You have sent nothing yet."]))

    def _complain(self, complaint: Complaint) -> None:
        self._front.show(render.complaint(complaint.text))

    def _help(self, wanted: Help) -> None:
        command = wanted.command
        shown = helping.one(command) if command else helping.overview(self._front.columns())
        self._front.show(shown)

    def _more(self, wanted: More) -> None:
        whole = self.transcript.unfolded(wanted.number)
        self._front.show(whole or render.complaint(render.NOT_FOLDED))

    def _set(self, wanted: Setting) -> None:
        self.settings, text = options.answer(self.settings, wanted)
        self._front.show(text)
        self._front.refresh()

    def _protect(self, _: Protect) -> None:
        password = self._front.secret("password: ")
        if not password or not is_text(password):
            self._complain(Complaint("No password was given; your name stays as it is."))
        elif self._front.secret("the same again: ") != password:
            self._complain(Complaint("The two are not the same; your name stays as it is."))
        else:
            self._request(Register(password))

    # --- events ---

    def handle(self, event: Event | Lost | GaveUp) -> None:
        """Show what happened."""
        handler = self._SHOW.get(type(event))
        if handler:
            handler(self, event)

    def _heard(self, message: Item) -> None:
        self._front.show(self.transcript.item(message, self._link.client.name), message)
        if isinstance(message, GroupEvent) and message.kind == "renamed":
            self._renamed(message.group, message.to)

    def _reported(self, receipt: Receipt) -> None:
        if self._statuses.reported(receipt):
            self._front.refresh()

    def _noticed(self, notice: Notice) -> None:
        self._front.show(render.notice(notice.text))
        if notice.kind == "renamed":
            self._renamed(notice.name, notice.new)

    def _renamed(self, old: str | None, new: str | None) -> None:
        if old and new:
            self._statuses.renamed(old, new)
            self._front.refresh()

    def _warned(self, error: Error) -> None:
        self._front.show(render.wrong(error.text))

    def _answered(self, answered: Answered) -> None:
        if answered.id in self._silent:
            self._silent.discard(answered.id)
        elif isinstance(answered.reply, Error):
            self._refused(answered.request, answered.reply)
        else:
            self._front.show(self._ANSWERS[type(answered.request)](self, answered))

    def _refused(self, request: Request, error: Error) -> None:
        self._front.show(render.wrong(error.text))
        client = self._link.client
        others = [name for name in (*client.users, *client.groups) if name != client.name]
        if error.error in UNKNOWN and (hint := did_you_mean(_named(request), others)):
            self._front.show(render.notice(hint))

    def _own(self, answered: Answered) -> Text:
        said, ack = answered.request, answered.reply
        assert isinstance(said, Outgoing | OutgoingBroadcast | OutgoingGroup)
        shown = self.transcript.own(said, self._link.client.name, getattr(ack, "ts", None))
        if isinstance(ack, Ack) and not isinstance(said, OutgoingBroadcast):
            group = isinstance(said, OutgoingGroup)
            to = said.group if isinstance(said, OutgoingGroup) else said.to
            self._statuses.acknowledged(to, ack, group=group)
            self._front.refresh()
            if ack.state == "queued" and not group:
                return render.lines([shown, render.away(ack)])
        return shown

    def _regrouped(self, answered: Answered) -> Text:
        asked = answered.request
        assert isinstance(asked, Group)
        assert isinstance(answered.reply, GroupInfo)
        if asked.op == "rename":
            self._renamed(asked.group, asked.to)
        return render.groups(answered.reply, asked=asked.op)

    def _goodbye(self, bye: Bye) -> None:
        if bye.reason != "quit":
            text = render.SHUTDOWN if bye.reason == "shutdown" else bye.text
            self._front.show(render.complaint(text))
        self._front.leave(code_of(bye))

    def _lost(self, lost: Lost) -> None:
        self._down = lost.again
        self._front.show(render.complaint(render.LOST))
        if lost.again and not self._link.settled:
            self._front.show(render.complaint(render.KEPT))
            self.keeper.hurry()

    def _opened(self, opened: Opened) -> None:
        if self._down:
            self._down = False
            self._front.show(render.notice(render.CONNECTED_AGAIN))
            self._silent.add(self._link.send(Who()))
        if opened.gap:
            self._front.show(render.complaint(render.GAP))

    def _gave_up(self, gave_up: GaveUp) -> None:
        error = gave_up.error
        text = f"{error.error}: {error.text}" if error else render.UNREACHABLE
        self._front.show(render.complaint(text))
        self._front.leave(ExitCode.REFUSED if error else ExitCode.LOST)

    _DO: ClassVar[_Table] = {
        Switch: _switch,
        Complaint: _complain,
        Help: _help,
        Protect: _protect,
        Begin: _begin,
        Group: _group,
        Status: _tell_status,
        Unsent: _send_unsent,
        Setting: _set,
        More: _more,
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
    }
    _ANSWERS: ClassVar[Mapping[type, Callable[[Any, Any], Text]]] = {
        Who: lambda _, answered: render.users(answered.reply.users),
        Outgoing: _own,
        OutgoingBroadcast: _own,
        OutgoingGroup: _own,
        Group: _regrouped,
        History: lambda self, answered: self.transcript.page(
            answered.reply, self._link.client.name
        ),
        Set: lambda _, __: render.notice("Your settings are changed."),
        AskSeen: lambda _, answered: render.seen(answered.reply),
        Newname: lambda self, _: render.notice(f"You are now {self._link.client.name}."),
        Register: lambda _, __: render.notice("Your name is protected now."),
        Ping: lambda _, answered: render.pong(answered.request.n),
    }
