"""The paging parameters of lists."""

import re
from typing import Final, NamedTuple

from werkzeug.datastructures import MultiDict

from straightline.errors import ContractError
from straightline.ids import canonical

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")


class Page(NamedTuple):
    """At most `limit` entries that are older than `before`; None means the newest."""

    limit: int
    before: str | None


def page_of(arguments: MultiDict[str, str]) -> Page:
    """Parse the query of a URL.

    Raises:
        ContractError: a parameter is unknown, repeated or invalid.
    """
    unknown = sorted(arguments.keys() - set(Page._fields))
    if unknown:
        raise ContractError(f"unknown parameter {', '.join(unknown)[:200]}: use {' and '.join(Page._fields)}")
    for name in arguments:
        if len(arguments.getlist(name)) > 1:
            raise ContractError(f"the parameter {name} is repeated: send it once")
    return Page(_limit(arguments.get("limit", str(DEFAULT_LIMIT))), _before(arguments.get("before")))


def _limit(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ContractError(f"limit={text[:64]!r} is not a number from 1 to {MAX_LIMIT}")
    return int(text)


def _before(text: str | None) -> str | None:
    identity = None if text is None else canonical(text)
    if text is not None and identity is None:
        raise ContractError(f"before={text[:64]!r} is not the id of an entry, as `next` gives it")
    return identity
