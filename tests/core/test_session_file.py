"""Session files: what goes round, what a crash or a stranger leaves, and what is never lost."""

import io
import json
import os
import struct
import zipfile
from dataclasses import fields, is_dataclass
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import session_file
from core.engine.protocol import Score, Scored
from core.errors import UserFacingError
from core.recording import Recording
from core.session_file import read, write
from core.session_record import Response, SessionRecord, Turn, decode
from tests.core.made_recordings import FLOOR, INFO, LAST, PROMPT, made, scoring_of
from tests.core.test_wire import assert_same

RECORD = SessionRecord(
    beta=0.1, prompt=(Turn("user", "Zoë?"),), a=Response("ab"), b=Response("x\ud83d"),
    ids={"A": (1, 2)}, view={"measure": "reward"},
)  # fmt: skip
PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def same(found, expected):
    """Whether two recordings hold the same; lists and dicts of records too."""
    assert_same(found.info, expected.info)
    assert found.noise == expected.noise and found.computed == expected.computed
    for name in ("responses", "states", "trees"):
        one, other = getattr(found, name), getattr(expected, name)
        assert list(one) == list(other)
        for key in other:
            same_records(one[key], other[key])


def same_records(found, expected):
    for field in fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, dict | list):
            assert len(one) == len(other)
            pairs = zip(one.items(), other.items(), strict=True) if isinstance(other, dict) else ()
            for (key, a), (same_key, b) in pairs:
                assert key == same_key
                one_value(a, b)
            for a, b in zip(one, other, strict=True) if isinstance(other, list) else ():
                one_value(a, b)
        else:
            one_value(one, other)


def one_value(found, expected):
    if is_dataclass(expected) and not type(expected).__dataclass_params__.frozen:
        same_records(found, expected)
    elif type(expected).__name__ == "Searched":
        assert (found.steps, found.computed) == (expected.steps, expected.computed)
    else:
        assert_same(found, expected)


@pytest.mark.parametrize("alone", [False, True])
def test_all_goes_round(tmp_path, alone):
    path, recording = tmp_path / "a.qscope", made(alone=alone)
    assert write(path, RECORD, recording, PICTURE) == ()
    opened = read(path)
    assert opened.whole and opened.record == RECORD and opened.thumbnail == PICTURE
    same(opened.recording, recording)
    sweep = opened.recording.sweep
    assert sweep.ended and sweep.rows == recording.sweep.rows and sweep.info == recording.sweep.info
    assert not sweep.spec.judge.allow_pickle and recording.sweep.spec.judge.allow_pickle


def test_a_session_without_numbers_goes_round(tmp_path):
    path = tmp_path / "a.qscope"
    write(path, RECORD, Recording())
    opened = read(path)
    assert opened.whole and opened.record == RECORD and not opened.recording
    assert opened.recording.info is None and opened.thumbnail == b""


def test_any_tool_reads_it(tmp_path):
    """As zip, JSON and safetensors, by what the documentation says."""
    from safetensors.numpy import load

    path, recording = tmp_path / "a.qscope", made()
    write(path, RECORD, recording, PICTURE)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["session.json", "numbers.safetensors", "thumbnail.png"]
        assert {it.compress_type for it in archive.infolist()} == {zipfile.ZIP_STORED}
        plain = json.loads(archive.read("session.json"))
        numbers = load(archive.read("numbers.safetensors"))
        assert decode(archive.read("session.json")) == (RECORD, "")
    assert plain["version"] == 1 and plain["a"]["text"] == "ab"
    (first, *_) = plain["recorded"]["responses"]
    scoring = next(iter(recording.responses.values())).scorings[LAST]
    said = next(it for it in first["scorings"] if it["checkpoint"] == LAST)
    rows = slice(said["first"], said["first"] + said["rows"])
    np.testing.assert_array_equal(numbers["tokens.logp_policy"][rows], scoring.logp_policy)
    np.testing.assert_array_equal(numbers["tokens.kl"][rows], scoring.kl)
    assert plain["recorded"]["info"]["weights"] == {"policy": "ab", "reference": "c"}
    assert not any("reward" in name for name in numbers)


