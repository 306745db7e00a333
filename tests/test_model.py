"""The hub and a model of it side by side: whatever people do, both say the same.

The model knows who may see what, and nothing of windows, pages or turns. Small windows make those
matter: what is missing has to be held back by what was not confirmed.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import hypothesis.strategies as st
from bench import Bench
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatd.store.memory import MemoryStore
from chatd.store.sqlite import SqliteStore
from chatd.wire.messages import (
    Ack,
    Error,
    Group,
    GroupEvent,
    GroupInfo,
    Hello,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Notice,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Pong,
    Position,
    Quit,
    Read,
    Receipt,
    Received,
    Users,
    Welcome,
    Who,
)

WINDOW = 4  # items
MISSED = 3  # broadcasts
NAMES = ("ann", "bob", "cid", "dan")
ITEMS = Incoming | IncomingBroadcast | IncomingGroup | GroupEvent
names = st.sampled_from(NAMES)
texts = st.sampled_from(["one", "two words", "\u00fc \U0001f600"])
contents = st.lists(texts, min_size=1, max_size=4)


class Item(NamedTuple):
    """One entry of the log as the model has it."""

    seq: int
    kind: str
    author: str
    conversation: str  # the receiver, the group's key, or "*"
    content: str
    viewers: frozenset[str] | None  # None: everybody but the author
    key: str


@dataclass
class Person:
    """What somebody's client has, and what the server should know of it."""

    name: str
    confirmed: int  # seq
    conn: int | None = None
    plain: bool = False
    token: str | None = None
    have: int = 0  # seq
    opened_at: int = 0
    expected: list[Item] = field(default_factory=list)  # in this session
    got: list = field(default_factory=list)
    upto: int = 0  # confirmed in this session
    delivered: set[int] = field(default_factory=set)
    read: dict[str, int] = field(default_factory=dict)  # by conversation
    told: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # by receipts

    @property
    def unconfirmed(self) -> int:
        return sum(item.seq > self.upto for item in self.got)


@dataclass
class Room:
    key: str  # never changes
    name: str
    owner: str
    members: list[str]
    past: set[str] = field(default_factory=set)


