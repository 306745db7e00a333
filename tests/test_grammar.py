import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire.messages import (
    AskSeen,
    Group,
    History,
    Newname,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Quit,
    Set,
    Who,
)
from chatsh.grammar import (
    BY_WORD,
    COMMANDS,
    Begin,
    Complaint,
    Help,
    Mode,
    More,
    Protect,
    Situation,
    Status,
    Switch,
    Unsent,
    did_you_mean,
    parse,
    quoted,
    split_name,
    unquoted,
)

GENERAL = Situation(Mode.GENERAL, ("bob", "User 1", "User 1 B", "O'Neil x"))
DIRECT = GENERAL._replace(mode=Mode.DIRECT)
IN_GROUPS = GENERAL._replace(groups=("team", "My Crew", "Room 7"))
GROUP = IN_GROUPS._replace(mode=Mode.GROUP)

GROUP_USAGE = "Usage: /group [create|add|remove|rename|owner|leave|info|list|delete GROUP NAMES]"


def created(*names: str) -> Group:
    return Group("create", "the crew", list(names))


LINES = [
    # C1: three spellings of who
    ("/who", Who()),
    ("/users", Who()),
    ("who", Who()),
    ("  who ", Who()),
    ("who is there", OutgoingBroadcast("who is there")),
    # C2: all forms of a direct message, cut at the first separator
    ("/dm bob hi", Outgoing("bob", "hi")),
    ("/whisper bob hi", Outgoing("bob", "hi")),
    ("/w bob hi", Outgoing("bob", "hi")),
    ("/msg bob hi", Outgoing("bob", "hi")),
    ("/DM bob hi", Outgoing("bob", "hi")),
    ("bob|hi", Outgoing("bob", "hi")),
    ("bob~hi", Outgoing("bob", "hi")),
    ("bob|a~b|c", Outgoing("bob", "a~b|c")),
    ("bob~a|b", Outgoing("bob", "a|b")),
    ("bob | hi ", Outgoing("bob", " hi ")),
    ("bob|", Outgoing("bob", "")),
    ("User 1|hi", Outgoing("User 1", "hi")),
    ('bob|rm -rf x; echo "y', Outgoing("bob", 'rm -rf x; echo "y')),
    ('bob|"quoted"', Outgoing("bob", '"quoted"')),
    # what stands before the separator is no possible name: ordinary text
    ("a:b|c", OutgoingBroadcast("a:b|c")),
    ('say "x" ~ or not', OutgoingBroadcast('say "x" ~ or not')),
    ("|x", OutgoingBroadcast("|x")),
    ("~", OutgoingBroadcast("~")),
    (f"{'n' * 33}|x", OutgoingBroadcast(f"{'n' * 33}|x")),
    # C26: an unknown but possible name is never broadcast
    ("nobody|secret", Outgoing("nobody", "secret")),
    # C3: quotes of commands
    ('/dm bob "Hello there!"', Outgoing("bob", "Hello there!")),
    ('/dm bob say "hi" now', Outgoing("bob", 'say "hi" now')),
    ('/dm bob "a" and "b"', Outgoing("bob", '"a" and "b"')),
    (r'/dm bob "a \"b\" c"', Outgoing("bob", 'a "b" c')),
    (r'/dm bob "C:\dir\"', Outgoing("bob", r'"C:\dir\"')),
    ('/bc "Hello all"', OutgoingBroadcast("Hello all")),
    ("/all it's > 3 | x ; y", OutgoingBroadcast("it's > 3 | x ; y")),
    ('/bc "', OutgoingBroadcast('"')),
    ('/bc ""', OutgoingBroadcast("")),
    ("*|all of you", OutgoingBroadcast("all of you")),
    # C9: the longest known name, a quoted one, the first word
    ("/dm User 1 hi", Outgoing("User 1", "hi")),
    ("/dm User 1 B hi", Outgoing("User 1 B", "hi")),
    ("/dm user 1 hi", Outgoing("user 1", "hi")),
    ("/dm User 2 hi", Outgoing("User", "2 hi")),
    ('/dm "User 2" hi', Outgoing("User 2", "hi")),
    ("/dm 'User 2' say \"hi\" now", Outgoing("User 2", 'say "hi" now')),
    ("/dm O'Neil x hi", Outgoing("O'Neil x", "hi")),
    ("/dm bob -lol", Outgoing("bob", "-lol")),
    ("/dm -h x", Outgoing("-h", "x")),
    ("/dm   bob   hi  there", Outgoing("bob", "hi  there")),
    # texts that mean something to a shell, to cmd2 or to us elsewhere
    ("!ls", OutgoingBroadcast("!ls")),
    ("@f", OutgoingBroadcast("@f")),
    ("a > b", OutgoingBroadcast("a > b")),
    ("# x", OutgoingBroadcast("# x")),
    ("it's", OutgoingBroadcast("it's")),
    ("  two  spaces ", OutgoingBroadcast("  two  spaces ")),
    ("//x", OutgoingBroadcast("/x")),
    (" //x //y", OutgoingBroadcast(" /x //y")),
    ("_eof", OutgoingBroadcast("_eof")),
    ("help", OutgoingBroadcast("help")),
    # the end
    ("/quit", Quit()),
    ("/disc", Quit()),
    ("/leave", Quit()),
    ("/exit", Quit()),
    ("exit", Quit()),
    ("quit", Quit()),
    ("logout", Quit()),
    ("logoff", Quit()),
    ("bye", Quit()),
    ("bye everybody", OutgoingBroadcast("bye everybody")),
    ("Bye", OutgoingBroadcast("Bye")),
    # the others
    ("/direct", Switch(Mode.DIRECT)),
    ("/newname joe", Newname("joe")),
    ("/nick Joe Black", Newname("Joe Black")),
    ('/newname "Joe"', Newname("Joe")),
    ("/seen bob", AskSeen("bob")),
    ("/ping", Ping()),
    ("/ping a  b", Ping("a  b")),
    ("/register", Protect()),
    ("/help", Help()),
    ("?", Help()),
    ("/help dm", Help(BY_WORD["/dm"])),
    ("/help /whisper", Help(BY_WORD["/dm"])),
    ("", None),
    (" \t ", None),
]