def test_a_number_that_is_none_is_left_out_and_said(tmp_path):
    bad = scoring_of("bad")
    bad.logp_policy[1] = np.nan
    path, recording = tmp_path / "a.qscope", made((Score(9, "B", PROMPT), Scored(9, "B", bad, "")))
    assert write(path, RECORD, recording) == ("1 of its responses is left out",)
    opened = read(path)
    assert opened.whole and len(opened.recording.responses) == len(recording.responses) - 1


# --- what is never written over -----------------------------------------------------------------


def rewritten(data, change, name="session.json", checksums=True):
    """The archive with a member changed; ``change`` takes its bytes and gives others, or None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as other:
        for it in archive.namelist():
            content = archive.read(it)
            content = change(content) if it == name else content
            if content is not None:
                other.writestr(zipfile.ZipInfo(it), content)
    return out.getvalue()


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.qscope"
    write(path, RECORD, made(), PICTURE)
    return path.read_bytes()


def newer(data):
    return data.replace(b'"version": 1', b'"version": 2')


def test_a_newer_file_opens_and_stays_as_it_is(tmp_path, whole):
    path = tmp_path / "a.qscope"
    path.write_bytes(rewritten(whole, newer))
    before = path.read_bytes()
    opened = read(path)
    assert opened.record.a == RECORD.a and opened.recording and not opened.whole
    with pytest.raises(UserFacingError, match="written by a newer Qscope: save the session under"):
        write(path, RECORD, made())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: rewritten(data, lambda it: it[:-9], "numbers.safetensors"),
        lambda data: rewritten(data, lambda it: b"GIF", "thumbnail.png"),
        lambda data: b"my diary",
        lambda data: b"",
        lambda data: data[:-60],
    ],
    ids=["half", "numbers", "picture", "none of ours", "empty", "its end"],
)
def test_what_cannot_be_read_whole_is_never_written_over(tmp_path, whole, spoil):
    path = tmp_path / "a.qscope"
    path.write_bytes(before := spoil(whole))
    with pytest.raises(UserFacingError, match="save the session under another name"):
        write(path, RECORD, made())
    assert path.read_bytes() == before and [*tmp_path.glob("a.*")] == [path]


def test_a_whole_one_is_replaced_at_once_through_its_link(tmp_path):
    path, link = tmp_path / "a.qscope", tmp_path / "b.qscope"
    write(path, RECORD, made())
    link.symlink_to(path)
    write(link, SessionRecord(beta=0.5), Recording())
    assert link.is_symlink() and read(path).record.beta == 0.5


def test_what_cannot_be_written_is_said_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.qscope"
    write(path, RECORD, made())
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(UserFacingError, match=r"cannot be written \(full\): save the session"):
        write(path, SessionRecord(), Recording())
    assert read(path).record == RECORD and [*tmp_path.iterdir()] == [path]
    for nowhere in (tmp_path, tmp_path / "\0", path / "below"):
        with pytest.raises(UserFacingError):
            write(nowhere, RECORD, Recording())


# --- what a stranger writes ---------------------------------------------------------------------


def test_damaged_numbers_cost_no_texts(tmp_path, whole):
    path = tmp_path / "a.qscope"
    at = whole.index(b"tokens.logp_policy") + 2000
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    opened = read(path)  # a number has changed by one bit: its checksum tells
    assert opened.record == RECORD and opened.thumbnail == PICTURE and opened.recording.info
    assert not opened.recording.responses and "its table of numbers is damaged" in opened.remarks


def test_of_a_file_cut_short_all_is_read_that_is_there(tmp_path, whole):
    path = tmp_path / "a.qscope"
    path.write_bytes(whole[: whole.index(b"numbers.safetensors") + 100])
    opened = read(path)
    assert opened.record == RECORD and "its end is missing" in opened.remarks
    path.write_bytes(whole[: whole.index(b'"recorded":') + 300])
    opened = read(path)
    assert opened.record == RECORD and not opened.recording and not opened.whole


def changed_json(whole, change):
    def changed(data):
        plain = json.loads(data)
        change(plain["recorded"])
        return json.dumps(plain).encode()

    return rewritten(whole, changed)


CHANGES = {
    "rows beyond the table": lambda it: it["responses"][0]["scorings"][0].update(first=10**9),
    "other ids": lambda it: it["responses"][0].update(ids=[5, 6]),
    "a span beyond the text": lambda it: it["responses"][0].update(ends=[1, 900]),
    "a span that goes back": lambda it: it["responses"][0].update(starts=[1, 0]),
    "no such prompt": lambda it: it["responses"][0].update(prompt=99),
    "a negative prompt": lambda it: it["responses"][0].update(prompt=-1),
    "too few labels": lambda it: it["responses"][0].update(labels=["a"]),
    "actions beyond": lambda it: it["states"][0].update(policy=50),
    "a short list of labels": lambda it: it["states"][0].update(labels=[]),
    "a parent that is not there": lambda it: it["trees"]["left"]["grows"][0].update(first=1),
    "a first search that goes on": lambda it: it["trees"]["left"]["grows"][0].update(anew=False),
    "an unknown strategy": lambda it: it["trees"]["left"]["grows"][0]["spec"].update(strategy="?"),
    "no width": lambda it: it["trees"]["left"]["grows"][0]["spec"].update(settings={"width": 0}),
    "no growth": lambda it: it["trees"]["left"]["grows"][0].update(steps=[]),
    "an unknown loss": lambda it: it["info"]["objective"].update(losses=["magic"]),
    "a beta of none": lambda it: it["info"].update(beta=-1.0),
    "a floor below 0": lambda it: it["noise"].update(token=-1.0),
    "a date of none": lambda it: it.update(computed="yesterday"),
    "a sweep of none": lambda it: it["sweep"].update(rows=[1]),
    "a sweep of no widths": lambda it: it["sweep"]["info"].update(widths=[]),
    "a sweep of other widths": lambda it: it["sweep"]["rows"][0].update(width=99),
    "a sweep of other prompts": lambda it: it["sweep"]["rows"][0].update(question=10**9),
    "a sweep that says it twice": lambda it: it["sweep"]["rows"].append(it["sweep"]["rows"][0]),
    "lists that are none": lambda it: it.update(responses=5, states={"a": 1}),
    "trees that are none": lambda it: it.update(trees=[1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_contradicts_itself_is_left_out_and_the_rest_opens(tmp_path, whole, change):
    path = tmp_path / "a.qscope"
    path.write_bytes(changed_json(whole, change))
    opened, before = read(path), made()
    assert opened.record == RECORD and opened.thumbnail == PICTURE and not opened.whole
    found = opened.recording
    left = [
        bool(found.info), bool(found.noise), bool(found.computed), bool(found.sweep),
        len(found.responses) == len(before.responses), len(found.states) == len(before.states),
        len(found.trees) == len(before.trees),
    ]  # fmt: skip
    assert left.count(False) in (1, 2) and opened.remarks


def test_rows_that_many_scorings_claim_are_those_of_the_first(tmp_path, whole):
    """Else a small file would be as much work to check as scorings times rows."""
    path = tmp_path / "a.qscope"

    def claim(recorded):
        for response in recorded["responses"]:
            one = response["scorings"][0]
            more = [{**one, "checkpoint": str(number)} for number in range(2000)]
            response["scorings"] = [one, *more]

    path.write_bytes(changed_json(whole, claim))
    opened = read(path)
    assert opened.record == RECORD and not opened.recording.responses and not opened.whole


@pytest.mark.parametrize("strange", ["../../evil", "session.json/..", "more.bin"])
def test_strange_members_are_passed_over(tmp_path, whole, strange):
    path = tmp_path / "a.qscope"
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(strange, b"evil")
    opened = read(path)
    assert opened.record == RECORD and opened.remarks == ("a part that is not known is left out",)
    assert [*tmp_path.iterdir()] == [path, tmp_path / "whole.qscope"] or path.exists()
    with pytest.raises(UserFacingError, match="another name"):
        write(path, RECORD, made())


def test_of_many_strange_members_a_few_are_passed_over(tmp_path, whole):
    path = tmp_path / "a.qscope"
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(1000):
            archive.writestr(str(number), b"")
    opened = read(path)
    assert opened.record == RECORD and opened.recording and len(opened.remarks) < 10
    assert opened.remarks[-1] == "it has more parts than Qscope writes"


def test_a_compressed_one_is_not_unpacked(tmp_path):
    """A few kilobytes that would be gigabytes once unpacked are never unpacked."""
    path = tmp_path / "a.qscope"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("session.json", b'{"version":1}' + b" " * 30_000_000)
    with pytest.raises(UserFacingError, match="no session file"):
        read(path)


def test_a_member_that_says_it_is_huge_is_not_read(tmp_path, whole):
    path = tmp_path / "a.qscope"
    at = whole.index(b"numbers.safetensors") - 30
    size = struct.pack("<I", 4_000_000_000)
    path.write_bytes(whole[: at + 18] + size + size + whole[at + 26 :])
    opened = read(path)
    assert opened.record == RECORD and not opened.recording.responses and not opened.whole


def test_what_is_no_regular_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nowhere", tmp_path / "\0"):
        with pytest.raises(UserFacingError, match="cannot be read"):
            read(path)


def check_opened(path):
    """Read what may be damaged: no error but a sentence, and what opens can be written and read."""
    try:
        opened = read(path)
    except UserFacingError:
        return
    again = path.with_name("again.qscope")
    again.unlink(missing_ok=True)
    assert write(again, opened.record, opened.recording, opened.thumbnail) == ()
    same(read(again).recording, opened.recording)
    assert read(again).whole


@settings(max_examples=50)
@given(data=st.data())
def test_mutated_files_open_or_are_refused_in_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "a.qscope"
    write(path, RECORD, made(), PICTURE)
    whole = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        cut = data.draw(st.integers(0, 8))
        whole = whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + cut :]
    path.write_bytes(whole)
    check_opened(path)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "left", LAST, 10**30, -1, 0, 2**31, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(plain, way=()):
    """All ways to values of JSON."""
    yield way
    if isinstance(plain, dict | list):
        for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
            yield from places(value, (*way, key))


@settings(max_examples=100)
@given(data=st.data())
def test_a_record_with_any_value_changed_opens(tmp_path_factory, data):
    """With right checksums, so that only what it says can give it away."""
    path = tmp_path_factory.mktemp("fuzz") / "a.qscope"
    write(path, RECORD, made(), PICTURE)

    def change(said):
        plain = json.loads(said)
        way = data.draw(st.sampled_from([*places(plain["recorded"])]))
        place = plain
        for key in ("recorded", *way)[:-1]:
            place = place[key]
        place[("recorded", *way)[-1]] = data.draw(values)
        return json.dumps(plain).encode()

    path.write_bytes(rewritten(path.read_bytes(), change))
    check_opened(path)


@settings(max_examples=50)
@given(data=st.data())
def test_numbers_with_right_checksums_are_still_not_believed(tmp_path_factory, data):
    """Any bytes in place of some numbers: what opens has log-probs and ranks that can be."""
    path = tmp_path_factory.mktemp("fuzz") / "a.qscope"
    write(path, RECORD, made(), PICTURE)

    def change(said):
        at = data.draw(st.integers(0, len(said) - 8))
        value = data.draw(st.binary(min_size=8, max_size=8) | st.floats().map(
            lambda it: struct.pack("<d", it)))  # fmt: skip
        return said[:at] + value + said[at + 8 :]

    whole = rewritten(path.read_bytes(), change, "numbers.safetensors")
    path.write_bytes(whole)
    check_opened(path)
    opened = read(path)
    assert opened.record == RECORD
    for response in opened.recording.responses.values():
        for scoring in response.scorings.values():
            assert (scoring.logp_policy <= 1e-3).all() and (scoring.rank_policy >= 1).all()
            assert scoring.ids[: len(scoring.tokens)].tolist() == [*scoring.tokens.ids]


def test_what_would_be_too_large_is_left_out_and_said(tmp_path, monkeypatch):
    path = tmp_path / "a.qscope"
    write(path, RECORD, made())
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("numbers.safetensors").file_size
    monkeypatch.setitem(session_file.MOST, session_file.NUMBERS, size - 1)
    remarks = write(path.with_name("b"), RECORD, made())
    path.with_name("b").replace(path)
    assert remarks and "trees are left out" in remarks[0]
    opened = read(path)
    assert opened.whole and opened.record == RECORD and not opened.recording.trees


def test_the_examples_are_of_the_pair():
    assert made().info == INFO and made().noise == FLOOR and crc32(PICTURE)
