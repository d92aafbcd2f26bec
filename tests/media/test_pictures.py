"""What is a picture, and what is left of it: by its content, small enough, upright, in sRGB, and nothing but pixels."""

import io
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from shared.gateways.pictures import Pictures
from shared.media.media import RefusedPicture, Rendered


def file_of(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def two_halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """The left half red, the right one blue."""
    picture = Image.new("RGB", (width, height), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, width // 2, height))
    return picture.convert(mode)


def rendered(content: bytes) -> tuple[Rendered, list[Image.Image]]:
    made = Pictures().render(content)
    return made, [Image.open(io.BytesIO(each.content)) for each in made.renditions]


def reason(content: bytes) -> str:
    with pytest.raises(RefusedPicture) as refused:
        Pictures().render(content)
    return refused.value.reason


def about(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """A pixel's colour to the nearest 64: WebP forgets a little."""
    found = picture.getpixel((x, y))
    assert isinstance(found, tuple)
    return tuple(round(each / 64) * 64 for each in found)


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (200, 100, [(200, 100)]),
        (320, 10, [(320, 10)]),
        (500, 1000, [(320, 640), (500, 1000)]),
        (1600, 800, [(320, 160), (640, 320), (1280, 640)]),
        (2, 1, [(2, 1)]),
    ],
)
def test_a_picture_is_made_in_a_few_widths_and_never_enlarged(
    width: int, height: int, sizes: list[tuple[int, int]]
) -> None:
    made, pictures = rendered(file_of(two_halves(width, height), "PNG"))

    assert (made.width, made.height, made.content_type, made.suffix) == (width, height, "image/webp", "webp")
    assert [picture.size for picture in pictures] == sizes == [(each.width, each.height) for each in made.renditions]
    assert {picture.format for picture in pictures} == {"WEBP"}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_whatever_is_taken_looks_as_it_did(form: str) -> None:
    _, [picture] = rendered(file_of(two_halves(64, 64), form))

    assert (about(picture, 8, 32), about(picture, 56, 32)) == ((256, 0, 0), (0, 0, 256))


def test_a_picture_stands_upright_and_tells_no_place_no_camera_and_no_comment() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the camera was turned a quarter to the right
    exif[0x0110] = "SECRET-CAMERA"
    exif.get_ifd(0x8825)[2] = (IFDRational(52), IFDRational(31), IFDRational(12))  # GPSLatitude
    content = file_of(two_halves(400, 200), "JPEG", exif=exif, comment=b"SECRET-COMMENT", quality=95)
    assert b"SECRET-CAMERA" in content

    made, pictures = rendered(content)

    assert (made.width, made.height) == (200, 400)
    assert (about(pictures[0], 100, 20), about(pictures[0], 100, 380)) == ((256, 0, 0), (0, 0, 256))
    assert [dict(picture.getexif()) for picture in pictures] == [{}]
    for each, picture in zip(made.renditions, pictures, strict=True):
        assert set(picture.info) <= {"loop", "background", "timestamp", "duration"}
        assert b"SECRET" not in each.content
        assert b"EXIF" not in each.content


def test_xmp_and_text_of_a_png_are_left_behind() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x>SECRET</x>")
    info.add_text("Author", "SECRET")

    made, _ = rendered(file_of(two_halves(40, 40), "PNG", pnginfo=info))

    assert [b"SECRET" in each.content or b"XMP" in each.content for each in made.renditions] == [False]


def test_what_is_clear_stays_clear_and_what_is_not_carries_no_alpha() -> None:
    clear = two_halves(40, 40, "RGBA")
    clear.paste((0, 0, 0, 0), (0, 20, 40, 40))

    _, [kept] = rendered(file_of(clear, "PNG"))
    _, [opaque] = rendered(file_of(two_halves(40, 40), "PNG"))
    _, [palette] = rendered(file_of(clear.quantize(), "PNG"))

    assert (kept.mode, kept.getpixel((5, 35)), opaque.mode) == ("RGBA", (0, 0, 0, 0), "RGB")
    assert palette.mode == "RGBA"


def swapped() -> bytes:
    """sRGB with its red and its green exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"qXYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"qXYZ", b"gXYZ", 1)


def test_colours_are_converted_from_the_files_own_profile_which_is_left_behind() -> None:
    _, [picture] = rendered(file_of(two_halves(64, 64), "PNG", icc_profile=swapped()))

    assert (about(picture, 8, 32), about(picture, 56, 32)) == ((0, 256, 0), (0, 0, 256))
    assert "icc_profile" not in picture.info


def test_a_profile_that_is_none_is_overlooked() -> None:
    _, [picture] = rendered(file_of(two_halves(64, 64), "JPEG", icc_profile=b"no profile at all"))

    assert about(picture, 8, 32) == (256, 0, 0)


def test_print_colours_and_grey_of_sixteen_bits_become_colours_of_a_screen() -> None:
    grey = Image.new("I;16", (16, 16))
    grey.putdata([128 * 256] * 256)

    _, [printed] = rendered(file_of(two_halves(64, 64, "CMYK"), "JPEG", quality=95))
    _, [plain] = rendered(file_of(grey, "PNG"))

    assert (printed.mode, about(printed, 8, 32)) == ("RGB", (256, 0, 0))
    assert (plain.mode, about(plain, 8, 8)) == ("RGB", (128, 128, 128))


def test_of_an_animation_the_first_image_is_shown() -> None:
    first, second = Image.new("RGB", (32, 32), (255, 0, 0)), Image.new("RGB", (32, 32), (0, 0, 255))

    for form in ("GIF", "WEBP"):
        _, [picture] = rendered(file_of(first, form, save_all=True, append_images=[second]))
        assert (about(picture, 16, 16), getattr(picture, "n_frames", 1)) == ((256, 0, 0), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just a text that somebody has called shoe.png",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        file_of(two_halves(8, 8), "TIFF"),
        file_of(two_halves(8, 8), "BMP"),
        file_of(two_halves(8, 8), "ICO"),
    ],
    ids=["empty", "text", "svg", "pdf", "signature alone", "tiff", "bmp", "ico"],
)
def test_what_is_no_picture_of_the_web_is_refused_whatever_it_is_called(content: bytes) -> None:
    assert reason(content) in ("not_a_picture", "damaged")
    if content[:4] != b"\x89PNG":
        assert reason(content) == "not_a_picture"


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (12_000, 12_000), (7_000, 7_000), (12_001, 1), (1, 2**31 - 1)]
)
def test_a_bomb_is_refused_before_a_pixel_is_made_of_it(width: int, height: int) -> None:
    assert reason(png_of(width, height)) == "too_many_pixels"


def test_what_was_cut_off_is_refused() -> None:
    noise = Image.effect_noise((200, 200), 90).convert("RGB")

    for form in ("JPEG", "PNG", "WEBP"):
        whole = file_of(noise, form)
        assert reason(whole[: len(whole) // 2]) == "damaged", form


def test_no_damage_does_anything_but_refuse() -> None:
    """What the decoders make of broken bytes is theirs; what leaves is a picture or a refusal."""
    draw = random.Random(7)
    noise = Image.effect_noise((24, 24), 90).convert("RGB")
    outcomes = []
    for form in ("JPEG", "PNG", "WEBP", "GIF"):
        whole = file_of(noise, form)
        for _ in range(40):
            broken = bytearray(whole)
            for _ in range(draw.randrange(1, 6)):
                broken[draw.randrange(len(broken))] = draw.randrange(256)
            try:
                outcomes.append(Pictures().render(bytes(broken)).content_type)
            except RefusedPicture as refused:
                outcomes.append(refused.reason)

    assert len(outcomes) == 160
    assert set(outcomes) <= {"image/webp", "damaged", "not_a_picture", "too_many_pixels"}
    assert "damaged" in outcomes
