"""A bundle is whole, says what it is, and answers as the subnet it was made from."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file

from supernet.bundles import bundle as bundle_module
from supernet.bundles.bundle import Disagreement, evaluate_bundle, open_bundle, verify_bundle, write_bundle
from supernet.bundles.bundle_card import DeviceKeys, parse_card, read_card, render
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.images.data import Images
from supernet.images.preprocessing import prepare
from supernet.weights.checkpoints import sha256_of

FILES = (
    "arch.json", "card.json", "model.onnx", "network.py", "predict.py", "selftest.json", "selftest.png", "weights.safetensors",
)  # fmt: skip
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def arch(supernet):
    return supernet.space.smallest()


@pytest.fixture(scope="module")
def subnet(random_net, arch, few):
    return specialise(random_net, arch, few)


@pytest.fixture(scope="module")
def written(tmp_path_factory, supernet, subnet, arch, few) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    measured = {"report": evaluate(subnet, arch, few, "report"), "latency_ms": np.float32(0.5)}
    write_bundle(folder, supernet, None, arch, few, {"macs": 1.5e6}, measured, subnet=subnet, created=CREATED)
    return folder


@pytest.fixture
def copy(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_it_holds_these_files_and_leaves_no_other(written):
    assert sorted(path.name for path in written.iterdir()) == list(FILES)
    assert [path.name for path in written.parent.iterdir()] == ["small"]


def test_the_card_says_what_the_bundle_is(written, few, arch, supernet, subnet):
    card = json.loads((written / "card.json").read_text())
    report = dataclasses.asdict(evaluate(subnet, arch, few, "report"))
    assert card["figures"] == {
        "predicted": {"macs": 1.5e6},
        "measured": {"report": report, "latency_ms": 0.5},
    }
    assert card["data"]["splits"] == {"calibration": 300, "validation": 300, "report": 300}
    assert card["data"]["sha256"] == few.sha256
    for name in ("weights.safetensors", "model.onnx", "arch.json"):
        assert card["files"][name] == sha256_of((written / name).read_bytes())
    assert card["created"] == "2026-01-02T03:04:05+00:00"
    assert card["classes"] == list(few.classes)
    assert card["arch_id"] == arch.id
    assert card["preprocessing"]["resolution"] == arch.resolution
    assert card["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert card["supernet"]["fingerprint"] == supernet.fingerprint


def test_the_card_is_enough_to_run_the_model(written, few, subnet):
    """As on a device: NumPy, Pillow's resize and ONNX Runtime, without any code of ours."""
    from PIL import Image

    card = json.loads((written / "card.json").read_text())
    how = card["preprocessing"]
    size = (how["resolution"], how["resolution"])
    images = [Image.fromarray(image.numpy()) for image in few.report.pixels[:50]]
    grey = np.stack([np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in images])
    x = ((grey * how["scale"] - how["mean"]) / how["std"]).astype(how["dtype"])[:, None]
    assert x.shape[1:] == tuple(card["input"]["shape"][1:])
    session = onnxruntime.InferenceSession(written / "model.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run([card["output"]["name"]], {card["input"]["name"]: x})
    with torch.no_grad():
        expected = subnet(prepare(few.report.pixels[:50], how["resolution"], few.preprocessing)).numpy()
    # Pillow rounds to whole grey values, prepare does not
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.999


def test_it_opens_with_the_same_arch_and_weights(written, arch, subnet):
    found = open_bundle(written)
    assert found.arch == arch
    state, expected = found.subnet().state_dict(), subnet.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert not found.subnet().training
    stored = load_file(written / "weights.safetensors")
    assert all(np.array_equal(stored[name], expected[name].numpy()) for name in expected)


def test_the_model_takes_any_batch(written, arch):
    session = open_bundle(written).session(threads=1)
    for n in (1, 5, 32):
        [logits] = session.run(
            None, {"images": np.zeros((n, 1, arch.resolution, arch.resolution), np.float32)}
        )
        assert logits.shape == (n, 10)
        np.testing.assert_allclose(logits, np.repeat(logits[:1], n, axis=0), atol=1e-5)


def test_verification(written, few, subnet, arch):
    found = verify_bundle(written, few)
    assert 0 <= found.max_difference <= 1e-4
    assert (found.compared_images, found.images) == (256, 300)
    assert found.top1_torch == found.top1_onnxruntime == evaluate(subnet, arch, few, "report").top1
    assert set(found.files) == set(FILES) - {"card.json"}


def test_evaluation_equals_torchs(written, few, subnet, arch):
    assert evaluate_bundle(open_bundle(written), few.report) == evaluate(subnet, arch, few, "report")


def test_own_images_get_their_own_name(written, few):
    own = Images(few.report.pixels[:7], few.report.labels[:7])
    found = evaluate_bundle(open_bundle(written), own, split="own images")
    assert (found.split, found.images) == ("own images", 7)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_a_changed_byte_is_found(copy, name, place):
    content = bytearray((copy / name).read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*expected"):
        open_bundle(copy)


def test_no_byte_of_the_card_can_change(written):
    path = written / "card.json"
    original = path.read_bytes()
    for i in range(len(original)):
        for flip in (1, 32, 128):  # another letter, another case or blank, no UTF-8
            changed = bytearray(original)
            changed[i] ^= flip
            with pytest.raises(InputError, match=r"card\.json.*expected"):
                parse_card(bytes(changed), path)


def test_verify_finds_a_model_of_another_subnet(copy, few, supernet, random_net):
    """Even where the hashes are right."""
    other = supernet.space.arch(dict(supernet.space.smallest().choices) | {"kernel.1.1": 5})
    export_onnx(specialise(random_net, other, few), 1, other.resolution, copy / "model.onnx")
    card = read_card(copy)
    files = card.files | {"model.onnx": sha256_of((copy / "model.onnx").read_bytes())}
    (copy / "card.json").write_text(render(card.model_copy(update={"files": files})))
    with pytest.raises(Disagreement, match="ONNX Runtime and torch disagree"):
        verify_bundle(copy, few)


def test_verify_finds_a_changed_byte_too(copy, few):
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    with pytest.raises(InputError) as error:
        verify_bundle(copy, few)
    expected = json.loads((copy / "card.json").read_text())["files"]["model.onnx"]
    for part in ("model.onnx", sha256_of(bytes(content)), expected):
        assert part in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(copy, name):
    (copy / name).unlink()
    with pytest.raises(InputError, match=name):
        open_bundle(copy)


def test_what_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match=r"is no bundle: it is not there"):
        open_bundle(tmp_path / "none")
    with pytest.raises(InputError, match=r"is no bundle: it has no card\.json"):
        open_bundle(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(InputError, match=r"card\.json is not the card of a bundle"):
        open_bundle(tmp_path)


def test_other_data_are_refused(written, few):
    with pytest.raises(
        InputError, match=r"was measured on fashion_mnist with sha256 .*verify it with its own"
    ):
        verify_bundle(written, dataclasses.replace(few, name="other", sha256="0" * 64))


def test_a_supernet_with_another_space_is_refused(written, supernet):
    space = dataclasses.replace(supernet.space, name="other")
    other = dataclasses.replace(supernet, family=dataclasses.replace(supernet.family, space=space))
    with pytest.raises(InputError, match=f"{supernet.fingerprint}.*{other.fingerprint}"):
        open_bundle(written, other).subnet()


def test_a_card_says_which_device_its_costs_are_of(write, tmp_path):
    device = DeviceKeys(name="phone", cpu="A CPU", runtime="onnxruntime", threads=1, region="FRA",
                        date="2026-01-02", latency_error_percent=0.7)  # fmt: skip
    timed = []

    def measure(model: Path) -> dict[str, float]:
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])  # is there already
        timed.append(model)
        return {"median_ms": 0.25}

    write(tmp_path / "bundle", predicted={"latency_ms": 0.2}, device=device, measure_latency=measure)
    card = json.loads((tmp_path / "bundle" / "card.json").read_text())
    assert card["device"] == {
        "name": "phone", "cpu": "A CPU", "runtime": "onnxruntime", "versions": {}, "threads": 1,
        "region": "FRA", "date": "2026-01-02", "latency_error_percent": 0.7,
    }  # fmt: skip
    assert card["figures"] == {"predicted": {"latency_ms": 0.2}, "measured": {"latency": {"median_ms": 0.25}}}
    assert len(timed) == 1
    assert open_bundle(tmp_path / "bundle").card.device == device


