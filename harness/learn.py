"""Drafts a profile of a program that nobody has described: play, and see where the words come out.

Everything is tried with real programs, one bounded run after the other. What is drafted was seen;
what can only be guessed (how the server delivers) is said in a comment, and what was not found out
is listed. A question is taken for a fence only if it is not answered while the server is halted:
what a client answers by itself proves nothing.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from harness.errors import ScenarioError, SetupError
from harness.fmt import laid_out
from harness.journal import Event
from harness.profile import load_profile
from harness.record import Act, Exchange, Said, Setting, flow, play_any, take_of, with_names
from harness.run import Options
from harness.runner import Outcome
from harness.startup import given
from harness.terminal import Terminal

LONGEST = 240.0  # seconds for all of it; what is not found out by then is said
RUNS = 40  # runs of the programs, at most
WAITING = 1.0  # seconds that stand for quiet where programs never rest
PORT = re.compile(r"(?i)\b(?:listening|listens|serving|running|started|ready|port)\b.*?(\d{4,5})\b")
GREETING = re.compile(
    r"(?i)\b(?:you are(?: now)?(?: known as)?|your name is|welcome,?|hello,?|logged in as"
    r"|connected as):? +([A-Za-z]\w*)"
)
ANSWERS = (  # what a question at the login is about, and what is typed then
    (re.compile(r"(?i)pass"), "secret-${name}"),
    (re.compile(r"(?i)\bport"), "${server.port}"),
    (re.compile(r"(?i)\b(user|nick|your name|name|login|handle)"), "${name}"),
    (re.compile(r"(?i)\b(host|server|address|ip)\b"), "${server.host}"),
)
MOST_QUESTIONS = 6
CANVAS, DRAWN = b"\x1b[?1049h", b"\x1b[?2004h"
CAST = ("ana", "ben", "cid")
NOBODY = "nobody77"
Shape = Any  # a line or a frame with ${names}

LINES: dict[str, list[Shape]] = {
    "dm": ["/dm ${to} ${text}", '/dm ${to} "${text}"', "/msg ${to} ${text}", "/tell ${to} ${text}",
           "/w ${to} ${text}", "/whisper ${to} ${text}", "/pm ${to} ${text}", "@${to} ${text}",
           "${to}|${text}", "${to}: ${text}"],
    "bc": ["/bc ${text}", '/bc "${text}"', "/all ${text}", "/say ${text}", "/broadcast ${text}",
           "*|${text}", "${text}"],
    "ask": ["/ping ${token}", "/echo ${token}", "ping ${token}", "echo ${token}"],
    "who": ["/who", "/users", "/list", "/names", "who"],
    "leave": ["/quit", "/exit", "quit", "exit", "/bye", "/q"],
}  # fmt: skip
KINDS = ("code", "type", "cmd", "action")  # the field that says what a frame is


def _frames(kind: str) -> dict[str, list[Shape]]:
    """The frames of the dialects that are met most."""
    text = ({"content": "${text}"}, {"text": "${text}"}, {"message": "${text}"})
    private = ("outgoing", "dm", "msg", "message", "private", "whisper")
    public = ("outgoing_broadcast", "bc", "broadcast", "message", "say", "chat")
    return {
        "dm": [{kind: word, "to": "${to}", **one} for word in private for one in text],
        "bc": [{kind: word, **one} for word in public for one in text],
        "ask": [{kind: "ping", key: "${token}"} for key in ("n", "id", "token")],
        "who": [{kind: word} for word in ("who", "users", "list", "names")],
        "leave": [{kind: word} for word in ("quit", "leave", "bye", "logout")],
    }


HELLOS: list[Shape] = [
    {kind: word, **more, key: "${name}"}
    for kind in KINDS
    for word in ("hello", "login", "join")
    for key in ("name", "user", "username", "nick")
    for more in ({}, *([{"v": 1}] if (kind, word, key) == ("code", "hello", "name") else []))
]
TEXT_HELLOS = ["name ${name}", "NICK ${name}", "/nick ${name}", "hello ${name}"]


class Draft(Struct):
    """What is known so far."""

    server: str
    client: str | None
    prints: str | None = None  # how it says that it is ready
    role: str = "shell"
    view: str = "lines"
    frames: str = ""
    prompt: str = ""
    login: list[dict[str, Any]] = field(default_factory=list)
    delivery: str = "inline"
    fence: Any = "quiet"
    acts: dict[str, Shape] = field(default_factory=dict)
    phrases: dict[str, Shape] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)  # what could not be found out


class Learner:
    """Plays with the programs; `tell` is told what is found."""

    def __init__(
        self, server: str, client: str | None, options: Options, tell: Callable[[str], None]
    ) -> None:
        self.draft = Draft(given(server), given(client) or None)
        self._options, self._tell = options, tell
        self._end = time.monotonic() + LONGEST
        self._runs = 0
        self._words = 0
        self._table: dict[str, list[Shape]] = LINES

    def learn(self) -> Draft:
        """Everything, in the order in which one thing needs the other."""
        self._readiness()
        if self.draft.client:
            self._login_of_a_program()
        else:
            self._login_of_a_socket()
        self._messages()
        self._fence()
        self._comings_and_goings()
        return self.draft

    # Playing.

    def _run(self, acts: Sequence[Act], cast: Sequence[str] = CAST) -> Outcome:
        if self._runs >= RUNS or time.monotonic() >= self._end:
            raise SetupError("the programs take too long to be learned")
        self._runs += 1
        with tempfile.TemporaryDirectory(prefix="harness-learn-") as folder:
            path = Path(folder) / "draft.yaml"
            path.write_text(profile_text(self.draft, "draft"), encoding="utf-8")
            setting = Setting(path, dict.fromkeys(cast, self.draft.role), self._options)
            return play_any(acts, setting)

    def _play(
        self, acts: Sequence[Act], cast: Sequence[str] = CAST
    ) -> list[tuple[Act, Exchange, dict[str, str]]]:
        """What followed each act; what cannot be done is left out, and the rest is played again."""
        found: list[tuple[Act, Exchange, dict[str, str]]] = []
        left = list(acts)
        while left:
            outcome = self._run(left, cast)
            if "come to rest" in outcome.what and self.draft.delivery != "timers":
                self.draft.fence = {"window": f"{WAITING:g}s"}
                self.draft.delivery = "timers"
                continue
            if outcome.status in ("wrong", "environment", "bug"):
                raise SetupError(outcome.what)
            take = take_of(outcome, left)
            names = {who: take.names.get(who, who) for who in cast}
            done = len(left) if outcome.status == "passed" else _reached(outcome)
            found += [(left[n], take.exchanges[n], names) for n in range(min(done, len(left)))]
            ended = any(take.exchanges[n].ended for n in range(min(done, len(left))))
            left = left[done if ended and done else done + 1 :]
        return found

    def _does(self, who: str, shape: Shape, words: Mapping[str, str]) -> Act:
        verb = "types" if self.draft.client else "sends"
        return Act(f"{who} {verb}", put_in(shape, words), 1)

    def _word(self) -> str:
        """A word that nobody has said yet."""
        self._words += 1
        return f"kilo{self._words}lima"

    # Readiness.

    def _readiness(self) -> None:
        """How the server says that it is ready; else where it listens will do."""
        outcome = self._run([], CAST[:1])  # when one has come and all rest, it has said all
        if not _has_begun(outcome):
            raise SetupError("\n    ".join([outcome.what, *outcome.details]))
        said = [event.text for event in outcome.events
                if (event.actor, event.kind) == ("server", "sees")]  # fmt: skip
        found = next((match for line in said if (match := PORT.search(line))), None)
        if found is None:
            return
        pattern = with_names(found[0][: -len(found[1])], {}) + "${port=int}"
        self.draft.prints = pattern
        if _has_begun(self._run([], CAST[:1])):
            self._tell(f"the server says that it is ready: {found[0]}")
        else:
            self.draft.prints = None

    # Logins.

    def _login_of_a_program(self) -> None:
        for _ in range(MOST_QUESTIONS):
            outcome = self._run([], CAST[:1])
            data = b"".join(c.data for c in outcome.chunks if (c.actor, c.kind) == ("ana", "o"))
            if self.draft.view == "lines" and (DRAWN in data or CANVAS in data):
                self.draft.view = "canvas" if CANVAS in data else "screen"
                continue
            if outcome.status != "passed" and not data:
                raise SetupError("\n    ".join([outcome.what, *outcome.details]))
            asked = _last_line(data)
            for row in self.draft.login:  # without an echo a question stays where it is answered
                asked = asked.removeprefix(row["self is asked"]).strip()
            answer = next((text for about, text in ANSWERS if about.search(asked)), None)
            if not asked or answer is None:
                self._prompt(asked)
                break
            self._tell(f"the client asks: {asked}")
            self.draft.login.append({"self is asked": asked, "self types": answer})
        self._try_the_prompt()

    def _prompt(self, asked: str) -> None:
        if not asked:
            self.draft.open.append("prompt: none was seen, so lines are typed at any time")
            return
        self._tell(f"the prompt is: {asked}")
        self.draft.prompt = asked

    def _try_the_prompt(self) -> None:
        """The program takes lines; how it calls people is said at the login, or it is not."""
        for view in dict.fromkeys((self.draft.view, "screen")):
            self.draft.view = view
            outcome = self._run([], CAST[:2])
            if "edits its line itself" in outcome.what or "single keys" in str(outcome.details):
                continue
            if not _has_begun(outcome):
                raise SetupError("\n    ".join([outcome.what, *outcome.details]))
            self._greeting([e for e in outcome.events if (e.actor, e.kind) == ("ana", "sees")])
            return
        raise SetupError("no view of the terminal fits the client")

    def _greeting(self, events: Sequence[Event]) -> None:
        for event in events:
            found = GREETING.search(event.text)
            if found and (found[1] == "ana" or re.search(r"\d", found[1])):
                text = event.text
                line = f"{text[: found.start(1)]}${{name=word}}{text[found.end(1) :]}"
                self.draft.login.append({"self sees": line.rstrip()})
                return

    def _login_of_a_socket(self) -> None:
        self.draft.role, self.draft.frames = "wire", "json-lines"
        found = self._hello(HELLOS)
        if found is None:
            self.draft.frames = "lines"
            self._hello(TEXT_HELLOS)
            self.draft.open.append(
                "login: no frame of a known dialect was answered; lines are sent"
            )
            return
        hello, _ = found
        self._table = _frames(next(iter(hello)))

    def _hello(self, hellos: Sequence[Shape]) -> tuple[Shape, str] | None:
        """The first greeting that is answered by more than an error."""
        who = [f"a{n}" for n in range(len(hellos))]
        acts = [self._does(name, hello, {"name": name})
                for name, hello in zip(who, hellos, strict=True)]  # fmt: skip
        outcome = self._run(acts, who)
        for name, hello in zip(who, hellos, strict=True):
            data = b"".join(c.data for c in outcome.chunks if (c.actor, c.kind) == (name, "o"))
            text = data.decode("utf-8", "replace").strip()
            if not text or re.search(r"(?i)error|unknown|invalid|first|bad", text):
                continue
            self._tell(f"{json.dumps(hello)} is answered: {text[:80]}")
            answer: Shape = None
            if isinstance(hello, Mapping):
                answer = _first_frame(text)
                if answer is None:
                    continue
                self.draft.frames = "json-lines" if data.endswith(b"\n") else "json"
                answer = _essence(answer, {name: "${name=rest}"})
            clause = {"self sends": hello}
            self.draft.login = [{**clause, "self sees": answer} if answer else clause]
            return hello, text
        return None

    # Messages.

    def _messages(self) -> None:
        ana, ben, cid = CAST
        tried: list[tuple[str, Shape, str]] = []
        acts: list[Act] = []
        for kind in ("dm", "bc"):
            for shape in self._table[kind]:
                text = f"{self._word()} {self._word()}"
                tried.append((kind, shape, text))
                acts.append(self._does(ana, shape, {"to": ben, "text": text}))
        for act, exchange, names in self._play(acts):
            kind, shape, text = next(row for row in tried if row[2] in json.dumps(act.value))
            heard = {who: _with(exchange.told.get(who, ()), text) for who in CAST}
            reached = (heard[ben] is not None, heard[cid] is not None)
            if (
                kind in self.draft.acts
                or reached != (True, kind == "bc")
                or _is_raw(heard[ben], shape, act.value)
            ):
                continue
            self._found(kind, shape, heard, {text: "${text}", names[ana]: "${from}"})
        for kind, what in (("dm", "a message to one"), ("bc", "a message to all")):
            if kind not in self.draft.acts:
                self.draft.open.append(f"acts: no way was found to send {what}")
        self._no_user()

    def _found(
        self, kind: str, shape: Shape, heard: Mapping[str, Said | None], words: Mapping[str, str]
    ) -> None:
        self._tell(f"{kind}: {json.dumps(shape)}")
        self.draft.acts[kind] = shape
        said = heard[CAST[1]]
        assert said is not None
        self.draft.phrases[kind] = _shape(said, words)
        own = heard[CAST[0]]
        if own is not None:
            self.draft.phrases.setdefault("sent", _shape(own, words))

    def _no_user(self) -> None:
        if "dm" not in self.draft.acts:
            return
        act = self._does(CAST[0], self.draft.acts["dm"], {"to": NOBODY, "text": self._word()})
        for _, exchange, _ in self._play([act]):
            said = _with(exchange.told.get(CAST[0], ()), NOBODY)
            if said is not None:
                self.draft.phrases["no-user"] = _shape(said, {NOBODY: "${who}"})

    # The fence.

    def _fence(self) -> None:
        for shape, whole in self._questions():
            token = self._word()
            words = {"token": token, "name": CAST[0]}
            asked = self._does(CAST[0], shape, words)
            acts = [Act("server is frozen", None, 1), asked, Act("server is thawed", None, 1)]
            played = self._play(acts)
            if len(played) < len(acts):
                continue
            answers = [_answer(e.told, token, whole=whole) for _, e, _ in played]
            others = [s for _, e, _ in played for who in CAST[1:] for s in e.told.get(who, ())]
            if answers[1] is None and answers[2] is not None and not others:
                names = played[2][2]
                sees = _shape(answers[2], {token: "${token}", names[CAST[0]]: "${name}"})
                verb = "types" if self.draft.client else "sends"
                self.draft.fence = {"roundtrip": {self.draft.role: {verb: shape, "sees": sees}}}
                self.draft.delivery = "inline"
                self._tell(f"asked to prove that nothing more comes: {json.dumps(shape)}")
                return
        self.draft.open.append(
            "fence: no question was found that the server answers to the one who asks"
        )

    def _questions(self) -> Iterator[tuple[Shape, bool]]:
        """What may be asked; whether the answer has to have the token in it."""
        yield from ((shape, True) for shape in self._table["ask"])
        if "dm" in self.draft.acts:
            dm = self.draft.acts["dm"]
            if "no-user" in self.draft.phrases:
                yield put_in(dm, {"to": "${token}", "text": "?"}), True
            yield put_in(dm, {"to": "${name}", "text": "${token}"}), True
        yield from ((shape, False) for shape in self._table["who"])

    # Comings and goings.

    def _comings_and_goings(self) -> None:
        ana, ben, cid = CAST
        acts = [Act(f"{cid} joins", None, 1)]
        acts += [self._does(cid, shape, {}) for shape in self._table["leave"]]
        for act, exchange, names in self._play(acts):
            said = _with(exchange.told.get(ana, ()), names[cid])
            if act.clause.endswith("joins") and said is not None:
                self.draft.phrases["joined"] = _shape(said, {names[cid]: "${who}"})
            if cid in exchange.ended and "leave" not in self.draft.acts:
                self.draft.acts["leave"] = act.value
                if said is not None:
                    self.draft.phrases["quit"] = _shape(said, {names[cid]: "${who}"})
        if self.draft.client:
            for _, exchange, names in self._play([Act(f"{ben} is killed", None, 1)]):
                said = _with(exchange.told.get(ana, ()), names[ben])
                if said is not None:
                    self.draft.phrases["lost"] = _shape(said, {names[ben]: "${who}"})
        if "leave" not in self.draft.acts:
            self.draft.open.append("acts: no way was found to leave politely")


def _has_begun(outcome: Outcome) -> bool:
    """Whether the programs run; some never rest."""
    return outcome.status == "passed" or "come to rest" in outcome.what


def _reached(outcome: Outcome) -> int:
    """How many acts of a draft were over when it broke."""
    marks = [e for e in outcome.events if e.actor == "server" and e.text.startswith("— act ")]
    return max(0, len(marks) - 1)


def _last_line(data: bytes) -> str:
    """What stands on the cursor's row: a question, or a prompt."""
    terminal = Terminal(80, 24, lambda _answer: None)
    terminal.feed(data.replace(b"\n", b"\r\n"))
    return terminal.text(terminal.row).strip()


