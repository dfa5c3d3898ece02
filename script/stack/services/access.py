"""URLs of a service by component: of its own user, or the same for all if the service was given."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Access:
    """URLs of one service.

    Attributes:
        admin: URL of the administrator, for topology, migrations and readiness probes.
        users: URL by component; empty if all use the administrator's.
    """

    admin: str
    users: Mapping[str, str] = field(default_factory=dict)

    def of(self, user: str) -> str:
        """Return the URL for a component."""
        return self.users.get(user, self.admin)
