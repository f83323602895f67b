"""The record of a session: what goes round, and what becomes of bytes that are none."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine.protocol import PairSpec
from core.session_record import (
    LARGEST,
    VERSION,
    PairNamed,
    Response,
    SessionRecord,
    Turn,
    decode,
    encode,
    record_of,
)
from core.text import Message, Prompt

# Two halves in a row are one character in UTF-16, so of halves only high ones are drawn here.
texts = st.text(st.characters(exclude_categories=()), max_size=40).filter(
    lambda text: (
        text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") == text
    )
)
whole = texts | st.sampled_from(["\ud83d", "a\udc80b", "🙂", "\0", "\u2028\r\n", "é你\U0010ffff"])
records = st.builds(
    SessionRecord,
    saved=st.none() | st.datetimes(timezones=st.just(UTC)),
    pair=st.builds(PairNamed, demo=st.booleans(), policy=whole, reference=whole, run=whole),
    beta=st.none() | st.floats(1e-6, 1000),
    example=whole,
    prompt=st.lists(
        st.builds(Turn, st.sampled_from(["system", "user", "assistant", "tool"]), whole, whole),
        max_size=4,
    ).map(tuple),
    prompt_settings=whole,
    a=st.builds(Response, whole),
    b=st.builds(Response, whole),
    ids=st.dictionaries(st.sampled_from("AB"), st.lists(st.integers(0, 10**9)).map(tuple)),
    view=st.dictionaries(whole, whole, max_size=3),
)


@given(records)
def test_a_record_goes_round(record):
    assert decode(encode(record)) == (record, "")


@given(records)
def test_its_bytes_are_utf8_json_of_the_documented_fields(record):
    plain = json.loads(encode(record).decode("utf-8"))
    assert plain["version"] == VERSION == 1
    assert plain["a"] == {"text": record.a.text}
    assert [turn["content"] for turn in plain["prompt"]] == [it.content for it in record.prompt]


def test_letters_stand_as_they_are_and_lone_halves_as_escapes():
    data = encode(SessionRecord(a=Response("é🙂"), b=Response("x\ud83d")))
    assert "é🙂".encode() in data and b"x\\ud83d" in data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(records, st.sampled_from(SessionRecord.__struct_fields__), json_values)
def test_one_damaged_field_costs_no_other(record, name, value):
    """Whatever stands in a field, the others are read; and what is read can be written again."""
    plain = json.loads(encode(record))
    plain[name] = value
    found, remark = decode(json.dumps(plain).encode())
    if found is None:
        assert name == "version" and remark
        return
    for other in SessionRecord.__struct_fields__:
        if other != name:
            assert getattr(found, other) == getattr(record, other)
    assert decode(encode(found)).record == found


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_sentence(data):
    found, remark = decode(data)
    assert found is None and remark


@given(records, st.data())
def test_a_cut_or_changed_record_never_raises(record, data):
    whole = encode(record)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = (
        whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :]
    )
    found, remark = decode(changed)
    assert found is not None or remark


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 1_000_000,
        b'{"version":1,"pair":' + b'{"policy":' * 200_000,
        b'{"version":' + b"9" * 10_000 + b"}",
        b'{"version":0}',
        b'{"version":true}',
        b'{"version":"1"}',
        b'"version"',
        b"\xff\xfe\x00",
        b"\0" * 100,
        b" " * (LARGEST + 1),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_record_is_said(data):
    found, remark = decode(data)
    assert found is None and remark


def test_a_newer_record_is_read_as_far_as_it_is_understood():
    plain = {
        "version": 7,
        "tree": [1],
        "a": {"text": "kept", "ids": [1, 2]},
        "b": "of its own",
        "ids": {"C": []},
    }
    found, remark = decode(json.dumps(plain).encode())
    assert found.a == Response("kept") and found.b == Response()
    assert "its b, ids cannot be read" in remark and "newer version" in remark


def test_numbers_that_no_window_writes_are_left_out():
    for beta in ("-1", "0", "1e999", "NaN", "true", "[0.1]", '"0.1"'):
        found, remark = decode(b'{"version":1,"a":{"text":"x"},"beta":%s}' % beta.encode())
        assert found.beta is None and found.a.text == "x" and "beta" in remark
    turns = [{"role": "user", "content": "x"}] * 100_000
    found, remark = decode(json.dumps({"version": 1, "prompt": turns}).encode())
    assert found.prompt == () and "prompt" in remark


def test_a_window_state_becomes_a_record_without_its_risks():
    spec = PairSpec(policy="/p", reference="/r", allow_pickle=True, allow_remote_code=True)
    prompt = Prompt((Message("system", "s"), Message("user", "u", '{"x": 1}')), '{"tools": []}')
    record = record_of(spec, 0.3, "An example", prompt, "A", "B")
    assert record.turns() == prompt and record.pair.policy == "/p" and record.beta == 0.3
    assert b"pickle" not in encode(record) and b"remote" not in encode(record)
    assert abs((datetime.now(UTC) - record.saved).total_seconds()) < 60
    assert record_of(None, None, "", prompt, "", "").pair == PairNamed()
