"""The drawings: one function a shape, in hundredths of the picture's side."""

from collections.abc import Callable

from PIL import Image

from local.demo_catalogue.sketch import BRASS, DARK_WOOD, INK, LEAF, METAL, PAPER, WOOD, Colour, Sketch, mix

Shape = Callable[[Sketch], None]

# Where each thing's shadow lies: x, y and width; None hangs or lies on the wall.
_FLOOR = (50.0, 84.0, 46.0)


def draw(shape: str, colour: Colour) -> Image.Image:
    """The picture of a thing in a colour. Raises KeyError for a shape that nobody has drawn."""
    paint, shadow = _SHAPES[shape]
    sketch = Sketch(colour, shadow=shadow)
    paint(sketch)
    return sketch.finished()


def _lamp(s: Sketch) -> None:
    s.oval(36, 79, 64, 86, mix(BRASS, INK, 0.15))
    s.box(48.6, 46, 51.4, 82, BRASS)
    s.polygon(39, 20, 61, 20, 72, 50, 28, 50, fill=s.main)
    s.polygon(39, 20, 46, 20, 39, 50, 28, 50, fill=s.light)
    s.oval(28, 47.5, 72, 52.5, s.dark)
    s.oval(42, 48.4, 58, 51.6, (255, 240, 200))


def _pendant(s: Sketch) -> None:
    s.line(50, 0, 50, 32, colour=INK, width=0.8)
    s.box(46.5, 29, 53.5, 37, BRASS, radius=1.5)
    s.pie(22, 34, 78, 92, 180, 360, s.main)
    s.arc(27, 39, 73, 87, 193, 238, s.light, width=2.2)
    s.oval(22, 60.5, 78, 65.5, s.dark)
    s.oval(40, 60, 60, 68, (255, 238, 190))


def _floor_lamp(s: Sketch) -> None:
    s.oval(34, 81, 66, 87, mix(INK, METAL, 0.2))
    s.line(50, 83, 50, 24, 62, 17, colour=BRASS, width=1.6)
    s.polygon(58, 12, 70, 16, 80, 33, 54, 31, fill=s.main)
    s.polygon(58, 12, 63, 14, 62, 31.6, 54, 31, fill=s.light)
    s.oval(54, 29.5, 80, 35, s.dark)


def _cushion(s: Sketch) -> None:
    s.polygon(24, 26, 50, 30, 76, 26, 73, 54, 76, 82, 50, 78, 24, 82, 27, 54, fill=s.main)
    s.polygon(24, 26, 50, 30, 50, 78, 24, 82, 27, 54, fill=mix(s.main, s.light, 0.45))
    for offset in (0, 8, 16):
        s.line(33 + offset, 36 + offset * 0.4, 60 + offset * 0.5, 68 + offset * 0.3, colour=s.light, width=0.7)
    for x, y in ((24, 26), (76, 26), (24, 82), (76, 82)):
        s.oval(x - 2, y - 2, x + 2, y + 2, s.dark)


def _throw(s: Sketch) -> None:
    s.box(24, 34, 76, 80, s.main, radius=3)
    s.box(24, 34, 76, 46, s.light, radius=3)
    s.box(24, 50, 76, 54, s.dark)
    s.box(24, 60, 76, 62, s.light)
    s.box(24, 68, 76, 70, s.light)
    for x in range(25, 76, 3):
        s.line(x + 0.5, 80, x + 0.5, 84, colour=s.dark, width=0.7)


def _rug(s: Sketch) -> None:
    s.polygon(28, 40, 72, 40, 88, 80, 12, 80, fill=s.main)
    s.polygon(33, 45, 67, 45, 79, 75, 21, 75, fill=s.light)
    s.polygon(38, 50, 62, 50, 70, 70, 30, 70, fill=s.main)
    s.polygon(50, 51, 60, 60, 50, 69, 40, 60, fill=s.dark)
    for x in range(13, 88, 3):
        s.line(x, 80, x - 0.4, 84, colour=s.dark, width=0.6)


def _towel(s: Sketch) -> None:
    s.line(18, 24, 82, 24, colour=METAL, width=2.2)
    s.box(30, 23, 70, 80, s.main, radius=2)
    s.box(30, 23, 50, 62, s.light, radius=2)
    s.box(30, 66, 70, 68, s.dark)
    s.box(30, 71, 70, 74, s.light)


