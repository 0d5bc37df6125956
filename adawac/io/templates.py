"""Text files made from templates, which lie in the folder `templates` of the package that fills them in."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined
from markupsafe import Markup


def fill_template(package: str, template: str, /, quote: Callable[[Any], str] | None = None, **values: Any) -> str:
    r"""Fill in a template; every value is quoted, so that nothing from the data is taken for markup or code.

    Args:
        package: that holds the template, such as `adawac.cli`.
        template: its file name; within, `| comment` makes one line of a text instead of quoting it.
        quote: writes a value so that it reads as that value; None escapes it for HTML.
        values: by their names in the template, which must be given all.

    Raises:
        jinja2.UndefinedError: the template uses what is not given.

    Example:
        >>> fill_template("adawac.cli", "study.yaml.jinja", repr, name="a", study="s", config="it's").splitlines()[3:5]
        ["name: 's'", 'config: "it\'s"']
    """

    def finalize(value: Any) -> Any:
        return value if quote is None or isinstance(value, (Markup, Undefined)) else quote(value)

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=quote is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["comment"] = lambda text: Markup(" ".join(str(text).split()))  # read by people alone
    return environment.get_template(template).render(values)
