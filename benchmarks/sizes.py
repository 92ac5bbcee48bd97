"""Why one network is four times smaller, twice or one and a half times as big in another format: AlexNet in all of them.

python benchmarks/sizes.py [--net alexnet|vgg11|resnet50|resnet152] [--folder DIR] [--make] [--plot FILE] [--json]

The network is torchvision's with seeded weights. What a way of storing it needs is named where it is not installed:
onnx2torch and onnx2pytorch go beside oncefit, its extras litert and executorch into environments of their own. Each writes
its files with --make into the same --folder, and the last call finds all of them there.

Nothing is timed. TensorRT needs a GPU and is not run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn

import oncefit
from supernet.bundles.onnx_export import export_onnx
from supernet.weights.stored_weights import PRETRAINED

SEED, SIDE = 0, 224
NETS = ("alexnet", "vgg11", "resnet50", "resnet152")
MIB = 2**20


@dataclass(frozen=True)
class Way:
    """A way of storing a network: the packages it needs, and what writes the file, given the network and a folder."""

    file: str
    what: str
    write: Callable[[nn.Module, Path], None]
    needs: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", choices=NETS, default=NETS[0])
    parser.add_argument(
        "--folder", type=Path, help="keep the files here; those that are there are not written anew"
    )
    parser.add_argument(
        "--make", action="store_true", help="write the files and end, for a folder that others add to"
    )
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with ExitStack() as opened:
        folder = given.folder or Path(opened.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        made = [way for way in WAYS if stored(way, given.net, folder)]
        if given.make:
            return
        found = oncefit.sizes(*(folder / way.file for way in made))
        if given.plot:
            found.write(given.plot)
        if given.json:
            print(json.dumps(found.to_dict(), indent=2))
        else:
            show(made, found)


def network(name: str) -> nn.Module:
    """With batch norms as no two are after training: those of a new network are alike, and exporters store them once."""
    torch.manual_seed(SEED)
    net: nn.Module = getattr(torchvision.models, name)(weights=None)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.running_var):
                values.uniform_(0.5, 1.5)
            for values in (layer.bias.data, layer.running_mean):
                values.normal_(0.0, 0.1)
    return net.eval()


def stored(way: Way, name: str, folder: Path) -> bool:
    """Write a file, unless it is there; False where a package is missing or refuses."""
    path = folder / way.file
    if path.exists():
        return True
    missing = [package for package in way.needs if importlib.util.find_spec(package) is None]
    if missing:
        print(
            f"{way.file}: not made, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            file=sys.stderr,
        )
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            way.write(network(name), path)
    except Exception as error:  # a converter that fails is a result too
        print(f"{way.file}: not made, {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        return False
    return True


def show(made: list[Way], found: oncefit.ModelSizes) -> None:
    first = found.files[0].bytes
    print(f"{'file':18} {'MiB':>8} {'factor':>7}  what")
    for way, one in zip(made, found.files, strict=True):
        print(f"{way.file:18} {one.bytes / MIB:8.2f} {one.bytes / first:7.3f}  {way.what}")
        parts = [f"{key.kind} {key.dtype} {size / MIB:.2f}".replace("  ", " ") for key, size in one.parts.items()
                 if size >= 0.001 * one.bytes]  # fmt: skip
        print(f"{'':37}{', '.join(parts)}")
    print(
        f"trained weights (the embedded supernet's) as bytes in a pickle: {pickled_factor():.3f} of their size"
    )
    for name, changes in found.changes.items():
        print(f"\n{made[0].file} -> {Path(name).name}")
        for change in changes:
            number = max(len(change.before), len(change.after))
            print(
                f"  {number:4} {change.how}: {change.bytes_before / MIB:.2f} -> {change.bytes_after / MIB:.2f} MiB"
            )


def pickled_factor() -> float:
    """How much longer trained weights get as bytes in a pickle of protocol 2: those of the embedded supernet."""
    content = (PRETRAINED / "fmnist_mbv3.safetensors").read_bytes()
    return len(pickle.dumps(content, 2)) / len(content)


# -- the ways ------------------------------------------------------------------------


def as_state_dict(net: nn.Module, path: Path) -> None:
    torch.save(net.state_dict(), path)


def as_checkpoint(net: nn.Module, path: Path) -> None:
    """After a step of Adam, as a training loop saves it."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, path)


def as_half(net: nn.Module, path: Path) -> None:
    torch.save(net.half().state_dict(), path)


def as_onnx(net: nn.Module, path: Path) -> None:
    export_onnx(net, 3, SIDE, path)