DIRECT_LINES = [
    ("bob~hi", Outgoing("bob", "hi")),
    ("bob|hi", Outgoing("bob", "hi")),
    ("*|all", OutgoingBroadcast("all")),
    ("/bc x", OutgoingBroadcast("x")),
    ("/exit", Switch(Mode.GENERAL)),
    ("exit", Quit()),
    ("/quit", Quit()),
    ("/leave", Quit()),
    ("who", Who()),
]

GROUP_LINES = [
    ("team|a~b", OutgoingGroup("team", "a~b")),
    ("TEAM~hi", OutgoingGroup("TEAM", "hi")),
    ("my crew|hi", OutgoingGroup("my crew", "hi")),
    ("/dm my crew hi", OutgoingGroup("my crew", "hi")),
    ('/w "My Crew" "hi"', OutgoingGroup("My Crew", "hi")),
    ("bob|hi", Outgoing("bob", "hi")),
    ("crew|hi", Outgoing("crew", "hi")),
    ("/group", Switch(Mode.GROUP_NEW)),
    ("/group create crew", Group("create", "crew")),
    ('/group create "the crew" bob User 1 B "User 2"', created("bob", "User 1 B", "User 2")),
    ("/group create 'the crew' bob,zoe ,User 1", created("bob", "zoe", "User 1")),
    ('/group create "the crew" bob~User 2|zoe', created("bob", "User", "2", "zoe")),
    ('/group create "the crew" "a,b" "c', created("a,b", '"', "c")),
    ("/group ADD my crew bob", Group("add", "my crew", ["bob"])),
    ("/group remove team bob zoe", Group("remove", "team", ["bob", "zoe"])),
    ('/group rename my crew "the crew"', Group("rename", "my crew", to="the crew")),
    ("/group owner team User 1", Group("owner", "team", to="User 1")),
    ("/group leave my crew", Group("leave", "my crew")),
    ("/group info team", Group("info", "team")),
    ("/group delete team", Group("delete", "team")),
    ("/group list", Group("list")),
    ("/leave my crew", Group("leave", "my crew")),
    ('/leave "My Crew"', Group("leave", "My Crew")),
    ("/leave", Quit()),
    ("/history", History(all=True, limit=20)),
    ("/history 5", History(all=True, limit=5)),
    ("/history bob", History(peer="bob", limit=20)),
    ("/history User 1", History(peer="User 1", limit=20)),
    ("/history User 1 3", History(peer="User 1", limit=3)),
    ('/history "User 1"', History(peer="User 1", limit=20)),
    ("/history room 7", History(group="room 7", limit=20)),
    ("/history room 7 200", History(group="room 7", limit=200)),
    ("/search two words", History(all=True, q="two words")),
    ("/status", Status()),
    ("/status My Crew", Status("My Crew")),
    ("/receipts on", Set(receipts=True)),
    ("/receipts off", Set(receipts=False)),
    ("/unsent", Unsent()),
    ("/unsent drop", Unsent(drop=True)),
    ("/more", More()),
    ("/more 3", More(3)),
]

