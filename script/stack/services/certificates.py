"""Certificate for the TLS listener of a private service."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files of a service: certificate, key, and the authority of client certificates."""

    certificate: Path
    key: Path
    authority: Path

    def copied(self, directory: Path) -> "Certificate":
        """Copy the files to `directory`, readable by their owner only."""
        copies = Certificate(directory / "tls.pem", directory / "tls.key", directory / "tls-ca.pem")
        for source, copy in (
            (self.certificate, copies.certificate),
            (self.key, copies.key),
            (self.authority, copies.authority),
        ):
            copy.touch(mode=0o600)
            shutil.copyfile(source, copy)
        return copies
