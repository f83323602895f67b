"""Each layout of preference data gives the same pairs; each fault gives its own sentence."""

import csv
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import preferences
from core.errors import UserFacingError
from core.preferences import (
    as_text,
    inspect_preferences,
    load_preferences,
    read_preferences,
)
from core.text import Prompt

PLAIN = [
    {"prompt": f"Summarise post {n}.", "chosen": f"It is {n}.", "rejected": f"It is {n + 1}."}
    for n in range(5)
]


def turn(role, content):
    return {"role": role, "content": content}


CHAT = [
    {
        "prompt": [turn("system", "Be brief."), turn("user", pair["prompt"])],
        "chosen": [turn("assistant", pair["chosen"])],
        "rejected": [turn("assistant", pair["rejected"])],
    }
    for pair in PLAIN
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write(folder, kind, rows):
    """The rows as a file or folder of a kind."""
    path = folder / f"pairs.{kind}"
    if kind == "jsonl":
        return write_lines(path, rows)
    if kind == "json":
        path.write_text(json.dumps(rows, indent=1), "utf-8")
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        datasets = pytest.importorskip("datasets")
        made = datasets.Dataset.from_list(rows)
        if kind == "splits":
            made = datasets.DatasetDict({"test": made.select([0]), "train": made})
        made.save_to_disk(path)
    return path


def sides(pairs):
    return [pair.row() for pair in pairs]


def read(tmp_path, *rows):
    """What is read of rows in a file of JSON Lines."""
    return read_preferences(write_lines(tmp_path / "pairs.jsonl", rows))


def only(tmp_path, row):
    """The one pair of a row, as trainers take it."""
    (pair,) = read(tmp_path, row).pairs
    return pair.row()


def user(text):
    return turn("user", text)


def said(text):
    return turn("assistant", text)


PAIR = {"prompt": [user("2 + 2?")], "chosen": [said("4")], "rejected": [said("5")]}
SYSTEM = {**PAIR, "prompt": [turn("system", "Be exact."), user("2 + 2?")]}
LATER = {**PAIR, "prompt": [user("Hi"), said("Hello."), user("2 + 2?")]}
BRACES = {**PAIR, "prompt": [user("It's {1} {2}"), said('"} {"'), user("{} {'a'}\n{}\\")]}


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv", "dataset", "splits"])
def test_every_kind_of_file_gives_the_plain_pairs(tmp_path, kind):
    path = write(tmp_path, kind, PLAIN)
    info = inspect_preferences(path)
    assert (info.rows, info.pairs[0].conversational, info.columns) == (
        5, False, ("prompt", "chosen", "rejected"),
    )  # fmt: skip
    assert (info.checked, info.equal, info.pairs[0].chosen) == (5, 0, "It is 0.")
    assert sides(load_preferences(path)) == PLAIN


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv", "dataset", "splits"])
def test_every_kind_of_file_gives_the_conversations(tmp_path, kind):
    path = write(tmp_path, kind, CHAT)
    info = inspect_preferences(path)
    assert info.pairs[0].conversational and info.rows == 5
    assert as_text(info.pairs[0].prompt) == "system: Be brief.\nuser: Summarise post 0."
    assert sides(load_preferences(path)) == CHAT


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        # TRL's: the prompt is what both begin with; a prompt in text beside it is passed over
        ({"chosen": [*PAIR["prompt"], said("4")], "rejected": [*PAIR["prompt"], said("5")]}, PAIR),
        ({"prompt": "2 + 2?", "chosen": [*PAIR["prompt"], said("4")],
          "rejected": [*PAIR["prompt"], said("5")]}, PAIR),
        # and repeated in front of both
        ({**SYSTEM, "chosen": [*SYSTEM["prompt"], said("4")],
          "rejected": [*SYSTEM["prompt"], said("5")]}, SYSTEM),
        ({"prompt": "2 + 2?", "chosen": [said("4")], "rejected": [said("5")]}, PAIR),
        ({"prompt": "Two and two?", "chosen_messages": [*PAIR["prompt"], said("4")],
          "rejected_messages": [*PAIR["prompt"], said("5")]}, PAIR),
        # a system text, under the names that it has (orca, axolotl, Argilla)
        ({"system": "Be exact.", "question": "2 + 2?", "chosen": "4", "rejected": "5"}, SYSTEM),
        ({"system_prompt": "Be exact.", **PAIR}, SYSTEM),
        ({"system": float("nan"), "tools": float("nan"), **PAIR}, PAIR),  # as pandas has no value
        ({"system": "Be exact.", **SYSTEM}, SYSTEM),
        ({"system": "Be exact.", "instruction": "2 + 2?", "chosen_response": "4",
          "rejected_response": "5"}, SYSTEM),
        # LLaMA-Factory: alpaca, then sharegpt
        ({"instruction": "2 +", "input": "2?", "chosen": "4", "rejected": "5",
          "history": [["Hi", "Hello."]], "system": ""},
         {**LATER, "prompt": [*LATER["prompt"][:2], user("2 +\n2?")]}),
        ({"conversations": [{"from": "human", "value": "2 + 2?"}],
          "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"},
          "system": "Be exact.", "tools": "[]"}, SYSTEM),
        # axolotl
        ({"messages": [user("2 + 2?")], "chosen": said("4"), "rejected": said("5")}, PAIR),
        # the whole conversation beside, or a prompt that is repeated but for its system turn
        ({"messages": [user("2 + 2?"), said("4")], "chosen": "4", "rejected": "5"}, PAIR),
        ({"prompt": SYSTEM["prompt"], "chosen": [user("2 + 2?"), said("4")],
          "rejected": [user("2 + 2?"), said("5")]}, SYSTEM),
        # ms-swift
        ({"messages": [user("2 + 2?"), said("4")], "rejected_response": "5"}, PAIR),
        ({"query": "2 + 2?", "response": "4", "rejected_response": "5", "system": "Be exact."},
         SYSTEM),
        # roles and keys of other houses
        ({"prompt": [{"speaker": "Human", "text": "2 + 2?"}],
          "chosen": [{"role": "Assistant", "content": "4"}],
          "rejected": [{"from": "model", "value": "5"}]}, PAIR),
        # turns as text: JSON, Python, numpy; and a content in parts
        ({name: json.dumps(side) for name, side in SYSTEM.items()}, SYSTEM),
        ({name: str(side) for name, side in SYSTEM.items()}, SYSTEM),
        ({name: str(side).replace("}, {", "}\n {") for name, side in LATER.items()}, LATER),
        ({name: [json.dumps(turn) for turn in side] for name, side in LATER.items()}, LATER),
        ({name: json.dumps(json.dumps(side)) for name, side in SYSTEM.items()}, SYSTEM),
        ({name: str(tuple(side)) for name, side in LATER.items()}, LATER),
        # numpy breaks lines at 75 letters
        ({**BRACES, "prompt": str(BRACES["prompt"]).replace("}, {'r", "} {'r")}, BRACES),
        ({**PAIR, "prompt": [user([{"type": "text", "text": "2 +"}, {"text": " 2?"}])]}, PAIR),
    ],
)  # fmt: skip
def test_layouts_of_conversations(tmp_path, row, pair):
    assert only(tmp_path, row) == pair


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        ({"question": "2 + 2?", "chosen": "4", "rejected": "5"}, ("2 + 2?", "4", "5")),
        ({"input": "2 + 2?", " Chosen": "4", "REJECTED": "5"}, ("2 + 2?", "4", "5")),
        ({"instruction": "2 +", "input": "2?", "chosen": "4", "rejected": "5"},
         ("2 +\n2?", "4", "5")),
        # text that only looks like turns
        ({"prompt": "JSON?", "chosen": '[{"x": 1}]', "rejected": "{'x"},
         ("JSON?", '[{"x": 1}]', "{'x")),
        # the prompt ends where the dialogue's last answer begins, though the answers begin alike
        ({"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: It is 4",
          "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: It is 5"},
         ("\n\nHuman: 2 + 2?\n\nAssistant:", " It is 4", " It is 5")),
    ],
)  # fmt: skip
def test_layouts_of_plain_text(tmp_path, row, pair):
    prompt, chosen, rejected = pair
    assert only(tmp_path, row) == {"prompt": prompt, "chosen": chosen, "rejected": rejected}


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {"chosen": "Say it: yes", "rejected": "Say it: no"},
        {"chosen": "\n\nHuman: Q\n\nAssistant: Yes.", "rejected": "\n\nHuman: Q\n\nAssistant: No."},
        {"chosen": [user("Q"), said("a")], "rejected": [user("Q"), said("b")]},
        {
            "chosen": [user("Q"), said("a"), user("R"), said("b")],
            "rejected": [user("Q"), said("c")],
        },
    ],
)
def test_a_prompt_that_is_not_given_is_the_one_that_trl_extracts(tmp_path, row):
    data_utils = pytest.importorskip("trl.data_utils")
    assert only(tmp_path, row) == data_utils.extract_prompt(row)


