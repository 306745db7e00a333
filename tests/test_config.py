"""Arguments to settings, and one line for what is wrong with them."""

from pathlib import Path

import pytest

from chatd.config import Config, parse
from chatd.net.loop import SELECTORS
from chatd.wire.errors import ConfigError


def test_without_arguments_it_is_port_8000_open_to_all(monkeypatch):
    monkeypatch.delenv("CHATD_SELECTOR", raising=False)
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


def test_the_environment_may_name_the_selector_for_a_whole_run_of_tests(monkeypatch):
    monkeypatch.setenv("CHATD_SELECTOR", "select")
    assert parse([]).selector == "select"
    monkeypatch.setenv("CHATD_SELECTOR", "magic")
    with pytest.raises(ConfigError, match="is no selector here"):
        parse([])
