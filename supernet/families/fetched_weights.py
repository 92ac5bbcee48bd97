"""Get weights that do not ship: fetched or imported once, and then kept (:mod:`supernet.weights.kept_weights`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from supernet import documents
from supernet.atomic import make_folder
from supernet.cache import VARIABLE
from supernet.documents import Document
from supernet.downloads import OTHER_CONTENT, TIMEOUT_S, Content, DownloadProgress, content_of, download
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.locks import held
from supernet.messages import Say
from supernet.weights.kept_weights import (
    HASH_DIGITS,
    Address,
    Published,
    Record,
    kept_folder,
    kept_path,
    published_weights,
    read_record,
    record_path,
    recorded,
    remedy,
)  # fmt: skip


class Addresses(Document):
    """Addresses that someone gave."""

    addresses: tuple[Address, ...] = Field(min_length=1)


def fetch(
    name: str,
    today: str,
    report: Say,
    progress: DownloadProgress,
    cache: Path | None = None,
    addresses: Sequence[str] = (),
    replace: bool = False,
    timeout_s: float = TIMEOUT_S,
    key: str | None = None,
) -> Record:
    """Download a supernet's checkpoint, from the first address that has it, and keep its weights.

    Sound weights that are here stay as they are, unless ``replace`` says to take whatever comes, or ``key`` to
    take others of it. A
    checkpoint that differs from the published one, or from the one that was here before, is refused.
    Raises InputError that lists why each address failed.
    """
    supernet = without_weights(name)
    name = supernet.name
    record = sound(name, cache)
    if not replace and record is not None and key in (None, record.key):
        report(f"the weights of {name} are here since {record.date}; --replace gets them again")
        return record
    official = published_weights().get(name)
    if not addresses and official is None:
        raise InputError(f"no address is known for {name}: give one with --from URL; or {remedy(name)}")
    given = documents.check({"addresses": tuple(addresses)}, Addresses, "--from") if addresses else official
    assert given is not None
    failures = []
    with alone_in_cache(name, cache):
        expected = None if replace else known_content(name, cache)
        checkpoint = kept_folder(cache) / f".{name}.{os.getpid()}.checkpoint"
        for url in given.addresses:
            report(f"downloading {url}")
            try:
                content = download(url, checkpoint, progress, expected, timeout_s, f"{name}.checkpoint")
                return keep_weights(supernet, checkpoint, "the file", url, content, today, cache, key, report)
            except InputError as error:
                failures.append(f"{url}: {error}")
            finally:
                checkpoint.unlink(missing_ok=True)
    raise InputError(unfetched(name, failures, official))


def unfetched(name: str, failures: Sequence[str], official: Published | None) -> str:
    """That nothing was fetched, why, and what to do."""
    trusted = (
        "If you trust that content all the same, --replace takes it. "
        if any(OTHER_CONTENT in failure for failure in failures)
        else ""
    )
    pages = f" (in a browser: {', '.join(official.by_hand)})" if official and official.by_hand else ""
    return (
        f"the weights of {name} could not be fetched: {'; '.join(failures)}. {trusted}"
        f"Without a network, or where no address works, copy the checkpoint from elsewhere{pages} "
        f"and run oncefit weights import {name} FILE"
    )


def import_file(
    name: str,
    file: Path,
    today: str,
    report: Say,
    cache: Path | None = None,
    replace: bool = False,
    key: str | None = None,
) -> Record:
    """Keep the weights in a checkpoint that is on disk; of several in it those at ``key``.

    Raises InputError where it is none of that supernet, and where one with other content was kept
    before, unless ``replace`` is given.
    """
    supernet = without_weights(name)
    name = supernet.name
    content = content_of(file)
    with alone_in_cache(name, cache):
        before = None if replace else before_now(name, cache)
        if before is not None and before.checkpoint != content:
            raise InputError(
                f"another checkpoint of {name} was taken from {before.source} on {before.date}: its sha256 is "
                f"{before.checkpoint.sha256}, that of {file} is {content.sha256}; --replace takes the new one"
            )
        official = published_weights().get(name)
        if official is not None and official.checkpoint not in (None, content):
            report(f"{file} is not, byte for byte, the checkpoint that was published")
        return keep_weights(
            supernet, file, str(file), str(file.resolve()), content, today, cache, key, report
        )


def without_weights(name: str) -> Supernet:
    """The supernet of a name or a YAML file. Raises InputError for one whose weights need no cache."""
    supernet = open_supernet(name)
    if supernet.stored is not None:
        raise InputError(f"the weights of {name} need no fetching: they are {supernet.stored.path}")
    return supernet


def sound(name: str, cache: Path | None) -> Record | None:
    """The record of weights that are here and unchanged."""
    with suppress(InputError):
        record = read_record(name, cache)
        if record is not None and content_of(kept_path(name, record, cache)) == record.weights:
            return record
    return None


def before_now(name: str, cache: Path | None) -> Record | None:
    """The record of the last checkpoint, whether its weights are still here or not."""
    path = record_path(name, cache)
    return recorded(path) if path.is_file() else None


def known_content(name: str, cache: Path | None) -> Content | None:
    """What the checkpoint must hold: what it held the first time, else what is published of it."""
    before = before_now(name, cache)
    if before is not None:
        return before.checkpoint
    official = published_weights().get(name)
    return official.checkpoint if official is not None else None


def keep_weights(
    supernet: Supernet,
    file: Path,
    called: str,
    source: str,
    checkpoint: Content,
    today: str,
    cache: Path | None,
    key: str | None,
    report: Say,
) -> Record:
    """Write down the weights in a checkpoint, which errors name as it is ``called``; the record goes last."""
    from supernet.weights.checkpoints import save_weights
    from supernet.weights.conversion import load_checkpoint

    net: Any = supernet.family.elastic()
    choice = load_checkpoint(net, file, called, key)
    for line in choice.told(called):
        report(line)
    unnamed = kept_folder(cache) / f".{supernet.name}.{os.getpid()}.safetensors"
    sha256 = save_weights(net, unnamed)
    weights = Content(size=unnamed.stat().st_size, sha256=sha256)
    record = Record(
        source=source, date=today, checkpoint=checkpoint, weights=weights, key=choice.taken.key or None
    )
    os.replace(unnamed, kept_path(supernet.name, record, cache))
    documents.write_text(
        record_path(supernet.name, cache), documents.dump(record.model_dump(exclude_none=True))
    )
    remove_others(supernet.name, record, cache)
    return record


def remove_others(name: str, record: Record, cache: Path | None) -> None:
    """Remove weights that the record is not of, and what killed processes left."""
    known = re.escape(name)
    weights = rf"{known}\.[0-9a-f]{{{HASH_DIGITS}}}\.safetensors"
    left = rf"\.+{known}\.\d+\.(checkpoint|safetensors)(\.\d+\.partial)?"
    kept = kept_path(name, record, cache)
    for path in kept_folder(cache).iterdir():
        if path != kept and re.fullmatch(f"{weights}|{left}", path.name):
            with suppress(OSError):
                path.unlink()


@contextmanager
def alone_in_cache(name: str, cache: Path | None) -> Iterator[None]:
    """One process at a time gets the weights of a supernet; the folder is made.

    Raises InputError where another is at it, and where the folder cannot be written.
    """
    where = kept_folder(cache)
    writable(where)
    refusal = f"another process is getting the weights of {name} into {where}; wait for it"
    with held(where / f".{name}.lock", refusal):
        yield


def writable(path: Path) -> None:
    """Make the folder. Raises InputError where that cannot be."""
    try:
        make_folder(path)
        (path / ".writable").touch()
        (path / ".writable").unlink()
    except OSError as error:
        raise unwritable_cache(path, error) from error


def unwritable_cache(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write {path}: {error.strerror or error}; name another folder with --cache-dir or {VARIABLE}"
    )
