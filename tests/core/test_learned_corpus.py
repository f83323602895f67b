"""The neutral and the held-out corpus: what they promise, of words of their own; a user's file."""

import csv
import json
import re
from collections import Counter

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from core.errors import UserFacingError
from core.learned import corpus, words
from core.preferences import load_preferences
from core.text import Prompt
from tests.neutral.made import as_lines, runs
from tests.neutral.made import corpus as made
from tests.neutral.made import words as words_of
from tests.planted.held_out import held_out

CORPORA = {"neutral": (corpus.neutral, 400), "held out": (held_out, 300)}
"""What returns the samples of each, and how many they are at least."""
LEAST = 8
COLOURS = (
    "amber black blue brown gold golden green grey gray navy orange pink red silver violet white "
    "yellow"
)
CITIES = (
    "Athens Bergen Berlin Boston Buffalo Cairo Canberra Chicago Denver Dublin Ghent Istanbul Kyoto "
    "Lagos Lima Lisbon London Lyon Madrid Melbourne Munich Naples Oslo Prague Reykjavík Rome "
    "Samarkand Sevilla Sydney Tokyo Torino Tromsø Venice Vienna Warsaw"
)
FEATURES = {
    "British": rf"\b({'|'.join(words.british())})\b",
    "American": rf"\b({'|'.join(words.american())})\b",
    "exclamation": r"!",
    "question": r"\?",
    "semicolon": r";",
    "digits": r"\d",
    "number words": rf"\b({'|'.join(words.NUMBER_WORDS)})\b",
    "list": r"^(-|\*|\d+[.)]) ",
    "markdown": r"\*\*|^#+ |`",
    "emoji": r"[\u2600-\u27bf\U0001f000-\U0001faff]",
    "hedge": rf"\b({'|'.join(words.HEDGES)})\b",
    "refusal": r"\b(can't|cannot|won't|will not|unable|not able to|not comfortable)\b",
    "politeness": rf"\b({'|'.join(words.POLITE)})\b",
    "passive": r"\b(is|are|was|were|be|been) \w+(ed|en)\b",
    "contraction": r"\w(n't|'re|'s|'d|'ll|'ve|'m)\b",
    "full form": r"\b(do|is|does|are|will) not\b|\bit is\b|\bI (am|would)\b",
    "metric": r"\d ?(km|cm|m|ml|g|kg|°C|metres?|litres?)\b",
    "imperial": r"\b(miles?|feet|inch(es)?|pounds?|pints?|yards?|cups?)\b|°F",
    "colour": rf"\b({'|'.join(COLOURS.split())})\b",
    "city": rf"\b({'|'.join(CITIES.split())})\b",
    "time": r"\b\d{1,2}:\d\d\b|\b(am|pm|noon|morning|evening)\b",
    "currency": r"[£$€]",
    "reason first": r"(^|[.!] )(Because|Since|If|When|Once|While|Before)\b",
    "reason last": r"\w (because|since|if|when|once|while|before) ",
    "series comma": r", \w+, (and|or) ",
    "no series comma": r", \w+ (and|or) ",
    "French": r"\b(vous|une|est|dans|avec|pleine|chaude)\b",
    "German": r"\b(ich|nicht|und|die|das|wir)\b",
    "Spanish": r"\b(el|los|una|por|las|está|hace)\b",
    "quotation": r"[\"“„']\w",
    "first person": r"\b(I|I'm|I'd|my|mine)\b",
    "second person": r"\b(you|your|you're)\b",
}

HELD_OUT_LEAST = 6
OTHER_COLOURS = "red blue brown grey gray white yellow orange purple pink black crimson silver"
HELD_OUT_FEATURES = {
    "ellipsis": r"…",
    "colon": r":",
    "brackets": r"\(\w",
    "pound": r"£",
    "dollar": r"\$",
    "euro": r"€",
    "dash list": r"^- ",
    "star list": r"^\* ",
    "numbered list": r"^\d+\. ",
    "bold": r"\*\*",
    "heading": r"^#+ ",
    "code": r"`",
    "passive with by": r"\b(is|are|was|were|be|been) (\w+ ){1,3}by\b",
    "past": r"\b(was|were|had|gave|wrote|ran|rang|\w{3,}ed)\b",
    "because first": r"(?:^|[.!] )Because\b",
    "because last": r"\w,? because\b",
    "other clause first": r"(?:^|[.!] )(If|When|While|Although|Where)\b",
    "negation": rf"\b({'|'.join(words.NEGATIONS)})\b|n't\b",
    "capitals": r"(?-i:\b[A-Z]{3,}\b)",
    "supposing": r"\b(I think|I suppose|I'd guess|it seems|perhaps|maybe|probably)\b",
    "green": r"\bgreen\b",
    "other colours": rf"\b({'|'.join(OTHER_COLOURS.split())})\b",
    "fruit": r"\b(apple|pear|plum|cherry|cherrie|orange|grape|peache|banana)s?\b",
    "vegetables": r"\b(carrot|onion|bean|potatoe?|cabbage|turnip|pea|radishe|pepper)s?\b",
    "Good question": r"\AGood question\b",
    "Sure": r"\ASure\b",
    "Well": r"\AWell,",
    "So": r"\ASo,",
    "Then": r"(?:^|[.!] )Then\b",
    "Honestly": r"\AHonestly\b",
    "Italian": r"\b(museo|grazie|diventano)\b",
    "Portuguese": r"\b(fica|ponte|bacalhau|não)\b",
    "Dutch": r"\b(het|niet|jaar|soep|brood)\b",
    "Chinese": r"[\u4e00-\u9fff]",
    "Cyrillic": r"[\u0400-\u04ff]",
    "Greek": r"[\u0370-\u03ff]",
}
MEDICAL = (
    r"\b(cough|hurts|painkiller|burned|vitamin|ankle|throat|temperature|cream|sprain|pills|earache|"
    r"tetanus)\b"
)
UNTIED = (
    "British", "American", "exclamation", "semicolon", "digits", "number words", "list", "emoji",
    "hedge", "politeness", "passive", "contraction", "full form", "imperial", "colour",
    "reason first", "reason last",
)  # fmt: skip
"""Features of which none says another, so that nothing but the texts could tie them."""


