"""Themes: what is readable where, and who has which colour."""

import subprocess
import sys
from dataclasses import fields

import pytest
from rich.color import Color, ColorType
from rich.style import Style

from chatsh.themes import THEMES, Theme, name_style

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
READABLE = 3.0  # WCAG 2.2, 1.4.11


def styles(theme: Theme) -> list[Style]:
    single = [getattr(theme, field.name) for field in fields(theme) if field.name != "names"]
    return [Style.parse(one) for one in (*single, *theme.names)]


def colours(theme: Theme) -> list[Color]:
    return [colour for style in styles(theme) for colour in (style.color, style.bgcolor) if colour]


def luminance(rgb: tuple[int, int, int]) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [part / 255 for part in rgb]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_what_wcag_says():
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast((0x76, 0x76, 0x76), WHITE) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("name", THEMES)
def test_every_fixed_colour_reads_on_black_and_on_white(name):
    for colour in colours(THEMES[name]):
        if colour.type in (ColorType.EIGHT_BIT, ColorType.TRUECOLOR):
            rgb = colour.get_truecolor()
            assert contrast(rgb, BLACK) >= READABLE, colour.name
            assert contrast(rgb, WHITE) >= READABLE, colour.name


@pytest.mark.parametrize("name", THEMES)
def test_no_theme_uses_a_colour_of_the_palette_that_vanishes_on_either(name):
    for style in styles(THEMES[name]):
        vanishing = {"black", "white", "yellow", "bright_white", "bright_yellow"}
        vanishing |= set() if style.bold else {"blue"}  # bold: brighter on most terminals
        assert style.color is None or style.color.name not in vanishing


def test_mono_has_no_colours_and_vivid_no_colour_that_a_terminal_defines():
    assert colours(THEMES["mono"]) == []
    assert {colour.type for colour in colours(THEMES["vivid"])} == {ColorType.EIGHT_BIT}


@pytest.mark.parametrize("name", THEMES)
def test_the_styles_of_people_differ_from_each_other_and_from_ones_own(name):
    theme = THEMES[name]
    people = [Style.parse(one) for one in theme.names]
    assert len({*people, Style.parse(theme.own)}) == len(people) + 1


@pytest.mark.parametrize("name", ["plain", "vivid"])
def test_there_are_at_least_eight_colours_for_people(name):
    assert len(THEMES[name].names) >= 8


def test_a_name_has_one_style_in_every_case_and_width():
    for theme in THEMES.values():
        assert len({name_style(theme, name) for name in ("ben", "Ben", "BEN", "ｂｅｎ")}) == 1


def test_a_name_has_the_same_style_in_every_process():
    program = (
        "from chatsh.themes import *\n"
        "print(*(name_style(THEMES['vivid'], f'user{n}') for n in range(50)), sep=',')"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_names_are_spread_over_all_styles():
    theme = THEMES["vivid"]
    assert {name_style(theme, f"user{number}") for number in range(200)} == set(theme.names)


@pytest.mark.parametrize("name", ["", "\x00", "\ud800", "server", "a" * 10_000])
def test_what_can_be_no_name_has_a_style_too(name):
    assert name_style(THEMES["plain"], name) in THEMES["plain"].names
