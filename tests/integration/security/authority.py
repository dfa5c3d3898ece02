"""An authority of one's own, made for a test."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from script.stack.services.certificates import Certificate

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Authority:
    """Signs certificates.

    Attributes:
        certificate: its PEM file, for clients that trust it.
        key: PEM file.
    """

    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path, name: str) -> "Authority":
        made = cls(directory / f"{name}.pem", directory / f"{name}.key")
        _openssl("-subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate)
        return made

    def sign(self, directory: Path, name: str, host: str) -> Certificate:
        """Make a certificate for a host's name, good for servers and clients."""
        made = Certificate(directory / f"{name}.pem", directory / f"{name}.key", self.certificate)
        _openssl(
            *("-CA", self.certificate, "-CAkey", self.key, "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", made.key, "-out", made.certificate),
        )
        return made


def _openssl(*options: object) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", *_KEY, *map(str, options)], check=True, capture_output=True, timeout=30
    )