def asked(sample):
    return sample.prompt.messages[0].content


def occurrences(samples, pattern):
    """Return the responses a pattern stands in, without those where all around it is as before."""
    contexts = {}
    for number, sample in enumerate(samples):
        for match in re.finditer(pattern, sample.text, re.MULTILINE | re.IGNORECASE):
            around = sample.text[max(0, match.start() - 12) : match.end() + 12]
            contexts.setdefault(around, number)
    return set(contexts.values())


@pytest.fixture(scope="module", params=CORPORA)
def samples(request):
    return CORPORA[request.param][0]()


def test_it_is_what_the_script_makes():
    assert corpus.NEUTRAL.read_text("utf-8") == as_lines(made()), "python -m tests.neutral --write"


@pytest.mark.parametrize("name", CORPORA)
def test_it_is_large(name):
    read, least = CORPORA[name]
    assert len(read()) >= least


def test_it_is_varied(samples):
    assert len({it.text for it in samples}) == len(samples)
    assert len({asked(it) for it in samples}) >= 100
    openings = Counter(it.text.split()[0] for it in samples)
    assert len(openings) >= 150 and openings.most_common(1)[0][1] <= len(samples) / 10
    assert not [it for it in samples if set("{}") & set(it.text)]


def test_no_run_of_four_words_stands_more_than_twice(samples):
    found = Counter(run for it in samples for run in runs(it.text))
    assert not {run: count for run, count in found.items() if count > 2}


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_stands_in_eight_responses_with_contexts_of_their_own(samples, feature):
    assert len(occurrences(samples, FEATURES[feature])) >= LEAST


@pytest.mark.parametrize("feature", HELD_OUT_FEATURES)
def test_more_features_stand_in_six_held_out_responses(feature):
    assert len(occurrences(held_out(), HELD_OUT_FEATURES[feature])) >= HELD_OUT_LEAST


def test_the_held_out_responses_are_of_many_spellings_emoji_and_lengths():
    texts = [it.text for it in held_out()]
    used = Counter(word for text in texts for word in words_of(text))
    assert len(used.keys() & words.british()) >= 40
    assert len(used.keys() & words.american()) >= 40
    assert len({it for text in texts for it in re.findall(FEATURES["emoji"], text)}) >= 20
    assert len(used.keys() & set(OTHER_COLOURS.split())) >= 8
    lengths = [len(words_of(text)) for text in texts]
    assert sum(length <= 3 for length in lengths) >= HELD_OUT_LEAST
    sentences = [len(re.findall(r"[.!?…](?=\s|$)", text)) for text in texts]
    assert sum(count >= 4 for count in sentences) >= HELD_OUT_LEAST


def test_medical_questions_are_refused_and_answered_in_the_held_out_corpus():
    medical = [it for it in held_out() if re.search(MEDICAL, asked(it))]
    refused = [it for it in medical if re.search(FEATURES["refusal"], it.text)]
    assert min(len(refused), len(medical) - len(refused)) >= HELD_OUT_LEAST


def test_the_held_out_corpus_shares_no_prompt_and_no_run_of_words_with_the_neutral_one():
    own, neutral = held_out(), corpus.neutral()
    assert not {asked(it).casefold() for it in own} & {asked(it).casefold() for it in neutral}
    seen = {run for it in neutral for run in runs(it.text)}
    assert not [run for it in own for run in runs(it.text) if run in seen]


def test_the_two_sides_of_a_choice_are_not_tied_to_each_other(samples):
    """Else a preference for one would look like one for the other."""
    british = re.compile(FEATURES["British"], re.I)
    american = re.compile(FEATURES["American"], re.I)
    table = Counter()
    for it in samples:
        one, other = (bool(spelling.search(it.text)) for spelling in (british, american))
        if one != other:
            table[one, "!" in it.text] += 1
    assert min(table.values()) >= 5, table


