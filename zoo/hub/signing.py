"""Signatures of a version's files, as OpenSSF's model signing has them, by keys that lie in a file.

`model.sig` is a Sigstore bundle over the names and SHA-256 of all other files; its subject is
`NAME@VERSION`. What is signed and verified here are the digests of the index, which every file must
have: so a signature is judged before any file is fetched. `model_signing verify key` judges the
same folder by its files.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prototxt.errors import Argument, Sentence
from prototxt.files import read_bytes
from zoo import extras
from zoo.errors import HubError
from zoo.hub.index import LARGEST_SIGNATURE, SIGNATURE, Entry, File

if TYPE_CHECKING:
    from model_signing.hashing import Config

LARGEST_KEY = 1 << 16


class Signer:
    """A private key, elliptic curve in PEM without a password. HubError where it is none."""

    def __init__(self, key: Path) -> None:
        extras.require("model_signing")
        from model_signing import signing

        read_bytes(key, HubError, "a key", LARGEST_KEY)
        with _refused("no private key of an elliptic curve in PEM without a password", key):
            self._config = signing.Config().use_elliptic_key_signer(private_key=key)
            self._public = _public(key)

    def sign(self, entry: Entry, before: Path) -> bytes:
        """The signature of an entry's files. The one of `before` stays where it is this key's."""
        with tempfile.TemporaryDirectory() as folder:
            public, made = Path(folder) / "public.pem", Path(folder) / SIGNATURE
            public.write_bytes(self._public)
            with contextlib.suppress(HubError):
                verify(entry, public, before)
                return read_bytes(before, HubError, "a signature", LARGEST_SIGNATURE)
            self._config.set_hashing_config(_stated(entry)).sign(entry.label, made)
            return made.read_bytes()


def verify(entry: Entry, key: Path, signature: Path) -> None:
    """HubError in one line unless the files of the index are those that the key's owner signed.

    Args:
        entry: what the index says of the model.
        key: the publisher's public key, elliptic curve in PEM.
        signature: the bundle, at most 1 MiB.
    """
    extras.require("model_signing")
    from model_signing import verifying

    read_bytes(key, HubError, "a key", LARGEST_KEY)
    with _refused("no public key of an elliptic curve in PEM", key):
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    bundle = read_bytes(signature, HubError, "a signature", LARGEST_SIGNATURE)
    with _refused(
        f"its signature is not by {key} over the files that the index names",
        entry.label,
        "do not use it; ask its publisher",
    ):
        config.set_hashing_config(_stated(entry)).verify(entry.label, signature)
        payload = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        if [subject["name"] for subject in payload["subject"]] != [entry.label]:
            raise ValueError("signed as another model, or another version")


def signature_of(entry: Entry) -> File:
    """The file of the index that is its signature; HubError where it has none."""
    found = entry.signature
    if found is None:
        raise HubError(
            "not signed",
            subject=entry.label,
            remedy=Sentence("leave ", Argument("verify"), " out, or ask its publisher"),
        )
    if found.size > LARGEST_SIGNATURE:
        raise HubError(f"its signature has {found.size} bytes", subject=entry.label)
    return found


def signed(entry: Entry) -> Sequence[File]:
    """What a signature is over: all files but itself."""
    return [file for file in entry.files if file.kind != "signature"]


@contextlib.contextmanager
def _refused(why: str, subject: str | Path, remedy: str | None = None) -> Iterator[None]:
    """One line for whatever a file of a stranger makes the libraries raise, or print."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception:
        raise HubError(why, subject=subject, remedy=remedy) from None


def _public(key: Path) -> bytes:
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_pem_private_key(key.read_bytes(), None)
    found: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


def _stated(entry: Entry) -> Config:
    """The library's hashing of a folder, with the digests of the index in place of its own."""
    from model_signing import hashing, manifest

    # The one class that the library's public modules use and do not name.
    from model_signing._hashing.hashing import Digest

    class Stated(hashing.Config):  # type: ignore[misc, unused-ignore]
        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> manifest.Manifest:
            how = {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            }
            form = manifest.SerializationType.from_args(how)
            items = [
                form.new_item(file.name, Digest("sha256", bytes.fromhex(file.sha256)))
                for file in signed(entry)
            ]
            return manifest.Manifest(str(model_path), items, form)

    made: Config = Stated()  # type: ignore[no-untyped-call, unused-ignore]
    return made
