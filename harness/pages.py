"""Pages from templates. Every text is escaped: what programs under test say is hostile."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness.report import clean

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # costs 50 ms, which a run without pages need not pay

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = clean
    return environment


def page(template: str, **values: Any) -> str:
    """A template of `harness/templates` with its values put in."""
    return _environment().get_template(template).render(**values)


def style(name: str) -> Markup:
    """A style sheet of ours, to stand in a page as it is."""
    from markupsafe import Markup

    return Markup((resources.files("harness") / "templates" / name).read_text("utf-8"))  # noqa: S704
