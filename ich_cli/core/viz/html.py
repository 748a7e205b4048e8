"""HTML pages from Jinja templates."""

from __future__ import annotations

from typing import Any


def render_html(package: str, name: str, **values: Any) -> str:
    """Fill a template of a package and return the page; all text in it is escaped.

    Parameters
    ----------
    package
        Package with the folder ``templates``. Its templates may include this package's, too:
        ``report.css``, which all pages share.
    name
        File name of the template.
    values
        Variables of the template; one that is missing is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("ich_cli.core.viz")]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name).render(values)
