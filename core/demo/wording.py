"""Ways of saying the same: subjects, openings and endings of a summary, side remarks in a post.

They are rare but right: a summary may use an unusual word and still be faithful, so that
surprise alone does not tell an error. Knows nothing of facts.
"""

import random
import re

SUBJECTS = (
    "The poster|The writer|OP|The author|Someone|This person|The person posting|A user|"
    "A forum member|The narrator|A tired soul|A bemused reader|This correspondent|The sender|"
    "One contributor|The original poster|A regular of the forum|An anxious newcomer|"
    "A chatty stranger|The account holder|The letter writer|A diarist"
).split("|")
OPENINGS = (
    "In short,|Long story short:|TL;DR:|To sum up,|Put briefly,|As it turns out,|According to the "
    "post,|Apparently,|By their own account,|In a nutshell,|Reportedly,|Between digressions,|"
    "Stripped of asides,|The gist:|We learn that|It emerges that|Amid much grumbling,|Summary:|"
    "With evident feeling,|Somewhat breathlessly,|Matter-of-factly,|The post says that"
).split("|")
ENDINGS = (
    ", or so the post says|, by all accounts|, according to the post|, as recounted at some length|"
    ", they report|, it seems|, if the post is to be believed|, they write|, as told here|"
    ", with plenty of digressions|, in their own words|, as the message explains|, apparently"
).split("|")
REMARKS = (
    "Sorry for the long post.|Typing this on my phone, excuse the spelling.|Anyway.|"
    "It has been one of those weeks.|No, I haven't slept much.|Edit: thanks for all the replies!|"
    "My tea has gone cold in the meantime.|You couldn't make it up.|Not that anybody asked.|"
    "I keep going over it in my head.|The cat is sitting on the keyboard again.|"
    "Please be kind in the comments.|The weather was awful, by the way.|So there's that.|"
    "More when I know more.|Would love to hear what others think.|I'm still not sure how I feel.|"
    "Hope this helps somebody.|It rained the whole time, naturally.|First time posting here.|"
    "Cross-posted from the other group.|Ask me anything.|Best wishes to everyone reading this.|"
    "My phone is at 4% so I'll be quick.|Long day, short fuse.|I had to get this off my chest."
).split("|")
_SUBJECT = re.compile(r"^(The poster|The writer|OP|The author|Someone)\b(?!')")


def reword(template: str, rng: random.Random) -> str:
    """Return a summary template with, now and then, another subject, opening or ending."""
    if rng.random() < 0.5:
        template = _SUBJECT.sub(lambda _: rng.choice(SUBJECTS), template)
    if rng.random() < 0.2:
        opening = rng.choice(OPENINGS)
        keep = template.startswith(("{", "OP", "I ")) or opening.endswith(":")
        template = f"{opening} {template if keep else template[0].lower() + template[1:]}"
    if rng.random() < 0.2 and template.endswith("."):
        template = template[:-1] + rng.choice(ENDINGS) + "."
    return template


def chatter(template: str, rng: random.Random) -> str:
    """Return a post template with, now and then, side remarks before, after or in it."""
    if rng.random() < 0.3:
        template = f"{rng.choice(REMARKS)} {template}"
    if rng.random() < 0.3:
        template = f"{template} {rng.choice(REMARKS)}"
    if rng.random() < 0.2:
        breaks = [match.end() for match in re.finditer(r"[.!?] (?=[A-Z{])", template)]
        if breaks:
            place = rng.choice(breaks)
            template = f"{template[:place]}{rng.choice(REMARKS)} {template[place:]}"
    return template