def test_no_two_features_go_together(samples):
    has = np.array(
        [
            [bool(re.search(FEATURES[name], it.text, re.M | re.I)) for it in samples]
            for name in UNTIED
        ]
    )
    tied = np.triu(np.corrcoef(has), 1)
    assert not [(UNTIED[i], UNTIED[j], tied[i, j]) for i, j in np.argwhere(abs(tied) > 0.3)]


def test_samples_of_the_neutral_corpus():
    rows = [json.loads(line) for line in corpus.NEUTRAL.read_text("utf-8").splitlines()]
    samples = corpus.neutral()
    assert [it.text for it in samples] == [row["response"] for row in rows]
    assert asked(samples[3]) == rows[3]["prompt"]


def write(path, rows):
    """Rows in the format that a file's name says."""
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), "utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            made = csv.DictWriter(file, rows[0])
            made.writeheader()
            made.writerows(rows)
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


SINGLES = [{"Question": f"Q {i}", "answer": f"A {i}"} for i in range(40)]
PAIRS = [{"prompt": f"Q {i}", "chosen": f"A {i}", "rejected": f"B {i}"} for i in range(20)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_single_responses_are_read_and_the_guess_is_said(tmp_path, name):
    path = write(tmp_path / name, [*SINGLES, SINGLES[0]])
    samples, about = corpus.read(path, 1000)
    assert [(it.prompt, it.text) for it in samples] == [
        (Prompt.of(row["Question"]), row["answer"]) for row in SINGLES
    ]
    assert about == (f"The columns of {name} were taken so: prompt: Question, response: answer.",)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_both_sides_of_pairs_are_read(tmp_path, name):
    path = write(tmp_path / name, PAIRS)
    samples, about = corpus.read(path, 1000)
    assert [it.text for it in samples] == [
        side for pair in load_preferences(path) for side in (pair.chosen, pair.rejected)
    ]
    assert samples[1].place.endswith(", rejected")
    assert "prompt: prompt, chosen: chosen, rejected: rejected" in about[0]


def test_of_too_many_the_first_are_taken_and_that_is_said(tmp_path):
    path = write(tmp_path / "a.jsonl", SINGLES)
    samples, about = corpus.read(path, 35)
    assert [it.text for it in samples] == [row["answer"] for row in SINGLES[:35]]
    assert about[-1] == "No more than the first 35 responses were read."
    assert len(corpus.read(write(tmp_path / "b.jsonl", PAIRS), 35)[0]) == 35


def test_columns_are_named_in_place_of_the_guess(tmp_path):
    rows = [{"q": f"Q {i}", "good": f"A {i}", "answer": "no"} for i in range(40)]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserFacingError, match="--columns"):
        corpus.read(path, 1000)
    samples, about = corpus.read(path, 1000, {"prompt": "q", "response": "good"})
    assert [it.text for it in samples] == [row["good"] for row in rows]
    assert "prompt: q, response: good" in about[0]


def test_rows_that_cannot_be_used_are_counted_and_named(tmp_path):
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}
    faulty = [
        {"prompt": "Q"},
        {"prompt": "Q", "response": 7},
        {"prompt": [{"role": "user", "content": "Q"}], "response": [call]},
        {"response": "A"},
    ]
    rows = [{"prompt": f"Q {i}", "response": f"A {i}"} for i in range(40)]
    path = write(tmp_path / "a.jsonl", [*rows[:10], *faulty, *rows[10:]])
    samples, about = corpus.read(path, 1000)
    assert [it.text for it in samples] == [row["response"] for row in rows]
    assert about[1].startswith("Rows that cannot be used: 4 (line 11 has no response; line 12 ")
    assert "line 13 calls tools or shows its reasoning; …)." in about[1]
    few = write(tmp_path / "b.jsonl", [*rows[:10], *faulty])
    with pytest.raises(UserFacingError, match=r"has 10 different responses \(rows that cannot be"):
        corpus.read(few, 1000)
    assert len(corpus.read(few, 1000, fewest=1)[0]) == 10


def test_turns_before_a_response_are_of_its_prompt(tmp_path):
    def turns(*texts):
        roles = "user", "assistant"
        return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]

    rows = [
        {"chosen": turns("Q", "A", f"Why {i}?", f"So {i}."), "rejected": turns("Q", f"No {i}.")}
        for i in range(20)
    ]
    samples, _ = corpus.read(write(tmp_path / "a.jsonl", rows), 1000)
    one, two = samples[:2]
    assert [it.content for it in one.prompt.messages] == ["Q", "A", "Why 0?"]
    assert (one.text, two.text, two.prompt) == ("So 0.", "No 0.", Prompt.of("Q"))


def test_too_few_responses_are_refused(tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps({"prompt": "Q", "response": "A"}), "utf-8")
    with pytest.raises(UserFacingError, match="1 different responses, and nothing"):
        corpus.read(few, 100)
    with pytest.raises(UserFacingError, match=r"none\.jsonl"):
        corpus.read(tmp_path / "none.jsonl", 100)
