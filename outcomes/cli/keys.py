"""`python -m outcomes keys ...`: API keys of the HTTP gateway."""

import argparse
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from outcomes.cli.command import add_command, to_json
from outcomes.cli.exit_codes import NOT_FOUND, USAGE
from outcomes.db.database import connected
from outcomes.queries.keys import SCOPES, Key, Scope, all_keys, create_key, revoke_key
from outcomes.settings import owner_url
from straightline.ids import canonical
from straightline.support.durations import duration


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    keys = add_command(
        commands,
        "keys",
        help="create, list and revoke API keys of the HTTP gateway",
        example="python -m outcomes keys list",
    )
    actions = keys.add_subparsers(required=True, metavar="ACTION")

    create = add_command(
        actions,
        "create",
        help="create a key and print it, this once",
        example="python -m outcomes keys create shop --scope infer --scope read --expires-in 90d",
    )
    create.add_argument("name", help="label of the key, such as its owner")
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what the key permits; repeat for several (default: infer and read)",
    )
    create.add_argument(
        "--expires-in", metavar="T", help="lifetime, such as 12h or 90d (default: does not expire)"
    )
    create.add_argument("--json", action="store_true", help="print JSON")
    create.set_defaults(run=_create)

    listing = add_command(
        actions,
        "list",
        help="list all keys without their text",
        example="python -m outcomes keys list --json",
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)

    revoke = add_command(
        actions,
        "revoke",
        help="revoke a key for good; gateways notice within 30 s",
        example="python -m outcomes keys revoke 0199c1b0-0000-7000-8000-000000000001",
    )
    revoke.add_argument("id", type=_id, help="id of the key, as `list` prints it")
    revoke.set_defaults(run=_revoke)


def _create(asked: argparse.Namespace) -> int:
    expires_at = None
    if asked.expires_in is not None:
        try:
            expires_at = datetime.now(UTC) + duration(asked.expires_in)
        except (ValueError, OverflowError) as error:
            print(f"outcomes: --expires-in: {error}", file=sys.stderr)
            return USAGE
    scopes: list[Scope] = asked.scope or ["infer", "read"]
    with connected(_url(), name="straightline-keys") as connection:
        key, text = create_key(connection, asked.name, scopes, expires_at=expires_at)
    if asked.json:
        print(to_json({"key": text, **msgspec.to_builtins(key)}))
    else:
        print(text)
        print(
            f"Key {key.id} ({key.name}) permits {', '.join(key.scopes)}. It is not shown again.",
            file=sys.stderr,
        )
    return 0


def _list(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-keys") as connection:
        keys = all_keys(connection)
    if asked.json:
        print(to_json(keys))
    else:
        for key in keys:
            print(f"{key.id}  {_status(key):8}  {key.name:24}  {','.join(key.scopes)}")
    return 0


def _revoke(asked: argparse.Namespace) -> int:
    with connected(_url(), name="straightline-keys") as connection:
        revoked = revoke_key(connection, asked.id)
    if not revoked:
        print(
            f"outcomes: key {asked.id} cannot be revoked: it does not exist, or is revoked already. "
            "`keys list` shows all keys",
            file=sys.stderr,
        )
        return NOT_FOUND
    print(f"Key {asked.id} is revoked.")
    return 0


def _id(text: str) -> str:
    found = canonical(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"invalid key id {text!r}: not a UUID. `keys list` shows all ids")
    return found


def _status(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.ended(datetime.now(UTC).timestamp()) else "active"


def _url() -> str:
    return owner_url(os.environ)
