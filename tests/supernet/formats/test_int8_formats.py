"""Formats in 8 bits: near to float32 on the report split, in 8 bits indeed, and refused where they are neither."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import oncefit
from search.reports.formats import format_notes, format_table
from supernet.accuracy import mcnemar
from supernet.bundles.bundle import Bundle, Disagreement, open_bundle, write_bundle
from supernet.bundles.bundle_card import FormatKeys, render
from supernet.errors import InputError
from supernet.evaluating.evaluation import specialise
from supernet.evaluating.onnx_sessions import network_in
from supernet.formats import onnx_int8_file
from supernet.formats.checking import Agreement, require_likeness
from supernet.formats.conversion import convert_bundle
from supernet.formats.protocol import FormatRequest, ToWrite
from supernet.formats.registry import EXPORT_FORMATS, export_format, export_formats
from supernet.formats.verification import NEEDS_IMAGES, verify_formats
from supernet.quantising.method import QuantisingMethod
from supernet.weights.checkpoints import sha256_of

INT8 = [name for name in EXPORT_FORMATS if export_format(name).bound is not None]
INSTALLED = [name for name in INT8 if not export_format(name).missing()]
every_int8 = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[]
            if name in INSTALLED
            else [pytest.mark.skip(f"not installed: {export_format(name).how}")],
        )
        for name in INT8
    ],
)
TWO = (QuantisingMethod(), QuantisingMethod("percentile", "tensor", percentile=60))
"""Of which the second is bad: entropy takes seconds."""


@dataclasses.dataclass(frozen=True)
class Timed:
    median_ms: float


class Clock:
    """Times that are known: 2 ms for the format, then 1 ms for the same runtime in float32."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, call) -> Timed:
        call()
        self.calls += 1
        return Timed(2.0 if self.calls % 2 else 1.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, supernet, few) -> Path:
    """A bundle of the smallest subnet with its own weights."""
    folder, arch = tmp_path_factory.mktemp("trained") / "bundle", supernet.space.smallest()
    write_bundle(folder, supernet, None, arch, few, {}, {}, subnet=specialise(supernet.load(), arch, few))
    return folder


@pytest.fixture(scope="module")
def quantised(tmp_path_factory, trained, few) -> Bundle:
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("quantised") / "bundle"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_int8_file, "QUANTISING_METHODS", TWO)
        made = folder
        for name in INSTALLED:
            convert_bundle(made, export_formats(name), FormatRequest(), few, Clock())
    return open_bundle(folder)


@pytest.fixture
def copy(quantised, tmp_path) -> Path:
    return Path(shutil.copytree(quantised.folder, tmp_path / "copy"))


def keys_of(bundle: Bundle, name: str) -> FormatKeys:
    assert bundle.card.formats is not None
    return bundle.card.formats[name]


def test_onnx_int8_is_tested_everywhere() -> None:
    assert "onnx-int8" in INSTALLED
    assert INT8 == ["onnx-int8", "openvino-int8", "litert-int8"]


@every_int8
def test_the_card_tells_what_8_bits_cost(name, quantised, few) -> None:
    """Accuracies, agreement and McNemar's test again, from logits of torch and of the runtime."""
    about = keys_of(quantised, name)
    found, format = about.int8, export_format(name)
    assert found is not None
    assert about.allowed is None
    assert found.bound == dataclasses.asdict(format.bound)
    assert found.weights_in_8_bits > 0.9
    images, labels = few.report.batch(slice(None), about.image_size, quantised.preprocessing)
    with torch.no_grad():
        ours = quantised.subnet()(images).numpy()
    from supernet.formats.conversion import reading_of

    with format.opened(reading_of(quantised, about, 1)) as runs:
        theirs = runs.predict(np.ascontiguousarray(images.numpy()))
    right, also = (logits.argmax(1) == labels.numpy() for logits in (ours, theirs))
    assert found.agreement == pytest.approx((ours.argmax(1) == theirs.argmax(1)).mean(), abs=0.01)
    assert about.accuracy["top1"] == pytest.approx(also.mean(), abs=0.01)
    assert found.float32_accuracy["top1"] == pytest.approx(right.mean(), abs=1e-6)
    paired = found.paired
    assert paired["p_value"] == mcnemar(paired["only_before"], paired["only_after"]).p_value
    assert about.accuracy["top1"] - found.float32_accuracy["top1"] == pytest.approx(
        (paired["only_after"] - paired["only_before"]) / 300
    )
    assert (about.latency, found.float32_latency) == ({"median_ms": 2.0}, {"median_ms": 1.0})
    assert found.float32_bytes > 0


