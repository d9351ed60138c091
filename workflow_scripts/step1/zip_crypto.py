"""The two encryptions of zip: WinZip's AES ("AES Encryption Information: AE-1 and AE-2") and PKWARE's first one, "ZipCrypto"
(APPNOTE 6.1).

AES says by two bytes whether a password may be right, and by an authentication code over all that is packed whether it
is undamaged. ZipCrypto has one byte to check a password by: one wrong password in 256 passes, and is found by the
content's checksum, as damage is.
"""

from __future__ import annotations

import hashlib
import hmac

from _zipdecrypter import StandardZipDecrypter
from Cryptodome.Cipher import AES
from Cryptodome.Util import Counter

_ROUNDS = 1000
_CHECK = 2


class AesDecrypter:
    """One member under one password. `fits` tells whether the password may be right: one wrong one in 65,536 does too."""

    CODE_LENGTH = 10
    """Bytes of the authentication code behind what is packed."""

    @staticmethod
    def header_length(key_length: int) -> int:
        """Return the bytes before what is packed: a salt of half the key's length, and the password's check."""
        return key_length // 2 + _CHECK

    def __init__(self, password: bytes, header: bytes, key_length: int) -> None:
        salt, check = header[:-_CHECK], header[-_CHECK:]
        keys = hashlib.pbkdf2_hmac("sha1", password, salt, _ROUNDS, 2 * key_length + _CHECK)
        self.fits = hmac.compare_digest(keys[2 * key_length :], check)
        counter = Counter.new(128, little_endian=True, initial_value=1)
        self._cipher = AES.new(keys[:key_length], AES.MODE_CTR, counter=counter)
        self._code = hmac.new(keys[key_length : 2 * key_length], digestmod="sha1")

    def decrypt(self, block: bytes) -> bytes:
        """Return a block's plain bytes."""
        self._code.update(block)
        return self._cipher.decrypt(block)

    def is_authentic(self, code: bytes) -> bool:
        """Tell whether all that was decrypted is what was packed."""
        return hmac.compare_digest(self._code.digest()[: self.CODE_LENGTH], code)


class CryptoDecrypter:
    """One member under one password. `fits` tells whether the password may be right: one wrong one in 256 does too."""

    HEADER_LENGTH = 12
    """Bytes before what is packed: noise, and at the end a byte to check the password by."""

    def __init__(self, password: bytes, header: bytes, check: int) -> None:
        self._cipher = StandardZipDecrypter(password)
        self.fits = self._cipher.decrypt_bytes(header)[-1] == check

    def decrypt(self, block: bytes) -> bytes:
        """Return a block's plain bytes."""
        return bytes(self._cipher.decrypt_bytes(block))


def spellings(password: str) -> list[bytes]:
    """Return a password's bytes as the packing program may have had them: UTF-8 today, a Windows code page before."""
    spelled = (_encoded(password, encoding) for encoding in ("utf-8", "cp1252", "cp850"))
    return list(dict.fromkeys(each for each in spelled if each is not None))


def _encoded(text: str, encoding: str) -> bytes | None:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return None