def _armchair(s: Sketch) -> None:
    for x in (29, 68):
        s.polygon(x, 74, x + 3.5, 74, x + 2.5, 86, x + 1, 86, fill=DARK_WOOD)
    s.box(27, 26, 73, 70, s.main, radius=10)
    s.box(31, 30, 69, 60, mix(s.main, s.light, 0.5), radius=8)
    s.box(18, 46, 33, 77, s.dark, radius=7)
    s.box(67, 46, 82, 77, s.dark, radius=7)
    s.box(30, 57, 70, 77, s.main, radius=5)
    s.box(31, 55, 69, 66, s.light, radius=5)


def _chair(s: Sketch) -> None:
    for x0, x1 in ((36, 32), (64, 68)):
        s.line(x0, 58, x1, 85, colour=WOOD, width=2.4)
    for x0, x1 in ((41, 40), (59, 60)):
        s.line(x0, 58, x1, 80, colour=DARK_WOOD, width=2)
    s.line(36, 58, 35, 20, colour=WOOD, width=2.4)
    s.line(64, 58, 65, 20, colour=WOOD, width=2.4)
    s.box(33, 18, 67, 32, s.main, radius=4)
    s.box(34, 38, 66, 42, s.light, radius=2)
    s.box(30, 54, 70, 61, s.main, radius=3)
    s.box(30, 54, 70, 57, s.light, radius=1.5)


def _stool(s: Sketch) -> None:
    for x0, x1 in ((40, 32), (60, 68)):
        s.line(x0, 46, x1, 85, colour=WOOD, width=3)
    s.line(50, 46, 50, 82, colour=DARK_WOOD, width=3)
    s.line(36, 68, 64, 68, colour=WOOD, width=1.6)
    s.oval(28, 38, 72, 52, s.dark)
    s.oval(28, 35, 72, 49, s.main)
    s.oval(33, 37, 62, 45, s.light)


def _table(s: Sketch) -> None:
    for x0, x1 in ((38, 30), (62, 70)):
        s.line(x0, 50, x1, 85, colour=WOOD, width=2.4)
    s.line(50, 50, 50, 82, colour=DARK_WOOD, width=2.4)
    s.oval(18, 40, 82, 54, s.dark)
    s.oval(18, 37.5, 82, 51.5, s.main)
    s.oval(24, 39, 66, 48, s.light)
    s.box(54, 30, 62, 43, PAPER, radius=1.5)
    s.oval(54, 40.5, 62, 44.5, PAPER)


def _shelf(s: Sketch) -> None:
    s.box(26, 12, 74, 86, s.dark, radius=1.5)
    for y in (15, 33, 51, 69):
        s.box(29, y, 71, y + 15, mix(s.main, PAPER, 0.62))
    books = (INK, s.main, BRASS, PAPER, LEAF, s.light)
    for row, y in enumerate((30, 48, 66)):
        x = 30.0
        for number in range(5 + row % 2):
            width, height = 2.6 + (number * 7 + row * 3) % 3, 9 + (number * 5 + row * 4) % 4
            s.box(x, y - height, x + width, y, books[(number + row * 2) % len(books)])
            x += width + 0.4
    s.oval(60, 72, 69, 84, s.light)
    s.box(63, 70, 66, 74, s.light)


def _mug(s: Sketch) -> None:
    s.ring(58, 42, 82, 70, s.dark, width=4)
    s.box(26, 32, 68, 80, s.main, radius=7)
    s.box(26, 34, 38, 79, mix(s.main, s.light, 0.7), radius=6)
    s.oval(26, 27, 68, 38, s.light)
    s.oval(29, 29, 65, 36.4, (92, 62, 44))
    for x in (40, 47, 54):
        s.line(x, 22, x + 1.5, 18, x, 14, colour=PAPER, width=0.9)


def _bowl(s: Sketch) -> None:
    s.box(40, 78, 60, 83, s.dark, radius=1.5)
    s.pie(18, 20, 82, 84, 0, 180, s.main)
    s.arc(23, 25, 77, 79, 112, 165, s.light, width=2.2)
    s.oval(18, 45, 82, 59, s.light)
    s.oval(22, 47, 78, 57, s.dark)


