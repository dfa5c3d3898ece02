"""The certificate with which a private service speaks TLS, besides plain text."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files of a service: who it is, its key, and whose certificates it takes from clients."""

    certificate: Path
    key: Path
    authority: Path

    def copied(self, directory: Path) -> "Certificate":
        """Copy the files where the service's account may read them, and it alone."""
        copies = Certificate(directory / "tls.pem", directory / "tls.key", directory / "tls-ca.pem")
        for source, copy in (
            (self.certificate, copies.certificate),
            (self.key, copies.key),
            (self.authority, copies.authority),
        ):
            copy.touch(mode=0o600)
            shutil.copyfile(source, copy)
        return copies