CALL = {"type": "function", "function": {"name": "rain", "arguments": {"city": "Rome"}}}
TOOLS = [{"type": "function", "function": {"name": "rain", "parameters": {"city": {"x": None}}}}]
CALLED = [
    {
        "prompt": [user("Rain?")],
        "chosen": [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "no", "name": "rain", "tool_call_id": "7"},
            {"role": "assistant", "content": "No.", "reasoning_content": "It says no."},
        ],
        "rejected": [said("Yes.")],
        "tools": TOOLS,
        "chat_template_kwargs": {"enable_thinking": True},
    },
    {
        "prompt": [user("Sun?")],
        "chosen": [
            {"role": "assistant", "content": None, "tool_calls": [
                {"type": "function", "function": {"name": "sun", "arguments": {"day": 3}}}
            ]}
        ],
        "rejected": [said("No.")],
        "tools": [{"type": "function", "function": {"name": "sun", "parameters": {}}}],
        "chat_template_kwargs": {"enable_thinking": False},
    },
]  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "dataset"])
def test_calls_reasoning_and_tools_are_kept(tmp_path, kind):
    rows = CALLED
    if kind == "dataset":
        datasets = pytest.importorskip("datasets")
        path = tmp_path / "pairs.dataset"
        datasets.Dataset.from_list(rows, on_mixed_types="use_json").save_to_disk(path)
    elif kind == "csv":
        path = write(tmp_path, kind, [{k: json.dumps(v) for k, v in row.items()} for row in rows])
    else:
        path = write(tmp_path, kind, rows)
    assert sides(load_preferences(path)) == rows


