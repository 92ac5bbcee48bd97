"""Small model files of every format, written by each format's own library."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

FORMATS = (
    "pth",
    "stream",
    "checkpoint",
    "script",
    "safetensors",
    "onnx",
    "external",
    "openvino",
    "tflite",
    "pte",
    "pt2",
)


def tiny_net() -> nn.Module:
    """A convolution, a batch norm whose statistics are not those of a fresh one, and a linear layer."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 40)
    )  # fmt: skip
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    nn.init.uniform_(net[1].running_var, 0.5, 2)
    nn.init.normal_(net[1].running_mean)
    return net.eval()


def write_model(form: str, folder: Path) -> Path:
    """One of :data:`FORMATS`."""
    return globals()[f"write_{form}"](folder)


def write_pth(folder: Path) -> Path:
    torch.save(tiny_net().state_dict(), folder / "net.pth")
    return folder / "net.pth"


def write_stream(folder: Path) -> Path:
    torch.save(tiny_net().state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder / "old.pth"


def write_checkpoint(folder: Path) -> Path:
    net = tiny_net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    torch.save(
        {"epoch": 3, "model": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.ckpt"
    )
    return folder / "last.ckpt"


def write_script(folder: Path) -> Path:
    """As ``torch.jit.save`` does, which warns that it is old: the same archive with code in it."""
    archive = torch._C.PyTorchFileWriter(str(folder / "script.pt"))
    reader = torch._C.PyTorchFileReader(str(write_pth(folder)))
    for name in reader.get_all_records():
        if not name.startswith((".", "version", "byteorder")):
            record = reader.get_record(name)
            archive.write_record(name, record, len(record))
    code = b"class Net(Module):\n  pass\n"
    archive.write_record("code/__torch__.py", code, len(code))
    archive.write_end_of_file()
    return folder / "script.pt"


def write_safetensors(folder: Path) -> Path:
    save_file(tiny_net().state_dict(), folder / "net.safetensors", metadata={"made": "here"})
    return folder / "net.safetensors"


def onnx_model() -> onnx.ModelProto:
    """Weights as raw bytes, as numbers, in halves, in a node and in a graph within a node."""
    weight, halves = np.arange(24, dtype=np.float32).reshape(4, 6), np.arange(6, dtype=np.float16)
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], name="inside", value=helper.make_tensor("c", TensorProto.FLOAT, [2], [5, 6]))],
        "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Constant", [], ["k"], name="alone", value=helper.make_tensor("k", TensorProto.INT64, [3], [7, -8, 9])),
        helper.make_node("If", ["y"], ["z"], then_branch=inner, else_branch=inner, doc_string="why " * 30),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "net", [], [], [
        numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight, "again"),
        helper.make_tensor("h", TensorProto.FLOAT16, [6], halves.tolist()),
        helper.make_tensor("f", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        helper.make_tensor("i", TensorProto.INT8, [3], [-1, 0, 1]),
    ])  # fmt: skip
    return helper.make_model(graph, producer_name="tests")


def write_onnx(folder: Path) -> Path:
    onnx.save(onnx_model(), folder / "net.onnx")
    return folder / "net.onnx"


def write_external(folder: Path) -> Path:
    onnx.save(
        onnx_model(), folder / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=50
    )
    return folder / "big.onnx"


def write_openvino(folder: Path) -> Path:
    """Two constants, of which the second is in halves, as OpenVINO writes them."""
    weights = np.arange(12, dtype="<f4").tobytes() + np.arange(4, dtype="<f2").tobytes()
    (folder / "ir.bin").write_bytes(weights)
    (folder / "ir.xml").write_text("""<?xml version="1.0"?>
<net name="net" version="11"><layers>
<layer id="0" name="w" type="Const" version="opset1"><data element_type="f32" shape="3, 4" offset="0" size="48" /></layer>
<layer id="1" name="h" type="Const" version="opset1"><data element_type="f16" shape="4" offset="48" size="8" /></layer>
</layers><edges /><rt_info><Runtime_version value="1" /></rt_info></net>
""")
    return folder / "ir.xml"


def write_pt2(folder: Path) -> Path:
    """The layout of ``torch.export.save``, which takes a second or two to export."""
    import json

    net = tiny_net().state_dict()
    config = {}
    archive = torch._C.PyTorchFileWriter(str(folder / "net.pt2"))
    for i, (name, tensor) in enumerate(net.items()):
        archive.write_record(f"data/weights/weight_{i}", tensor.numpy().tobytes(), tensor.nbytes)
        meta = {
            "dtype": {torch.float32: 7, torch.int64: 5}[tensor.dtype],
            "sizes": [{"as_int": n} for n in tensor.shape], "strides": [{"as_int": n} for n in tensor.stride()],
            "storage_offset": {"as_int": 0},
        }  # fmt: skip
        config[name] = {
            "path_name": f"weight_{i}",
            "is_param": True,
            "use_pickle": False,
            "tensor_meta": meta,
        }
    for name, text in {
        "data/weights/model_weights_config.json": json.dumps({"config": config}),
        "data/constants/model_constants_config.json": '{"config": {}}',
        "models/model.json": '{"graph_module": {}}',
        "data/sample_inputs/model.pt": "x" * 100,
        "archive_format": "pt2",
    }.items():
        archive.write_record(name, text.encode(), len(text))
    archive.write_end_of_file()
    return folder / "net.pt2"


# -- FlatBuffers, by Google's own builder, fields from the last to the first ---------------------------------


