"""JSON Schema of scenario and profile files, for editors: made of the same tables as the loader.

The schema knows shapes; the loader knows names as well, and the order of things.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness import language, profile
from harness.frames import FRAMINGS
from harness.language import JUDGED
from harness.laws import laws
from harness.proofs import DELIVERIES
from harness.proofs import READERS as GRADES
from harness.steps import BESIDE
from harness.values import DISK_STATES, KEYS, LINK_STATES, SIGNALS, VALUES
from harness.verbs import MODIFIERS, TABLE, Verb

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

NAMED = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}  # a name that is filled in later
SCALAR = {"type": ["string", "number", "boolean"]}
TEXT = {**SCALAR, "pattern": r"\S"}
SAID = {"type": ["string", "number"]}
ANY_LIST = {"type": "array"}
OBJECT = {"type": "object"}
NULL = {"type": "null"}
FLAG = {"type": "boolean"}
DURATION = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|min)?$"},
    ]
}
SIZE = {"type": "string", "pattern": "^[0-9]{1,4}x[0-9]{1,4}$"}
ACTOR = r"(?!(?:server|everyone|others|self)$)[A-Za-z_][A-Za-z0-9_-]*"
RANGE = r"[A-Za-z_][A-Za-z0-9_]*[0-9]\.\.[A-Za-z_][A-Za-z0-9_]*[0-9]"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _any(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _list(item: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": item, **({"minItems": least} if least else {})}


def _some(item: Schema) -> Schema:
    """One, or a list of them that is not empty."""
    return _any(item, _list(item, 1))


def _words(words: Iterable[Any]) -> Schema:
    return {"enum": list(words)}


def _keys(rows: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    needed = list(required)
    return {
        "type": "object", "properties": dict(rows), "additionalProperties": False,
        **({"required": needed} if needed else {}),
    }  # fmt: skip


TEXTS = _any(TEXT, _list(TEXT))
LINE = {**SAID, "not": {"type": "string", "pattern": r"\n"}}
HEX = {"type": "string", "pattern": r"^\s*([0-9a-fA-F]{2}\s*)*$"}
EVEN = [  # YAML reads 2011 as a number; it is two bytes all the same
    {"type": "integer", "minimum": 10 ** (digits - 1), "maximum": 10**digits - 1}
    for digits in (2, 4, 6, 8)
]
CHUNK = _any(
    SCALAR,
    _keys({"hex": _any(HEX, *EVEN)}, ["hex"]),
    _keys({"repeat": {}, "times": {"type": "integer", "minimum": 0}}, ["repeat", "times"]),
)
PIECE = _any(CHUNK, _keys({"every": DURATION, "bytes": CHUNK}, ["every", "bytes"]))
PATTERN = _any(
    SAID,
    {
        "type": "object", "minProperties": 1,
        "if": {"required": ["exactly"], "maxProperties": 1},
        "then": {"properties": {"exactly": OBJECT}},
    },
)  # fmt: skip
KINDS: dict[str, Schema] = {  # what may stand behind a verb: the rows of `values.VALUES`
    "line": _some(LINE),
    "text": SAID,
    "keys": _some(_any(_words(KEYS), NAMED)),
    "size": _any(SIZE, NAMED),
    "frame": _some({"type": ["object", "string"]}),
    "pieces": _some(PIECE),
    "signal": _any(NULL, _words(SIGNALS), NAMED),
    "link": _any(
        _words(LINK_STATES),
        {
            **_keys({
                "latency": DURATION, "jitter": DURATION,
                "bandwidth": {"type": "string", "pattern": r"^[0-9.]+ ?(k|K|M|Ki|Mi)?(B|bit)/s$"},
                "slice": {"type": "integer", "minimum": 1},
            }),
            "minProperties": 1,
        },
        NAMED,
    ),
    "disk": _any(_words(DISK_STATES), NAMED),
    "patterns": _some(_ref("pattern")),
    "screen": _some(_ref("pattern")),
    "maybe-patterns": _any(NULL, _ref("pattern"), _list(_ref("pattern"))),
    "list": _list(_ref("pattern"), 1),
    "nothing": NULL,
    "code": _any(NULL, {"type": "integer"}, NAMED),
    "how": _any(_words([None, "fin", "reset"]), NAMED),
    "act": _any({"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}),
}  # fmt: skip
COMPARISON = {"type": "string", "pattern": "==|!=|<=|>=|<|>"}
CONDITION = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_.-]*\}"}
MODIFIER: dict[str, Schema] = {
    "within": DURATION, "eventually": DURATION, "patience": DURATION,
    "check": _any(COMPARISON, _list(COMPARISON)), "when": _any(CONDITION, _list(CONDITION)),
    "as": TEXT, "why": TEXT, "until": {"const": "fence"}, "fence": {"const": "none"},
}  # fmt: skip
BUG = _keys({"because": TEXT, "until": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}},
            ["because", "until"])  # fmt: skip
MEMBER: dict[str, Schema] = {
    "role": TEXT, "args": ANY_LIST, "env": OBJECT, "size": SIZE, "stdin": ANY_LIST,
    "login": {"const": "none"}, "name": TEXT,
}  # fmt: skip
MODE = _any({"type": "integer", "minimum": 0, "maximum": 7777},
            {"type": "string", "pattern": "^[0-7]{3,4}$"})  # fmt: skip
FILE = _any(SCALAR, NULL, _keys({"text": {}, "mode": MODE}))
SCENARIO: dict[str, tuple[Schema, str]] = {
    "scenario": (TEXT, "the promise, as a sentence"),
    "covers": (TEXTS, "ids of requirements"),
    "tags": (TEXTS, "words to choose by; film: pauses are allowed"),
    "needs": (TEXTS, "what the profile's can must name"),
    "use": (TEXT, "the name of the profile"),
    "cast": (
        {
            "type": "object",
            "propertyNames": {"pattern": f"^({ACTOR}|{RANGE})$"},
            "additionalProperties": _any(TEXT, _keys(MEMBER, ["role"])),
        },
        "who plays: a role for each, in the order of joining",
    ),
    "vars": (OBJECT, "values"),
    "matrix": (
        {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}},
        "a list of values each; a run for every combination",
    ),
    "files": (
        {
            "type": "object",
            "propertyNames": {"not": {"pattern": r"^/|(^|/)\.\.(/|$)"}},
            "additionalProperties": FILE,
        },
        "files to write before the start",
    ),
    "server": (_keys({"args": ANY_LIST, "env": OBJECT}), "added to the profile's"),
    "steps": ({**_ref("steps"), "minItems": 1}, "exchanges, in their order"),
    "cleanup": (_ref("steps"), "exchanges that run in any case"),
    "laws": (_list(_ref("law")), "promises over the whole history"),
    "patience": (DURATION, "when to give up"),
    "points": ({"type": "number", "minimum": 0}, "what it is worth"),
    "fails": (BUG, "a known bug, and until when"),
    "flaky": (BUG, "fails now and then, and until when"),
    "judges": (_words(JUDGED), "whose program is judged"),
    "secrets": (TEXTS, "names whose values nobody is shown"),
}
TABLE_OF_ROLES = {"type": "object", "additionalProperties": {"type": "object"}}
ANSWER = _any(
    _keys({"sees": {}, "sends": {}}, ["sees", "sends"]),
    _keys({"is asked": TEXT, "presses": KINDS["keys"]}, ["is asked", "presses"]),
)
ROLE: dict[str, Schema] = {
    "like": TEXT, "pty": TEXT, "pipe": TEXT, "tcp": TEXT, "prompt": _any(SCALAR, OBJECT),
    "args": ANY_LIST, "env": OBJECT,
    "size": SIZE, "view": _words(profile.VIEWS), "echo": _words(["kept", "erased"]),
    "login": _ref("steps"), "frames": _words(FRAMINGS), "paced": FLAG, "impatient": FLAG,
    "stdin": ANY_LIST, "answers": _list(ANSWER), "called": TEXT,
}  # fmt: skip
READY = _keys({
    "prints": TEXT,
    "listens": _any({"type": "integer", "minimum": 1, "maximum": 65_535},
                    _words(profile.LISTENS)),
})  # fmt: skip
SERVER: dict[str, Schema] = {
    "run": TEXT, "ready": READY, "args": ANY_LIST, "env": OBJECT, "passes": ANY_LIST,
    "console": FLAG, "exclusive": FLAG, "host": TEXT, "stop": _words(SIGNALS),
    "patience": DURATION,
}  # fmt: skip
PROFILE: dict[str, tuple[Schema, str]] = {
    "profile": (TEXT, "its name"),
    "like": (TEXT, "another profile: all its keys, unless they are here too"),
    "server": ({}, "how the server is started, and when it is ready"),
    "roles": ({}, "ways to take part"),
    "can": (TEXTS, "abilities, for the needs of scenarios"),
    "delivery": (_words(DELIVERIES), "what the server promises"),
    "fence": (
        _any({"const": "quiet"}, _keys({grade: {} for grade in GRADES})),
        "how it is proved that nothing more comes",
    ),
    "acts": (TABLE_OF_ROLES, "what a role does"),
    "phrases": (TABLE_OF_ROLES, "how a role is told something"),
    "patience": (DURATION, "when to give up"),
    "messages": (
        _any(_list(TEXT), {"type": "object", "additionalProperties": TEXTS}),
        "acts that are phrases too, or acts with their phrases",
    ),
    "laws": (_list(_ref("law")), "promises over every history"),
    "secrets": (TEXTS, "names whose values nobody is shown"),
}


def scenario_schema() -> Schema:
    """The schema of a scenario file."""
    rows = _described(language.KEYS, SCENARIO)
    return {**_head("A scenario"), **_keys(rows, ["scenario", "steps"]), "$defs": _definitions()}


def profile_schema() -> Schema:
    """The schema of a profile file; one that is like another may leave out what that one has."""
    rows = _described(profile.KEYS, PROFILE)
    roles = _keys({key: ROLE.get(key, {}) for key in profile.ROLE_KEYS})
    server = _keys({key: SERVER.get(key, {}) for key in profile.SERVER_KEYS})
    rows["roles"].update({"type": "object", "additionalProperties": roles})
    rows["server"].update(server)
    whole = {"required": ["server", "roles"], "properties": {"server": {"required": ["run"]}}}
    return {
        **_head("A profile"), **_keys(rows), "$defs": _definitions(),
        "if": {"not": {"required": ["like"]}}, "then": whole,
    }  # fmt: skip


def _head(title: str) -> Schema:
    return {"$schema": DRAFT, "title": title}


def _described(keys: Iterable[str], rows: Mapping[str, tuple[Schema, str]]) -> dict[str, Schema]:
    found = {}
    for key in keys:
        schema, meaning = rows.get(key, ({}, ""))
        found[key] = {**schema, **({"description": meaning} if meaning else {})}
    return found


def _definitions() -> Schema:
    return {
        "pattern": PATTERN,
        "steps": _list(_any(_ref("exchange"), *map(_ref, BESIDE))),
        "exchange": _exchange(),
        "law": _any(
            {"type": ["string", "number", "boolean", "null"]},  # which of them is a law is a name
            {
                "type": "object",
                "properties": {law.name: KINDS[law.takes] for law in laws().values()},
            },
        ),
        **{word: _step(word) for word in BESIDE},
    }


def _exchange() -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            word: {**MODIFIER.get(word, {}), "description": meaning}
            for word, meaning in MODIFIERS.items()
        },
        "patternProperties": {
            _clause(form): {**KINDS[verb.value], "description": verb.meaning}
            for verb in TABLE
            for form in dict.fromkeys((verb.name, verb.plural))
        },
    }


def _clause(form: str) -> str:
    """The keys that end with a verb: actors with commas, then the verb."""
    return rf"^(?!(?:{'|'.join(_beginnings())}) )[^\s,]+( *, *[^\s,]+)* +{form.replace(' ', ' +')}$"


def _beginnings() -> list[str]:
    """First words of verbs of several words: no actor is called so."""

    def forms(verb: Verb) -> tuple[str, str]:
        return verb.name, verb.plural

    words = (form.split()[0] for verb in TABLE for form in forms(verb) if " " in form)
    return list(dict.fromkeys(words))


STEP: dict[str, Schema] = {
    "mark": TEXT,
    "repeat": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "steps": _ref("steps"),
    "together": _list({**_ref("exchange")}, 1),
    "include": TEXT,
    "vars": OBJECT,
    "pause": DURATION,
}


def _step(word: str) -> Schema:
    rows = {key: STEP.get(key, MODIFIER.get(key, {})) for key in BESIDE[word]}
    if word == "fence":
        rows["fence"] = TEXT
    return _keys(rows, [word, *(["steps"] if word == "repeat" else [])])


assert set(KINDS) >= set(VALUES), "a kind of value without a schema"
