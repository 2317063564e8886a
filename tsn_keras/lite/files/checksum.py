"""The checksum of a whole file, within the file."""

import hashlib

from tsn_keras.lite.runner import BLANK, MARK

# What a file holds until its checksum is known.
UNSIGNED = MARK + BLANK + b'"'


def signed(content: bytes) -> bytes:
    """Returns a file with its SHA-256 in place of the last `UNSIGNED`.

    The checksum is that of the file as it is given, with 64 zeros there.
    """
    place = content.rindex(UNSIGNED) + len(MARK)
    checksum = hashlib.sha256(content).hexdigest().encode()
    return content[:place] + checksum + content[place + len(checksum) :]
