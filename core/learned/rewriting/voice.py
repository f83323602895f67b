"""The active voice for the passive, and the other way: "The nurse painted the wall."

Only of sentences that have just this form, in the simple past, whose agent is named.
"""

import re

from core.learned.rewriting.edit import (
    DETERMINERS,
    JOINS,
    PREPOSITIONS,
    Edit,
    capital,
    sentence_at,
    sentences,
)
from core.learned.words import NO_PARTICIPLES

Words = list[str]

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
OBJECTS = {
    "i": "me", "you": "you", "he": "him", "she": "her", "it": "it", "we": "us", "they": "them",
}  # fmt: skip
SUBJECTS = {of: name for name, of in OBJECTS.items()}
BEHIND = re.compile(
    r"(?:after|again|because|before|during|earlier|first|for|into|last|later|once|since|soon|though|"
    r"throughout|to|today|tomorrow|towards?|twice|until|when|while|within|yesterday|\w+ly|"
    r"at (?:last|night|noon|once|\d)|on [A-Z]|"
    r"in (?:[A-Z\d]|(?:the|an?) (?:afternoon|autumn|day|end|evening|hour|morning|spring|summer|"
    r"week|winter)))"
)
"""What may follow an agent or an object, belongs to the verb and so stays where it is."""
FINITE = frozenset(
    "am are is was were be been being do does did has have had can could may might must shall "
    "should will would not and but or nor if that which who whom whose when while because as than "
    "there said says thought thinks knew knows believed believes claimed claims felt hoped heard "
    "found told meant noted added reported insisted explained remembered recalled wondered".split()
)
"""Words that end a noun phrase, or say that a clause stands in it."""
NO_AGENTS = frozenset(
    "accident afternoon beach chance coast corner dawn day days default dozen door dusk email end "
    "evening factor feet fire foot gate half hand hour hours inch inches kind lake law mail margin "
    "means metre metres mile miles minute minutes mistake month months morning name nature night "
    "noon o'clock percent phone pool position post quarter river road sea seaside shore side "
    "street third thousand time times train turn wall water way week weeks window year "
    "years".split()
)
"""Heads of phrases behind "by" that say when, where, how or by how much."""
CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november december christmas easter".split()
)
PLURALS = frozenset("cattle children feet geese men mice people police teeth women".split())
SINGULARS = frozenset("bus gas glass grass lens news series species success".split())

PAST = {
    "beaten": "beat", "begun": "began", "bitten": "bit", "broken": "broke", "chosen": "chose",
    "done": "did", "drawn": "drew", "driven": "drove", "eaten": "ate", "forbidden": "forbade",
    "forgiven": "forgave", "forgotten": "forgot", "frozen": "froze", "given": "gave",
    "grown": "grew", "hidden": "hid", "known": "knew", "overtaken": "overtook", "ridden": "rode",
    "rung": "rang", "seen": "saw", "shaken": "shook", "shown": "showed", "spoken": "spoke",
    "stolen": "stole", "sung": "sang", "taken": "took", "thrown": "threw", "torn": "tore",
    "woken": "woke", "worn": "wore", "woven": "wove", "written": "wrote",
} | {
    it: it for it in
    "bought bound bred brought built burnt caught cut dug fed felt fought found heard held hit "
    "hung hurt kept laid led left lent lit lost made meant met paid put read said sent set shot "
    "shut sold sought spent split spread struck stung swept taught thought told understood "
    "won".split()
}  # fmt: skip
"""The simple past of irregular participles."""
TRANSITIVE = frozenset(
    "approved attacked baked blocked bought borrowed broke built captured carried caught changed "
    "checked chose cleaned cleared closed collected completed composed conquered cooked counted "
    "covered created crossed delivered described designed destroyed directed discovered drew drove "
    "ate examined explored filled finished fixed forgot fought gathered grew held hired hosted "
    "improved inspected introduced invented joined knew launched led loaded locked lost managed "
    "marked measured mended met mixed noticed opened ordered organised organized packed "
    "photographed picked planted polished praised prepared printed produced protected published "
    "pulled pushed recorded recovered rejected removed repaired replaced rescued restored returned "
    "revised rode ruled sang saved searched served shaped shared signed sold solved spotted "
    "started stole stopped stored studied supported swept tested threw tied took translated "
    "treated trimmed tuned unloaded used visited washed watered welcomed won wore wrapped "
    "wrote".split()
)
"""Verbs in the past whose object alone follows them; their participles are those in -ed, or of
PAST."""
PARTICIPLE = {past: participle for participle, past in PAST.items()}


def to_active(text: str, at: int) -> Edit | None:
    """Return the sentence at a place, "The wall was painted by the nurse.", in the active voice:
    "The nurse painted the wall."; None unless it has just that form, with something behind."""
    start, stop = sentence_at(text, at)
    found = re.match(
        r"(?P<subject>[^,;:()\"“”—–]+?) (?P<be>was|were) (?:(?P<how>\w+ly) )?(?P<verb>[a-z]+) by "
        r"(?P<agent>.+)",
        text[start:stop],
    )
    if found is None or not found.start("be") <= at - start < found.start("agent"):
        return None
    verb = found["verb"]
    regular = verb.endswith("ed") and verb not in NO_PARTICIPLES
    past = PAST.get(verb) or (verb if regular else None)
    subject = _as_object(found["subject"].split(" "), found["be"] == "were")
    agent, rest = _agent(found["agent"])
    if past is None or not subject or not agent:
        return None
    how = f"{found['how']} " if found["how"] else ""
    return Edit(start, stop, f"{capital(agent)} {how}{past} {subject}{rest}")