def _plate(s: Sketch) -> None:
    s.oval(16, 16, 84, 84, s.main)
    s.oval(18, 17, 82, 81, s.light)
    s.oval(28, 27, 72, 71, s.main)
    s.oval(29.5, 29.5, 70.5, 70.5, mix(s.light, PAPER, 0.4))
    s.arc(21, 20, 79, 78, 200, 250, PAPER, width=1.4)


def _teapot(s: Sketch) -> None:
    s.ring(64, 38, 86, 66, s.dark, width=3.4)
    s.polygon(32, 56, 12, 40, 17, 37, 36, 46, fill=s.dark)
    s.oval(26, 34, 74, 82, s.main)
    s.arc(30, 38, 70, 78, 150, 230, s.light, width=2.4)
    s.oval(36, 32, 64, 41, s.light)
    s.oval(46.5, 26, 53.5, 34, s.dark)


def _kettle(s: Sketch) -> None:
    s.arc(30, 12, 70, 62, 190, 350, INK, width=3)
    s.polygon(66, 54, 86, 38, 88, 42, 70, 70, fill=s.dark)
    s.polygon(38, 38, 62, 38, 76, 82, 24, 82, fill=s.main)
    s.polygon(38, 38, 46, 38, 38, 82, 24, 82, fill=s.light)
    s.box(24, 79, 76, 83, s.dark, radius=1.5)
    s.oval(37, 34, 63, 41, s.dark)
    s.oval(46.5, 29, 53.5, 36, INK)


def _coffee(s: Sketch) -> None:
    s.polygon(30, 24, 70, 24, 73, 84, 27, 84, fill=s.main)
    s.polygon(30, 24, 38, 24, 36, 84, 27, 84, fill=s.light)
    s.box(30, 18, 70, 26, s.dark, radius=1)
    s.box(38, 42, 64, 68, PAPER, radius=2)
    s.oval(45, 47, 57, 63, (98, 66, 46))
    s.line(51, 48, 49.6, 55, 52, 62, colour=(190, 150, 118), width=1)


def _pan(s: Sketch) -> None:
    s.box(60, 47, 94, 52, DARK_WOOD, radius=2.5)
    s.box(16, 44, 66, 74, s.main, radius=5)
    s.box(16, 46, 28, 73, s.light, radius=4)
    s.oval(16, 38, 66, 51, s.light)
    s.oval(18.5, 40, 63.5, 49.5, s.dark)


def _knife(s: Sketch) -> None:
    s.polygon(12, 50, 62, 40, 62, 56, 30, 56, fill=mix(METAL, PAPER, 0.45))
    s.polygon(12, 50, 30, 56, 62, 56, 62, 53, 28, 53, fill=PAPER)
    s.box(61, 39, 66, 57, BRASS, radius=1)
    s.box(65, 41, 90, 55, s.main, radius=4)
    s.box(65, 41, 90, 46, s.light, radius=3)
    for x in (71, 78, 85):
        s.oval(x - 1.2, 47, x + 1.2, 49.4, METAL)


def _vase(s: Sketch) -> None:
    for x0, y0, x1, y1 in ((49, 34, 38, 8), (50, 34, 54, 5), (51, 34, 66, 12)):
        s.line(x0, y0, x1, y1, colour=LEAF, width=0.9)
        for share in (0.45, 0.7, 0.95):
            x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
            s.oval(x - 4, y - 1.6, x, y + 1.6, LEAF)
            s.oval(x, y - 2.6, x + 4, y + 0.6, mix(LEAF, PAPER, 0.25))
    s.box(43, 31, 57, 50, s.main, radius=2)
    s.oval(30, 40, 70, 84, s.main)
    s.arc(34, 44, 66, 80, 140, 225, s.light, width=2.4)
    s.oval(43, 29, 57, 34, s.dark)


def _candle(s: Sketch) -> None:
    s.oval(46.4, 12, 53.6, 28, (255, 196, 92))
    s.oval(48.2, 18, 51.8, 27, (255, 240, 190))
    s.line(50, 26, 50, 33, colour=INK, width=0.7)
    s.box(32, 32, 68, 84, s.main, radius=4)
    s.box(32, 34, 42, 83, mix(s.main, s.light, 0.7), radius=4)
    s.oval(32, 28.5, 68, 37, s.light)
    s.box(40, 50, 60, 70, PAPER, radius=1.5)
    s.line(45, 57, 55, 57, colour=s.dark, width=0.8)
    s.line(47, 62, 53, 62, colour=s.dark, width=0.8)


