"""A canvas for flat pictures: coordinates are hundredths of the side, drawn twice as large as they are kept."""

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFilter

SIDE = 600
_SCALE = 2

Colour = tuple[int, int, int]

WOOD: Colour = (196, 154, 108)
DARK_WOOD: Colour = (140, 100, 66)
METAL: Colour = (178, 182, 188)
BRASS: Colour = (204, 164, 88)
PAPER: Colour = (250, 247, 240)
INK: Colour = (52, 54, 62)
LEAF: Colour = (94, 138, 92)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in the one."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


class Sketch:
    """Shapes one upon another; `main` is the product's colour, `light` and `dark` its sides."""

    def __init__(self, main: Colour, *, shadow: tuple[float, float, float] | None) -> None:
        self.main = main
        self.light = mix(main, (255, 255, 255), 0.38)
        self.dark = mix(main, (20, 20, 35), 0.3)
        self._image = _wall(main).copy()
        if shadow is not None:
            self._stand(shadow)
        self._draw = ImageDraw.Draw(self._image)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, *, radius: float = 0) -> None:
        self._draw.rounded_rectangle(_points(x0, y0, x1, y1), _units(radius), fill)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        self._draw.ellipse(_points(x0, y0, x1, y1), fill)

    def ring(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, *, width: float) -> None:
        self._draw.ellipse(_points(x0, y0, x1, y1), outline=colour, width=_units(width))

    def polygon(self, *points: float, fill: Colour) -> None:
        self._draw.polygon(_points(*points), fill)

    def line(self, *points: float, colour: Colour, width: float) -> None:
        """A stroke with round ends and joints."""
        placed = _points(*points)
        self._draw.line(placed, colour, _units(width), joint="curve")
        half = _units(width) / 2
        for x, y in (placed[0], placed[-1]):
            self._draw.ellipse((x - half, y - half, x + half, y + half), colour)

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, colour: Colour, *, width: float
    ) -> None:
        self._draw.arc(_points(x0, y0, x1, y1), start, end, colour, _units(width))

    def pie(self, x0: float, y0: float, x1: float, y1: float, start: float, end: float, fill: Colour) -> None:
        self._draw.pieslice(_points(x0, y0, x1, y1), start, end, fill)

    def finished(self) -> Image.Image:
        return self._image.reduce(_SCALE)

    def _stand(self, shadow: tuple[float, float, float]) -> None:
        """A floor, and the shadow on it of what stands at (x, y), so much wide."""
        x, y, width = shadow
        side = SIDE * _SCALE
        self._image.paste(mix(self.main, (246, 240, 233), 0.62), (0, _units(y - 6), side, side))
        # Blurred small and enlarged: soft either way, and much faster.
        wide, high = round(width * 1.2) + 12, 20
        small = Image.new("L", (wide, high))
        ImageDraw.Draw(small).ellipse((6 + width * 0.1, 7, wide - 6 - width * 0.1, 13), 120)
        size = (_units(wide), _units(high))
        soft = small.filter(ImageFilter.GaussianBlur(2)).resize(size, Image.Resampling.BILINEAR)
        at = (_units(x - wide / 2), _units(y + 0.3 - high / 2))
        self._image.paste(mix(self.main, (30, 28, 40), 0.75), at, soft)


def _units(length: float) -> int:
    return round(length * SIDE * _SCALE / 100)


def _points(*numbers: float) -> list[tuple[int, int]]:
    return [(_units(x), _units(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


@lru_cache(maxsize=16)
def _wall(main: Colour) -> Image.Image:
    """A wall in a tint of the colour, a little darker below."""
    size = (SIDE * _SCALE, SIDE * _SCALE)
    above, below = mix(main, (255, 253, 250), 0.86), mix(main, (252, 248, 243), 0.72)
    return Image.composite(
        Image.new("RGB", size, below), Image.new("RGB", size, above), Image.linear_gradient("L").resize(size)
    )
