"""What Python raises of a TAR or ZIP file that is damaged, encrypted, or packed as it cannot unpack."""

import lzma
import struct
import tarfile
import zipfile
import zlib

ARCHIVE_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError,
    UnicodeDecodeError, OSError,
)  # fmt: skip
"""An unknown version or method is a RuntimeError, as a missing password is. ZIP files may also raise a bare ValueError."""