def _clock(s: Sketch) -> None:
    s.oval(19, 20, 83, 84, mix(s.main, INK, 0.25))
    s.oval(18, 18, 82, 82, s.main)
    s.oval(24, 24, 76, 76, PAPER)
    for x0, y0, x1, y1 in ((50, 27, 50, 31), (50, 69, 50, 73), (27, 50, 31, 50), (69, 50, 73, 50)):
        s.line(x0, y0, x1, y1, colour=INK, width=1.1)
    s.line(50, 50, 39, 41, colour=INK, width=2)
    s.line(50, 50, 61, 33, colour=INK, width=1.3)
    s.line(50, 50, 48, 66, colour=s.main, width=0.7)
    s.oval(48, 48, 52, 52, INK)


def _frame(s: Sketch) -> None:
    s.box(25, 15, 77, 85, mix(s.main, INK, 0.3))
    s.box(23, 13, 75, 83, s.main)
    s.box(27, 17, 71, 79, PAPER)
    s.box(33, 24, 65, 70, mix(s.main, PAPER, 0.7))
    s.oval(50, 30, 60, 40, BRASS)
    s.polygon(33, 70, 33, 58, 43, 46, 54, 62, 59, 56, 65, 63, 65, 70, fill=LEAF)


def _pot(s: Sketch) -> None:
    for x0, y0, x1, y1 in ((50, 54, 30, 20), (50, 54, 44, 10), (50, 54, 60, 12), (50, 54, 72, 26)):
        s.line(x0, y0, (x0 + x1) / 2 + 1, (y0 + y1) / 2 - 4, x1, y1, colour=LEAF, width=3.6)
        s.line(x0, y0, (x0 + x1) / 2 + 1, (y0 + y1) / 2 - 4, x1, y1, colour=mix(LEAF, PAPER, 0.35), width=0.8)
    s.polygon(32, 56, 68, 56, 63, 82, 37, 82, fill=s.main)
    s.polygon(32, 56, 41, 56, 43, 82, 37, 82, fill=s.light)
    s.box(29, 50, 71, 58, s.main, radius=2)
    s.box(29, 50, 41, 58, s.light, radius=2)
    s.box(31, 82, 69, 85.5, s.dark, radius=1.6)


def _watering_can(s: Sketch) -> None:
    s.ring(60, 40, 86, 76, s.dark, width=3)
    s.line(36, 70, 16, 40, colour=s.dark, width=3.6)
    s.polygon(9, 38, 20, 31, 23, 36, 13, 44, fill=s.light)
    s.polygon(34, 46, 70, 46, 74, 84, 30, 84, fill=s.main)
    s.polygon(34, 46, 44, 46, 42, 84, 30, 84, fill=s.light)
    s.oval(34, 42, 70, 50, s.dark)


def _tshirt(s: Sketch) -> None:
    s.polygon(36, 20, 64, 20, 86, 34, 77, 48, 69, 43, 69, 84, 31, 84, 31, 43, 23, 48, 14, 34, fill=s.main)
    s.polygon(36, 20, 44, 20, 40, 84, 31, 84, 31, 43, 23, 48, 14, 34, fill=mix(s.main, s.light, 0.4))
    s.pie(40, 10, 60, 30, 0, 180, mix(s.main, PAPER, 0.75))
    s.arc(39, 9, 61, 31, 0, 180, s.dark, width=1.1)


def _sweater(s: Sketch) -> None:
    s.polygon(
        37, 20, 63, 20, 78, 28, 88, 72, 78, 75, 69, 46, 69, 80, 31, 80, 31, 46, 22, 75, 12, 72, 22, 28, fill=s.main
    )
    for y in (34, 38, 42):
        s.line(32, y, 68, y, colour=s.light, width=1.1)
    s.box(31, 77, 69, 84, s.dark, radius=1.5)
    s.polygon(12, 71, 22, 74.5, 21, 80, 11, 77, fill=s.dark)
    s.polygon(88, 71, 78, 74.5, 79, 80, 89, 77, fill=s.dark)
    s.box(39, 15.5, 61, 22, s.dark, radius=3)


