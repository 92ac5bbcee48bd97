"""Formats by the ending of a file's name, and what is in a folder that is a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from supernet.errors import InputError, prefixed, short, unknown
from supernet.sizes.byte_map import METADATA, OTHER, PartKey
from supernet.sizes.file_sizes import FileSizes

FILE_READERS: Mapping[str, str] = {
    ".pth": "supernet.sizes.format_torch",
    ".pt": "supernet.sizes.format_torch",
    ".ckpt": "supernet.sizes.format_torch",
    ".pt2": "supernet.sizes.format_torch_export",
    ".safetensors": "supernet.sizes.format_safetensors",
    ".onnx": "supernet.sizes.format_onnx",
    ".tflite": "supernet.sizes.format_tflite",
    ".pte": "supernet.sizes.format_executorch",
    ".xml": "supernet.sizes.format_openvino",
    ".bin": "supernet.sizes.format_openvino",
}
"""A module with ``read``, which tells :class:`FileSizes` of a path. One line a format."""
BUNDLE_CARD = "card.json"
"""What makes a folder a bundle."""
BUNDLE_FORMATS = "formats"
"""The folder of a bundle that has a folder for each format."""
DOCUMENTS, NOT_READ = "documents of the bundle", "not read"


def model_files(path: Path) -> list[FileSizes]:
    """A model file, or those of a bundle and what else is in it. Raises InputError for anything else."""
    if path.is_dir():
        return sizes_of_bundle(path)
    if not path.exists():
        raise InputError(f"there is no file or bundle {path}")
    if not path.is_file():
        raise InputError(f"{path} is no file; give a model file or a bundle")
    return [read_model_file(path)]


def read_model_file(path: Path) -> FileSizes:
    try:
        return reader_of(path)(path)
    except InputError as error:
        if str(path.with_suffix("")) in str(error):
            raise
        raise prefixed(error, str(path)) from error


def reader_of(path: Path) -> Callable[[Path], FileSizes]:
    suffix = path.suffix.lower()
    if suffix not in FILE_READERS:
        raise unknown(f"ending of the model file {short(str(path))}:", suffix, FILE_READERS)
    # torch's own files are named so too, as pytorch_model.bin
    if suffix == ".bin" and not path.with_suffix(".xml").exists() and begins_as_torch(path):
        suffix = ".pt"
    found: Callable[[Path], FileSizes] = import_module(FILE_READERS[suffix]).read
    return found


def begins_as_torch(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" or (file.seek(0) == 0 and file.read(1) == b"\x80")


def sizes_of_bundle(folder: Path) -> list[FileSizes]:
    if not (folder / BUNDLE_CARD).is_file():
        raise InputError(
            f"{folder} is a folder and no bundle, which has a {BUNDLE_CARD}; give a bundle or model files"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # the weights before what was made of them
    models = sorted(filter(is_model, files), key=lambda p: list(FILE_READERS).index(p.suffix))
    found = [read_model_file(path) for path in models]
    read = {name for one in found for name in one.files}
    left = {str(path): path.stat().st_size for path in files if str(path) not in read}
    others = []
    for of_format in sorted((folder / BUNDLE_FORMATS).glob("*/")):
        whole = {name: size for name, size in left.items() if of_format in Path(name).parents}
        if whole and not any(of_format in Path(name).parents for name in read):
            others.append(FileSizes(str(of_format), NOT_READ, whole, {PartKey(OTHER): sum(whole.values())}))
            left = {name: size for name, size in left.items() if name not in whole}
    documents = FileSizes(str(folder), DOCUMENTS, left, {PartKey(METADATA): sum(left.values())})
    return [*found, *others, documents]


def is_model(path: Path) -> bool:
    """Whether a file of a bundle is read: a .bin may be of ncnn and Core ML too, and OpenVINO's is read with its .xml."""
    return path.suffix in FILE_READERS and (path.suffix != ".bin" or begins_as_torch(path))