def _with(told: Sequence[Said], text: str) -> Said | None:
    """The first thing that has a text in it."""
    return next((said for said in told if text in said.text), None)


def _answer(told: Mapping[str, Sequence[Said]], token: str, *, whole: bool) -> Said | None:
    mine = told.get(CAST[0], ())
    if whole:
        return _with(mine, token)
    return mine[0] if len(mine) == 1 else None


def _is_raw(said: Said | None, shape: Shape, value: Any) -> bool:
    """Whether a line came out with the command still in it: it was taken for mere text."""
    return said is not None and isinstance(value, str) and shape != "${text}" and value in said.text


def put_in(shape: Shape, words: Mapping[str, str]) -> Any:
    """A shape with some of its names replaced."""
    if isinstance(shape, Mapping):
        return {key: put_in(inner, words) for key, inner in shape.items()}
    if not isinstance(shape, str):
        return shape
    for name, word in words.items():
        shape = shape.replace(f"${{{name}}}", word)
    return shape


def _shape(said: Said, words: Mapping[str, str]) -> Shape:
    """What was said, as a phrase: known words are arguments."""
    if said.frame is not None:
        return _essence(said.frame, words)
    text = said.text.replace("${", "$${")
    for word, name in words.items():
        text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", lambda _, n=name: n, text)  # type: ignore[misc]
    return text


