"""Pools of names, places, firms and everyday words from which facts are drawn.

Faker gives people, places and streets of many languages; the short lists here give what Faker has
not. Knows nothing of posts.
"""

import random
from functools import lru_cache

LOCALES = ("en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "nl_NL")
UNREPEATABLE_CITIES = frozenset({"it_IT"})
"""Faker draws these from a set, whose order Python changes with every start."""
POOL = 600
"""How many entries of each sort are drawn from each language."""

MONTHS = (
    "January February March April May June July August September October November December"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
).split()

RELATIVES = (
    "brother sister mother father aunt uncle cousin nephew niece grandmother grandfather "
    "stepfather stepmother son daughter husband wife mother-in-law brother-in-law"
).split()
ANIMALS = (
    "tabby cat|greyhound|parrot|hamster|goat|rabbit|pony|tortoise|beagle|ferret|poodle|gecko|"
    "guinea pig|donkey|terrier|canary|hedgehog|labrador|duck|ginger kitten"
).split("|")
FOODS = (
    "lasagne|mushroom risotto|fish tacos|onion soup|lamb curry|pancakes|chicken pie|ramen|"
    "potato salad|apple crumble|paella|dumplings|falafel|cheesecake|beef stew|spring rolls|"
    "pumpkin soup|noodles|meatballs|lemon tart"
).split("|")
COLOURS = (
    "red blue green yellow purple orange grey black white brown turquoise pink beige silver "
    "maroon navy"
).split()
LANGUAGES = (
    "Spanish Portuguese Finnish Korean Arabic Swahili Dutch Polish Turkish Welsh Hindi Greek "
    "Japanese Italian Czech Norwegian"
).split()
SPORTS = (
    "badminton hockey tennis rowing judo handball cricket fencing volleyball netball rugby "
    "archery swimming climbing squash basketball"
).split()
INSTRUMENTS = (
    "cello trumpet violin accordion clarinet harp trombone banjo flute oboe piano guitar "
    "saxophone mandolin ukulele viola"
).split()
CROPS = (
    "barley potatoes tomatoes pumpkins maize rye lettuce beetroot onions carrots beans garlic "
    "courgettes strawberries cabbages peas"
).split()
ILLNESSES = (
    "flu|bronchitis|shingles|a migraine|tonsillitis|food poisoning|pneumonia|an ear infection|"
    "measles|a stomach bug|sinusitis|chickenpox|gout|a sprained ankle|hay fever|anaemia"
).split("|")
_FIRM_FIRST = (
    "Kestrel Northwind Bluegate Halden Marlow Ironbridge Solway Brightwater Cobalt Juniper "
    "Redfern Lantern Quayside Pinecrest Orbit Tidewell Ashgrove Meridian Foxglove Copperfield "
    "Silverline Granite Harbour Larkspur Windmill Summit Beacon Thornbury Vega Acorn"
).split()
_FIRM_LAST = (
    "Foods|Logistics|Systems|Partners|Energy|Dental|Motors|Print|Robotics|Travel|Insurance|"
    "Studios|Textiles|Labs|Interiors|Bakery|Media|Pharma|Security|Builders|Bank|Airlines|Tools|"
    "Furniture|Consulting|Telecom|Hotels|Books"
).split("|")
_PRODUCTS = (
    "kettle|headphones|vacuum cleaner|tablet|blender|printer|tent|drill|camera|office chair|"
    "toaster|keyboard|scooter|lamp|dishwasher|monitor"
).split("|")
_MODELS = "AeroPro QuietMax Lumo Zento Vortex PureLine NovaCore TrailKing EasyFold SonicBee".split()


@lru_cache(maxsize=1)
def pools(seed: int = 20240418) -> dict[str, tuple[str, ...]]:
    """Return every pool by the name of its fact type; the same for the same seed and Faker version.

    Raises:
        ModuleNotFoundError: Faker (extra ``train``) is not installed.
    """
    from faker import Faker

    first: set[str] = set()
    last: set[str] = set()
    cities: set[str] = set()
    streets: set[str] = set()
    firms: set[str] = set()
    jobs: set[str] = set()
    countries: set[str] = set()
    for number, locale in enumerate(LOCALES):
        fake = Faker(locale, use_weighting=False)
        fake.seed_instance(seed + number)
        for _ in range(POOL):
            first.add(fake.first_name())
            last.add(fake.last_name())
            if locale not in UNREPEATABLE_CITIES:
                cities.add(fake.city())
            if locale.startswith("en"):
                streets.add(fake.street_name())
                firms.add(fake.company())
                jobs.add(fake.job().split(",")[0].split("/")[0].lower())
                countries.add(fake.country().split("(")[0].split(",")[0].strip())
    rng = random.Random(seed)
    coined = [f"{a} {b}" for a in _FIRM_FIRST for b in _FIRM_LAST]
    firms.update(rng.sample(coined, min(len(coined), len(firms))))
    products = [
        f"{model} {number} {what}"
        for model in _MODELS
        for what in _PRODUCTS
        for number in rng.sample(range(2, 980), 2)
    ]
    drawn = {
        "first_name": first,
        "surname": last,
        "city": cities,
        "street": streets,
        "firm": firms,
        "job": jobs,
        "country": countries,
    }
    listed = {
        "month": MONTHS,
        "weekday": WEEKDAYS,
        "relative": RELATIVES,
        "animal": ANIMALS,
        "food": FOODS,
        "colour": COLOURS,
        "language": LANGUAGES,
        "sport": SPORTS,
        "instrument": INSTRUMENTS,
        "crop": CROPS,
        "illness": ILLNESSES,
        "product": products,
    }
    sorts = {name: tuple(sorted(filter(_usable, words))) for name, words in drawn.items()}
    sorts["firm"] = tuple(sorted(firm for firm in firms if len(firm) < 32))
    return sorts | {name: tuple(words) for name, words in listed.items()}


def _usable(word: str) -> bool:
    return 2 < len(word) < 32 and "," not in word and word == word.strip()