GROUP_MODE_LINES = [
    ("team~hi", OutgoingGroup("team", "hi")),
    ("unknown~hi", OutgoingGroup("unknown", "hi")),
    ("bob~hi", Outgoing("bob", "hi")),
    ("*|hi", OutgoingBroadcast("hi")),
    ("/exit", Switch(Mode.GENERAL)),
    ("/leave", Quit()),
    ("who", Who()),
]

ANSWERS = [
    (Mode.GROUP_NEW, "y", Switch(Mode.GROUP_NAME)),
    (Mode.GROUP_NEW, " YES ", Switch(Mode.GROUP_NAME)),
    (Mode.GROUP_NEW, "n", Switch(Mode.GROUP)),
    (Mode.GROUP_NEW, "", Switch(Mode.GROUP)),
    (Mode.GROUP_NEW, "team~hi", Switch(Mode.GROUP)),
    (Mode.GROUP_NAME, " the crew ", Begin("the crew")),
    (Mode.GROUP_NAME, "y", Begin("y")),
    (Mode.GROUP_NAME, "/group list", Group("list")),
    (Mode.GROUP_NAME, "/exit", Switch(Mode.GENERAL)),
    (Mode.GROUP_MEMBERS, "bob ~ User 1|zoe~~", created("bob", "User 1", "zoe")),
    (Mode.GROUP_MEMBERS, "", created()),
    (Mode.GROUP_MEMBERS, "/leave", Quit()),
]

COMPLAINTS = [
    ("/group create", GROUP_USAGE),
    ("/group add team", GROUP_USAGE),
    ("/group rename team", GROUP_USAGE),
    ("/group rename team a b", GROUP_USAGE),
    ("/group info", GROUP_USAGE),
    ("/group list team", GROUP_USAGE),
    ("/group swap team", GROUP_USAGE),
    ("/history 0", "A page has 1 to 200 messages."),
    ("/history bob 201", "A page has 1 to 200 messages."),
    ("/search", "Usage: /search WORDS"),
    ("/receipts", "Usage: /receipts on|off"),
    ("/unsent all", "Usage: /unsent [drop]"),
    ("/more x", "Usage: /more [NUMBER]"),
    ("/more ٣", "Usage: /more [NUMBER]"),
    ("/wo", "There is no command /wo; did you mean /who?"),
    ("/xyzzy a b", "There is no command /xyzzy; /help lists all commands."),
    ("/", "There is no command /; /help lists all commands."),
    ("/help xyzzy", "There is no command /xyzzy; /help lists all commands."),
    ("/dm", "Usage: /dm NAME TEXT"),
    ("/dm bob", "Usage: /dm NAME TEXT"),
    ("/whisper User 1", "Usage: /dm NAME TEXT"),
    ("/bc", "Usage: /bc TEXT"),
    ("/newname", "Usage: /newname NAME"),
    ("/seen", "Usage: /seen NAME"),
    ("/who is there", "Usage: /who"),
    ("/exit now", "Usage: /exit"),
    ("/quit team", "Usage: /quit"),
    ("/leave team", 'There is no group "team"; /leave alone leaves the server.'),
]


