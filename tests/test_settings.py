"""Settings: what a file may say, what it is told when it is wrong, and how one is changed."""

import itertools
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chatsh import options
from chatsh.grammar import Setting, Situation, parse
from chatsh.settings import (
    DEFAULTS,
    NAMES,
    Server,
    Settings,
    SettingsError,
    change,
    fields,
    keep,
    load,
    shown,
)
from chatsh.themes import THEMES

COMMENTED = """\
# mine
times = 'each'   # on each line

mute = [
    "team",  # too loud
]

[servers.work]
host = "chat.example.org"
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "chatsh.toml"


def load_text(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


# --- reading ---


def test_where_nothing_is_the_defaults_hold(path):
    assert load(path) == Settings() == load_text(path, "") == load_text(path, "# nothing\n")


def test_where_no_file_can_be_the_defaults_hold(tmp_path):
    (tmp_path / "config").write_text("no folder")
    assert load(tmp_path / "config" / "chatsh.toml") == Settings()


def test_a_file_sets_what_it_says(path):
    assert load_text(path, COMMENTED + 'port = 9\nname = "ana"\n') == Settings(
        times="each", mute=("team",), servers={"work": Server("chat.example.org", 9, "ana")}
    )
    told = load_text(path, COMMENTED + 'tls = "off"\n').servers["work"]
    assert (told.tls, Server().tls) == ("off", "auto")


WRONG = {
    'fold = "x"': 'fold takes a number from 0 to 100000, not "x"',
    "fold = -1": "fold takes a number from 0 to 100000, not -1",
    "fold = true": "fold takes a number from 0 to 100000, not true",
    "history = 1.5": "history takes a number from 0 to 100000, not 1.5",
    "idle = 86401": "idle takes a number from 0 to 86400, not 86401",
    "dnd = 1": "dnd takes true or false, not 1",
    'dnd = "on"': 'dnd takes true or false, not "on"',
    'times = "now"': 'times takes "each", "gaps" or "off", not "now"',
    'theme = "dark"': 'theme takes "mono", "plain" or "vivid", not "dark"',
    "mute = [1]": 'mute takes a list of words, such as ["ana", "my team"], not [1]',
    'mute = "ana"': 'mute takes a list of words, such as ["ana", "my team"], not "ana"',
    "log = 2026-01-01": 'log takes "json", "off" or "text", not "2026-01-01"',
    "tmies = 1": 'there is no setting "tmies"; did you mean times?',
    "x = 1": f'there is no setting "x"; there are {", ".join(NAMES[:-1])} and {NAMES[-1]}',
    '"a\\u001b[2Jb" = 1': 'there is no setting "ab"; there are '
    f"{', '.join(NAMES[:-1])} and {NAMES[-1]}",
    "servers = 3": "servers takes a table, not 3",
    "servers.work = 3": "servers.work takes a table, not 3",
    "[servers.work]\nport = 0": "servers.work.port takes a number from 1 to 65535, not 0",
    "[servers.work]\nhost = 1": "servers.work.host takes a text in quotes, not 1",
    "[servers.work]\nprot = 1": 'in servers.work: there is no setting "prot"; did you mean port?',
    "fold = 1\nfold = 2": "Cannot overwrite a value (at end of document); mend it there, "
    "or move the file away",
    "\n\nfold = \n": "Invalid value (at line 3, column 8); mend it there, or move the file away",
    b'mute = ["\xff"]': "it is not UTF-8; save it as that, or move it away",
    f'times = "{"x" * 1000}"': f'times takes "each", "gaps" or "off", not "{"x" * 59}...',
}


@pytest.mark.parametrize(("text", "told"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_is_told_in_one_sentence_with_its_place(path, text, told):
    with pytest.raises(SettingsError) as caught:
        load_text(path, text)
    assert str(caught.value) == f"{path}: {told}"


def test_a_folder_in_place_of_the_file_is_told(path):
    path.mkdir(parents=True)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: Is a directory; it has to be a file that you may read"


def test_the_themes_that_can_be_set_are_those_that_there_are():
    assert set(fields(Settings)["theme"].choices) == set(THEMES)


# --- changing ---


CHANGES = [
    ("times", "off", "off"),
    ("times", "EACH", "each"),
    ("fold", "0", 0),
    ("dnd", "on", True),
    ("dnd", "Yes", True),
    ("dnd", "true", True),
    ("dnd", "off", False),
    ("mute", "team", ("team",)),
    ("mute", 'ana "my team" ana', ("ana", "my team")),
    ("mute", "ana, ben,cid", ("ana", "ben", "cid")),
    ("mute", '""', ()),
    ("mute", '"open', ("open",)),
    ("mentions", "default", ()),
    ("history", "default", 1000),
]


@pytest.mark.parametrize(("name", "text", "value"), CHANGES)
def test_a_value_is_typed_without_the_signs_of_a_file(path, name, text, value):
    changed = change(Settings(fold=3), name, text)
    assert getattr(changed, name) == value
    assert changed.fold == (value if name == "fold" else 3)
    keep(changed, name, path)
    assert getattr(load(path), name) == value


REFUSED = [
    ("fold", "many", 'fold takes a number from 0 to 100000, not "many"'),
    ("fold", "100001", 'fold takes a number from 0 to 100000, not "100001"'),
    ("fold", "-1", 'fold takes a number from 0 to 100000, not "-1"'),
    ("fold", "9" * 5000, f'fold takes a number from 0 to 100000, not "{"9" * 59}...'),
    ("fold", "٣", 'fold takes a number from 0 to 100000, not "٣"'),
    ("dnd", "maybe", 'dnd takes on or off, not "maybe"'),
    ("theme", "dark", 'theme takes mono, plain or vivid, not "dark"'),
    ("thme", "mono", 'there is no setting "thme"; did you mean theme?'),
    ("fold=5", "", 'there is no setting "fold=5"; did you mean fold?'),
]


@pytest.mark.parametrize(("name", "text", "told"), REFUSED)
def test_what_cannot_be_set_is_refused_with_what_can(name, text, told):
    with pytest.raises(SettingsError) as caught:
        change(DEFAULTS, name, text)
    assert str(caught.value) == told


@pytest.mark.parametrize(("name", "text", "value"), CHANGES)
def test_a_value_is_shown_as_it_can_be_typed(name, text, value):
    assert getattr(change(DEFAULTS, name, shown(value) or '""'), name) == value


def test_a_change_leaves_comments_order_and_servers_as_they_are(path):
    settings = change(load_text(path, COMMENTED), "times", "off")
    keep(settings, "times", path)
    keep(change(settings, "fold", "3"), "fold", path)
    text = path.read_text()
    assert text.replace('"off"', "'each'").replace("fold = 3\n", "") == COMMENTED
    assert load(path) == Settings(
        times="off", fold=3, mute=("team",), servers={"work": Server("chat.example.org")}
    )


def test_what_is_the_default_again_is_taken_out_of_the_file(path):
    for text in ("3", "default", "3", "12"):
        keep(change(DEFAULTS, "fold", text), "fold", path)
        assert ("fold" in path.read_text()) == (text == "3")


def test_the_file_and_its_folder_are_their_owners_alone(path):
    path = path.parent / "chatsh" / path.name
    keep(Settings(fold=3), "fold", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_link_to_the_file_stays_a_link(path, tmp_path):
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n")
    path.parent.mkdir()
    path.symlink_to(real)
    keep(Settings(fold=3), "fold", path)
    assert path.is_symlink()
    assert real.read_text() == "# mine\nfold = 3\n"


def test_a_file_that_is_broken_meanwhile_is_not_touched(path):
    load_text(path, "")
    path.write_text("fold = [")
    with pytest.raises(SettingsError, match="mend it there"):
        keep(Settings(fold=3), "fold", path)
    assert path.read_text() == "fold = ["


def test_what_cannot_be_kept_is_told(tmp_path):
    (tmp_path / "config").write_text("no folder")
    with pytest.raises(SettingsError, match=r"File exists|Not a directory"):
        keep(Settings(fold=3), "fold", tmp_path / "config" / "chatsh.toml")


# --- /set ---


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def do(line, settings=DEFAULTS):
    wanted = parse(line, Situation())
    assert isinstance(wanted, Setting)
    changed, text = options.answer(settings, wanted)
    return changed, text.plain.splitlines()


def test_set_shows_every_setting_in_a_table_of_80_columns():
    _, lines = do("/set", Settings(mute=("someone with a long name",)))
    assert lines[0].split() == ["name", "value", "default", "what", "it", "does"]
    assert [line.split()[0] for line in lines[1:-1]] == list(NAMES)
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1].endswith("/chatsh/chatsh.toml.")


def test_set_with_a_name_says_what_is_possible():
    _, lines = do("/set THEME")
    assert lines == [
        "theme: colours: none, the terminal's own, many",
        "It is plain; the default is plain.",
        "/set theme takes mono, plain or vivid, or default.",
    ]


def test_set_with_a_value_changes_and_keeps_it():
    changed, lines = do("/set theme vivid")
    assert (changed.theme, lines) == ("vivid", ["theme is vivid now."])
    assert load() == changed
    changed, lines = do("/set theme default", changed)
    assert (changed, lines) == (DEFAULTS, ["theme is plain now."])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/set them", 'Not set: there is no setting "them"; did you mean theme?'),
        ("/set theme dark", 'Not set: theme takes mono, plain or vivid, not "dark"'),
    ],
)
def test_set_with_something_wrong_changes_nothing(line, told):
    assert do(line) == (DEFAULTS, [told])
    assert load() == DEFAULTS


def test_set_of_servers_names_the_file():
    _, (told,) = do("/set servers")
    assert told.startswith("Not set: servers stand in the file alone: /")


def test_what_cannot_be_kept_holds_for_now(tmp_path):
    (tmp_path / "home").write_text("no folder")
    changed, (told,) = do("/set fold 3")
    assert changed.fold == 3
    assert told.startswith("fold is 3 now. It cannot be kept for the next time: /")


def test_changes_by_two_shells_at_once_are_all_in_the_file(path):
    settings = Settings(fold=3, idle=4, history=5, dnd=True)
    program = (
        "import sys; from pathlib import Path; from chatsh.settings import *\n"
        "for _ in range(50):\n"
        "    for name in ('history', 'dnd'):\n"
        "        keep(Settings(history=5, dnd=True), name, Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)]) as other:
        while other.poll() is None:
            keep(settings, "fold", path)
            keep(settings, "idle", path)
    assert other.returncode == 0
    assert load(path) == settings


# --- the documentation ---


def test_the_table_of_the_documentation_is_that_of_the_code():
    text = (Path(__file__).parent.parent / "docs" / "shell.md").read_text("utf-8")
    head = "| setting | default | it takes | what it does |"
    lines = text.split("## Settings")[1].splitlines()
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[lines.index(head) + 2 :])
    assert list(rows) == [
        f"| `{name}` | {shown(getattr(DEFAULTS, name)) or options.NOTHING} "
        f"| {fields(Settings)[name].typed} | {fields(Settings)[name].does} |"
        for name in NAMES
    ]


def test_the_example_of_the_documentation_can_be_loaded(path):
    text = (Path(__file__).parent.parent / "docs" / "shell.md").read_text("utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    assert load_text(path, example).servers["work"].name == "ana"
