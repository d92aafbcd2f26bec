"""What the demo shop sells, who makes it, in which colours: invented names, believable prices."""

from dataclasses import dataclass

SIZES = ("XS", "S", "M", "L", "XL")
SHOE_SIZES = ("37", "38", "39", "40", "41", "42", "43", "44")

# Name, and the colour as a picture paints it.
COLOURS = {
    "Oat": (226, 213, 190),
    "Sage": (150, 170, 142),
    "Clay": (199, 117, 86),
    "Ink": (44, 52, 72),
    "Mustard": (222, 172, 62),
    "Rose": (220, 152, 152),
    "Sky": (128, 174, 210),
    "Forest": (58, 98, 76),
    "Plum": (118, 72, 104),
    "Charcoal": (76, 78, 82),
    "Coral": (236, 124, 104),
    "Ivory": (240, 234, 220),
}
# Of things that come in one colour.
NATURAL = ("Oat", "Clay", "Sage", "Ink")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing. `shape` names its drawing, prices are whole units; `sizes` and `coloured`: what it varies in."""

    noun: str
    category: str
    shape: str
    price: tuple[int, int]
    weight_g: tuple[int, int]
    materials: tuple[str, ...]
    use: str
    share: int
    sizes: tuple[str, ...] = ()
    coloured: bool = False
    tax_class: str = "standard"


_WOOD = ("Oak", "Walnut", "Ash", "Beech")
_CLAY = ("Stoneware", "Porcelain", "Terracotta")
_CLOTH = ("Linen", "Cotton", "Wool", "Hemp")
_METAL = ("Brass", "Steel", "Copper")

KINDS = (
    Kind("Table Lamp", "Home > Lighting > Table Lamps", "lamp", (49, 189), (900, 2600), (*_METAL, "Oak"),
         "gives a warm pool of light to a desk, a shelf or a bedside", 80),
    Kind("Pendant Light", "Home > Lighting > Pendant Lights", "pendant", (69, 329), (800, 3200), (*_METAL, "Linen"),
         "hangs low over a table and keeps its glare to itself", 60),
    Kind("Floor Lamp", "Home > Lighting > Floor Lamps", "floor_lamp", (119, 389), (3500, 7800), (*_METAL, "Walnut"),
         "reads over your shoulder and turns out of the way", 45),
    Kind("Cushion", "Home > Textiles > Cushions", "cushion", (19, 69), (350, 700), _CLOTH,
         "is filled with feathers and closes with a hidden zip", 90, coloured=True),
    Kind("Throw", "Home > Textiles > Throws", "throw", (45, 149), (700, 1500), ("Wool", "Cotton", "Mohair"),
         "is woven wide enough for two and softens with every wash", 60, coloured=True),
    Kind("Rug", "Home > Textiles > Rugs", "rug", (89, 599), (2800, 9800), ("Wool", "Jute", "Cotton"),
         "lies flat, wears evenly and is kind to bare feet", 50),
    Kind("Towel", "Home > Textiles > Towels", "towel", (14, 49), (300, 800), ("Cotton", "Linen"),
         "drinks quickly, dries quickly and keeps its loops", 60, coloured=True),
    Kind("Armchair", "Furniture > Seating > Armchairs", "armchair", (349, 1299), (14000, 29000), _WOOD,
         "holds its back straight and yours comfortable", 40),
    Kind("Dining Chair", "Furniture > Seating > Chairs", "chair", (89, 349), (3800, 7200), _WOOD,
         "stacks when the guests have left", 60),
    Kind("Stool", "Furniture > Seating > Stools", "stool", (49, 199), (2200, 5200), _WOOD,
         "is a seat, a bedside table or a step, as the day demands", 45),
    Kind("Side Table", "Furniture > Tables > Side Tables", "table", (79, 399), (3800, 12000), (*_WOOD, "Marble"),
         "carries a lamp, a book and a cup without crowding the room", 50),
    Kind("Bookshelf", "Furniture > Storage > Shelves", "shelf", (129, 799), (9800, 32000), _WOOD,
         "bears what it promises and goes up with one tool", 50),
    Kind("Mug", "Kitchen > Tableware > Mugs", "mug", (12, 34), (260, 420), _CLAY,
         "keeps its heat and fits the dishwasher", 110, coloured=True),
    Kind("Bowl", "Kitchen > Tableware > Bowls", "bowl", (14, 59), (340, 900), (*_CLAY, "Olive Wood"),
         "is thrown by hand, so that no two are quite alike", 90),
    Kind("Plate", "Kitchen > Tableware > Plates", "plate", (12, 39), (420, 780), _CLAY,
         "takes knife, fork and oven alike", 70),
    Kind("Teapot", "Kitchen > Coffee & Tea > Teapots", "teapot", (39, 129), (600, 1300), (*_CLAY, "Cast Iron"),
         "pours without a drip and keeps four cups warm", 50),
    Kind("Kettle", "Kitchen > Coffee & Tea > Kettles", "kettle", (49, 169), (900, 1700), ("Steel", "Copper", "Enamel"),
         "boils fast, whistles once and pours in a thin line", 40),
    Kind("Coffee Beans", "Kitchen > Coffee & Tea > Coffee", "coffee", (11, 26), (250, 1000), ("Arabica", "Espresso"),
         "is roasted on Mondays and shipped on Tuesdays", 60, tax_class="reduced"),
    Kind("Saucepan", "Kitchen > Cookware > Pans", "pan", (49, 219), (900, 2400), ("Steel", "Copper", "Cast Iron"),
         "heats evenly and is at home on every hob", 60),
    Kind("Chef's Knife", "Kitchen > Cookware > Knives", "knife", (59, 279), (160, 320), ("Carbon Steel", "Steel"),
         "holds its edge and forgives a heavy hand", 45),
    Kind("Vase", "Home > Decoration > Vases", "vase", (24, 149), (500, 2400), (*_CLAY, "Glass"),
         "stands well alone and better with a branch in it", 80, coloured=True),
    Kind("Scented Candle", "Home > Decoration > Candles", "candle", (16, 49), (220, 600), ("Beeswax", "Soy Wax"),
         "burns clean for forty hours", 70, coloured=True),
    Kind("Wall Clock", "Home > Decoration > Clocks", "clock", (39, 189), (500, 1600), (*_WOOD, "Steel"),
         "keeps time without a tick", 45),
    Kind("Picture Frame", "Home > Decoration > Frames", "frame", (15, 79), (300, 1400), _WOOD,
         "hangs upright or lying and spares the glass its glare", 60),
    Kind("Plant Pot", "Garden > Pots & Planters", "pot", (14, 99), (600, 4800), (*_CLAY, "Concrete"),
         "drains well and comes with its saucer", 70, coloured=True),
    Kind("Watering Can", "Garden > Tools", "watering_can", (24, 89), (500, 1300), ("Steel", "Copper", "Brass"),
         "reaches the far pots and pours where you point", 35),
    Kind("T-Shirt", "Clothing > Tops > T-Shirts", "tshirt", (19, 49), (140, 220), ("Organic Cotton", "Hemp"),
         "is cut straight, sewn twice and shrunk beforehand", 55, sizes=SIZES, coloured=True),
    Kind("Sweater", "Clothing > Tops > Sweaters", "sweater", (69, 189), (380, 720), ("Merino", "Lambswool", "Cotton"),
         "is knitted in one piece and does not itch", 40, sizes=SIZES, coloured=True),
    Kind("Beanie", "Clothing > Accessories > Hats", "beanie", (19, 49), (70, 130), ("Merino", "Cashmere", "Cotton"),
         "fits every head and folds into a pocket", 35, coloured=True),
    Kind("Socks", "Clothing > Accessories > Socks", "socks", (9, 24), (50, 110), ("Merino", "Cotton"),
         "stays up, and stays soft at the heel", 45, coloured=True),
    Kind("Sneakers", "Clothing > Shoes", "shoe", (79, 179), (620, 980), ("Canvas", "Leather", "Suede"),
         "is resoled for the price of a lunch", 25, sizes=SHOE_SIZES),
    Kind("Backpack", "Bags > Backpacks", "backpack", (59, 219), (600, 1500), ("Canvas", "Recycled Nylon"),
         "takes a laptop, a lunch and the rain", 55, coloured=True),
    Kind("Tote Bag", "Bags > Totes", "tote", (19, 89), (180, 600), ("Canvas", "Linen", "Leather"),
         "carries a week's shopping over one shoulder", 50),
    Kind("Notebook", "Stationery > Notebooks", "notebook", (8, 29), (180, 480), ("Linen", "Leather", "Kraft"),
         "opens flat and takes a fountain pen without bleeding", 70, coloured=True),
    Kind("Fountain Pen", "Stationery > Pens", "pen", (24, 189), (20, 60), (*_METAL, "Resin"),
         "starts at the first stroke, every time", 40),
    Kind("Headphones", "Audio > Headphones", "headphones", (59, 349), (180, 380), ("Aluminium", "Walnut", "Resin"),
         "plays for thirty hours and folds flat", 50, coloured=True),
    Kind("Speaker", "Audio > Speakers", "speaker", (49, 449), (500, 3900), (*_WOOD, "Aluminium"),
         "fills a room and asks for no app", 50),
    Kind("Puzzle", "Toys & Games > Puzzles", "puzzle", (15, 39), (500, 900), ("Cardboard", "Wooden"),
         "has a thousand pieces, and all of them are there", 40),
    Kind("Building Blocks", "Toys & Games > Building", "blocks", (19, 89), (600, 2600), ("Beech", "Maple"),
         "has been dropped from every height and survived", 30),
)  # fmt: skip

# Brand, and the top categories that it makes things for; an empty tuple: all of them.
BRANDS = (
    ("Nordby", ("Home", "Furniture")), ("Atelier Moreau", ("Home", "Kitchen")), ("Kessel & Sohn", ("Kitchen",)),
    ("Tamura", ("Kitchen", "Home", "Stationery")), ("Folkmade", ()), ("Halden", ("Furniture", "Home")),
    ("Ostra", ("Home", "Garden")), ("Brightwater", ("Home", "Clothing")), ("Marlow Supply", ("Bags", "Clothing")),
    ("Pinecrest", ("Furniture", "Toys & Games")), ("Lumo", ("Home", "Audio")), ("Castellan", ("Kitchen", "Home")),
    ("Verdi Garden", ("Garden",)), ("Papier Blau", ("Stationery",)), ("Quill & Co.", ("Stationery", "Bags")),
    ("Sonora", ("Audio",)), ("Northloop", ("Audio", "Bags")), ("Wren Knitwear", ("Clothing",)),
    ("Solveig", ("Clothing", "Home")), ("Café Ibarra", ("Kitchen",)), ("Ølund", ("Furniture", "Audio")),
    ("Little Fable", ("Toys & Games", "Stationery")), ("Terra Firma", ("Garden", "Kitchen")),
    ("Harbour Road", ("Bags", "Clothing")), ("Miyako", ("Kitchen", "Home")), ("Studio Brandt", ()),
)  # fmt: skip

SERIES = (
    "Alma", "Aster", "Birk", "Bruno", "Cala", "Cedar", "Dune", "Edda", "Elio", "Fern", "Fjord", "Gale", "Hazel",
    "Iris", "Isla", "Juno", "Kaia", "Lark", "Linden", "Lotta", "Maren", "Mistral", "Nia", "Noor", "Olive", "Onda",
    "Otto", "Pella", "Piper", "Quinn", "Rae", "Reed", "Rio", "Saga", "Sol", "Tilda", "Umber", "Vela", "Willow",
    "Yuma", "Zephyr", "Ada", "Bo", "Clio", "Dag", "Esme", "Flora", "Greta", "Hugo", "Inga", "Jasper", "Kolb", "Luna",
    "Milo", "Nell", "Opal",
)  # fmt: skip

FINISHES = ("", "", "", "Mini", "Grande", "Classic", "Studio", "Everyday", "No. 2", "No. 5", "Slim", "Original")

MADE = (
    "Made in small batches in {place}.",
    "Designed in {place}, made to be repaired.",
    "From a family workshop in {place}.",
    "Finished by hand in {place}.",
)
PLACES = ("Porto", "Malmö", "Ghent", "Kyoto", "Lyon", "Bergen", "Stoke-on-Trent", "Oaxaca", "Vilnius", "Bologna")

CARE = {
    "Home": "Wipe with a soft, dry cloth.",
    "Furniture": "Oil once a year; tighten the screws now and then.",
    "Kitchen": "Rinse soon, dry well, and it outlives the recipe.",
    "Garden": "Empty before the first frost.",
    "Clothing": "Wash cold and inside out, dry lying flat.",
    "Bags": "Brush off when dry; wax where the rain gets in.",
    "Stationery": "Keep away from toddlers with crayons.",
    "Audio": "Charge before the first use.",
    "Toys & Games": "For ages 3 and up.",
}