class Tables:
    """Tables by the numbers of their fields."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(0)

    def vector(self, data: bytes, wide: int) -> int:
        """A vector of so many bytes an element, aligned to 16."""
        self.builder.StartVector(wide, len(data) // wide, 16)
        self.builder.head -= len(data)
        self.builder.Bytes[self.builder.head : self.builder.head + len(data)] = data
        return int(self.builder.EndVector())

    def tables(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(self, fields: dict[int, tuple[str, int]]) -> int:
        """``{number: (kind, value)}``: ``offset`` of what was made before, or a ``Prepend...Slot`` of the builder."""
        self.builder.StartObject(12)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                self.builder.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                getattr(self.builder, f"Prepend{kind}Slot")(number, value, 0)
        return int(self.builder.EndObject())

    def finished(self, root: int, identifier: bytes) -> bytes:
        self.builder.Finish(root, file_identifier=identifier)
        return bytes(self.builder.Output())


TFLITE_WEIGHT = np.arange(-12, 12, dtype=np.int8).reshape(4, 6)
TFLITE_BIAS = np.arange(4, dtype="<f4")
TFLITE_SCALES = np.full(4, 0.5, "<f4")


def write_tflite(folder: Path) -> Path:
    """A quantised weight with a scale for each channel, two biases in one buffer, an activation, and metadata."""
    made = Tables()
    buffers = [
        made.table({0: ("offset", made.vector(data, 1))} if data else {})
        for data in (b"", TFLITE_WEIGHT.tobytes(), TFLITE_BIAS.tobytes(), b"1.14.0 and more")
    ]
    scales = made.table({2: ("offset", made.vector(TFLITE_SCALES.tobytes(), 4)),
                         3: ("offset", made.vector(bytes(32), 8))})  # fmt: skip

    def tensor(name: str, shape: tuple[int, ...], kind: int, buffer: int, quantised: int = 0) -> int:
        fields = {
            0: ("offset", made.vector(np.array(shape, "<i4").tobytes(), 4)),
            1: ("Int8", kind), 2: ("Uint32", buffer), 3: ("offset", made.builder.CreateString(name)),
        }  # fmt: skip
        return made.table(fields | ({4: ("offset", quantised)} if quantised else {}))

    tensors = [
        tensor("w", (4, 6), 9, 1, scales), tensor("b", (4,), 0, 2), tensor("b2", (2, 2), 0, 2), tensor("x", (1, 6), 0, 0),
    ]  # fmt: skip
    graph = made.table({0: ("offset", made.tables(tensors))})
    about = made.table({0: ("offset", made.builder.CreateString("min_runtime_version")), 1: ("Uint32", 3)})
    model = made.table({
        0: ("Uint32", 3), 2: ("offset", made.tables([graph])), 3: ("offset", made.builder.CreateString("by tests")),
        4: ("offset", made.tables(buffers)), 6: ("offset", made.tables([about])),
    })  # fmt: skip
    (folder / "net.tflite").write_bytes(made.finished(model, b"TFL3"))
    return folder / "net.tflite"


PTE_WEIGHT = np.arange(20, dtype="<f4").reshape(4, 5)
PTE_BLOB, PTE_NAMED = b"compiled" * 9, b"named data" * 3


def write_pte(folder: Path) -> Path:
    """A constant in a segment, what a delegate was given in another, and data under a name in a third."""
    made = Tables()
    parts = (PTE_WEIGHT.tobytes(), PTE_BLOB, PTE_NAMED)
    starts = [0, 128, 256]
    segments = [
        made.table({0: ("Uint64", start), 1: ("Uint64", len(part))})
        for start, part in zip(starts, parts, strict=True)
    ]
    tensor = made.table({
        0: ("Int8", 6), 2: ("offset", made.vector(np.array([4, 5], "<i4").tobytes(), 4)), 5: ("Uint32", 1),
    })  # fmt: skip
    value = made.table({0: ("Uint8", 5), 1: ("offset", tensor)})
    delegate = made.table({0: ("offset", made.builder.CreateString("XnnpackBackend")),
                           1: ("offset", made.table({0: ("Int8", 1), 1: ("Uint32", 1)}))})  # fmt: skip
    plan = made.table({2: ("offset", made.tables([value])), 7: ("offset", made.tables([delegate]))})
    constants = made.table({0: ("Uint32", 0), 1: ("offset", made.vector(bytes(16), 8))})
    named = made.table({0: ("offset", made.builder.CreateString("key")), 1: ("Uint32", 2)})
    program = made.table({
        1: ("offset", made.tables([plan])), 4: ("offset", made.tables(segments)), 5: ("offset", constants),
        7: ("offset", made.tables([named])),
    })  # fmt: skip
    data = made.finished(program, b"ET12")
    # the header stands between the identifier and the first table
    root = int.from_bytes(data[:4], "little") + 24
    length = len(data) + 24
    base = -(-length // 128) * 128
    header = b"eh00" + (24).to_bytes(4, "little") + length.to_bytes(8, "little") + base.to_bytes(8, "little")
    program_bytes = root.to_bytes(4, "little") + data[4:8] + header + data[8:]
    whole = bytearray(base + 256 + len(PTE_NAMED))
    whole[:length] = program_bytes
    for start, part in zip(starts, parts, strict=True):
        whole[base + start : base + start + len(part)] = part
    (folder / "net.pte").write_bytes(bytes(whole))
    return folder / "net.pte"
