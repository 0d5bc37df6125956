"""The parser of commands whose options are the arguments of classes; apart, for jsonargparse takes half a second."""

from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from adawac.training.suggestions import explained


class TypedParser(ArgumentParser):
    """jsonargparse's parser, which suggests keys of files, names of classes and of their arguments as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong and what may have been meant, and leave."""
        super().error(explained(message, self), ex)
