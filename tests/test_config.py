"""Arguments to settings, and one line for what is wrong with them."""

from pathlib import Path

import pytest

from chatd.config import Config, parse, parse_import, read_limits
from chatd.core.limits import Limits
from chatd.net.loop import SELECTORS
from chatd.wire.errors import ConfigError


def test_without_arguments_it_is_port_8000_open_to_all(monkeypatch):
    monkeypatch.delenv("CHATD_SELECTOR", raising=False)
    monkeypatch.delenv("CHATD_CLUSTER", raising=False)
    assert parse([]) == Config()
    assert parse([]).port == 8000


def test_port_and_password_file_are_the_two_arguments():
    config = parse(["9000", "./.passwords/users and more.txt"])
    assert (config.port, config.passwords) == (9000, Path(".passwords/users and more.txt"))


def test_every_option_arrives():
    config = parse(
        [
            "0",
            "--host",
            "::1",
            "--data",
            "d",
            "--log",
            "l",
            "--log-content",
            "meta",
            "--guests",
            "--operator",
            "Ann",
            "--operator",
            "bob",
            "--max-clients",
            "5",
            "--selector",
            "select",
            "--store",
            "memory",
        ]
    )
    assert config.host == "::1"
    assert (config.data, config.log) == (Path("d"), Path("l"))
    assert (config.log_content, config.guests, config.max_clients) == ("meta", True, 5)
    assert config.operators == {"ann", "bob"}
    assert config.selector == "select"
    assert config.store == "memory"


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["x"], '"x" is no port'),
        (["65536"], "no port"),
        (["-1"], "no port|unrecognized|arguments"),
        (["80 "], "no port"),
        (["٣"], "no port"),
        (["8000", "a", "b"], "unrecognized arguments: b; see chatd --help"),
        (["--colour"], "unrecognized arguments"),
        (["--selector", "magic"], "is no selector here"),
        (["--log-content", "some"], "invalid choice"),
        (["--max-clients", "-3"], "--max-clients"),
        (["--max-clients", "many"], "takes a whole number"),
        (["--guest-name", "guest"], r"needs \{n\}"),
        (["--guest-name", "{x}"], r"needs \{n\}"),
        (["--guest-name", "{"], r"needs \{n\}"),
        (["--guest-name", "*{n}"], "--guest-name"),
        (["--guest-name", "{n:5}"], "--guest-name"),
        (["--operator", "server"], "--operator"),
        (["--metrics-from", "everywhere"], "--metrics-from takes an address or a network"),
        (["--metrics-from", "10.0.0.1/8"], "has host bits set"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(argv, why: str):
    with pytest.raises(ConfigError, match=why) as refused:
        parse(argv)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_end_well(option: str, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([option])
    assert ended.value.code == 0
    assert "chatd" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_every_selector_of_this_machine_can_be_named(name: str):
    assert parse(["--selector", name]).selector == name


def test_the_data_folder_is_one_per_port_unless_named(tmp_path):
    assert parse(["--data", str(tmp_path)]).data_for(8000) == tmp_path
    assert parse([]).data_for(8001) != parse([]).data_for(8002)


def test_the_environment_may_name_the_cluster_out_of_sight_of_others(monkeypatch):
    monkeypatch.setenv("CHATD_CLUSTER", "nats://me:secret@here/work")
    assert parse([]).cluster == ("nats://me:secret@here",)
    assert parse(["--cluster", "nats://there"]).cluster == ("nats://there",)
    assert parse_import(["FILE"]).config.cluster == ()  # that is asked for by name


def test_the_environment_may_name_the_selector_for_a_whole_run_of_tests(monkeypatch):
    monkeypatch.setenv("CHATD_SELECTOR", "select")
    assert parse([]).selector == "select"
    monkeypatch.setenv("CHATD_SELECTOR", "magic")
    with pytest.raises(ConfigError, match="is no selector here"):
        parse([])


# --- limits -------------------------------------------------------------------------------------


def limits_in(path, text: str):
    path.write_text(text)
    return read_limits(parse(["--limits", str(path), "--grace", "7", "--max-clients", "9"]))


def test_a_file_of_limits_stands_above_the_options_and_they_above_the_defaults(tmp_path):
    limits = limits_in(tmp_path / "limits", "tries = 3\nmax_clients = 50\nhello = 5\n")
    assert (limits.tries, limits.max_clients, limits.hello) == (3, 50, 5.0)
    assert (limits.grace, limits.queue) == (7.0, Limits().queue)
    assert read_limits(parse([])) == Limits()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("trials = 3", "trials"),
        ("tries = 0", "tries"),
        ("tries = 2.5", "tries"),
        ("tries = 'three'", "tries"),
        ("hello = nan", "hello"),
        ("hello = inf", "hello"),
        ("hello = -1", "hello"),
        ("max_clients = -1", "max_clients"),
        ("[hello]\nseconds = 3", "hello"),
        ("tries", "is no TOML file"),
        ("tries = 3\ntries = 4", "is no TOML file"),
    ],
)
def test_a_wrong_file_of_limits_is_one_line_that_names_file_and_field(tmp_path, text, why):
    with pytest.raises(ConfigError, match=why) as refused:
        limits_in(tmp_path / "limits", text)
    assert "\n" not in str(refused.value)
    assert "limits" in str(refused.value)


def test_a_file_of_limits_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the limits .*nowhere"):
        read_limits(parse(["--limits", str(tmp_path / "nowhere")]))