def _beanie(s: Sketch) -> None:
    s.oval(43, 12, 57, 26, s.light)
    s.pie(22, 20, 78, 104, 180, 360, s.main)
    for x in (32, 41, 50, 59, 68):
        s.line(50 + (x - 50) * 0.35, 25, x, 62, colour=s.dark, width=0.9)
    s.box(19, 60, 81, 76, s.light, radius=5)
    for x in range(24, 80, 6):
        s.line(x, 62.5, x, 73.5, colour=s.main, width=1)


def _socks(s: Sketch) -> None:
    for shift, body in ((14, s.dark), (0, s.main)):
        s.box(30 + shift, 16, 48 + shift, 62, body)
        s.oval(30 + shift, 50, 52 + shift, 76, body)
        s.box(40 + shift, 58, 68 + shift, 76, body, radius=8)
        s.box(28.5 + shift, 15, 49.5 + shift, 25, s.light, radius=2)
        s.pie(52 + shift, 58, 69 + shift, 76, 270, 90, s.light)
        s.pie(30 + shift, 56, 48 + shift, 76, 60, 190, s.light)


def _shoe(s: Sketch) -> None:
    s.polygon(16, 44, 36, 40, 46, 50, 66, 58, 84, 64, 86, 74, 14, 74, fill=s.main)
    s.polygon(16, 44, 26, 42, 30, 74, 14, 74, fill=s.dark)
    s.polygon(66, 58, 84, 64, 86, 74, 62, 74, fill=s.light)
    s.box(12, 72, 88, 80, PAPER, radius=3.4)
    s.line(13.6, 77, 86, 77, colour=s.main, width=0.8)
    for x, y in ((38, 45), (43, 49.5), (49, 53.5), (55, 56.5)):
        s.line(x, y, x + 6, y - 4.5, colour=PAPER, width=1.3)


def _backpack(s: Sketch) -> None:
    s.ring(41, 10, 59, 28, s.dark, width=2.4)
    s.box(22, 44, 32, 76, s.dark, radius=4)
    s.box(68, 44, 78, 76, s.dark, radius=4)
    s.box(26, 18, 74, 84, s.main, radius=13)
    s.box(26, 18, 74, 46, s.light, radius=13)
    s.box(33, 52, 67, 78, s.dark, radius=4)
    s.line(36, 58, 64, 58, colour=s.light, width=0.8)
    for x in (38, 62):
        s.box(x - 1.6, 40, x + 1.6, 56, DARK_WOOD, radius=0.6)
        s.box(x - 2.2, 47, x + 2.2, 51, BRASS, radius=0.6)


def _tote(s: Sketch) -> None:
    s.arc(35, 10, 65, 70, 180, 360, s.dark, width=2.6)
    s.polygon(24, 36, 76, 36, 80, 84, 20, 84, fill=s.main)
    s.polygon(24, 36, 36, 36, 34, 84, 20, 84, fill=mix(s.main, s.light, 0.55))
    s.oval(43, 52, 63, 72, mix(s.main, PAPER, 0.55))
    s.line(47, 64, 53, 58, 59, 64, colour=s.dark, width=1.2)


def _notebook(s: Sketch) -> None:
    s.box(31, 16, 76, 86, PAPER, radius=2)
    s.box(27, 14, 73, 84, s.main, radius=2.4)
    s.box(27, 14, 34, 84, s.dark, radius=2.4)
    s.box(66, 14, 68, 84, s.dark)
    s.box(42, 30, 60, 42, PAPER, radius=1)
    s.line(45, 34, 57, 34, colour=INK, width=0.6)
    s.line(45, 38, 53, 38, colour=INK, width=0.6)


def _pen(s: Sketch) -> None:
    s.polygon(24, 70, 70, 24, 78, 32, 32, 78, fill=s.main)
    s.polygon(24, 70, 70, 24, 73, 27, 27, 73, fill=s.light)
    s.polygon(24, 70, 32, 78, 16, 86, fill=BRASS)
    s.line(28, 74, 17.4, 84.6, colour=INK, width=0.5)
    s.polygon(70, 24, 78, 32, 84, 22, 80, 18, fill=s.dark)
    s.polygon(50, 44, 53, 41, 61, 49, 58, 52, fill=BRASS)