def onnx_beside(net: nn.Module, path: Path) -> Path:
    """The ONNX model, which is written first."""
    model = path.with_name("model.onnx")
    if not model.exists():
        as_onnx(net, model)
    return model


def as_int8_onnx(net: nn.Module, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(onnx_beside(net, path), path, weight_type=QuantType.QInt8)


def as_optimised_onnx(net: nn.Module, path: Path) -> None:
    """What ONNX Runtime writes when its weights as they are packed for this processor are kept too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    for key, value in {
        "optimized_model_external_initializers_file_name": f"{path.name}.data",
        "optimized_model_external_initializers_min_size_in_bytes": "64",
        "save_external_prepacked_constant_initializers": "1",
    }.items():
        options.add_session_config_entry(f"session.{key}", value)
    onnxruntime.InferenceSession(onnx_beside(net, path), options, providers=["CPUExecutionProvider"])


def as_openvino(net: nn.Module, path: Path, half: bool = False) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(onnx_beside(net, path)), path, compress_to_fp16=half)


def back_by_onnx2torch(net: nn.Module, path: Path) -> None:
    from onnx2torch import convert

    torch.save(convert(str(onnx_beside(net, path))), path)


def back_by_onnx2pytorch(net: nn.Module, path: Path, whole: bool = False) -> None:
    """The module, which holds the ONNX model too, or its state dict."""
    import onnx
    from onnx2pytorch import ConvertModel

    converted = ConvertModel(onnx.load(onnx_beside(net, path)))
    torch.save(converted if whole else converted.state_dict(), path)


def onnx_saved_by_torch(net: nn.Module, path: Path) -> None:
    """``torch.save`` of the ONNX model itself: bytes within a pickle of protocol 2, which has text only."""
    import onnx

    torch.save(onnx.load(onnx_beside(net, path)), path)


def as_tflite(net: nn.Module, path: Path) -> None:
    import litert_torch

    litert_torch.convert(net, (torch.zeros(1, 3, SIDE, SIDE),)).export(str(path))


def as_int8_tflite(net: nn.Module, path: Path) -> None:
    """Weights of 8 bits, activations in float: TF Lite's dynamic-range quantisation."""
    from ai_edge_quantizer import quantizer, recipe

    plain = path.with_name("model.tflite")
    if not plain.exists():
        as_tflite(net, plain)
    quantizer.Quantizer(str(plain), recipe.dynamic_wi8_afp32()).quantize().export_model(str(path))


def as_program(net: nn.Module, path: Path) -> None:
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, SIDE, SIDE),)), path)


def as_executorch(net: nn.Module, path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(net, (torch.zeros(1, 3, SIDE, SIDE),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    path.write_bytes(lowered.buffer)


WAYS = (
    Way("model.pth", "PyTorch, state dict", as_state_dict),
    Way("model.onnx", "ONNX", as_onnx),
    Way("checkpoint.pth", "PyTorch with Adam's state", as_checkpoint),
    Way("half.pth", "PyTorch, half precision", as_half),
    Way("model.pt2", "torch.export", as_program),
    Way("int8.onnx", "ONNX Runtime, 8-bit weights", as_int8_onnx),
    Way("packed.onnx", "ONNX Runtime, with packed weights", as_optimised_onnx),
    Way("model.xml", "OpenVINO", as_openvino, ("openvino",)),
    Way("half.xml", "OpenVINO, half precision", lambda n, p: as_openvino(n, p, half=True), ("openvino",)),
    Way("onnx2torch.pt", "ONNX -> PyTorch by onnx2torch", back_by_onnx2torch, ("onnx2torch",)),
    Way(
        "onnx2pytorch.pth",
        "ONNX -> PyTorch by onnx2pytorch, state dict",
        back_by_onnx2pytorch,
        ("onnx2pytorch",),
    ),
    Way(
        "onnx2pytorch.pt",
        "ONNX -> PyTorch by onnx2pytorch, module",
        lambda n, p: back_by_onnx2pytorch(n, p, whole=True),
        ("onnx2pytorch",),
    ),
    Way("onnx.pth", "torch.save of the ONNX model", onnx_saved_by_torch),
    Way("model.tflite", "TF Lite", as_tflite, ("litert_torch",)),
    Way("int8.tflite", "TF Lite, 8-bit weights", as_int8_tflite, ("litert_torch", "ai_edge_quantizer")),
    Way("model.pte", "ExecuTorch, XNNPACK", as_executorch, ("executorch",)),
)

if __name__ == "__main__":
    main()
