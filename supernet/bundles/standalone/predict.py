#!/usr/bin/env python3
"""Classify images with the model of this bundle.

    python predict.py photo.jpg ...    the five best classes of each image; of a folder, of all images below
    python predict.py --self-test      whether this machine answers as the one that wrote the bundle

It needs Python 3.10, numpy, pillow and onnxruntime, and nothing else; no network. card.json beside it says how an image
becomes an input, and what the classes are called.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    import PIL
    from PIL import Image
except ImportError as missing:
    print(f"predict.py: {missing}; pip install numpy pillow onnxruntime", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
CARD, TEST_ANSWER = "card.json", "selftest.json"
MODEL_OF = {None: "model.onnx", "int8": "model-int8.onnx"}
"""What runs, by the precision that the card says."""
IMAGES_AT_ONCE = 100
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would end a line or steer a terminal; halves of a surrogate pair cannot be printed."""
INPUT_TOLERANCE = 1e-4
"""How far a value of an input may be from that of the machine that wrote the bundle."""


def printed_name(text: object) -> str:
    """Somebody else's text as one line of a terminal: ``ESC`` stands as ``\\x1b``."""
    return NOT_IN_A_LINE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


class Refused(Exception):
    """What is wrong, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when all is well, 1 where the self-test differs, 2 for what is refused."""
    options = told(arguments)
    try:
        card = bundle_json(CARD)
        session = opened_session(card, options.threads)
        if options.self_test:
            return self_test(card, session)
        classify(options, card, session)
        sys.stdout.flush()
    except Refused as error:
        print(f"predict.py: {printed_name(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # of a reader that has seen enough, as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"predict.py: cannot read {printed_name(error.filename)}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def told(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify images with the model of this bundle.")
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGE", help="image files, or folders of them"
    )
    parser.add_argument("--self-test", action="store_true", help="classify the stored test image")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="classes to print (default: 5)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if bool(options.images) == options.self_test:
        parser.error("give image files or folders, or --self-test alone")
    if options.top < 1 or options.threads < 1:
        parser.error("--top and --threads are at least 1")
    return options


def opened_session(card: dict[str, Any], threads: int) -> Any:
    """The model in ONNX Runtime. Raises Refused where it is not the one that the card is of."""
    name = MODEL_OF[card.get("precision")]
    check_unchanged(name, card)
    model = (HERE / name).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise Refused(f"onnxruntime {onnxruntime.__version__} cannot load {name}: {error}") from error


def bundle_json(name: str) -> dict[str, Any]:
    """What is in a file of the bundle. Raises Refused for what is no JSON."""
    try:
        found = json.loads((HERE / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"{name} is damaged: {error}; copy the bundle anew") from error
    if not isinstance(found, dict):
        raise Refused(f"{name} is damaged: it holds no object; copy the bundle anew")
    return found


def check_unchanged(name: str, card: dict[str, Any]) -> None:
    found, expected = hashlib.sha256((HERE / name).read_bytes()).hexdigest(), card["files"].get(name)
    if found != expected:
        raise Refused(f"{name} was changed: its sha256 is {found}, expected {expected}; copy the bundle anew")


def classify(options: argparse.Namespace, card: dict[str, Any], session: Any) -> None:
    """Print the best classes of each image."""
    files = list(image_files(options.images))
    found = []
    for first in range(0, len(files), IMAGES_AT_ONCE):
        batch = files[first : first + IMAGES_AT_ONCE]
        inputs = np.stack([input_of(image_in(file, card), card) for file in batch])
        found += [
            (file, best_classes(row, card, options.top))
            for file, row in zip(batch, model_logits(session, card, inputs), strict=True)
        ]
    if options.json:
        print(json.dumps([{"file": str(file), "classes": classes} for file, classes in found], indent=2))
        return
    for file, classes in found:
        print(printed_name(file))
        for one in classes:
            print(f"  {100 * one['probability']:6.2f} %  {printed_name(one['class'])}")


def image_files(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not below:
                raise Refused(f"there is no image in {path}; files are named *{', *'.join(IMAGE_SUFFIXES)}")
            yield from below
        else:
            yield path


def model_logits(session: Any, card: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
    found: np.ndarray = session.run([card["output"]["name"]], {card["input"]["name"]: inputs})[0]
    return found


def best_classes(logits: np.ndarray, card: dict[str, Any], top: int) -> list[dict[str, Any]]:
    """The best classes first, each with its probability (softmax)."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    shares = powers / powers.sum()
    return [
        {"class": card["classes"][i], "probability": float(shares[i])}
        for i in np.argsort(-logits, kind="stable")[:top]
    ]


def image_in(path: Path, card: dict[str, Any]) -> Image.Image:
    """The first frame of a file, grey or RGB as the model takes it, not rotated by EXIF, transparency dropped."""
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.mode.startswith("I;16"):  # Pillow clips those at 255 instead of scaling them
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
            return image.convert("L" if card["preprocessing"]["channels"] == 1 else "RGB")
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError and more
        raise Refused(f"cannot decode {path}: {error}; give other images") from error


def input_of(image: Image.Image, card: dict[str, Any]) -> np.ndarray:
    """What the model takes (channels, side, side) of a decoded image, as the card's ``preprocessing`` says."""
    how = card["preprocessing"]
    pixels = middle_of(image, how) if "crop" in how else resized_square(image, how)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    mean, std = (np.asarray(how[name], dtype=np.float32)[:, None, None] for name in ("mean", "std"))
    scaled = planes.astype(np.float32) * np.float32(how["scale"])
    return np.ascontiguousarray((scaled - mean) / std)


def resized_square(image: Image.Image, how: dict[str, Any]) -> np.ndarray:
    """A square of ``stored`` pixels in 8 bits, and that resized in float32."""
    stored, side = how["stored"], how["resolution"]
    square = image.resize((stored, stored), Image.Resampling.BILINEAR)
    if stored == side:
        return np.asarray(square, dtype=np.float32)
    planes = [plane.convert("F").resize((side, side), Image.Resampling.BILINEAR) for plane in square.split()]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1).reshape(side, side, -1)


def middle_of(image: Image.Image, how: dict[str, Any]) -> np.ndarray:
    """The shorter side resized to ``shorter_side``, and the middle cut out."""
    (width, height), short, side = image.size, how["shorter_side"], how["resolution"]
    long = int(short * max(width, height) / min(width, height))
    size = (short, long) if width <= height else (long, short)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2.0) for length in size)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def self_test(card: dict[str, Any], session: Any) -> int:
    """Whether the stored image gives the stored logits here; says which step differs where it does not."""
    for name in (TEST_ANSWER, "selftest.png"):
        check_unchanged(name, card)
    stored = bundle_json(TEST_ANSWER)
    inputs = input_of(image_in(HERE / stored["image"], card), card)
    apart = {
        name: float(np.abs(found - np.asarray(stored[f"input_{name}"])).max())
        for name, found in signature(inputs).items()
        if f"input_{name}" in stored
    }
    logits = model_logits(session, card, inputs[None])[0]
    difference = float(np.abs(logits - np.asarray(stored["logits"])).max())
    print(f"the input differs by up to {max(apart.values()):.2g} (allowed: {INPUT_TOLERANCE:g})")
    print(f"the logits differ by up to {difference:.2g} (allowed: {stored['allowed']:.2g})")
    wrote = card["versions"]
    if not max(apart.values()) <= INPUT_TOLERANCE:
        print(
            f"DIFFERENT: {printed_name(stored['image'])} becomes another input here than where the bundle was written: the preprocessing "
            f"is another. predict.py or {CARD} was edited, or pillow {PIL.__version__} resizes otherwise than pillow "
            f"{printed_name(wrote.get('pillow', '(not known)'))}, which wrote it; copy the bundle anew, or install that"
        )
        return 1
    if not difference <= stored["allowed"]:
        print(
            f"DIFFERENT: the model answers otherwise here than where the bundle was written, to the same input: "
            f"onnxruntime {onnxruntime.__version__} here, {printed_name(wrote.get('onnxruntime', '(not known)'))} there; copy the bundle anew, "
            "or install that"
        )
        return 1
    print(f"as where the bundle was written: {printed_name(best_classes(logits, card, 1)[0]['class'])}")
    return 0


def signature(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of an input (channels, side, side): mean and deviation of each channel, a diagonal and a row."""
    return {
        "mean": inputs.mean((1, 2), dtype=np.float64),
        "std": inputs.std((1, 2), dtype=np.float64),
        "diagonal": np.diagonal(inputs, axis1=1, axis2=2).astype(np.float64),
        "row": inputs[:, inputs.shape[1] // 3].astype(np.float64),
    }


if __name__ == "__main__":
    sys.exit(main())