def test_calls_as_sharegpt_has_them(tmp_path):
    row = {
        "conversations": [
            {"from": "human", "value": "Rain?"},
            {"from": "function_call", "value": '{"name": "rain", "arguments": {"city": "Rome"}}'},
            {"from": "observation", "value": "no"},
        ],
        "chosen": {"from": "gpt", "value": "No."},
        "rejected": {"from": "gpt", "value": "Yes."},
        "tools": json.dumps(TOOLS),
    }
    assert only(tmp_path, row) == {
        "prompt": [
            user("Rain?"),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            turn("tool", "no"),
        ],
        "chosen": [said("No.")],
        "rejected": [said("Yes.")],
        "tools": TOOLS,
    }


def test_calls_are_not_measured_as_text(tmp_path):
    pair, other = read(tmp_path, *CALLED).pairs
    assert json.loads(pair.turns.settings)["tools"] == TOOLS
    for measured in (pair, other):
        with pytest.raises(UserFacingError, match="cannot be measured as text"):
            measured.answers  # noqa: B018


def test_what_is_not_used_is_told(tmp_path):
    row = {
        "prompt": "Two and two?", "prompt_id": "7", "messages": [user("2 + 2?"), said("4")],
        "chosen": [user("2 + 2?"), said("4") | {"weight": 2}], "score_chosen": 9.5,
        "rejected": [user("2 + 2?"), said("5")], "notes": None, "tags": [],
    }  # fmt: skip
    assert read(tmp_path, row).problems == (
        "In 1 of 1 pairs weight of the turns is not used.",
        "Not used: prompt, prompt_id, messages, score_chosen (every pair counts the same).",
    )
    for word in ("nan", "NULL", " N/A"):
        empty = {"prompt": "Why?", "chosen": "So.", "rejected": word}
        assert f"rejected is the word {word}, as some" in read(tmp_path, empty).problems[0]
    twice = {"prompt": "Why?", "Prompt": "How?", "chosen": "So.", "rejected": "No.", "": 1}
    assert "Not used: prompt, a column without a name (" in read(tmp_path, twice).problems[0]
    begun = {**PAIR, "prompt": [user("2 + 2?"), said("It is")]}
    assert "the prompt ends with a turn of the assistant" in read(tmp_path, begun).problems[0]
    repeated = {"prompt": "Why?", "chosen": "Why? So.", "rejected": "Why? No."}
    assert "repeat the prompt" in read(tmp_path, repeated).problems[0]
    same = {**row, "prompt": "2 + 2?", "messages": None, "score_chosen": None, "prompt_id": ""}
    assert read(tmp_path, same).problems == ("In 1 of 1 pairs weight of the turns is not used.",)
    plain = {"chosen": "It is so.", "rejected": "It is not."}
    assert "1 of 1 pairs the prompt is what chosen" in read(tmp_path, plain).problems[0]
    dialogue = {
        "chosen": "\n\nHuman: a\n\nAssistant: b",
        "rejected": "\n\nHuman: a\n\nAssistant: c",
    }
    assert "without a chat template" in read(tmp_path, dialogue).problems[0]
    assert read(tmp_path, *PLAIN).problems == ()