def test_the_better_method_is_kept_by_validation_images(quantised) -> None:
    found = keys_of(quantised, "onnx-int8").int8
    assert found.method == "onnxruntime QDQ, min-max, per channel"
    assert {str(method) for method in TWO} <= set(found.tried)
    assert found.tried["min-max, per channel"] == max(found.tried.values())
    assert (found.validation_images, found.calibration_images) == (300, 256)
    assert found.in_float["HardSwish (6)"] == "ONNX Runtime has no kernel of it in 8 bits"


def test_slower_is_said_to_be_slower(quantised) -> None:
    card = {"onnx-int8": keys_of(quantised, "onnx-int8").model_dump(mode="json", exclude_none=True)}
    for timed, word in ((1.0, "slower"), (4.0, "faster")):
        card["onnx-int8"]["latency"] = known_latency(2.0)
        card["onnx-int8"]["int8"]["float32_latency"] = known_latency(timed)
        told = format_notes(card)
        assert word in told
        assert ("faster" in told) == (word == "faster")
    assert format_table(card).row_count == 1


def known_latency(median_ms: float) -> dict[str, object]:
    from cost_models.timing import LatencyMeasurement

    fields = {field.name: median_ms for field in dataclasses.fields(LatencyMeasurement)}
    return fields | {"median_ms": median_ms}


@every_int8
def test_all_is_found_sound_again_with_images_and_not_run_without(name, quantised, few) -> None:
    found = verify_formats(quantised, few)[name]
    assert found["not_run"] is None
    assert found["accuracy"]["images"] == 300
    assert verify_formats(quantised, None)[name]["not_run"] == NEEDS_IMAGES


@every_int8
def test_a_file_in_float32_that_is_called_int8_is_refused(name, copy, few) -> None:
    """Its hash, logits and accuracy are all right: only its tensors tell."""
    bundle, folder = open_bundle(copy), copy / "formats" / name
    about = keys_of(bundle, name)
    batch = about.batch if isinstance(about.batch, int) else None
    export_format(export_format(name).in_float).write(
        ToWrite(bundle.subnet(), bundle, about.image_size, batch), folder
    )
    hashes = {file: sha256_of((copy / file).read_bytes()) for file in about.files}
    card = bundle.card.model_copy(update={"files": {**bundle.card.files, **hashes}})
    (copy / "card.json").write_text(render(card))
    with pytest.raises(
        Disagreement, match=rf"{name} is not in 8 bits: 0 % of its weights are \(needed: 50 %\)"
    ):
        verify_formats(open_bundle(copy), few)


def test_a_writer_that_quantises_nothing_is_refused(trained, few, tmp_path, monkeypatch) -> None:
    from supernet.formats.onnx_file import write_onnx
    from supernet.formats.protocol import QuantisedAs

    def pretends(material, folder) -> QuantisedAs:
        write_onnx(material, folder)
        return QuantisedAs("none", 0, {})

    folder = Path(shutil.copytree(trained, tmp_path / "bundle"))
    monkeypatch.setattr(
        onnx_int8_file, "FORMAT", dataclasses.replace(export_format("onnx-int8"), write=pretends)
    )
    with pytest.raises(Disagreement, match="is not in 8 bits"):
        convert_bundle(folder, export_formats("onnx-int8"), FormatRequest(), few)
    assert not (folder / "formats").exists()


def test_neither_files_nor_figures_in_8_bits_outlive_the_weights_they_were_made_of(
    copy, few, supernet, tmp_path, monkeypatch
) -> None:
    """Of an updated bundle, and of one that is written in place of the old."""
    monkeypatch.setattr("search.reports.export.data_set", lambda *_: few)
    state = load_file(copy / "weights.safetensors")
    state["classifier.weight"] = state["classifier.weight"].roll(1, 0)
    save_file(state, tmp_path / "new.safetensors")
    updated = oncefit.open_bundle(copy).update(tmp_path / "new.safetensors", say=lambda _: None)
    write_bundle(copy, supernet, supernet.load(), supernet.space.smallest(), few, {}, {})
    batch = {"litert-int8": " --batch 1"}
    again = {name: f"oncefit convert BUNDLE --format {name}{batch.get(name, '')}" for name in INSTALLED}
    for folder in (updated.folder, copy):
        card = open_bundle(folder).card
        assert (card.formats, card.formats_gone) == (None, again)
        assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
            *card.files,
            "card.json",
        }
        rest = card.model_copy(update={"formats_gone": None})
        assert "int8" not in render(rest)