def _essence(frame: Any, words: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a frame that say what it is, or that we know."""
    found = {}
    for key, value in frame.items():
        known = _shape(Said(value), words) if isinstance(value, str) else value
        if key in KINDS or known != value:
            found[key] = known
    return found or {str(next(iter(frame))): "..."}


def _first_frame(text: str) -> dict[str, Any] | None:
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# Writing.

GUESSES = {
    "inline": "each connection is served in order. Workers or a broker: queued.",
    "timers": "the programs never came to rest.",
}


def profile_text(draft: Draft, name: str, folder: Path | None = None) -> str:
    """The profile, with what is guessed said in comments."""
    lines = ["# Drafted by `harness learn`: what was seen. Look at it before you rely on it."]
    lines += [f"# Not found out: {one}" for one in draft.open]
    lines += [f"profile: {flow(name)}", "server:", f"  run: {flow(_here(draft.server, folder))}"]
    listens = "free" if "${server.port}" in draft.server else "any"
    ready = {"prints": draft.prints} if draft.prints else {"listens": listens}
    lines += [f"  ready: {flow(ready)}", "", "roles:", f"  {draft.role}:"]
    lines += [f"    {row}" for row in _role(draft, folder)]
    lines += ["", "can: [no-user]"] if "no-user" in draft.phrases else []
    lines += ["", f"# A guess: {GUESSES[draft.delivery]}", f"delivery: {draft.delivery}"]
    lines += _fence_lines(draft.fence)
    for word, table in (("acts", draft.acts), ("phrases", draft.phrases)):
        if table:
            lines += ["", f"{word}:"]
            lines += [f"  {key}: {flow({draft.role: _spoken(word, draft, shape)})}"
                      for key, shape in table.items()]  # fmt: skip
    messages = [word for word in ("dm", "bc") if word in draft.acts and word in draft.phrases]
    lines += ["", f"messages: {flow(messages)}"] if messages else []
    return laid_out("\n".join(lines) + "\n")


def _spoken(word: str, draft: Draft, shape: Shape) -> Shape:
    """An act says how it is done; a phrase is what it is."""
    return {"types" if draft.client else "sends": shape} if word == "acts" else shape


def _role(draft: Draft, folder: Path | None) -> Iterator[str]:
    if draft.client:
        yield f"pty: {flow(_here(draft.client, folder))}"
        if draft.view != "lines":
            yield f"view: {draft.view}"
        if draft.prompt:
            prompt = draft.prompt + " "
            text: Any = prompt
            if re.search(r"\bana\b", prompt):
                text = {"re": re.sub(r"\bana\b", "${name}", re.escape(draft.prompt)) + " ?"}
            yield f"prompt: {flow(text)}"
    else:
        yield "tcp: '${server.host}:${server.port}'"
        yield f"frames: {draft.frames or 'lines'}"
        if draft.frames == "json":
            yield "paced: true   # nothing parts objects: each is sent when the last was read"
    if draft.login:
        yield "login:"
        yield from (f"  - {flow(row)}" for row in draft.login)


def _fence_lines(fence: Any) -> Iterator[str]:
    if not isinstance(fence, Mapping):
        yield f"fence: {fence}   # no question was found: all programs have to sleep"
    elif "window" in fence:
        yield f"fence: {flow(fence)}   # this proves little: find a question that is answered"
    else:
        yield "# It was not answered while the server was halted, so it is the server that answers."
        yield f"fence: {flow(fence)}"


def _here(command: str, folder: Path | None) -> str:
    """A command whose files are named from the profile's folder, if they are in it."""
    command = re.sub(r"'(\$\{[\w.]+\})'", r"\1", command)
    return command if folder is None else command.replace(f"{folder.resolve()}/", "${here}/")


DIALOGUE = """
scenario: A small dialogue
cast: {{ana: {role}, ben: {role}, cid: {role}}}
steps:
{steps}
"""
STEPS = {
    "dm": """
  - ana does: {dm: {to: '${ben.name}', text: hello there}}
    ben sees: {dm: {from: '${ana.name}', text: hello there}}
    cid sees nothing:
""",
    "bc": """
  - ben does: {bc: {text: good morning}}
    ana, cid see: {bc: {from: '${ben.name}', text: good morning}}
""",
}


def dialogue(draft: Draft) -> str:
    """A scenario that any profile with these acts can play; nothing if there are none."""
    steps = "".join(STEPS[word] for word in STEPS if word in draft.acts)
    return DIALOGUE.format(role=draft.role, steps=steps) if steps else ""


def learn(server: str, client: str | None, options: Options, tell: Callable[[str], None]) -> Draft:
    """Draft a profile; raises `SetupError` where not even the programs could be started."""
    learner = Learner(server, client, structs.replace(options, server=None, client=None), tell)
    return learner.learn()


def try_out(path: Path, draft: Draft, options: Options) -> Outcome | None:
    """Play a small dialogue with a drafted profile; none if there is nothing to play."""
    from harness.language import load_scenario
    from harness.pool import Job, run_isolated

    load_profile(path)
    text = dialogue(draft)
    if not text:
        return None
    with tempfile.TemporaryDirectory(prefix="harness-learn-") as folder:
        scenario = Path(folder) / "dialogue.yaml"
        scenario.write_text(text, encoding="utf-8")
        try:
            loaded = load_scenario(scenario, profile=path)
        except ScenarioError as error:
            raise SetupError(str(error)) from error
        return run_isolated(Job(loaded, {}), structs.replace(options, server=None, client=None))
