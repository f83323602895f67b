"""The lists of words that findings know beforehand: spellings, hedges, number words, units, ...

Pure data and look-ups. Lists only name what is found and offer a word's opposite; families beyond
them come from the data (core.learned.features).
"""

import re
from functools import cache

_OUR = (
    "arm behavi cand clam col demean endeav fav ferv flav glam harb hon hum lab neighb od parl "
    "rig rum sav savi splend tum val vap vig"
).split()
_RE = "calib cent fib lit lust meag met sab somb spect theat kilomet centimet millimet".split()
_ISE = (
    "agon apolog author capital categor character civil critic emphas energ fantas final general "
    "harmon hospital ideal item legal maxim memor minim mobil modern normal optim organ priorit "
    "public real recogn reorgan social special stabil standard steril summar symbol sympath util "
    "vandal visual"
).split()
_DOUBLED = (
    "cancel channel counsel dial equal fuel jewel label level marvel model panel pedal quarrel "
    "rival shovel signal travel tunnel"
).split()
_SINGLE = {
    "aeroplane": "airplane",
    "ageing": "aging",
    "aluminium": "aluminum",
    "anaemia": "anemia",
    "analogue": "analog",
    "artefact": "artifact",
    "catalogue": "catalog",
    "catalogued": "cataloged",
    "cosy": "cozy",
    "defence": "defense",
    "defences": "defenses",
    "dialogue": "dialog",
    "encyclopaedia": "encyclopedia",
    "enrol": "enroll",
    "fulfil": "fulfill",
    "grey": "gray",
    "greyish": "grayish",
    "jewellery": "jewelry",
    "judgement": "judgment",
    "licence": "license",
    "manoeuvre": "maneuver",
    "marvellous": "marvelous",
    "monologue": "monolog",
    "mould": "mold",
    "mouldy": "moldy",
    "moustache": "mustache",
    "offence": "offense",
    "omelette": "omelet",
    "paediatric": "pediatric",
    "plough": "plow",
    "ploughed": "plowed",
    "pretence": "pretense",
    "programme": "program",
    "programmes": "programs",
    "pyjamas": "pajamas",
    "sceptical": "skeptical",
    "skilful": "skillful",
    "smoulder": "smolder",
    "tyre": "tire",
    "tyres": "tires",
    "woollen": "woolen",
}


@cache
def british() -> dict[str, str]:
    """Return British spellings, each with the American one, in lower case."""
    found = dict(_SINGLE)
    for stem in _OUR:
        for end in "", "s", "ed", "ing", "ite", "ful", "able", "less", "er", "hood", "ly":
            found[f"{stem}our{end}"] = f"{stem}or{end}"
    for stem in _RE:
        found |= {f"{stem}re": f"{stem}er", f"{stem}res": f"{stem}ers"}
    found |= {"centred": "centered", "centring": "centering"}
    for stem in _ISE:
        for end in "e", "es", "ed", "ing", "er", "ers", "ation", "ations":
            found[f"{stem}is{end}"] = f"{stem}iz{end}"
    for stem in "anal paral catal".split():
        for end in "e", "es", "ed", "ing", "er":
            found[f"{stem}ys{end}"] = f"{stem}yz{end}"
    for stem in _DOUBLED:
        for end in "ed", "ing", "er", "ers":
            found[f"{stem}l{end}"] = f"{stem}{end}"
    return found


@cache
def american() -> dict[str, str]:
    """Return American spellings, each with the British one; words that are both are left out."""
    both = {"check", "dialog", "practice", "program", "programs", "tire", "tires"}
    return {other: own for own, other in british().items() if other not in both}


HEDGES = frozenset(
    "apparently arguably around can could generally hopefully likely maybe might mostly often "
    "perhaps possibly potentially presumably probably quite rather roughly seemingly seems "
    "sometimes somewhat supposedly suspect typically usually".split()
) - {"can", "around"}
POLITE = frozenset(
    "apologies apologise apologize appreciate gladly grateful kindly please pleasure regards sorry "
    "thank thanks welcome".split()
)
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
TENS = {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "hundred": 100, "thousand": 1000,
}  # fmt: skip
NUMBER_WORDS = {word: count for count, word in enumerate(NUMBERS)} | TENS
REFUSALS = frozenset("cannot can't won't unable unfortunately sorry afraid".split())
METRIC = frozenset(
    "c centimetre centimetres centimeter centimeters cm g gram grams kelvin kg kilogram kilograms "
    "kilometre kilometres kilometer kilometers km l litre litres liter liters m metre metres meter "
    "meters ml mm".split()
) - {"c", "l", "m"}
IMPERIAL = frozenset(
    "acre acres cup cups feet foot gallon gallons inch inches lb lbs mile miles mph ounce ounces "
    "oz pint pints pound pounds yard yards".split()
)
JOINING = frozenset(
    "although because before if once since though unless until when whenever whereas while".split()
)
"""Words that begin a clause that may stand before or after what it belongs to."""
PLACING = frozenset(
    "above across along around at behind below beneath beside between by during in inside near on "
    "outside over throughout under within".split()
)
"""Words that begin a phrase of place or time, which may stand first or later."""
FIRST_PERSON = frozenset("i me my mine myself i'm i'd i'll i've we our us ours we're".split())
SECOND_PERSON = frozenset("you your yours yourself you're you'd you'll you've".split())
NEGATIONS = frozenset("no not never none nobody nothing nor neither without".split())
BE = frozenset("am are be been being is was were".split())
PARTICIPLES = frozenset(
    "begun born bought brought built caught chosen cut done drawn driven eaten fed felt found "
    "given gone grown heard held hidden hit kept known laid led left lent lit lost made meant met "
    "paid put read said seen sent set shown shut sold spent split spoken stolen sung taken taught "
    "thought thrown told torn understood won worn written".split()
)
NO_PARTICIPLES = frozenset("bed embed hundred indeed need red seed shed speed tired weed".split())
CONTRACTED = re.compile(
    r"[a-z]+(?:n't|'re|'ve|'ll|'d|'m)$|(?:it|that|there|here|what|who|he|she)'s$"
)
FULL = {
    "n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'d": " would", "'m": " am",
    "'s": " is",
}  # fmt: skip
ODD = {"can't": "cannot", "won't": "will not", "shan't": "shall not"}


def is_participle(word: str) -> bool:
    """Return whether a word in lower case looks like a past participle."""
    return word in PARTICIPLES or (
        len(word) > 3 and word.endswith(("ed", "en")) and word not in NO_PARTICIPLES
    )


def uncontracted(word: str) -> str:
    """Return a contraction in full, as "do not" for "don't"; the word itself if it is none."""
    if word.lower() in ODD:
        return ODD[word.lower()] if word[0].islower() else ODD[word.lower()].capitalize()
    for end, full in FULL.items():
        if word.lower().endswith(end):
            return word[: -len(end)] + full
    return word


LANGUAGES = {
    "French": "le la les des est une pas pour que dans avec du et il je vous qui sur bien deux",
    "German": "der die das und ist nicht ein eine sie ich zu mit auf man alles etwa kann sich es",
    "Spanish": "el los las una es que por para con del y no se te está hace de la un",
    "Italian": "il di una è che con la per molto gli del non",
    "Portuguese": "o os uma é que por para com não do da em muito",
    "Dutch": "het een de van en ik niet is dat heel dank gaat beetje",
}
"""Frequent words of languages in Latin script; a response with enough of them is in one."""
ENGLISH = frozenset(
    "a an and are as at be by for from has have he i in is it its of on or that the their they "
    "this to was we what which will with you your not if".split()
)
