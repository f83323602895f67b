"""English said another way: what is changed, and where it must give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learned import corpus
from core.learned.rewriting.edit import sentence_at, sentences
from core.learned.rewriting.person import to_third
from core.learned.rewriting.voice import to_active, to_passive
from core.learned.rewriting.whole import (
    PROPERTIES,
    lines_joined,
    sentence_split,
    sentences_joined,
    with_comma,
    without_comma,
)


def made(rewrite, text, *where):
    edit = rewrite(text, *where)
    return None if edit is None else edit.of(text)


def test_sentences_end_at_their_marks_but_not_behind_titles():
    text = "Dr. Smith left. Did he? Yes!\nOn J. Doe, see p. 4... Then\n\nno more"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Smith left.", "Did he?", "Yes!", "On J. Doe, see p.", "4...", "Then", "no more",
    ]  # fmt: skip
    assert sentence_at(text, text.index("he")) == (16, 23)


# --- voice ----------------------------------------------------------------------------------------

ACTIVE = """
The wall was painted by the nurse. | The nurse painted the wall.
The wall was painted by the nurse in May. | The nurse painted the wall in May.
The walls of the old house were quickly painted by two nurses. | Two nurses quickly painted the walls of the old house.
It rained. The bread was eaten by the dog! Nobody saw it. | It rained. The dog ate the bread! Nobody saw it.
It was improved by Galileo within a year. | Galileo improved it within a year.
He was bitten by a horse. | A horse bit him.
They were seen by her. | She saw them.
I was helped by him yesterday. | He helped me yesterday.
We were told by them last week. | They told us last week.
She was hired by me. | I hired her.
Mary Shelley was known by the poets. | The poets knew Mary Shelley.
My brother was stung by bees. | Bees stung my brother.
Sandwiches were made by the hosts. | The hosts made sandwiches.
Fishing boats were unloaded by tired crews while gulls circled. | Tired crews unloaded fishing boats while gulls circled.
The lake was crossed by the king of Spain in 1602; nobody cheered. | The king of Spain crossed the lake in 1602; nobody cheered.
The letter was written by Emily Brontë. | Emily Brontë wrote the letter.
This song was sung by the whole village when the war ended. | The whole village sang this song when the war ended.
The patient was asked by the doctor to wait. | The doctor asked the patient to wait.
"""  # noqa: E501


@pytest.mark.parametrize("line", ACTIVE.strip().splitlines())
def test_the_active_voice_for_the_passive(line):
    text, active = line.split(" | ")
    assert made(to_active, text, text.index(" by ") + 1) == active
    participle = text.rindex(" ", 0, text.index(" by ")) + 1
    assert made(to_active, text, participle) == active


@pytest.mark.parametrize(
    "text",
    """
    The wall was painted by noon.
    The house was built by the sea.
    The work was done by hand.
    The parcel was sent by Friday.
    The gate was opened by mistake.
    It was finished by the end of May.
    The price was cut by half.
    The price was raised by ten percent.
    He was born by the river.
    The wall is painted by the nurse.
    The wall will be painted by the nurse.
    The wall had been painted by the nurse.
    The wall was not painted by the nurse.
    The wall was being painted by the nurse.
    The wall was painted red by the nurse.
    The wall was painted by the nurse who lived there.
    The wall was painted by the nurse and sold in May.
    The wall was painted by the nurse in May and was sold.
    The wall was painted by the nurse, the porter and the cook.
    The wall was painted by the nurse with red hair.
    The wall was painted by the nurse in the hat.
    The nurse was tired by work.
    In May the wall was painted by the nurse.
    Yesterday the wall was painted by the nurse.
    I think the wall was painted by the nurse.
    The man said dinner was cooked by the nurse.
    When John Smith was hit by the ball, he fell.
    When John was hit by the ball he fell.
    Dinner was cooked by my uncle.
    What was painted by the nurse?
    Was the wall painted by the nurse?
    "The wall was painted by the nurse," he said.
    The wall, old and damp, was painted by the nurse.
    The door was painted by itself.
    The bag was picked up by the driver.
    The child was given a cake by the nurse.
    The city was known by always being late.
    The answer was found by asking.
    The fence was mended by 7 pm.
    The lamp was made by means of wire.
    The house was built by Christmas.
    """.strip().splitlines(),
)
def test_no_active_voice_where_it_is_not_sure(text):
    text = text.strip()
    place = text.index(" by ") + 1 if " by " in text else 0
    assert to_active(text, place) is None


def test_only_the_passive_at_the_place_is_turned():
    text = "The wall was painted by the nurse. The bread was eaten by the dog."
    assert made(to_active, text, text.rindex(" by ") + 1) == (
        "The wall was painted by the nurse. The dog ate the bread."
    )
    assert to_active(text, text.index("wall")) is None


PASSIVE = """
The nurse painted the wall. | nobody
The nurse cleaned the wall. | The wall was cleaned by the nurse.
The nurses repaired the walls in May. | The walls were repaired by the nurses in May.
He wrote the letters yesterday. | The letters were written by him yesterday.
They took the children to Paris. | The children were taken by them to Paris.
It rained. A goat ate our map; we sail by stars. | It rained. Our map was eaten by a goat; we sail by stars.
Mary Shelley wrote a pair of books. | A pair of books was written by Mary Shelley.
My sister sold this glass. | This glass was sold by my sister.
I wrote the letter. | nobody
Tired crews unloaded the boats. | The boats were unloaded by tired crews.
Galileo improved the telescope. | nobody
James painted the wall. | nobody
James cleaned the wall. | nobody
When James cleaned the wall, it rained. | nobody
The nurse gave the child a cake. | nobody
The king wrote the queen a letter. | nobody
The nurse opened the door and left. | nobody
The nurse washed the child herself. | nobody
The train arrived this morning. | nobody
We walked the whole day. | nobody
The nurse found the boy asleep. | nobody
The nurse cleaned the wall with care. | nobody
When she left, the nurse closed the door. | nobody
The nurse who came closed the door. | nobody
She sings. | nobody
"""  # noqa: E501


@pytest.mark.parametrize("line", PASSIVE.strip().splitlines())
def test_the_passive_voice_for_the_active(line):
    text, passive = line.split(" | ")
    assert made(to_passive, text) == (None if passive == "nobody" else passive)


# --- person ---------------------------------------------------------------------------------------

THIRD = """
^I think so. | They think so.
^I am late. | They are late.
^I was late and tired. | They were late and tired.
^I wasn't there. | They weren't there.
Perhaps ^I am wrong. | Perhaps they are wrong.
^I really was happy. | They really were happy.
Am ^I late? | Are they late?
Where was ^I? | Where were they?
^I have a dog. | They have a dog.
^I do not know. | They do not know.
^I don't, I can't and I won't. | They don't, they can't and they won't.
^I'm sure I've seen it. | They're sure they've seen it.
^I’m tired. | They're tired.
^My dog likes me. | Their dog likes them.
^I hurt myself. | They hurt themselves.
We left our ^coats with us. | nobody
We left ^our coats with us. | They left their coats with them.
The house is ^ours. | The house is theirs.
That book of ^mine | That book of theirs
He said: "^I was wrong." | He said: "They were wrong."
He and ^I left. | He and they left.
Let ^us go. | Let them go.
^You are right. | They are right.
If you have time, close ^your eyes. | If they have time, close their eyes.
Can ^you come? | Can they come?
What do ^you want? | What do they want?
I told ^you. | I told them.
^I told you. | They told you.
This is for ^you. | This is for them.
I gave ^you the key. | I gave them the key.
^You're late, you'll see. | They're late, they'll see.
^You should ask yourself why. | They should ask themselves why.
The choice is ^yours. | The choice is theirs.
I left. ^I am back. | I left. They are back.
^I left. I am back. | They left. I am back.
^I came and was late. | nobody
^I left but am back. | nobody
It is ^I who am late. | nobody
World War ^I. ended it. | nobody
He likes Henry ^I. | nobody
A coal ^mine is deep. | nobody
We met in the ^US. | nobody
As for ^ME, no. | nobody
Thank ^you for all. | nobody
^You're welcome. | nobody
^You know, it is late. | nobody
See, ^you guys are late. | nobody
I can help ^you find it. | nobody
It was he or ^you. | nobody
Ask ^yourself why. | nobody
^Yours is blue. | nobody
^i. the first point | nobody
"""


@pytest.mark.parametrize("line", THIRD.strip().splitlines())
def test_the_third_person_for_the_first_or_the_second(line):
    """The mark stands before the word that is meant; all of its sentence is turned."""
    marked, third = line.split(" | ")
    text = marked.replace("^", "")
    assert made(to_third, text, marked.index("^")) == (None if third == "nobody" else third)


# --- whole responses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewrite", "text", "after"),
    [
        (without_comma, "It rained, so we left.", "It rained so we left."),
        (without_comma, "It rained, and we left.", "It rained and we left."),
        (without_comma, "In the morning, we left.", "In the morning we left."),
        (without_comma, "We ate. Usually, the dog did too.", "We ate. Usually the dog did too."),
        (without_comma, "Bring tea, milk, and sugar.", "Bring tea, milk and sugar."),
        (without_comma, "My brother, who left, is back.", None),
        (without_comma, "Paris, France", None),
        (without_comma, "Bring tea, milk and sugar.", None),
        (without_comma, "Yes, it is.", None),
        (without_comma, "It costs 1,200 euros.", None),
        (with_comma, "The sun shone but we left.", "The sun shone, but we left."),
        (with_comma, "He came and she was glad.", "He came, and she was glad."),
        (with_comma, "If it rains and we go, all is lost.", None),
        (with_comma, "Him and her and they", None),
        (with_comma, "I know that he came and she was glad.", None),
        (sentences_joined, "It is late. The bus left.", "It is late, and the bus left."),
        (sentences_joined, "The bus left. I ran home.", "The bus left, and I ran home."),
        (sentences_joined, "Close the door. It is cold.", None),
        (sentences_joined, "It is late. Is it? It is.", None),
        (sentences_joined, "It is late. However, we stay.", None),
        (sentences_joined, "It is late.\nThe bus left.", None),
        (sentences_joined, "He waited... The bus left then.", None),
        (sentences_joined, "It is so. She is.", None),
        (sentence_split, "The bus left, and we ran home.", "The bus left. We ran home."),
        (sentence_split, "The bus left, and I ran home.", "The bus left. I ran home."),
        (sentence_split, "If the bus leaves, and we run, all is lost.", None),
        (sentence_split, "Bring tea, milk, and it.", None),
        (sentence_split, "Close the door, and you will see.", None),
        (lines_joined, "It is late.\n\nThe bus left.", "It is late. The bus left."),
        (lines_joined, "White on the lane,\nthe fox", "White on the lane, the fox"),
        (lines_joined, "Dear Ann,\nThanks.", None),
        (lines_joined, "You need:\n- tea\n- milk", None),
        (lines_joined, "First.\n1. tea\n2. milk", None),
        (lines_joined, "# Tea.\nBoil it.", None),
        (lines_joined, "Run this.\n```\nls\n```\nDone.\nThe end.", None),
        (lines_joined, "Run this.\n    ls it", None),
        (lines_joined, "One line.", None),
    ],
)
def test_one_more_or_one_less_of_a_property(rewrite, text, after):
    assert made(rewrite, text) == after


@given(st.text("aI you.,\nThe was by painted and'", max_size=60), st.integers(0, 60))
def test_what_is_changed_lies_in_the_text(text, at):
    rewrites = [rewrite(text) for it in PROPERTIES.values() for rewrite in it.values()]
    for edit in *rewrites, to_passive(text), to_active(text, at), to_third(text, at):
        if edit is not None:
            assert 0 <= edit.start <= edit.stop <= len(text) and edit.of(text) != text


def words(text):
    return sorted("".join(it if it.isalpha() else " " for it in text.casefold()).split())


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_words_of_the_neutral_corpus_stay_what_they_are(name):
    """But for the "and" that joins sentences, or is gone where they are split."""
    found = 0
    for sample in corpus.neutral():
        for side, rewrite in PROPERTIES[name].items():
            if (edit := rewrite(sample.text)) is not None:
                found += 1
                more = ["and"] * (name == "sentences")
                before, after = words(sample.text), words(edit.of(sample.text))
                one, two = (before, after) if side == 1 else (after, before)
                assert sorted([*one, *more]) == two
    assert found >= 5, "else nothing of the corpus could be tested"
