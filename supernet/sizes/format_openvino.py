"""OpenVINO's intermediate representation: a graph in XML, and its constants in a .bin file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from supernet.errors import InputError, short
from supernet.sizes.byte_map import GRAPH, METADATA, UNUSED, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.stored_tensor import UNKNOWN_DTYPE, Placed, StoredTensor, claimed, in_one_piece

FORMAT = "OpenVINO"
DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64", "i32": "int32",
    "i16": "int16", "i8": "int8", "i4": "int4", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "u4": "uint4", "u2": "uint2", "u1": "uint1", "boolean": "bool", "nf4": "nf4", "f8e4m3": "float8_e4m3fn",
    "f8e5m2": "float8_e5m2", "f8e8m0": "float8_e8m0fnu", "f4e2m1": "float4_e2m1",
}  # fmt: skip
TOLD_ELEMENTS = ("rt_info", "meta_data")
"""Elements that are no part of the graph."""


def read(path: Path) -> FileSizes:
    """Either of the two files may be given."""
    xml, weights = path.with_suffix(".xml"), path.with_suffix(".bin")
    for needed in (xml, weights):
        if not needed.is_file():
            raise InputError(f"{path} is half of a model of OpenVINO; put {needed.name} beside it")
    graph = ByteMap(MappedFile(xml))
    reader = _Reader(graph.file)
    reader.run()
    # a network without weights has an empty file
    data = ByteMap(MappedFile(weights)) if weights.stat().st_size else None
    if data is None and reader.constants:
        raise InputError(f"{weights} is empty, and {xml} has weights in it; copy or write it once more")
    for start, end in reader.told:
        graph.claim(start, end, METADATA)
    maps = {graph: GRAPH} | ({data: UNUSED} if data is not None else {})
    placed = stored(reader, data) if data is not None else iter(())
    found = sizes_of_file(str(xml), FORMAT, maps, claimed(placed))
    return (
        found
        if data is not None
        else FileSizes(found.name, found.format, {**found.files, str(weights): 0}, found.parts, found.tensors)
    )


def stored(reader: _Reader, data: ByteMap) -> Iterator[Placed]:
    for name, about in reader.constants:
        try:
            dtype = DTYPES.get(about["element_type"], UNKNOWN_DTYPE)
            shape = tuple(int(side) for side in about.get("shape", "").split(",") if side.strip())
            start = int(about["offset"])
            end = start + int(about["size"])
        except (KeyError, ValueError):
            raise reader.file.damaged(f"it says of {short(name)}: {short(about)}") from None
        view = data.file.bytes_at(start, end)
        one = StoredTensor(name, dtype, shape, in_one_piece(view))
        if min(shape, default=0) < 0 or one.bytes not in (0, end - start):
            raise reader.file.damaged(
                f"{short(name)} is {dtype} {list(shape)}, and has {end - start:,} bytes"
            )
        yield Placed(one, data, start, end)


class _Reader:
    """Constants and metadata of an XML file; a document type, with which XML can be made to grow, is refused."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.constants: list[tuple[str, dict[str, str]]] = []
        self.told: list[tuple[int, int]] = []
        self._is_constant = False
        self._layer = ""
        self._inside = 0
        self._start = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse

    def run(self) -> None:
        try:
            self._parser.Parse(bytes(self.file.view), True)
        except expat.ExpatError as error:
            raise self.file.damaged(f"it is no XML: {error}") from error

    def _refuse(self, *_: object) -> None:
        raise self.file.damaged("it has a document type, which no model of OpenVINO has")

    def _begin(self, name: str, about: dict[str, str]) -> None:
        if name in TOLD_ELEMENTS:
            if not self._inside:
                self._start = self._parser.CurrentByteIndex
            self._inside += 1
        elif name == "layer":
            self._layer, self._is_constant = about.get("name", "?"), about.get("type") == "Const"
        elif name == "data" and self._is_constant and "offset" in about:
            self.constants.append((self._layer, about))

    def _end(self, name: str) -> None:
        if name in TOLD_ELEMENTS:
            self._inside -= 1
            if not self._inside:
                self.told.append((self._start, self._parser.CurrentByteIndex + len(f"</{name}>")))
