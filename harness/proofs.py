"""What a profile says about fences: its tables read, checked, and looked up by role.

`delivery` is the server's promise, `fence` the ways to make use of it. A row belongs to a role, or
to a kind of role (`shell`, `wire`, `pipe`), and counts for every role that is like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from harness.checking import Checker
from harness.errors import Place
from harness.scope import names_used
from harness.values import seconds
from harness.yaml_nodes import Value

DELIVERIES = {  # what a server promises -> grades that tell that something is not coming any more
    "inline": ("quiet", "roundtrip", "acked", "relay", "sealed"),
    "acknowledged": ("quiet", "roundtrip", "acked", "relay", "sealed"),
    "queued": ("quiet", "relay", "sealed"),
    "timers": ("sealed",),
}
SPEAKS = {"shell": "types", "pipe": "types", "wire": "sends"}  # kind of role -> how it says a thing
Roles = Mapping[str, str]  # name of a role, or of a kind -> kind


class Proofs(Struct):
    """The tables: grade -> role -> shape, and where each shape stands."""

    delivery: str = "inline"
    shapes: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, dict[str, Place]] = field(default_factory=dict)

    def settles(self, grade: str) -> bool:
        """Whether something that is missing after such a proof is not coming any more."""
        return grade in DELIVERIES[self.delivery]

    def longest_window(self) -> float:
        """The longest time that is stated, in seconds."""
        return max(self.shapes.get("window", {}).values(), default=0.0)


def read_proofs(root: Value, roles: Roles, check: Checker) -> Proofs:
    """The keys `delivery` and `fence` of a profile; what is wrong or weak is noted in `check`."""
    proofs = Proofs()
    delivery, fence = root.get("delivery"), root.get("fence")
    if delivery is not None and check.known(delivery, DELIVERIES, "delivery"):
        proofs.delivery = str(delivery.data)
    if fence is not None and fence.data == "quiet":
        _everybody(proofs, "quiet", True, fence.place)
    elif fence is not None:
        for grade, inner in check.mapping(fence, "fence"):
            if check.known(grade, READERS, "fence"):
                READERS[str(grade.data)](str(grade.data), inner, roles, proofs, check)
    if delivery is not None and proofs.delivery == "timers" and "window" not in proofs.shapes:
        check.warn(
            delivery.place,
            "with timers a negative is proved by a stated time only, and none is stated: the"
            " patience is waited out",
            "fence: {window: 500ms}, longer than the server's longest timer",
        )
    return proofs


def _everybody(proofs: Proofs, grade: str, shape: Any, place: Place) -> None:
    proofs.shapes[grade] = dict.fromkeys(SPEAKS, shape)
    proofs.places[grade] = dict.fromkeys(SPEAKS, place)


def _known(roles: Roles) -> list[str]:
    """Those whom a row may be for."""
    return [*roles, *(kind for kind in SPEAKS if kind not in roles)]


def _rows(grade: str, value: Value, roles: Roles, proofs: Proofs, check: Checker) -> list[Value]:
    """Put down the rows of a table as they are; returns those that are for a role we know."""
    shapes, places = proofs.shapes.setdefault(grade, {}), proofs.places.setdefault(grade, {})
    found = []
    for role, shape in check.mapping(value, f"fence {grade!r}"):
        if check.known(role, _known(roles), "role", "unknown-role"):
            shapes[str(role.data)], places[str(role.data)] = shape.plain(), role.place
            found += [role, shape]
    return found


def _questions(grade: str, value: Value, roles: Roles, proofs: Proofs, check: Checker) -> None:
    rows = _rows(grade, value, roles, proofs, check)
    for role, shape in zip(rows[::2], rows[1::2], strict=True):
        if shape.data == "none":
            continue
        says = SPEAKS[roles.get(str(role.data), str(role.data))]
        wanted = {"roundtrip": (says, "sees"), "acked": ("when", "sees"), "relay": (says, "sees")}
        if grade == "acked" and shape.data == "roundtrip":
            continue
        _shape(grade, shape, wanted[grade], check)


def _shape(grade: str, shape: Value, wanted: tuple[str, ...], check: Checker) -> None:
    example = {"roundtrip": "{%s: 'ping ${token}', sees: 'pong ${token}'}",
               "acked": "{%s: {id: '${id=json}'}, sees: {re: '${id}'}}",
               "relay": "{%s: 'dm ${to} ${token}', sees: '${from}: ${token}'}"}  # fmt: skip
    allowed = (*wanted, "self") if grade == "relay" else wanted
    keys = {key.data for key, _ in check.mapping(shape, "a fence")}
    for key, inner in shape.pairs:
        if check.known(key, allowed, "key of a fence") and grade == "relay" and key.data != "self":
            _has_token(inner, str(key.data), check)
    missing = [word for word in wanted if word not in keys]
    if shape.kind == "mapping" and (missing == list(wanted) or (missing and grade != "relay")):
        check.wrong(
            shape.place,
            f"a fence needs {' and '.join(missing)}",
            f"for example {example[grade] % wanted[0]}",
        )


def _has_token(value: Value, word: str, check: Checker) -> None:
    if "token" not in set(names_used(value.plain())):
        check.wrong(
            value.place, f"{word} of a relay needs ${{token}}",
            "by it the harness knows its own message again",
        )  # fmt: skip


def _quiet(grade: str, value: Value, roles: Roles, proofs: Proofs, check: Checker) -> None:
    for role in value.values:
        if check.known(role, _known(roles), "role", "unknown-role"):
            proofs.shapes.setdefault(grade, {})[str(role.data)] = True
            proofs.places.setdefault(grade, {})[str(role.data)] = role.place


def _window(grade: str, value: Value, roles: Roles, proofs: Proofs, check: Checker) -> None:
    check.warn(
        value.place,
        "a stated time proves nothing: what comes later than it passes",
        "better: a question that the server answers (roundtrip), or a marked message (relay)",
    )
    if value.kind == "scalar":
        _everybody(proofs, grade, check.duration(value, grade) or 0.0, value.place)
        return
    rows = _rows(grade, value, roles, proofs, check)
    for role, shape in zip(rows[::2], rows[1::2], strict=True):
        check.duration(shape, "a window")
        proofs.shapes[grade][str(role.data)] = seconds(shape.data) or 0.0


READERS: dict[str, Callable[[str, Value, Roles, Proofs, Checker], None]] = {
    "roundtrip": _questions, "acked": _questions, "relay": _questions,
    "quiet": _quiet, "window": _window,
}  # fmt: skip