def _headphones(s: Sketch) -> None:
    s.arc(22, 16, 78, 84, 180, 360, s.dark, width=5)
    s.arc(24, 18, 76, 82, 200, 340, s.light, width=1.2)
    for outer, inner in (((16, 46, 30, 76), (26, 49, 36, 73)), ((70, 46, 84, 76), (64, 49, 74, 73))):
        s.box(*inner, INK, radius=4)
        s.box(*outer, s.main, radius=6)
    s.box(18, 50, 22, 72, s.light, radius=2)


def _speaker(s: Sketch) -> None:
    s.box(28, 16, 72, 84, s.main, radius=5)
    s.box(28, 16, 34, 84, s.light, radius=4)
    s.oval(42, 21, 58, 37, INK)
    s.oval(47, 26, 53, 32, METAL)
    s.oval(36, 42, 66, 72, INK)
    s.oval(40, 46, 62, 68, mix(INK, METAL, 0.3))
    s.oval(46.5, 52.5, 55.5, 61.5, INK)
    s.oval(49, 76, 53, 80, BRASS)


def _puzzle(s: Sketch) -> None:
    def piece(x: float, y: float, fill: Colour) -> None:
        s.box(x, y, x + 26, y + 26, fill, radius=2)
        s.oval(x + 9, y - 6, x + 17, y + 3, fill)

    piece(22, 22, s.light)
    piece(22, 52, s.main)
    piece(53, 55, s.dark)
    s.oval(46, 61, 55, 69, s.main)
    piece(56, 20, mix(s.main, BRASS, 0.6))
    s.oval(46, 31, 54, 39, s.light)


def _blocks(s: Sketch) -> None:
    s.box(20, 60, 44, 84, s.main, radius=2)
    s.box(56, 60, 80, 84, s.dark, radius=2)
    s.box(44.5, 60, 55.5, 84, WOOD, radius=1)
    s.box(24, 48, 76, 60, WOOD, radius=2)
    s.pie(34, 30, 66, 66, 180, 360, s.light)
    s.pie(43, 39, 57, 57, 180, 360, mix(s.main, PAPER, 0.75))
    s.polygon(50, 12, 62, 30, 38, 30, fill=BRASS)


_SHAPES: dict[str, tuple[Shape, tuple[float, float, float] | None]] = {
    "lamp": (_lamp, (50, 85, 40)),
    "pendant": (_pendant, None),
    "floor_lamp": (_floor_lamp, (50, 86, 44)),
    "cushion": (_cushion, (50, 82, 60)),
    "throw": (_throw, (50, 84, 62)),
    "rug": (_rug, (50, 82, 84)),
    "towel": (_towel, None),
    "armchair": (_armchair, (50, 86, 72)),
    "chair": (_chair, (50, 85, 48)),
    "stool": (_stool, (50, 85, 48)),
    "table": (_table, (50, 85, 54)),
    "shelf": (_shelf, (50, 86, 60)),
    "mug": (_mug, (48, 81, 54)),
    "bowl": (_bowl, (50, 83, 46)),
    "plate": (_plate, None),
    "teapot": (_teapot, (50, 82, 50)),
    "kettle": (_kettle, (50, 83, 60)),
    "coffee": (_coffee, _FLOOR),
    "pan": (_pan, (44, 75, 56)),
    "knife": (_knife, (50, 60, 76)),
    "vase": (_vase, (50, 84, 42)),
    "candle": (_candle, _FLOOR),
    "clock": (_clock, None),
    "frame": (_frame, None),
    "pot": (_pot, (50, 85, 48)),
    "watering_can": (_watering_can, (52, 84, 54)),
    "tshirt": (_tshirt, None),
    "sweater": (_sweater, None),
    "beanie": (_beanie, (50, 77, 64)),
    "socks": (_socks, (52, 77, 52)),
    "shoe": (_shoe, (50, 80, 78)),
    "backpack": (_backpack, (50, 84, 56)),
    "tote": (_tote, (50, 84, 62)),
    "notebook": (_notebook, (50, 85, 52)),
    "pen": (_pen, None),
    "headphones": (_headphones, (50, 77, 72)),
    "speaker": (_speaker, (50, 84, 48)),
    "puzzle": (_puzzle, None),
    "blocks": (_blocks, (50, 84, 64)),
}
