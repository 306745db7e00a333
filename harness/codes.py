"""Everything that can be wrong with a file: one row each, with an example and the same mended.

A number never changes its meaning and is never used again. `harness explain H101` prints a row;
a test puts every example through the loader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

PROFILE = """\
profile: example
server: {run: chat-server, ready: {prints: 'listening on port ${port=int}'}}
roles:
  shell: {pty: chat-client}
  wire: {tcp: '127.0.0.1:${server.port}'}
  pipe: {pipe: chat-client}
acts:
  dm: {shell: {types: '/dm ${to} ${text}'}, wire: {sends: {to: '${to}', text: '${text}'}}}
phrases:
  lost: {shell: '${who} is gone', wire: {code: lost, who: '${who}'}}
"""
HEAD = """\
scenario: What the product promises
use: example
cast: {ana: shell, ben: wire, pip: pipe}
"""


class Code(Struct, frozen=True):
    """A row. The examples are steps, or whole files where they say so by `shape`.

    `made` makes a wrong file that is too long or too odd to be shown; `wrong` describes it then.
    """

    number: str
    name: str
    meaning: str
    wrong: str
    mended: str
    shape: str = "steps"  # steps, keys (beside them), scenario (whole), profile (whole)
    files: Mapping[str, str] = field(default_factory=dict)  # others that the example needs
    made: Callable[[], bytes] | None = None

    def document(self, text: str) -> str:
        """The whole file of an example."""
        if self.shape == "steps":
            return f"{HEAD}steps:\n{indented(text)}"
        if self.shape == "keys":
            return f"{text}\n{'' if 'steps:' in text else f'{HEAD_OF_KEYS}steps: [mark: x]'}\n"
        return text


HEAD_OF_KEYS = "scenario: What the product promises\nuse: example\n"


def indented(text: str) -> str:
    """The text, two blanks further to the right."""
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _steps(number_: str, name: str, meaning: str, wrong: str, mended: str) -> Code:
    return Code(number_, name, meaning, wrong, mended)


def _keys(number_: str, name: str, meaning: str, wrong: str, mended: str) -> Code:
    return Code(number_, name, meaning, wrong, mended, "keys")


def _profile(number_: str, name: str, meaning: str, wrong: str, mended: str) -> Code:
    return Code(
        number_, name, meaning, PROFILE.replace(mended, wrong), PROFILE, "profile",
    )  # fmt: skip


def _made(number_: str, name: str, meaning: str, wrong: str, made: Callable[[], bytes]) -> Code:
    return Code(number_, name, meaning, wrong, f"{HEAD}steps:\n  - ana types: hello\n",
                "scenario", made=made)  # fmt: skip


def _bomb() -> bytes:
    rows = ["vars:", "  v0: &v0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"  v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join([HEAD, *rows, "  all: *v11", "steps: [mark: x]"]).encode()


TABLE = (
    # Files and YAML.
    _made("H001", "unreadable", "The file cannot be opened: no such path, a folder, no rights.",
          "(a folder, or no such file)", lambda: b""),
    _made("H002", "not-utf8", "The file is not text in UTF-8.", "(a file saved as Latin-1)",
          lambda: HEAD.encode() + b"steps:\n  - ana types: caf\xe9\n"),
    _made("H003", "too-large", "A file has at most one mebibyte.", "(a file of two mebibytes)",
          lambda: b"# " + b"x" * (2 * 1024 * 1024)),
    _made("H004", "too-deep", "Lists and mappings stand in each other more than 50 deep.",
          "steps: [[[[[[... (and so on)", lambda: b"steps: " + b"[" * 5000),
    _made("H005", "too-much", "References (*name) stand for more values than anybody means.",
          "vars: {a: &a [x, x], b: &b [*a, *a], c: [*b, *b], ...}", _bomb),
    Code("H006", "empty-file", "There is nothing in the file.", "# nothing but a comment\n",
         f"{HEAD}steps:\n  - ana types: hello\n", "scenario"),
    _steps("H007", "no-yaml", "The file cannot be read as YAML.",
           "- ana types: 'half' of it\n", "- ana types: \"'half' of it\"\n"),
    _steps("H008", "colon-in-text",
           "In YAML a colon and a blank make a key: such text needs quotes.",
           "- ana sees: ben: hello\n", "- ana sees: 'ben: hello'\n"),
    _steps("H009", "tab", "YAML is indented with blanks, never with tabs.",
           "- ana types: hello\n\tana sees: hello\n", "- ana types: hello\n  ana sees: hello\n"),
    _steps("H010", "bare-text",
           "Text that begins with one of * & ! | > % @ ` or '- ' means something"
           " else in YAML: it needs quotes.", "- ana types: '/dm ben hi'\n  ana sees: !help\n",
           "- ana types: '/dm ben hi'\n  ana sees: '!help'\n"),
    _steps("H011", "open-quote", "A quotation mark is opened and never closed.",
           "- ana types: 'hello\n", "- ana types: 'hello'\n"),
    _steps("H012", "open-bracket",
           "A [ or { is opened and never closed, or closed by the other one.",
           "- ana presses: [up, enter\n", "- ana presses: [up, enter]\n"),
    _steps("H013", "duplicate-key", "The same key stands twice in one mapping.",
           "- ana sees: one\n  ana sees: two\n", "- ana sees: [one, two]\n"),
    _steps("H014", "key-no-text", "A list or a mapping cannot be a key; several actors are written"
           " with commas.", "- [ana, ben] see: hello\n", "- ana, ben see: {re: hello}\n"),
    _steps("H015", "control-character", "A control character stands in the file as it is.",
           "- ana types: \"bell \x07\"\n", "- ana types: \"bell \\x07\"\n"),
    Code("H016", "two-documents", "A file holds one document; --- begins another.",
         f"{HEAD}steps: [mark: x]\n---\nscenario: Another\n", f"{HEAD}steps: [mark: x]\n",
         "scenario"),
    _steps("H017", "swallowed", "Text after ' #' is a comment: nothing is left of the value.",
           "- ana types: #general\n", "- ana types: '#general'\n"),
    _steps("H018", "bad-escape",
           "In \"...\" a backslash begins an escape; in '...' it is a backslash.",
           '- ana types: "C:\\games"\n', "- ana types: 'C:\\games'\n"),
    _keys("H019", "bad-number", "A tag says that this is a number, and it is none.",
          "vars: {n: !!int many}", "vars: {n: 12}"),
    _steps("H020", "number-as-text",
           "YAML reads this as a number or as true, and would not give back"
           " the same text: it needs quotes.", "- ana types: 1.10\n", "- ana types: '1.10'\n"),
    # Words.
    _steps("H101", "unknown-verb", "No verb of the language is called so.",
           "- ana tpyes: hello\n", "- ana types: hello\n"),
    _steps("H102", "unknown-actor", "Nobody in the cast is called so.",
           "- anna types: hello\n", "- ana types: hello\n"),
    _keys("H103", "unknown-key", "This key means nothing here.",
          "tagz: [smoke]", "tags: [smoke]"),
    _keys("H104", "unknown-role", "The profile has no such role.",
          "cast: {ana: shel}", "cast: {ana: shell}"),
    _steps("H105", "unknown-act", "The profile has no such act (or nobody has).",
           "- ana does: {md: {to: ben, text: hi}}\n", "- ana does: {dm: {to: ben, text: hi}}\n"),
    _steps("H106", "unknown-phrase", "A terminal is told text, or a phrase of the profile; this is"
           " neither. Frames are for sockets.",
           "- ana sees: {lots: {who: ben}}\n", "- ana sees: {lost: {who: ben}}\n"),
    _steps("H107", "unknown-word",
           "A word alone is a modifier or a step that is no exchange; this is"
           " neither.", "- ana types: hello\n  whithin: 2s\n  ana sees: hello\n",
           "- ana types: hello\n  within: 2s\n  ana sees: hello\n"),
    Code("H108", "unknown-profile", "No profile of this name is beside the scenario or above it.",
         "scenario: What the product promises\nuse: exmaple\nsteps: [mark: x]\n",
         "scenario: What the product promises\nuse: example\nsteps: [mark: x]\n", "scenario"),
    _steps("H109", "nobody", "A verb needs somebody before it.",
           "- sees: hello\n", "- ana sees: hello\n"),
    _steps("H110", "wrong-kind", "This verb is not for this kind of actor.",
           "- ben types: hello\n", "- ben sends: {text: hello}\n"),
    _steps("H111", "unknown-signal", "There is no such signal.",
           "- ana is killed: KIL\n", "- ana is killed: KILL\n"),
    _steps("H112", "unknown-keystroke", "There is no such key on the keyboard.",
           "- ana presses: [up, contrl-c]\n", "- ana presses: [up, ctrl-c]\n"),
    _steps("H113", "unknown-capture", "There is no such kind of capture.",
           "- ana sees: 'now ${count=number}'\n", "- ana sees: 'now ${count=int}'\n"),
    _keys("H114", "unknown-law", "There is no such law.",
          "laws: [onec: hello]", "laws: [once: hello]"),
    # Values.
    _steps("H120", "wrong-value", "A value of another kind is needed here.",
           "- ana resizes: big\n", "- ana resizes: 100x30\n"),
    Code("H121", "missing-key", "Something that is always needed is not there.",
         "use: example\nsteps: [mark: x]\n",
         "scenario: What the product promises\nuse: example\nsteps: [mark: x]\n", "scenario"),
    _keys("H122", "not-a-mapping", "A mapping (key: value) is needed here.",
          "cast: [ana, ben]", "cast: {ana: shell, ben: shell}"),
    Code("H123", "not-a-list", "A list (lines that begin with '- ') is needed here.",
         f"{HEAD}steps:\n  ana types: hello\n", f"{HEAD}steps:\n  - ana types: hello\n",
         "scenario"),
    _keys("H124", "not-a-text", "A text is needed here.",
          "tags: [{a: b}]", "tags: [ab]"),
    _steps("H125", "not-a-duration", "A duration is needed here: a number and ms, s or min.",
           "- ana types: hello\n  within: soon\n", "- ana types: hello\n  within: 200ms\n"),
    _steps("H126", "bad-regex", "The regular expression cannot be read.",
           "- ana sees: {re: '(('}\n", "- ana sees: {re: '\\(\\('}\n"),
    _steps("H127", "slow-regex", "A repetition of a repetition: on some lines this expression takes"
           " longer than anybody can wait.",
           "- ana sees: {re: '(a+)+b'}\n", "- ana sees: {re: 'a+b'}\n"),
    _steps("H128", "not-a-comparison", "A comparison is needed here.",
           "- ana sees: '${n=int}'\n  check: '5'\n",
             "- ana sees: '${n=int}'\n  check: ${n} == 5\n"),
    _steps("H129", "empty", "Something that is empty does and proves nothing.",
           "- {}\n", "- ana types: hello\n"),
    _keys("H130", "bad-name", "A name is one word of letters and digits, and not a reserved one.",
          "cast: {server: shell}", "cast: {serverina: shell}"),
    _keys("H131", "bad-range", "A range counts upwards, with the same word on both sides.",
          "cast: {client3..client1: shell}", "cast: {client1..client3: shell}"),
    _keys("H132", "twice-in-cast", "An actor is in the cast once.",
          "cast: {client1..client3: shell, client2: wire}", "cast: {client1..client3: shell}"),
    _keys("H133", "bad-mode", "The mode of a file is three or four octal digits.",
          "files: {a.txt: {text: x, mode: 999}}", "files: {a.txt: {text: x, mode: 644}}"),
    _keys("H134", "outside", "A scenario writes files into its own folder only.",
          "files: {../a.txt: x}", "files: {a.txt: x}"),
    _steps("H140", "no-include", "The file to include is not there, or has no steps.",
           "- include: nowhere.yaml\n", "- mark: here\n"),
    Code("H141", "include-cycle", "A file includes itself, perhaps by way of others.",
         f"{HEAD}steps:\n  - include: a.yaml\n", f"{HEAD}steps:\n  - include: c.yaml\n", "scenario",
         {"a.yaml": "steps:\n  - include: b.yaml\n", "b.yaml": "steps:\n  - include: a.yaml\n",
          "c.yaml": "steps:\n  - mark: x\n"}),
    Code("H142", "unbalanced-matrix", "A field that the steps use is not in every row.",
         f"{HEAD}matrix:\n  case:\n    - {{says: a, error: 1}}\n    - {{says: b}}\n"
         "steps:\n  - ben sends: {text: '${case.says}'}\n    ben sees: {error: '${case.error}'}\n",
         f"{HEAD}matrix:\n  case:\n    - {{says: a, error: 1}}\n    - {{says: b, error: 2}}\n"
         "steps:\n  - ben sends: {text: '${case.says}'}\n    ben sees: {error: '${case.error}'}\n",
         "scenario"),
    _steps("H143", "too-many-steps", "The scenario has more steps than can be meant.",
           "- repeat: 100000\n  steps: [{repeat: 100000, steps: [mark: x]}]\n",
           "- repeat: 100\n  steps: [{repeat: 100, steps: [mark: x]}]\n"),
    _steps("H144", "pause",
           "A pause proves nothing and makes every run slower: it is for films alone"
           " (tags: [film]).", "- pause: 2s\n", "- fence: everyone\n"),
    _steps("H145", "modifier-inside-together",
           "A modifier belongs to the whole of `together`, beside"
           " it; only `check` may stand inside.",
           "- together:\n    - {ana types: hi, within: 2s}\n    - {ben sends: {text: hi}}\n",
           "- together:\n    - {ana types: hi}\n    - {ben sends: {text: hi}}\n  within: 2s\n"),
    # Sense.
    _steps("H201", "never-set", "Nothing in the file gives this name a value.",
           "- ana types: hello ${nmae}\n", "- ana types: hello ${name}\n"),
    _steps("H202", "used-before-capture", "The name gets its value later than here.",
           "- ana types: 'count is ${count}'\n- ben sees: {n: '${count=int}'}\n",
           "- ben sees: {n: '${count=int}'}\n- ana types: 'count is ${count}'\n"),
    _steps("H203", "contradiction", "Two clauses that can never both be true.",
           "- ana sees: hello ben\n  ana never sees: hello\n", "- ana sees: hello ben\n"),
    _steps("H204", "not-there-yet", "The actor joins later than here.",
           "- ana sees: hello\n- ana joins:\n", "- ana joins:\n- ana sees: hello\n"),
    _steps("H205", "gone", "The actor is gone: killed, left, closed or never let in.",
           "- ana is killed:\n- ana sees: hello\n", "- ana sees: hello\n- ana is killed:\n"),
    _steps("H206", "ambiguous-name", "Several actors have captured this name.",
           "- ana, ben see: '${count=int}'\n- pip types: count is ${count}\n",
           "- ana, ben see: '${count=int}'\n- pip types: count is ${ana.count}\n"),
    _steps("H207", "bad-capture", "This name cannot be captured: a name is a word.",
           "- ana sees: 'now ${a.b=int}'\n", "- ana sees: 'now ${ab=int}'\n"),
    _keys("H208", "endless-value", "A value stands for itself, perhaps by way of others.",
          "vars: {a: 'x ${b}', b: 'y ${a}'}", "vars: {a: 'x ${b}', b: y}"),
    _steps("H209", "no-value", "Told while running: a name has no value when it is needed.",
           "- when: ${ana.name} == ben\n  ana sees: '${n=int}'\n- ana types: count is ${n}\n",
           "- when: ${ana.name} == ben\n  ana sees: '${n=int}'\n"
           "- when: ${n}\n  ana types: count is ${n}\n"),
    # Profiles.
    _profile("H301", "no-way-to-play",
           "A role is a program in a terminal (pty), with pipes (pipe), or"
             " a socket (tcp): one of them.", "pipe: {args: [-q]}", "pipe: {pipe: chat-client}"),
    _profile("H302", "bad-server", "A profile says how the server is started and when it is ready.",
             "server: {ready: {prints: 'listening on port ${port=int}'}}",
             "server: {run: chat-server, ready: {prints: 'listening on port ${port=int}'}}"),
)  # fmt: skip
CODES = {row.number: row for row in TABLE}
NUMBERS = {row.name: row.number for row in TABLE}


def number(name: str) -> str:
    """The number of a row by its name."""
    return NUMBERS[name]
