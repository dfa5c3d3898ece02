"""Which URL of a service each component uses: its own user's, or one for all where the service was given."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Access:
    """URLs of one service.

    Attributes:
        admin: of the user who declares, migrates and watches.
        users: of each component's own user; empty where all use the same.
    """

    admin: str
    users: Mapping[str, str] = field(default_factory=dict)

    def of(self, user: str) -> str:
        """Return the URL for a component."""
        return self.users.get(user, self.admin)