def to_passive(text: str) -> Edit | None:
    """Return the first sentence of a text of the form "The nurse painted the wall in May." in the
    passive voice: "The wall was painted by the nurse in May."; None if there is none."""
    for start, stop in sentences(text):
        sentence = text[start:stop]
        for verb in re.finditer(
            r" ([a-z]+) (?=(?:the|a|an|this|these|those|my|our|your) )", sentence
        ):
            if verb[1] not in TRANSITIVE:
                continue
            participle = PARTICIPLE.get(verb[1], verb[1])
            words = sentence[: verb.start()].split(" ")
            agent = _as_object(words, plural=len(words) > 1)  # "James" is one, "Tired crews" many
            object_, rest = _phrase(sentence[verb.end() :])
            if agent and object_ and agent not in ("me", "us", "you"):
                be = "were" if _is_plural(object_.split(" ")) else "was"
                made = f"{capital(object_)} {be} {participle} by {agent}{rest}"
                return Edit(start, stop, made)
    return None


def _as_object(words: Words, plural: bool) -> str:
    """Return the subject that opens a sentence as it stands behind a verb, "" where that is not
    sure; ``plural``: its verb says that it is many."""
    low = [it.casefold() for it in words]
    if low[0] in OBJECTS:
        return OBJECTS[low[0]] if len(low) == 1 else ""
    if _is_phrase(low):
        return " ".join([low[0], *words[1:]])
    if len(words) > 1 and all(re.fullmatch(r"[A-Z][a-zé'’-]+", it) for it in words):
        named = low[0] not in FINITE | PREPOSITIONS | JOINS and not BEHIND.fullmatch(low[0])
        return " ".join(words) if named else ""
    inner = all(_is_inner(it) and not BEHIND.fullmatch(it) for it in low)
    if plural and len(words) <= 2 and inner and _is_plural(words):
        return " ".join([low[0], *words[1:]])
    return ""


def _is_phrase(low: Words) -> bool:
    """Return whether words in lower case are a noun phrase that a determiner opens, with one that
    belongs to it behind a preposition at most."""
    if not low or low[0] not in DETERMINERS:
        return False
    inner = next((i for i, it in enumerate(low) if it in PREPOSITIONS), len(low))
    if not 2 <= inner <= 5 or any(not _is_inner(it) for it in low[1:inner]):
        return False
    behind = low[inner + 1 :]
    if inner == len(low):
        return True
    if low[inner] not in ("of", "in", "on", "from", "at", "near"):
        return False
    own = behind[1:] if behind and behind[0] in DETERMINERS else behind
    return 1 <= len(own) <= 3 and all(_is_inner(it) for it in own)


def _is_inner(word: str) -> bool:
    """Return whether a word may stand within a noun phrase."""
    known = word in FINITE or word in PREPOSITIONS or word in DETERMINERS or word in OBJECTS
    return not known and not word.endswith(("self", "selves")) and bool(WORD.fullmatch(word))


def _agent(text: str) -> tuple[str, str]:
    """Return the agent behind "by" as a subject, and what follows it; "" twice where that is not
    sure."""
    first = re.match(r"[A-Za-zÀ-ÿ'’-]+", text)
    if first is None:
        return "", ""
    pronoun = SUBJECTS.get(first[0].casefold())
    if pronoun and _ends(text[first.end() :]):
        rest = text[first.end() :]
        return ("I" if pronoun == "i" else pronoun), rest
    if first[0] in DETERMINERS:
        agent, rest = _phrase(text)
    else:
        name = re.match(r"(?:[A-ZÀ-Þ][a-zà-ÿ'’-]+)(?: [A-ZÀ-Þ][a-zà-ÿ'’-]+){0,2}", text)
        many = re.match(r"(?:[a-z]+ )?[a-z]+s\b", text)
        found = name or many
        agent = found[0] if found is not None else ""
        rest = text[len(agent) :]
        if not _ends(rest) or (many and not _is_plural(agent.split(" "))):
            return "", ""
    low = agent.casefold().split(" ")
    head = low[low.index("of") - 1] if "of" in low else low[-1]
    if not agent or head in NO_AGENTS or not CALENDAR.isdisjoint(low) or head in PREPOSITIONS:
        return "", ""
    if any(it in FINITE or it in PREPOSITIONS - {"of"} for it in low):
        return "", ""
    return agent, rest


def _phrase(text: str) -> tuple[str, str]:
    """Return the noun phrase that a text begins with and what follows it, "" twice where it is not
    sure where the one ends."""
    words = [(it[0], it.start(), it.end()) for it in WORD.finditer(text)]
    end = 0
    for i, (word, start, stop) in enumerate(words):
        apart = i > 0 and text[words[i - 1][2] : start] != " "
        if apart or word in PREPOSITIONS - {"of"} or (i and BEHIND.fullmatch(word)):
            break
        end = stop
    phrase, rest = text[:end], text[end:]
    low = phrase.casefold().split(" ")
    return (phrase, rest) if _is_phrase(low) and _ends(rest) else ("", "")


def _ends(rest: str) -> bool:
    """Return whether what follows a phrase is none of its own, and shares no subject with it."""
    clause = rest.partition(";")[0]
    if re.fullmatch(r"[.!?:]*", clause):
        return True
    found = re.match(r",? ", clause)
    shared = re.search(
        r"\b(?:and|but|or|nor|yet|that|which|who|whom|whose)\b|sel(?:f|ves)\b", clause
    )
    return found is not None and not shared and bool(BEHIND.match(clause, found.end()))


def _is_plural(words: Words) -> bool:
    """Return whether a noun phrase is of many, by its last word before "of"."""
    low = [it.casefold() for it in words]
    head = low[low.index("of") - 1] if "of" in low else low[-1]
    ending = head.endswith("s") and not head.endswith(("ss", "us", "is"))
    return head in PLURALS or (ending and head not in SINGULARS)
