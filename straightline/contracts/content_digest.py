"""A digest of a request's content, which distinguishes a repeated request from a conflicting one."""

import hashlib

from straightline.contracts.request import DataRef, Request


def digest(request: Request) -> str:
    """Return the digest of model, version and data; the same id with another digest is a conflict."""
    content = hashlib.blake2b(f"{request.model}\0{request.version}\0".encode(), digest_size=16)
    content.update(_reference(request.data_ref) if request.data_ref else memoryview(request.data))
    return content.hexdigest()


def _reference(reference: DataRef) -> bytes:
    return reference.sha256.encode()