def test_rows_that_cannot_be_used_are_counted_and_named(tmp_path):
    found = read(tmp_path, PLAIN[0], {**PLAIN[1], "chosen": " "}, *[{"prompt": "x"}] * 9)
    assert (found.rows, len(found.pairs), len(found.faults)) == (11, 1, 10)
    (problem,) = found.problems
    assert "10 of 11 rows" in problem and "line 2 has an empty chosen; line 3 has no" in problem
    assert "line 6" in problem and "line 7" not in problem and problem.endswith("; …).")
    for strict in (inspect_preferences, load_preferences):
        with pytest.raises(UserFacingError, match=r"10 of 11 .*mend or delete.*--write NEW"):
            strict(tmp_path / "pairs.jsonl")


def test_plain_rows_beside_some_with_a_system_text_become_turns_too(tmp_path):
    plain = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
    found = read(tmp_path, plain, {**plain, "system": "Be exact."})
    assert [pair.row() for pair in found.pairs] == [PAIR, SYSTEM]


def test_answers_are_the_last_turns_and_each_side_has_its_own_before_them(tmp_path):
    for kind, rows in (("jsonl", PLAIN), ("json", CHAT)):
        pair = load_preferences(write(tmp_path, kind, rows))[1]
        assert pair.answers == ("It is 1.", "It is 2.")
        assert pair.turns == Prompt.of("Summarise post 1.", "Be brief." if rows is CHAT else None)
    more = [said("Which?"), user("The last."), said("It is 4.")]
    (pair,) = read(tmp_path, {**CHAT[0], "chosen": more}).pairs
    assert pair.answers == ("It is 4.", "It is 1.")
    assert pair.turns.messages == pair.prompt
    chosen, rejected = pair.replies
    assert [turn.content for turn in chosen] == ["Which?", "The last.", "It is 4."]
    assert [turn.content for turn in rejected] == ["It is 1."]


def test_a_large_file_is_counted_and_only_its_beginning_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "CHECKED", 2)
    path = write_lines(tmp_path / "many.jsonl", PLAIN)
    path.write_text(path.read_text("utf-8") + "\n{broken\n", "utf-8")
    info = inspect_preferences(path)
    assert (info.checked, info.rows) == (2, 6)
    with pytest.raises(UserFacingError, match="line 7 is not JSON"):
        load_preferences(path)


