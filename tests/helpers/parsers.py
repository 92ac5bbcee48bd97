"""What reads files of somebody else's: for each kind a sound text, and the function that reads a file of it.

Whatever bytes a file holds, a reader gives a value or raises InputError. ``tests/whole/test_any_bytes.py`` draws a few
of them, ``benchmarks/fuzz.py`` many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cost_models.deployment import read_deployment
from cost_models.device import Device
from cost_models.grid_hours import read_hourly
from cost_models.kit.result import read_result
from cost_models.latency_csv import read_latency_csv
from cost_models.published_tables import read_entries
from cost_models.table_lint import lint
from search.fleets.portfolio_file import read_portfolio
from search.predictors.measured import from_csv
from search.runs.config import load_config
from supernet import documents
from supernet.bundles.bundle_card import ZEROS, hash_entry, parse_card
from supernet.families.catalog import SupernetFile, described_supernet, open_supernet
from supernet.images.layouts.file_list_part import read_rows
from supernet.ofa_format import reader
from supernet.training.recipes import read_recipe
from supernet.weights.checkpoints import sha256_of
from tests.search.cli.test_bad_documents import CARD, NET, SEARCH, TABLE

SHIPPED = documents.CONFIGS
SETTINGS = "{'ks': [3] * 20, 'e': [3] * 20, 'd': [2, 2, 2, 2, 2], 'r': 160}".replace(
    "[3] * 20", str([3] * 20)
)
COLUMNS = "d,ks,e,r,phone,top1\n"
ROW = f'"2 2 2 2 2","{" ".join(["3"] * 20)}","{" ".join(["3"] * 20)}",160,12.5,0.75\n'


@dataclass(frozen=True)
class Parser:
    sound: str
    read: Callable[[Path], object]
    suffix: str = ".yaml"


def sealed_card(path: Path) -> object:
    """With its own hash where it has one: else nothing behind that is reached."""
    content = path.read_bytes()
    plain = content.replace(b"\r", b" ")
    if hash_entry(ZEROS).encode() in plain:
        plain = plain.replace(hash_entry(ZEROS).encode(), hash_entry(sha256_of(plain)).encode())
    return parse_card(plain, path)


def supernet_at(path: Path) -> object:
    return described_supernet(documents.read(path, SupernetFile), path)


def looked_over(path: Path) -> None:
    lint({path.name: read_entries(path)}, "ms", {}, lambda _: None)


def imagenet() -> object:
    return open_supernet("ofa_mbv3_w1.0")


PARSERS: Mapping[str, Parser] = {
    "net.config": Parser(json.dumps(NET), lambda path: reader.read(path, 32), ".config"),
    "subnet as Python prints it": Parser(SETTINGS, lambda path: reader.read(path, None, imagenet()), ".json"),
    "subnet in YAML": Parser("{ks: 3, e: 3, d: 2, r: 160}", lambda path: reader.read(path, None, imagenet())),
    "latency table": Parser(TABLE, looked_over),
    "CSV of latencies": Parser(COLUMNS + ROW, lambda path: read_latency_csv(path, imagenet()).column("phone"), ".csv"),
    "CSV of accuracies": Parser("Sub-network,Top-1 Acc (%)\n" + f'"{SETTINGS}",75.5\n', lambda path: from_csv(path, imagenet()), ".csv"),
    "CSV of a grid": Parser("hour,grams_per_kwh\n2027-01-01T00:00,56\n2027-01-01T01:00,57\n", read_hourly, ".csv"),
    "list of files": Parser('file,label\n"a.png",cat\nb.png,dog\n', read_rows, ".csv"),
    "card": Parser(json.dumps(CARD, indent=1), sealed_card, ".json"),
    "result of a kit": Parser('{"kind": "oncefit kit result", "format": 1, "manifest": {}}', read_result, ".json"),
    "search": Parser(SEARCH, lambda path: load_config(path, {}, {})),
    "supernet": Parser((SHIPPED / "supernets" / "fmnist_mbv3.yaml").read_text(), supernet_at),
    "recipe": Parser((SHIPPED / "training" / "fmnist_mbv3.yaml").read_text(), read_recipe),
    "device": Parser((SHIPPED / "devices" / "host.yaml").read_text(), lambda path: documents.read(path, Device)),
    "portfolio": Parser("devices: [{device: host, requests_per_day: 3}]\nsupernet: fmnist_mbv3\ncandidates: rows.csv\nsubnets: 2\n", lambda path: read_portfolio(path, {})),
    "deployment": Parser("{requests_per_day: 1, life_days: 1, region: FRA, inference: {mj: 1}}", lambda path: read_deployment(path, {})),
}  # fmt: skip


def mixed_up(content: bytes, rng: np.random.Generator) -> bytes:
    """A sound content of which pieces were removed, doubled, exchanged, or replaced by what parsers stumble over."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(made) + 1)), int(rng.integers(1, 25))
        piece = bytes(made[at : at + length])
        odd = ODD[int(rng.integers(len(ODD)))]
        made[at : at + length] = [b"", piece * 3, odd, odd + piece, piece[::-1]][int(rng.integers(5))]
    return bytes(made)


ODD = tuple(
    text if isinstance(text, bytes) else text.encode()
    for text in (
        "{}", "[]", "null", "-1", "1e999", "-1e308", "1e-320", ".nan", "9" * 30, "'" * 3, '"', "\\u001b[31m", "\\e[2J",
        "=cmd|' /C calc'!A0", "<script>", "../../x", "\u202e", "\u2028", "&a [*a]", "<<: *b", "!!python/name:os.system", "? ",
        "\r\n", "\t", ",", ":", "|", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", "x" * 3_000, "[" * 70, "0x1F", "1_0", "True",
        "{'a': {1}}", "b'x'", "...", "1j",
    )
)  # fmt: skip


def mixtures(sound: str, seeds: range) -> Iterator[bytes]:
    for seed in seeds:
        yield mixed_up(sound.encode(), np.random.default_rng(seed))
