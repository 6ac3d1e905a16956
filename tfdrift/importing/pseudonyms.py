"""Keyed pseudonyms: the same patient gets the same one with the same key, and nobody without it can try out IDs.

A plain hash would not do: hospital numbers are few enough to hash them all and compare.
"""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from tfdrift.errors import DataError, ResourceError, UsageError

KEY_BYTES = 32
_DIGITS = 16  # of 64: among a million patients two are alike with a chance of 3e-8


def pseudonym(key: bytes, kind: str, *identity: str) -> str:
    """Return the pseudonym of a patient or a lesion: the kind's first letter and 16 hexadecimal digits.

    Args:
        key: from `read_or_make_key`.
        kind: what it is of, such as `patient`; the same identity has another pseudonym as another kind.
        identity: what tells it from others of its kind.

    Example:
        >>> key = bytes(32)
        >>> pseudonym(key, "patient", "481000"), pseudonym(key, "lesion", "481000", "3")
        ('p30627069b1891af5', 'l1073333f9734c016')
    """
    # Each part with its length before it, so that no two lists of parts make one text.
    message = "".join(f"{len(part)}:{part}" for part in (kind, *identity))
    return kind[0] + hmac.new(key, message.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:_DIGITS]


def read_or_make_key(path: Path) -> bytes:
    """Return the key in a file; where there is none, make it, readable by its owner alone.

    Args:
        path: the file. It appears whole or not at all, and an existing one is never written to.

    Raises:
        UsageError: other users may read the file.
        DataError: it holds no key.
        ResourceError: it cannot be read or made.
    """
    try:
        if not path.exists():
            _make_key(path)
        # Windows keeps no such bits; there the folder's own rights count.
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"other users may read the key file {path}; run chmod 600 on it, or give another --key")
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except ValueError:
        raise DataError(f"{path} holds no key; give the key file of an earlier import, or a new name") from None
    except OSError as error:
        raise ResourceError(f"the key file {path} cannot be read or made: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise DataError(f"{path} holds no key; give the key file of an earlier import, or a new name")
    return key


def _make_key(path: Path) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed here
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
    try:
        os.link(new, path)  # unlike a rename, it never takes the place of a key that another process has just made
    except FileExistsError:
        pass
    finally:
        new.unlink()
