"""Evidence at its full size: twenty typos with real programs, the page in a browser, the films in
a stock player.

`ASCIINEMA_PLAYER` names the folder `dist/bundle` of the npm package `asciinema-player`; with
`EVIDENCE_PICTURES=DIR` pictures of the page are kept to be looked at.
"""

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from programs.browser import browser
from programs.kit import PROFILE, closing, harness, written

from harness import cast
from harness.terminal import Terminal

SAID = "hello there good bye see you tomorrow at nine who is online the server was restarted"


def mistyped(draw, text):
    at = draw.randrange(1, len(text) - 1)
    return draw.choice([
        text[:at] + text[at + 1 :], text[:at] + "q" + text[at:],
        text[:at] + "q" + text[at + 1 :], text[:at] + text[at].swapcase() + text[at + 1 :],
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_miss_is_the_intended_line(tmp_path, seed):
    """Ten messages; one of them is expected with a typo, as text, frame or expression."""
    draw = random.Random(seed)
    dress = ("shell", "wire")[seed % 2]
    texts = [f"{' '.join(draw.sample(SAID.split(), 4))} {n}" for n in range(10)]
    meant = draw.choice(texts)
    typo = mistyped(draw, meant)
    while typo in (*texts, "") or not re.search(r"[A-Za-z]", typo) or typo.strip() != typo:
        typo = mistyped(draw, meant)
    expected = {"shell": f"'ben: {typo}'", "wire": f"{{code: incoming, content: {typo}}}"}[dress]
    acts = "".join(f"      - ben does: {{dm: {{to: ana, text: {text}}}}}\n" for text in texts)
    done = harness(
        "run",
        written(tmp_path, f"""
    scenario: A typo
    cast: {{ana: {dress}, ben: wire}}
    steps:
      - together:
{acts.replace("      - ", "          - ")}
          - ben does: {{dm: {{to: ana, text: the last word}}}}
            ana sees: {expected}
"""),
        "--profile", PROFILE, "--evidence", tmp_path / "left",
    )  # fmt: skip
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped"), done.stdout
    assert re.search(rf"^ +nearest .*{re.escape(meant)}", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ +(diff|differs) .*(\[-|\{\+)", done.stdout, re.MULTILINE)
    (page,) = tmp_path.glob("left/*/index.html")
    assert re.search("<(del|ins)>", page.read_text())


TERRIBLE = r"""
    scenario: A page of <script>window.owned = 1</script> terrible things
    cast: {ana: shell, ben: drawn, mallory: wire}
    steps:
      - mark: the <b>first</b> chapter
      - mallory does: {dm: {to: ana, text: '</pre><script>window.owned = 1</script><img src=http://192.0.2.1/x>'}}
        ana sees: {re: 'mallory: .*'}
      - mallory does: {dm: {to: ben, text: "\e]0;owned\a \u202E long LONG"}}
        ben sees: {re: 'mallory: .*'}
      - ana types: /bc WORDS
        ben sees: 'ana: something else'
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    text = TERRIBLE.replace("LONG", "x" * 400).replace("WORDS", "word " * 50)
    done = harness(
        "run", written(folder, text), "--profile", PROFILE, "--evidence", folder / "left"
    )
    assert done.returncode == 1, done.stdout
    (found,) = (folder / "left").iterdir()
    return found


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(left, width, dark):
    """No error, no request, nothing beside the screen, nothing that is not there."""
    with browser() as window:
        window.open(left / "index.html", width=width, dark=dark)
        assert window.console() == []
        assert window.requests() == [(left / "index.html").as_uri()]
        assert window.script("return window.owned") is None
        assert window.script("return document.documentElement.scrollWidth <= innerWidth")
        paper = window.script("return getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
        heads = window.script(
            "return [...document.querySelectorAll('h1,h2')].map(h => h.innerText)"
        )
        assert heads[0].startswith("A page of <script>")
        assert {"What was broken", "The conversation", "The scenario", "What was decided"} <= set(
            heads
        )
        broken = "document.querySelector('#broken').getBoundingClientRect()"
        assert window.script(f"return {broken}.width > 200 && {broken}.height > 20")
        tiny = window.script("""
            return [...document.querySelectorAll('.said')].filter(e => e.offsetParent
                && parseFloat(getComputedStyle(e).fontSize) < 11).length
        """)
        assert tiny == 0
        if folder := os.environ.get("EVIDENCE_PICTURES"):
            Path(folder, f"page-{width}{'-dark' * dark}.png").write_bytes(window.picture())


def test_the_page_is_worked_by_keys_alone(left):
    """Tab reaches the switches; a space hides the harness's own questions, or shows them again."""
    with browser() as window:
        window.open(left / "index.html")
        shown = ("return [...document.querySelectorAll('.row.fence')]"
                 ".filter(row => row.offsetParent).length")  # fmt: skip
        before = window.script(shown)
        assert before > 0
        reached = []
        while "fences" not in reached and len(reached) < 20:
            window.press("\ue004")
            reached.append(window.script("return document.activeElement.id"))
        window.press(" ")
        assert window.script(shown) == 0
        window.press(" ")
        assert window.script(shown) == before
        rows = (
            "return [...document.querySelectorAll('.row.of-0')].filter(r => r.offsetParent).length"
        )
        assert window.script(rows) > 0
        window.press("\ue004")
        assert window.script("return document.activeElement.id") == "lane-0"
        window.press(" ")
        assert window.script(rows) == 0


def test_regions_that_scroll_have_names_and_can_be_reached(left):
    with browser() as window:
        window.open(left / "index.html", width=400)
        nameless = window.script("""
            const scrolls = e => e.scrollWidth > e.clientWidth + 1
                && /auto|scroll/.test(getComputedStyle(e).overflowX)
            const named = e => e.tabIndex >= 0 && e.getAttribute('aria-label')
            return [...document.querySelectorAll('*')].filter(e => scrolls(e) && !named(e))
                .map(e => e.outerHTML.slice(0, 80))
        """)
        assert nameless == []


PLAYER = """<!DOCTYPE html><meta charset="utf-8">
<link rel="stylesheet" href="asciinema-player.css"><div id="film"></div>
<script src="asciinema-player.min.js"></script><script>
window.marks = []
const player = AsciinemaPlayer.create({data: FILM}, document.getElementById('film'),
    {autoPlay: false, speed: 50, fit: false})
player.addEventListener('marker', mark => window.marks.push(mark.label))
</script>"""


def test_the_films_play_in_a_stock_player(left, tmp_path):
    """To the end, with its chapters; the last picture is that of our own model of a terminal."""
    bundle = os.environ.get("ASCIINEMA_PLAYER")
    if not bundle:
        pytest.skip("ASCIINEMA_PLAYER does not name the npm package's dist/bundle")
    shutil.copytree(bundle, tmp_path / "player")
    with browser() as window:
        for film in sorted(left.glob("*.cast")):
            page = tmp_path / "player" / "play.html"
            data = json.dumps(film.read_text()).replace("</", "<\\/")
            page.write_text(PLAYER.replace("FILM", data))
            window.open(page)
            window.wait("player.addEventListener('ended', () => done(1)); player.play()")
            told = cast.read(film)
            assert window.console() == []
            assert window.script("return window.marks") == [
                text for _, code, text in told.events if code == "m"
            ]
            screen = Terminal(*told.size, lambda _: None)
            for _, code, text in told.events:
                if code == "o":
                    screen.feed(text.encode())
            shown = window.script("return document.querySelector('.ap-term').textContent")
            assert "".join("".join(screen.picture()).split()) == "".join(shown.split())


def test_the_films_are_read_by_the_recorder_of_their_format(left):
    command = shutil.which("asciinema")
    if not command:
        pytest.skip("no asciinema here: pip install asciinema")
    for film in left.glob("*.cast"):
        done = subprocess.run([command, "cat", film], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        said = "".join(text for _, code, text in cast.read(film).events if code == "o")
        assert done.stdout.decode() == said
