"""Scenario files drawn at random: most of them have a slip of shape, some have none."""

import copy
import json

from harness import codes
from harness.errors import ScenarioError
from harness.language import load_scenario

JUNK = [None, 5, 0, -1, 2.5, True, False, "x", "", " ", "5s", "100x30", "two words", [], {}, [1],
        ["a", "b"], [[]], [None], [{}], {"a": "b"}, {"a": None}, {"role": "shell"}, [{"a": "b"}],
        "a\nb", ["a\nb"], {"hex": "ff"}, {"exactly": 5}, {"text": "x", "mode": 600}]  # fmt: skip
KEYS = ["junk", "ana sees", "ben sees nothing", "ana sings", "sees", "never sees", "everyone exits",
        "others never see", "within", "why", "repeat", "steps", "mark", "until"]  # fmt: skip
WHOLE = {
    "scenario": "A promise", "covers": ["S1", "S2"], "tags": ["smoke"], "needs": [],
    "use": "small", "points": 2, "patience": "5s", "secrets": ["word"],
    "fails": {"because": "#12", "until": "2099-01-31"},
    "cast": {"ana": "shell", "ben": {"role": "wire", "env": {"A": "b"}},
             "pip": {"role": "pipe", "args": ["x"], "stdin": ["hello"], "name": "pipper"},
             "c1..c3": {"role": "shell", "size": "100x30", "login": "none"}},
    "vars": {"word": "hello"},
    "matrix": {"n": [1, 2], "case": [{"a": 1}, {"a": 2}]},
    "files": {"a.txt": "text", "b.txt": {"text": "x", "mode": 600}},
    "server": {"args": ["-v"], "env": {"A": "b"}},
    "steps": [
        {"ana types": "hello", "ana sees": ["a", "b"], "within": "2s", "why": "so"},
        {"ana types": ["one", "two"], "ben sees": {"code": "x"}, "ben never sees": "secret",
         "check": "1 == 1", "patience": 3},
        {"ana drafts": "hi", "ana presses": ["up", "enter"], "ana shows": "hi"},
        {"ana resizes": "100x30", "fence": "none"},
        {"ben sends": [{"code": "x"}, "raw"], "ana, ben see": {"re": "x"},
         "others see nothing": None},
        {"ben sends bytes": ["x", {"hex": "ff 00"}, {"repeat": "x", "times": 3}]},
        {"ben stops reading": None}, {"ben reads again": None},
        {"ana does": {"dm": {"to": "ben", "text": "x"}}, "ana sees one of": ["a", "b"], "as": "it"},
        {"ana sees only": "x", "ana may see": ["y"]},
        {"when": "${n} == 1", "ana sees in any order": ["x", "y"]},
        {"mark": "half way"}, {"fence": "everyone"},
        {"repeat": 2, "steps": [{"ana types": "again"}]},
        {"together": [{"ana types": "x"}, {"ben sends": {"a": "b"}}], "within": "2s"},
        {"server prints": "x", "server never prints": ["y"], "server survives": None},
        {"pip is killed": "KILL", "pip exits": None},
        {"ben half-closes": None, "ben is closed": "fin"},
    ],
    "cleanup": [{"ana leaves": None, "ana exits": 0}],
    "laws": [{"once": "x"}],
}  # fmt: skip
ABOUT_NAMES = {
    codes.number(name)
    for name in (
        "unknown-actor", "unknown-role", "unknown-act", "unknown-phrase", "unknown-profile",
        "wrong-kind", "unknown-capture", "unknown-law", "bad-regex", "slow-regex", "twice-in-cast",
        "unbalanced-matrix", "too-many-steps", "no-include", "include-cycle", "pause", "never-set",
        "used-before-capture", "contradiction", "not-there-yet", "gone", "ambiguous-name",
        "bad-capture", "endless-value", "bad-range",
    )
}  # fmt: skip


def drawn(random):
    """A document: the whole one, or parts of it, with up to two slips."""
    document = copy.deepcopy(WHOLE)
    document["steps"] = random.sample(document["steps"], random.randint(1, 6))
    for key in random.sample(sorted(document), random.randint(0, 12)):
        if key not in ("scenario", "use", "steps", "cast", "vars", "matrix"):
            del document[key]
    for _ in range(random.choice([0, 1, 1, 1, 2])):
        _slip(document, random)
    return document


def _slip(document, random):
    places = list(_places(document))
    holder, key = random.choice(places)
    way = random.random()
    if way < 0.6:
        holder[key] = copy.deepcopy(random.choice(JUNK))
    elif way < 0.8 and isinstance(holder, dict) and key != "use":
        holder[random.choice(KEYS)] = holder.pop(key)
    elif way < 0.9 and isinstance(holder, dict) and key != "use":
        del holder[key]
    elif isinstance(holder, dict):
        holder[random.choice(KEYS)] = copy.deepcopy(random.choice(JUNK))


def _places(node):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, inner in list(items):
        yield node, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def disagreement(document, folder, validator):
    """What the schema and the loader see differently in a document; none if they agree."""
    path = folder / "drawn.yaml"
    path.write_text(json.dumps(document, ensure_ascii=False))
    try:
        load_scenario(path)
        told = []
    except ScenarioError as error:
        told = [problem for problem in error.problems if problem.code not in ABOUT_NAMES]
    errors = [
        f"{list(e.absolute_path)}: {e.message[:160]}" for e in validator.iter_errors(document)
    ]
    return None if bool(told) == bool(errors) else (list(map(str, told)), errors)
