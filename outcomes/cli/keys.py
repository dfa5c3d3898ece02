"""`python -m outcomes keys ...`: who may call the HTTP gateway."""

import argparse
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from outcomes.cli.exit_codes import NOT_KNOWN
from outcomes.db.database import connected
from outcomes.queries.keys import SCOPES, Key, all_keys, create_key, revoke_key
from outcomes.settings import owner_url
from straightline.ids import canonical
from straightline.support.durations import duration


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands to those of `python -m outcomes`."""
    keys = commands.add_parser("keys", help="API keys of the HTTP gateway: create, list, revoke")
    actions = keys.add_subparsers(required=True, metavar="ACTION")

    create = actions.add_parser("create", help="make a key and print it, this once")
    create.add_argument("name", help="whose it is, for people")
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what it may do; may be given several times (default: infer and read)",
    )
    create.add_argument("--expires-in", metavar="DURATION", help="such as 12h or 90d (default: never)")
    create.add_argument("--json", action="store_true", help="JSON instead of text")
    create.set_defaults(run=_create)

    listing = actions.add_parser("list", help="every key, without the key itself")
    listing.add_argument("--json", action="store_true", help="JSON instead of a table")
    listing.set_defaults(run=_list)

    revoke = actions.add_parser("revoke", help="end a key for good; gateways notice within half a minute")
    revoke.add_argument("id", type=_id, help="of the key, as `list` shows it")
    revoke.set_defaults(run=_revoke)


def _create(asked: argparse.Namespace) -> int:
    expires_at = None
    if asked.expires_in is not None:
        try:
            expires_at = datetime.now(UTC) + duration(asked.expires_in)
        except (ValueError, OverflowError) as error:
            print(f"outcomes: --expires-in: {error}", file=sys.stderr)
            return 2
    with connected(_url(), name="straightline-keys") as connection:
        key, text = create_key(
            connection, asked.name, asked.scope or ("infer", "read"), expires_at=expires_at
        )
    if asked.json:
        print(_json({"key": text, **msgspec.to_builtins(key)}))
    else:
        print(text)
        print(
            f"Key {key.id} of {key.name} may {', '.join(key.scopes)}. It is shown this once.", file=sys.stderr
        )
    return 0


def _list(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-keys") as connection:
        keys = all_keys(connection)
    if asked.json:
        print(_json(keys))
    else:
        for key in keys:
            print(f"{key.id}  {_standing(key):8}  {key.name:24}  {','.join(key.scopes)}")
    return 0


def _revoke(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-keys") as connection:
        done = revoke_key(connection, asked.id)
    if not done:
        print(
            f"outcomes: there is no key {asked.id}, or it is revoked already: `keys list` shows each",
            file=sys.stderr,
        )
        return NOT_KNOWN
    print(f"Key {asked.id} is revoked.")
    return 0


def _id(text: str) -> str:
    found = canonical(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the id of a key, which is a UUID: `keys list` shows each key's"
        )
    return found


def _standing(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.ended(datetime.now(UTC).timestamp()) else "good"


def _json(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _url() -> str:
    return owner_url(os.environ)