def test_a_card_without_a_device_has_no_such_block(written):
    assert "device" not in json.loads((written / "card.json").read_text())


# -- writing ---------------------------------------------------------------------


@pytest.fixture
def write(supernet, random_net, subnet, arch, few):
    def write_to(folder: Path, **changes):
        given = {"predicted": {}, "measured": {}, "net": random_net, "subnet": subnet, "created": CREATED}
        return write_bundle(folder, supernet, arch=arch, data=few, **given | changes)

    return write_to


def test_a_subnet_is_cut_out_where_none_is_given(write, tmp_path, subnet):
    found = write(tmp_path / "new" / "bundle", subnet=None).subnet().state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in subnet.state_dict().items())


def test_a_bundle_is_replaced_even_a_damaged_one(copy, write):
    (copy / "card.json").write_text("damaged")
    write(copy, predicted={"macs": 7.0})
    assert open_bundle(copy).card.figures.predicted == {"macs": 7.0}
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("name", ["notes.txt", "arch.json"])
def test_a_folder_that_is_something_else_is_kept(write, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("keep me")
    with pytest.raises(InputError, match=rf"not a bundle alone: it holds {name}; .*--out"):
        write(tmp_path / "mine")
    assert (tmp_path / "mine" / name).read_text() == "keep me"


def test_a_bundle_with_a_file_of_the_users_is_kept(copy, write):
    (copy / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        write(copy)


def test_a_folder_that_cannot_be_written(write, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "bundle"):
        with pytest.raises(InputError, match=r"cannot write .*: Not a directory; choose another folder"):
            write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disagreement_leaves_nothing_behind(write, tmp_path, monkeypatch):
    right = bundle_module.predictor
    monkeypatch.setattr(
        bundle_module, "predictor", lambda session: lambda inputs: right(session)(inputs) + 2e-4
    )
    with pytest.raises(
        Disagreement, match=r"target: ONNX Runtime and torch disagree: .*0\.0002.*allowed: 0\.0001"
    ):
        write(tmp_path / "target")
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_old_bundle(copy, write, monkeypatch):
    before = {name: (copy / name).read_bytes() for name in FILES}

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module, "export_onnx", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        write(copy)
    assert {name: (copy / name).read_bytes() for name in FILES} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_failed_rename_puts_the_old_bundle_back(copy, write, monkeypatch):
    """Where the system cannot exchange two folders."""
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial") and target == copy:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(bundle_module, "swap", lambda *_: False)
    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(InputError, match="Input/output error"):
        write(copy)
    open_bundle(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_figures_that_are_no_numbers_are_refused(write, tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path / "target", measured={"top1": float("nan")})
    assert not list(tmp_path.iterdir())


def test_classes_must_match_the_outputs(write, tmp_path, few, supernet, subnet, arch):
    three = dataclasses.replace(few, classes=("a", "b", "c"))
    with pytest.raises(InputError, match="has 10 outputs, but data set fashion_mnist has 3 classes"):
        write_bundle(tmp_path / "target", supernet, None, arch, three, {}, {}, subnet=subnet)
    assert not list(tmp_path.iterdir())


def test_verify_finds_classes_in_another_order(written, few, supernet):
    turned = dataclasses.replace(supernet.family, classes=tuple(reversed(supernet.classes)))
    with pytest.raises(InputError, match=r"output 0 of .* is 'T-shirt/top' by its card and 'Ankle boot' by"):
        verify_bundle(written, few, dataclasses.replace(supernet, family=turned))