class Hubs(RuleBasedStateMachine):
    """Rules are what people do; the invariants are what they may rely on."""

    def keeper(self):
        return MemoryStore()

    def __init__(self):
        super().__init__()
        self.undo = [
            mock.patch("chatd.core.flow.WINDOW_ITEMS", WINDOW),
            mock.patch("chatd.core.session.WINDOW_ITEMS", WINDOW),
            mock.patch("chatd.core.flow.MISSED_BROADCASTS", MISSED),
        ]
        for patch in self.undo:
            patch.start()
        self.bench = Bench(store=self.keeper())
        self.people: dict[str, Person] = {}
        self.log: list[Item] = []
        self.rooms: dict[str, Room] = {}  # by name; deleted ones are taken out
        self.keys: dict[str, str] = {}  # every name that a group ever had, to its key
        self.count = 0

    def teardown(self):
        self.bench.store.close()
        for patch in self.undo:
            patch.stop()

    # --- the bench ------------------------------------------------------------------------------

    def say(self, person: Person, *messages) -> list:
        """The answers; what everybody was sent besides is noted with them."""
        self.bench.run(self.bench.hub.received(person.conn, messages, self.bench.now))
        self.bench.turn_ends()
        answers = self.collect(person)
        for other in self.online():
            if other is not person:
                assert not self.collect(other), "an answer that nobody asked for"
        return answers

    def collect(self, person: Person) -> list:
        answers = []
        for frame in self.bench.got(person.conn):
            if isinstance(frame, ITEMS):
                self.note_item(person, frame)
            elif isinstance(frame, Receipt):
                self.note_receipt(person, frame)
            elif not isinstance(frame, Notice | Ping):
                answers.append(frame)
        return answers

    def note_item(self, person: Person, frame) -> None:
        assert frame.late == (frame.seq <= person.opened_at)
        person.got.append(frame)
        person.have = max(person.have, frame.seq)
        if person.plain and not isinstance(frame, IncomingBroadcast):
            person.delivered.add(frame.seq)
            person.confirmed = self.head  # by its socket, for all that stood before it

    def note_receipt(self, person: Person, frame: Receipt) -> None:
        conversation = self.keys[frame.group] if frame.group else person.name
        before = person.told.get((frame.by, conversation), (0, 0))
        now = (frame.delivered, frame.read or 0)
        assert now >= before, "receipts only move forward"
        person.told[frame.by, conversation] = now

    def online(self) -> list[Person]:
        return [one for one in self.people.values() if one.conn is not None]

    @property
    def head(self) -> int:
        return self.log[-1].seq if self.log else 0

    def expect(self, kind, author, conversation, content, viewers, key="") -> Item:
        """One more entry, of which everybody who may see it is told."""
        item = Item(self.head + 1, kind, author, conversation, content, viewers, key)
        self.log.append(item)
        for one in self.online():
            if self.sees(one, item):
                one.expected.append(item)
        return item

    def sees(self, person: Person, item: Item) -> bool:
        if item.viewers is None:
            return item.author != person.name
        return person.name in item.viewers

    # --- coming and going -----------------------------------------------------------------------

    @initialize()
    def three_people_and_a_group(self):
        for name in NAMES[:3]:
            self.join(name, plain=False, resumes=False)
        self.make_group(self.people["ann"], ["bob", "cid"])

    @rule(name=names, plain=st.booleans(), resumes=st.booleans())
    def join(self, name, plain, resumes):
        person = self.people.get(name)
        resumes = resumes and person is not None and person.token is not None and not plain
        conn = self.bench.connect()
        more = {} if plain else {"v": 1}
        if resumes:
            after = Position(self.bench.hub.setup.epoch, person.have)
            more |= {"token": person.token, "after": after}
        if person is not None and person.conn is not None and not resumes:
            (refused,) = self.bench.say(conn, Hello(name=name, **more))
            assert refused.error == 103
            self.bench.got(person.conn)  # it was asked whether it is there
            return
        if person is None:
            person = self.people[name] = Person(name, self.head, have=self.head)
        self.open(person, conn, plain=plain, after=more.get("after"))
        welcome, *rest = self.say(person, Hello(name=name, **more))
        assert isinstance(welcome, Welcome)
        assert rest == []
        assert plain or (welcome.resumed, welcome.gap) == (resumes, False)
        person.token = None if plain else welcome.token

    def open(self, person: Person, conn: int, *, plain: bool, after: Position | None):
        if after is not None:
            person.delivered |= {
                item.seq
                for item in self.log
                if item.seq <= after.seq and item.viewers and self.sees(person, item)
            }
            person.confirmed = max(person.confirmed, after.seq)
        start = after.seq if after else person.confirmed
        missed = [item for item in self.log if item.seq > start and self.sees(person, item)]
        broadcasts = [item for item in missed if item.kind == "broadcast"]
        left_out = broadcasts if plain else broadcasts[:-MISSED]
        person.expected = [item for item in missed if item not in left_out]
        person.conn, person.plain, person.opened_at = conn, plain, self.head
        person.got, person.upto = [], start
        person.have = max(start, person.have) if after is None else start

    @precondition(lambda self: self.online())
    @rule(data=st.data(), how=st.sampled_from(["quit", "lost"]))
    def leave(self, data, how):
        person = data.draw(st.sampled_from(self.online()))
        conn, person.conn = person.conn, None
        if how == "quit":
            self.bench.say(conn, Quit())
        else:
            self.bench.lose(conn)

    @rule()
    def restart(self):
        for person in self.online():
            person.conn = None
        self.bench = self.bench.restarted()

    @rule(steps=st.sampled_from([1, 20]))
    def wait(self, steps):
        for _ in range(steps):
            for person in self.online():  # everybody gives a sign of life
                assert self.say(person, Pong()) == []
            self.bench.wait(2)

    # --- messages -------------------------------------------------------------------------------

    def new_key(self) -> str:
        self.count += 1
        return f"k{self.count}"

    @precondition(lambda self: self.online())
    @rule(data=st.data(), to=names, contents=contents)
    def direct(self, data, to, contents):
        person = data.draw(st.sampled_from(self.online()))
        sent = [Outgoing(to, content, self.new_key()) for content in contents]
        if to not in self.people or to == person.name:
            self.refused(person, sent, 302 if to in self.people else 301)
            return
        items = [
            self.expect("direct", person.name, to, one.content, frozenset([to]), one.id)
            for one in sent
        ]
        state = "queued" if self.people[to].conn is None else "stored"
        self.acknowledged(person, sent, items, state)

    @precondition(lambda self: self.online())
    @rule(data=st.data(), contents=contents)
    def broadcast(self, data, contents):
        person = data.draw(st.sampled_from(self.online()))
        sent = [OutgoingBroadcast(content, self.new_key()) for content in contents]
        items = [
            self.expect("broadcast", person.name, "*", one.content, None, one.id) for one in sent
        ]
        self.acknowledged(person, sent, items)

    @precondition(lambda self: self.online() and self.rooms)
    @rule(data=st.data(), contents=contents)
    def to_group(self, data, contents):
        person = data.draw(st.sampled_from(self.online()))
        room = data.draw(st.sampled_from(list(self.rooms.values())))
        sent = [OutgoingGroup(room.name, content, self.new_key()) for content in contents]
        wrong = self.wrong_member(person, room)
        if wrong:
            self.refused(person, sent, wrong)
            return
        viewers = frozenset(room.members) - {person.name}
        items = [
            self.expect("group", person.name, room.key, one.content, viewers, one.id)
            for one in sent
        ]
        absent = {one for one in viewers if self.people[one].conn is None}
        for ack in self.acknowledged(person, sent, items):
            assert set(ack.absent) == absent

    def acknowledged(self, person: Person, sent: list, items: list[Item], state="stored") -> list:
        """In one turn: each with its place in the log, in the order sent."""
        acks = self.say(person, *sent)
        if person.plain:
            return []
        assert [(one.re, one.seq, one.state, one.dup) for one in acks] == [
            (item.key, item.seq, state, False) for item in items
        ]
        return acks

    def refused(self, person: Person, sent: list, wrong: int):
        answers = self.say(person, *sent)
        if not person.plain:
            assert [(one.re, one.error) for one in answers] == [(one.id, wrong) for one in sent]

    def wrong_member(self, person: Person, room: Room) -> int:
        if person.name in room.members:
            return 0
        return 402 if person.name in room.past else 401

    @rule(data=st.data(), changed=st.booleans())
    def once_more(self, data, changed):
        """A retry, or another message under a key that was used."""
        mine = [
            (self.people[item.author], item)
            for item in self.log
            if item.key and item.kind != "group" and self.people[item.author].conn is not None
        ]
        if not mine:
            return
        person, item = data.draw(st.sampled_from(mine))
        content = "changed" if changed else item.content
        if item.kind == "direct":
            again = Outgoing(item.conversation, content, item.key)
        else:
            again = OutgoingBroadcast(content, item.key)
        answers = self.say(person, again)
        if person.plain:
            return
        (answer,) = answers
        if changed:
            assert isinstance(answer, Error)
            assert answer.error == 308
        else:
            assert isinstance(answer, Ack)
            assert (answer.re, answer.seq, answer.dup) == (item.key, item.seq, True)

    # --- what is safe, and what was seen --------------------------------------------------------

    @precondition(lambda self: self.online())
    @rule(data=st.data(), all_=st.booleans())
    def confirm(self, data, all_):
        person = data.draw(st.sampled_from(self.online()))
        open_ = [one.seq for one in person.got if one.seq > person.upto]
        if person.plain or not open_:
            return
        self.has_received(person, open_[-1] if all_ else data.draw(st.sampled_from(open_)))

    def has_received(self, person: Person, upto: int):
        person.upto = upto
        person.confirmed = max(person.confirmed, upto)
        person.delivered |= {
            one.seq
            for one in person.got
            if one.seq <= upto and not isinstance(one, IncomingBroadcast)
        }
        assert self.say(person, Received(upto)) == []

    @precondition(lambda self: self.online())
    @rule(data=st.data())
    def settle(self, data):
        """Confirmed as it comes, everything comes."""
        person = data.draw(st.sampled_from(self.online()))
        while not person.plain and person.unconfirmed:
            self.has_received(person, person.got[-1].seq)
        assert len(person.got) == len(person.expected)

    @precondition(lambda self: any(not one.plain for one in self.online()))
    @rule(data=st.data())
    def read(self, data):
        person = data.draw(st.sampled_from([one for one in self.online() if not one.plain]))
        seen = [item for item in person.expected[: len(person.got)] if self.can_read(person, item)]
        if not seen:
            return
        item = data.draw(st.sampled_from(seen))
        if item.kind == "direct":
            key, asked = item.author, Read(item.seq, peer=item.author)
        else:
            key = item.conversation
            name = next(room.name for room in self.rooms.values() if room.key == key)
            asked = Read(item.seq, group=name)
        if item.seq > person.read.get(key, 0):
            person.read[key] = item.seq
            person.delivered |= {
                one.seq
                for one in person.expected
                if one.seq <= item.seq and self.conversation_for(one) == key
            }
        assert self.say(person, asked) == []

    def can_read(self, person: Person, item: Item) -> bool:
        if item.kind == "group":
            rooms = {room.key: room for room in self.rooms.values()}
            room = rooms.get(item.conversation)
            return room is not None and person.name in room.members
        return item.kind == "direct"

    def conversation_for(self, item: Item) -> str:
        return item.author if item.kind == "direct" else item.conversation

    # --- groups ---------------------------------------------------------------------------------

    @precondition(lambda self: any(not one.plain for one in self.online()))
    @rule(data=st.data(), others=st.sets(names))
    def create(self, data, others):
        person = data.draw(st.sampled_from([one for one in self.online() if not one.plain]))
        known = [name for name in sorted(others) if name in self.people and name != person.name]
        self.make_group(person, known)

    def make_group(self, person: Person, known: list[str]):
        name = f"group {self.new_key()}"
        room = Room(name, name, person.name, [person.name, *known])
        self.rooms[name], self.keys[name] = room, name
        self.expect("event", person.name, room.key, "created", frozenset(known))
        self.answered(person, room, op="create", group=name, names=known)

    def answered(self, person: Person, room: Room, **asked):
        (answer,) = self.say(person, Group(**asked, id="g"))
        assert isinstance(answer, GroupInfo)
        assert answer.re == "g"
        rows = [(row.group, row.owner, row.members) for row in answer.groups]
        there = room.name in self.rooms and person.name in room.members
        assert rows == ([(room.name, room.owner, room.members)] if there else [])

    def owned(self, data) -> tuple[Person, Room] | None:
        """A group, and its owner if that one is there; who is not is refused."""
        room = data.draw(st.sampled_from(list(self.rooms.values())))
        person = data.draw(st.sampled_from([one for one in self.online() if not one.plain]))
        if person.name == room.owner:
            return person, room
        wrong = self.wrong_member(person, room) or 403
        (answer,) = self.say(person, Group(op="rename", group=room.name, to="x", id="g"))
        assert answer.error == wrong
        return None

    def changes(function):  # noqa: N805 - a decorator for the rules below
        ready = precondition(
            lambda self: self.rooms and any(not one.plain for one in self.online())
        )
        return ready(rule(data=st.data())(function))

    @changes
    def add(self, data):
        found = self.owned(data)
        others = [name for name in self.people if found and name not in found[1].members]
        if not others:
            return
        person, room = found
        other = data.draw(st.sampled_from(others))
        viewers = frozenset([*room.members, other]) - {person.name}
        room.members.append(other)
        room.past.discard(other)
        self.expect("event", person.name, room.key, "added", viewers)
        self.answered(person, room, op="add", group=room.name, names=[other])

    @changes
    def remove(self, data):
        found = self.owned(data)
        if found is None or len(found[1].members) == 1:
            return
        person, room = found
        other = data.draw(st.sampled_from([one for one in room.members if one != person.name]))
        viewers = frozenset(room.members) - {person.name}
        room.members.remove(other)
        room.past.add(other)
        self.expect("event", person.name, room.key, "removed", viewers)
        self.answered(person, room, op="remove", group=room.name, names=[other])

    @changes
    def rename(self, data):
        found = self.owned(data)
        if found is None:
            return
        person, room = found
        old, room.name = room.name, f"group {self.new_key()}"
        self.rooms[room.name] = self.rooms.pop(old)
        self.keys[room.name] = room.key
        viewers = frozenset(room.members) - {person.name}
        self.expect("event", person.name, room.key, "renamed", viewers)
        self.answered(person, room, op="rename", group=old, to=room.name)

    @changes
    def hand_over(self, data):
        found = self.owned(data)
        if found is None:
            return
        person, room = found
        room.owner = data.draw(st.sampled_from(room.members))
        viewers = frozenset(room.members) - {person.name}
        self.expect("event", person.name, room.key, "owner", viewers)
        self.answered(person, room, op="owner", group=room.name, to=room.owner)

    @changes
    def delete(self, data):
        found = self.owned(data)
        if found is None:
            return
        person, room = found
        del self.rooms[room.name]
        viewers = frozenset(room.members) - {person.name}
        self.expect("event", person.name, room.key, "deleted", viewers)
        self.answered(person, room, op="delete", group=room.name)

    @changes
    def walk_out(self, data):
        room = data.draw(st.sampled_from(list(self.rooms.values())))
        there = [one for one in self.online() if one.name in room.members and not one.plain]
        if not there:
            return
        person = data.draw(st.sampled_from(there))
        if person.name == room.owner:
            if len(room.members) > 1:
                (answer,) = self.say(person, Group(op="leave", group=room.name, id="g"))
                assert answer.error == 408
            return
        room.members.remove(person.name)
        room.past.add(person.name)
        self.expect("event", person.name, room.key, "left", frozenset(room.members))
        self.answered(person, room, op="leave", group=room.name)

    # --- what they may rely on ------------------------------------------------------------------

    @invariant()
    def everybody_has_what_is_theirs_once_and_in_order(self):
        for person in self.online():
            got = [(one.seq, self.author(one)) for one in person.got]
            wanted = [(item.seq, item.author) for item in person.expected]
            assert got == wanted[: len(got)], person.name
            assert person.plain or person.unconfirmed <= WINDOW
            if len(got) < len(wanted):
                assert not person.plain
                assert person.unconfirmed > WINDOW // 2, "nothing holds it back"

    def author(self, frame) -> str:
        return frame.by if isinstance(frame, GroupEvent) else frame.sender

    @invariant()
    def the_content_is_what_was_said(self):
        for person in self.online():
            for frame, item in zip(person.got, person.expected, strict=False):
                said = frame.kind if isinstance(frame, GroupEvent) else frame.content
                assert said == item.content

    @invariant()
    def authors_know_exactly_what_has_arrived_and_was_read(self):
        rooms = {room.key: room for room in self.rooms.values()}
        for item in self.log:
            author = self.people[item.author]
            if item.kind not in ("direct", "group") or author.conn is None or author.plain:
                continue
            if item.kind == "group" and author.name not in getattr(
                rooms.get(item.conversation), "members", ()
            ):
                continue  # who has left is told no more
            conversation = author.name if item.kind == "direct" else item.conversation
            for name in item.viewers:
                self.check_receipt(author, self.people[name], item, conversation)

    def check_receipt(self, author: Person, reader: Person, item: Item, conversation: str):
        delivered, read = author.told.get((reader.name, conversation), (0, 0))
        assert (item.seq <= delivered) == (item.seq in reader.delivered), (reader.name, item)
        assert (item.seq <= read) == (item.seq <= reader.read.get(conversation, 0))

    @invariant()
    def everybody_sees_who_is_there(self):
        for person in self.online()[:1]:
            (users,) = self.say(person, Who())
            assert isinstance(users, Users)
            assert set(users.users) == {one.name for one in self.online()}


class SqliteHubs(Hubs):
    """The same on files that are really closed and opened again."""

    def keeper(self):
        self.folder = tempfile.TemporaryDirectory()
        return SqliteStore(Path(self.folder.name))

    def teardown(self):
        super().teardown()
        self.folder.cleanup()


COMMON = settings(
    deadline=None,
    stateful_step_count=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestOnMemory = Hubs.TestCase
TestOnMemory.settings = COMMON
TestOnSqlite = SqliteHubs.TestCase
TestOnSqlite.settings = COMMON
