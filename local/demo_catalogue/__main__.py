"""`python -m local.demo_catalogue FILE`: the demo catalogue as JSON Lines, and its pictures where pages look for them.

Pictures go to the folder of --pictures, else, where STORAGE_EMULATOR_HOST and MEDIA_BUCKET say so, into the bucket.
"""

import argparse
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from urllib.parse import quote

from local.demo_catalogue.products import PRODUCTS, Picture, pictures, rows
from local.demo_catalogue.shapes import draw
from local.demo_catalogue.vocabulary import COLOURS

UPLOAD_TIMEOUT_S = 20


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.demo_catalogue")
    parser.add_argument("file", type=Path, help="where the rows go, JSON Lines")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a folder for the pictures")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    arguments = parser.parse_args(argv)
    with arguments.file.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(arguments.products))
    wanted = pictures(arguments.products)
    storage, bucket = os.environ.get("STORAGE_EMULATOR_HOST"), os.environ.get("MEDIA_BUCKET")
    if arguments.pictures is not None:
        for picture, image in _painted(wanted):
            target = arguments.pictures / picture.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image)
    elif storage and bucket:
        try:
            for picture, image in _painted(wanted):
                _upload(storage, bucket, picture.path, image)
        except (urllib.error.URLError, OSError) as error:
            # A shop without pictures is still a shop.
            print(f"the pictures were not stored: {error}", file=sys.stderr)
    return 0


def paint(picture: Picture) -> bytes:
    """The picture as WebP."""
    image = io.BytesIO()
    draw(picture.shape, COLOURS[picture.colour]).save(image, "WEBP", quality=82, method=1)
    return image.getvalue()


def _painted(wanted: Sequence[Picture]) -> Iterator[tuple[Picture, bytes]]:
    with ProcessPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as painters:
        yield from zip(wanted, painters.map(paint, wanted, chunksize=16), strict=True)


def _upload(storage: str, bucket: str, name: str, image: bytes) -> None:
    """Cloud Storage JSON API v1, objects.insert with a media upload."""
    url = f"{storage}/upload/storage/v1/b/{quote(bucket)}/o?uploadType=media&name={quote(name, safe='')}"
    request = urllib.request.Request(url, image, {"Content-Type": "image/webp"}, method="POST")
    with urllib.request.urlopen(request, timeout=UPLOAD_TIMEOUT_S) as answer:
        answer.read()


if __name__ == "__main__":
    sys.exit(main())