def test_one_that_loses_too_much_is_refused(trained, few, tmp_path, monkeypatch) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "bundle"))
    monkeypatch.setattr(onnx_int8_file, "QUANTISING_METHODS", TWO[1:])
    with pytest.raises(
        Disagreement,
        match=r"onnx-int8 loses too much: its top-1 is .*allowed: at most 1 point less top-1 unless by chance",
    ):
        convert_bundle(folder, export_formats("onnx-int8"), FormatRequest(), few)
    assert not (folder / "formats").exists()


@pytest.mark.parametrize(
    ("only_before", "only_after", "agreement", "refused"),
    [(20, 2, 0.95, True), (6, 2, 0.95, False), (0, 0, 0.89, True), (2, 20, 0.95, False)],
)
def test_the_bound_is_points_that_are_no_chance_or_agreement(
    only_before, only_after, agreement, refused
) -> None:
    """Of 400 images: 4.5 points less; 1 point less, by chance; another best class too often; better than before."""
    from supernet.evaluating.evaluation import accuracy_of_hits

    def accuracy(right: int):
        return accuracy_of_hits(torch.tensor([[True]] * right + [[False]] * (400 - right)), "report")

    found = Agreement(
        1.0, 1e-4, 256, "validation images", 0, accuracy(300 - only_before + only_after), agreement, accuracy(300),
        mcnemar(only_before, only_after),
    )  # fmt: skip
    bound = export_format("onnx-int8").bound
    if refused:
        with pytest.raises(Disagreement, match="loses too much"):
            require_likeness("onnx-int8", found, "x", bound)
    else:
        require_likeness("onnx-int8", found, "x", bound)


def test_without_images_there_is_nothing_to_calibrate_on(trained, tmp_path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "bundle"))
    with pytest.raises(
        InputError, match=r"format onnx-int8 is quantised on calibration images .* --data DIR"
    ):
        convert_bundle(folder, export_formats("onnx,onnx-int8"), FormatRequest(), None)
    assert not (folder / "formats").exists()


def test_a_missing_extra_says_what_to_type(trained, few, tmp_path, monkeypatch) -> None:
    from supernet.formats import openvino_int8

    absent = dataclasses.replace(export_format("openvino-int8"), packages=("openvino", "oncefit-no-such"))
    monkeypatch.setattr(openvino_int8, "FORMAT", absent)
    with pytest.raises(
        InputError,
        match=r"needs oncefit-no-such, which is not installed: pip install 'oncefit\[openvino-int8\]'",
    ):
        convert_bundle(trained, export_formats("openvino-int8"), FormatRequest(), few)


def test_float32_in_onnx_runtime_is_what_it_is_compared_with(quantised, few) -> None:
    side = keys_of(quantised, "onnx-int8").image_size
    images, _ = few.report.batch(slice(None), side, quantised.preprocessing)
    with torch.no_grad():
        expected = quantised.subnet()(images)
    np.testing.assert_allclose(network_in(quantised.folder / "model.onnx")(images), expected, atol=1e-3)


def test_the_first_two_convolutions_stay_in_float_where_that_is_better(
    trained, few, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(onnx_int8_file, "QUANTISING_METHODS", TWO[:1])
    bundle = open_bundle(trained)
    material = ToWrite(bundle.subnet(), bundle, bundle.arch.resolution, None, data=few)
    how = onnx_int8_file.write_onnx_int8(material, tmp_path)
    everything, careful = "min-max, per channel", "min-max, per channel, 3 nodes in float32"
    assert set(how.tried) == {everything, careful}
    left = [name for name, why in how.in_float.items() if "validation" in why]
    if how.tried[careful] > how.tried[everything]:
        assert left == ["/stem/conv/Conv", "/first/depthwise/conv/Conv"]
        assert how.method == f"onnxruntime QDQ, {careful}"
    else:
        assert not left
        assert how.method == f"onnxruntime QDQ, {everything}"