@pytest.mark.parametrize(("line", "action"), LINES)
def test_what_a_line_means(line, action):
    assert parse(line, GENERAL) == action


@pytest.mark.parametrize(("line", "action"), DIRECT_LINES)
def test_what_a_line_means_in_direct_mode(line, action):
    assert parse(line, DIRECT) == action


@pytest.mark.parametrize(("line", "action"), GROUP_LINES)
def test_what_a_line_means_to_a_member_of_groups(line, action):
    assert parse(line, IN_GROUPS) == action


@pytest.mark.parametrize(("line", "action"), GROUP_MODE_LINES)
def test_what_a_line_means_in_group_mode(line, action):
    assert parse(line, GROUP) == action


@pytest.mark.parametrize(("mode", "line", "action"), ANSWERS)
def test_what_an_answer_means_to_the_questions_of_group_mode(mode, line, action):
    assert parse(line, IN_GROUPS._replace(mode=mode, wanted="the crew")) == action


@pytest.mark.parametrize("name", ["a|b", "", "server", "x" * 33, "a:b"])
def test_an_impossible_name_of_a_group_is_asked_for_again(name):
    assert isinstance(parse(name, GROUP._replace(mode=Mode.GROUP_NAME)), Complaint)


@pytest.mark.parametrize(("line", "text"), COMPLAINTS)
def test_what_cannot_be_done_is_a_complaint_and_never_a_message(line, text):
    assert parse(line, GENERAL) == Complaint(text)


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.GROUP])
@pytest.mark.parametrize("line", ["hello", "//x", "a:b~c", "|x"])
def test_a_mode_sends_nothing_to_everyone_by_accident(line, mode):
    assert isinstance(parse(line, IN_GROUPS._replace(mode=mode)), Complaint)


@given(st.text(), st.sampled_from(Mode))
def test_every_line_means_something(line, mode):
    parse(line, Situation(mode, ("bob", "User 1"), ("team", "my crew"), "crew"))
    parse(f"/group {line}", Situation(mode, ("bob", "User 1"), ("team", "my crew")))


@given(st.from_regex(r"[^/|~\s][^|~]*", fullmatch=True))
def test_text_without_a_sign_is_sent_byte_for_byte(line):
    action = parse(line, GENERAL)
    assert action == OutgoingBroadcast(line) or line.strip() in {"who", "?", *BARE_EXITS}


BARE_EXITS = {"exit", "quit", "logout", "logoff", "bye"}


@given(st.text(alphabet=st.characters(blacklist_characters='"\\')))
def test_one_pair_of_quotes_around_a_text_comes_off(text):
    assert unquoted(f'"{text}"') == text


@pytest.mark.parametrize("name", ["bob", "User 1"])
def test_a_quoted_name_is_that_name_even_if_nobody_knows_it(name):
    assert split_name(f"{quoted(name)} hi", ()) == (name, "hi")


NEAR = [
    ("bne", ("ben", "cleo"), "ben"),
    ("BENN", ("ben", "cleo"), "ben"),
    ("my taem", ("ann", "My Team"), "My Team"),
    ("User2", ("User 1", "User 2"), "User 2"),
    ("zoe", ("ben", "cleo"), ""),
    ("Ben", ("ben",), ""),
    ("", ("ben",), ""),
    ("x", (), ""),
]


@pytest.mark.parametrize(("word", "known", "near"), NEAR)
def test_a_known_name_that_is_near_is_asked_for(word, known, near):
    assert did_you_mean(word, known) == (f"did you mean {near}?" if near else "")


def test_every_word_belongs_to_one_command_alone():
    words = [word for command in COMMANDS for word in command.words]
    assert len(words) == len(set(words)) == len(BY_WORD)