SIDES = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**SIDES, "rejected": None}, "line 2 has no rejected"),
        ({**SIDES, "prompt": None}, "line 2 has no prompt"),
        ({"prompt": "", "chosen": "It is.", "rejected": "It isn't."}, "line 2 has no prompt"),
        ({"chosen": "It is.", "rejected": "It isn't."}, "line 2 has no prompt"),
        ({**SIDES, "chosen": ""}, "line 2 has an empty chosen"),
        ({**SIDES, "chosen": []}, "line 2 has an empty chosen"),
        ({**SIDES, "rejected": 3}, "rejected that is neither text nor turns"),
        ({**SIDES, "chosen": ["b", "d"]}, "a list of texts as chosen: each pair needs a row"),
        ({**SIDES, "chosen": "\ud800"}, "half a surrogate pair in chosen"),
        ({**SIDES, "image": "cat.png"}, "images, video or sound"),
        ({**SIDES, "history": ["x"]}, "a history that is no list"),
        ({**SIDES, "tools": "{"}, "tools that are no list"),
        ({**SIDES, "chosen": "[{'role': 'assistant', 'content': f()}]"}, "looks like turns but"),
        ({**SIDES, "chosen": "array([{'role': 'assistant', 'content': 'x'}], dtype=object)"},
         "looks like turns but"),
        ({**SIDES, "chosen": float("nan")}, "line 2 has an empty chosen"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant:"},
         "line 2 has no prompt"),
        ({**SIDES, "chosen": [said("x")]}, "mixes plain text and turns"),
        ({**PAIR, "chosen": [said("") | {"tool_calls": "rain()"}]}, "tool calls in chosen that"),
        ({**PAIR, "chosen": [None, said("4")]}, "a turn in chosen that does not say whose it is"),
        ({**PAIR, "chosen": [said("")]}, "an empty turn in chosen"),
        ({**PAIR, "chosen": [said(None)]}, "a turn in chosen whose content is no text"),
        ({**PAIR, "prompt": [turn("narrator", "Once")]}, "the role 'narrator' in prompt"),
        ({**PAIR, "chosen": [user("4")]}, "chosen that does not end with a turn of the assistant"),
        ({**PAIR, "prompt": [user([{"type": "image"}])]}, "a turn in prompt with images"),
        ({**SYSTEM, "system": "Be vague."}, "two system texts"),
        ({"chosen": [said("4")], "rejected": [said("5")]}, "do not begin with the same turns"),
    ],
)  # fmt: skip
def test_each_fault_of_a_row_has_its_words(tmp_path, row, sentence):
    whole = PAIR if isinstance(row.get("rejected"), list) else SIDES
    found = read(tmp_path, whole, row)
    assert len(found.pairs) == 1
    assert sentence in found.problems[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("[]", "is empty"),
        ('{"question": "a", "chosen": "b", "answer": "c"}\n',
         "no column rejected; its columns are: question, chosen, answer"),
        ('{"prompt": "a", "completion": "b", "label": true}', "as KTO takes them"),
        ('{"instruction": "a", "output": ["b", "c"]}', "several responses to each prompt"),
        ('{"conversation_a": [{"role": "user", "content": "a"}], "winner": "model_a"}',
         "its columns are: conversation_a, winner. Write the better"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "as SFT takes it, and no pairs"),
        ('{"prompt": "a", "completions": [{"text": "b"}]}', "several responses to each prompt"),
        (json.dumps(SIDES | {"rejected": "b"}) + "\n", "chosen and rejected are the same"),
        (json.dumps(PLAIN[0]) + "\n" + json.dumps(CHAT[0]),
         "line 1 holds plain text, line 2 turns"),
        ('{"chosen": "4", "rejected": "5"}', "do not begin with the same text"),
        (json.dumps({"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: a\n\nAssistant:"}),
         "line 1 has nothing in rejected behind the prompt"),
        ('{"messages": [{"role": "assistant", "content": "a"}], "rejected_response": ["b", "c"]}',
         "a list of texts as rejected"),
        ("[1, 2]", "row 1 is not a table"),
        (json.dumps(SIDES) + '\n{"prompt": "a", "cho', "line 2 is not JSON"),
    ],
)  # fmt: skip
def test_each_fault_of_a_file_has_its_sentence(tmp_path, text, sentence):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text, "utf-8")
    for strict in (inspect_preferences, load_preferences):
        with pytest.raises(UserFacingError, match=sentence):
            strict(path)


KEYS = st.sampled_from(
    "prompt chosen rejected messages conversations system history tools chat_template_kwargs "
    "instruction input label role content from value tool_calls function_call text type".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from(["user", "Human", "assistant", "function_call", "tool", "[{'role': 'user'"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "gpt"]), "content": VALUES},
    optional={"tool_calls": VALUES, "function_call": VALUES},
)
CELLS = VALUES | st.lists(SAID | VALUES, max_size=3) | SAID


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(KEYS, CELLS, max_size=6) | VALUES, min_size=1, max_size=3))
def test_whatever_a_row_holds_is_read_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    try:
        found = read_preferences(path)
    except UserFacingError:
        return
    assert found.checked == found.rows
    for pair in found.pairs:
        again = write_lines(path.with_name("again.jsonl"), [pair.row()])
        assert read_preferences(again).pairs == (pair,)
