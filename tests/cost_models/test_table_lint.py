"""What is wrong with latency tables: every fault that people bring is named, and what is right is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cost_models.device import LatencyTable, ResolutionTable
from cost_models.published_tables import FORMATS, PublishedEntries, PublishedEntry, in_ms, read_tables
from cost_models.table_lint import Files, block_macs, findings, lint
from supernet.errors import InputError
from supernet.families.catalog import open_supernet

SIZES = (160, 192, 224)
FILE, OTHER = "160.yaml", "224.yaml"
Edit = Callable[[PublishedEntries], object]


def a_phone(seed: int = 0) -> dict[str, PublishedEntries]:
    """Files of three resolutions: 10 M multiply-adds a millisecond, give or take; deviations of 3 %."""
    net = open_supernet("ofa_mbv3_w1.2")
    rng = np.random.default_rng(seed)
    files: dict[str, PublishedEntries] = {}
    for size in SIZES:
        space = net.space.restricted({"resolution": [size]})
        archs = space.decode(space.sample(30, rng))
        keys = {piece.key for arch in archs for piece in FORMATS["ofa"].pieces(net.layers(arch))}
        entries: PublishedEntries = {}
        for key in sorted(keys):
            mean = (block_macs(key) or 5e6) / 1e7 * rng.uniform(0.5, 1.5)
            entries[key] = PublishedEntry(count=400, mean=mean, std=0.03 * mean * rng.uniform(0.5, 2))
        files[f"{size}.yaml"] = entries
    return files


@pytest.fixture
def phone() -> dict[str, PublishedEntries]:
    return a_phone()


def told(files: Files, unit: str = "ms", **others: LatencyTable) -> list[tuple[str, str]]:
    return [(finding.severity, str(finding)) for finding in findings(files, unit, others)]


def table(files: Files) -> LatencyTable:
    parts = {
        size: ResolutionTable(file=file, sha256="0", entries=in_ms(entries, "ms"))
        for size, (file, entries) in zip(SIZES, files.items(), strict=True)
    }
    return LatencyTable(supernet="s", fingerprint="f", format="ofa", tables=parts)


def change(entry: PublishedEntry, **given: object) -> PublishedEntry:
    return PublishedEntry.model_validate({**entry.model_dump(exclude_none=True), **given})


def block(entries: PublishedEntries) -> str:
    return next(key for key in entries if block_macs(key))


def test_what_is_right_is_not_told(phone: dict[str, PublishedEntries]) -> None:
    assert told(phone) == []
    assert told(phone, other=table(a_phone(1))) == []


def test_a_unit_that_no_device_has_is_refused(phone: dict[str, PublishedEntries]) -> None:
    for factor, fits in ((1e3, "us"), (1e-3, "s")):
        off = {
            f: {k: change(e, mean=e.mean * factor, std=e.std * factor) for k, e in r.items()}
            for f, r in phone.items()
        }
        found = told(off)
        assert [severity for severity, _ in found] == ["refused"] * 3
        assert all(
            file in words and f"--unit {fits}" in words for file, (_, words) in zip(off, found, strict=True)
        )
        assert told(off, fits) == []


def a_gpu(launch_ms: float, macs_a_ms: float) -> dict[str, PublishedEntries]:
    """A block takes its launches and its work, a roofline: at batch 1 the first is nearly all."""
    rng = np.random.default_rng(2)
    return {
        file: {
            key: PublishedEntry(mean=(launch_ms + block_macs(key) / macs_a_ms) * rng.uniform(0.9, 1.1))
            for key in entries
        }
        for file, entries in a_phone().items()
    }


@pytest.mark.parametrize("launch_ms", [0.02, 0.1, 0.5])
def test_a_fast_gpu_in_another_unit_is_told_by_its_launches(launch_ms: float) -> None:
    gpu = a_gpu(launch_ms, 3e9)
    assert told(gpu) == []
    micro = {f: {k: change(e, mean=e.mean * 1e3) for k, e in entries.items()} for f, entries in gpu.items()}
    assert told(micro, "us") == []
    assert len(told(micro)) == len(told(gpu, "s")) == 3
    assert all("--unit us" in words for _, words in told(micro))


@pytest.mark.parametrize("macs_a_ms", [5e4, 1e6, 1e7, 1e9])
def test_a_device_whose_time_goes_into_work_is_right_however_slow(macs_a_ms: float) -> None:
    """A microcontroller to a processor, which launch in microseconds: seconds a block are no reason to refuse."""
    assert told(a_gpu(0.005, macs_a_ms)) == []


def test_a_resolution_in_another_unit_than_the_others_is_refused(phone: dict[str, PublishedEntries]) -> None:
    fast = {
        f: {k: change(e, mean=e.mean / 30, std=e.std / 30) for k, e in r.items()} for f, r in phone.items()
    }
    fast[OTHER] = {k: change(e, mean=e.mean * 1e3, std=e.std * 1e3) for k, e in fast[OTHER].items()}
    [(severity, words)] = told(fast)
    assert severity == "refused"
    assert words.startswith(OTHER)
    assert "times as long for a multiply-add as those of the other resolutions" in words


def test_an_entry_in_another_unit_is_refused_by_its_key(phone: dict[str, PublishedEntries]) -> None:
    key = block(phone[FILE])
    phone[FILE][key] = change(phone[FILE][key], mean=phone[FILE][key].mean * 1e3, std=1.0)
    [(severity, words)] = told(phone)
    assert severity == "refused"
    assert words.startswith(f"{FILE}: '{key}': mean: got ")


def test_a_variance_under_the_name_of_a_deviation_is_told_and_the_other_way_round(
    phone: dict[str, PublishedEntries],
) -> None:
    swapped = {
        "std": lambda e: PublishedEntry(count=400, mean=e.mean, std=e.std**2),
        "var": lambda e: PublishedEntry(count=400, mean=e.mean, var=e.std),
    }
    for name, swap in swapped.items():
        found = told({**phone, FILE: {key: swap(entry) for key, entry in phone[FILE].items()}})
        [(severity, words)] = found
        assert severity == "warning"
        assert words.startswith(FILE)
        assert f"under the name of a {name}" in words
    right = {key: PublishedEntry(count=400, mean=e.mean, var=e.std**2) for key, e in phone[FILE].items()}
    assert told({**phone, FILE: right}) == []


def test_counts_of_one_and_missing_spreads_are_told(phone: dict[str, PublishedEntries]) -> None:
    first, second = list(phone[FILE])[:2]
    phone[FILE][first] = change(phone[FILE][first], count=1)
    phone[FILE][second] = PublishedEntry(mean=phone[FILE][second].mean)
    once, without = told(phone)
    assert once == (
        "warning",
        f"{FILE}: '{first}': count: 1: one measurement is as good as its luck, and has no spread",
    )
    assert without[0] == "warning"
    assert without[1].startswith(f"{FILE}: '{second}': has no std or var, and the others have")


def test_two_keys_of_one_layer_are_refused(phone: dict[str, PublishedEntries]) -> None:
    key = block(phone[FILE])
    name, shape, *rest = key.split("-")
    for other in (key.replace("-kernel", " -kernel"), key.upper(), "-".join([name, shape, *reversed(rest)])):
        [(severity, words)] = told({**phone, FILE: {**phone[FILE], other: phone[FILE][key]}})
        assert severity == "refused"
        assert repr(key) in words
        assert repr(other) in words


def test_rows_of_another_device_are_told(phone: dict[str, PublishedEntries]) -> None:
    other = a_phone(1)
    [first, *_] = told(phone, elsewhere=table(phone))
    assert first[0] == "warning"
    assert "rows equal those of device elsewhere: the same table" in first[1]
    shared = [key for key in phone[FILE] if key in other[FILE]][:4]
    mixed = {**phone, FILE: {**phone[FILE], **{key: other[FILE][key] for key in shared}}}
    [(severity, words)] = told(mixed, elsewhere=table(other))
    assert severity == "refused"
    assert words.startswith(
        f"{FILE}: {shared[0]!r}, {shared[1]!r}, {shared[2]!r} and 1 more: these rows equal those of"
    )
    with pytest.raises(InputError, match="two devices in one table"):
        lint(mixed, "ms", {"elsewhere": table(other)}, print)


def test_multiply_adds_are_told_by_both_kinds_of_keys() -> None:
    """Of a block of 24 channels at 80 pixels, expand ratio 3, kernel 5, stride 2, to 32 channels."""
    macs = 80**2 * 24 * 72 + 40**2 * 72 * (25 + 32)
    shape = "-input:80x80x24-output:40x40x32-expand:{}-kernel:5-stride:2-idskip:0"
    assert block_macs("expanded_conv" + shape.format(72) + "-se:0-hs:0") == macs
    assert (
        block_macs("expanded_conv" + shape.format(3))
        == block_macs("MBConv" + shape.format(3) + "-se:0")
        == macs
    )
    plain = "MBConv-input:96x96x16-output:96x96x16-expand:1-kernel:3-stride:1-idskip:1-se:0"
    assert block_macs(plain) == 96**2 * 16 * (9 + 16)
    assert block_macs("Conv-input:160x160x3-output:80x80x24") == 0


def test_a_key_twice_is_refused_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "160_lookup_table.yaml"
    file.write_text("Conv-input:160x160x3-output:80x80x24: 1.0\n" * 2)
    with pytest.raises(
        InputError, match=r"160_lookup_table.yaml: the key 'Conv-.*' is given twice, in lines 1 and 2"
    ):
        read_tables(FORMATS["ofa"], tmp_path)
