"""Chat templates are rendered as transformers does, under limits, by a process of their own."""

import copy
import json
import os
import re
import subprocess
import sys
import threading
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import trl

from core import rendering
from core.errors import Cancelled, UserFacingError
from core.rendering import Fault, render
from core.template import Template
from core.text import Message, Prompt
from tests.tiny import TEMPLATE, byte_level_tokenizer

ROOT = Path(rendering.__file__).parent.parent
WAIT = 60
NOW = datetime(2024, 2, 3)
NAME = rendering.PROGRAM.name
FOREVER = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

USER = {"role": "user", "content": "What is 2 < 3?\n\n“Quoted” \\ & é 🙂 \ud800"}
ASSISTANT = {"role": "assistant", "content": "  So it is.\n"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, None]}}}
    ],
}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds <two> numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
PARTS = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
CHATS = {
    "one turn": [USER],
    "answered": [USER, ASSISTANT],
    "with a system": [{"role": "system", "content": "Be brief."}, USER, ASSISTANT],
    "several": [USER, ASSISTANT, USER, ASSISTANT],
    "not in turns": [USER, USER],
    "thought": [USER, {**ASSISTANT, "reasoning_content": "Let me see."}],
    "thought elsewhere": [USER, {**ASSISTANT, "reasoning": "Let me see.", "thinking": None}],
    "tools called": [USER, CALL, {"role": "tool", "name": "add", "content": "3.5"}],
    "parts": [{"role": "user", "content": PARTS}],
    "nothing said": [{"role": "user", "content": None}],
    "nothing": [],
}
SETTINGS = {
    "": {},
    "asked": {"add_generation_prompt": True},
    "tools": {"tools": [TOOL], "add_generation_prompt": True},
    "switches": {"enable_thinking": False, "bos_token": "<s>", "x": {"y": [1, 2.0, None, True]}},
    "documents": {"documents": [{"title": "A", "text": "B"}]},
    "wrong tools": {"tools": ["add"]},
}
OF_TRL = {
    path.stem: path.read_text("utf-8")
    for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
}
MADE = {
    "of the tests": TEMPLATE,
    "variables": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ tools }}|{{ documents }}|"
    "{{ add_generation_prompt }}|{{ x }}|{{ x.y }}|{{ messages }}|{{ unk_token is defined }}",
    "json": "{{ messages|tojson }}{{ messages|tojson(indent=2) }}{{ tools|tojson(ensure_ascii=True,"
    " sort_keys=True, separators=(',', ':')) }}",
    "blocks": "{% for m in messages %}\n    {% if loop.first %}\n  a\n    {% endif %}\n"
    "    {%- if loop.index0 > 1 %}{% break %}{% endif +%}\n\n{{ m.content }}\n{% endfor %}\n\n",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}\n{% endgeneration %}"
    "{%- generation -%} x {%- endgeneration -%}{% endfor %}",
    "namespace": "{% set ns = namespace(a=1, b=dict(c=2)) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}"
    "{{ ns }}{{ dict.fromkeys('ab') }}{{ namespace({'q': 3}).q }}",
    "private": "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "dunder": "{{ ''.__class__ }}|{{ ''['__class__'] }}",
    "escape": "{{ '{0.__class__}'.format(1) }}",
    "unsafe": "{{ messages.append(1) }}",
    "macro": "{% macro say(m, end='!') %}{{ m.role }}: {{ m.content|trim }}{{ end }}{{ caller() if"
    " caller else '' }}{% endmacro %}{% for m in messages %}{{ say(m) }}"
    "{% call say(m, '?') %}x{% endcall %}{% endfor %}",
    "raises": "{{ raise_exception('Never: ' ~ messages[0].role) }}",
    "filters": "{{ messages|map(attribute='role')|join(', ')|upper|e }}{{ '<b>'|escape ~ 'c' }}"
    "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ 'a b'|title|safe }}",
    "undefined": "{{ nothing }}{{ messages[9] }}{% if nothing is defined %}x{% endif %}",
    "undefined used": "{{ nothing.at.all }}",
    "include": "{% include 'x' %}",
    "slip": "{% for m in messages %}\n{{ m.content }",
    "no such test": "{% if 1 is wug %}{% endif %}",
    "slices": "{{ messages[1:] }}{{ messages[-1]['content'][::-1] }}{{ 7 // 2 ** 2 % 3 }}",
    "surrogate": "\ud800{{ '\\ud801' }}",
    "empty": "",
    "date": "{{ strftime_now('%d. %b %Y, %H年') }}",
    "odd date": "{{ strftime_now(1) }}",
}


def transformers_s(source, messages, tokenizer, **told):
    """What transformers renders; None where it raises."""
    try:
        return tokenizer.apply_chat_template(
            copy.deepcopy(messages), chat_template=source, tokenize=False, **told
        )
    except Exception:
        return None


def ours(source, messages, tokenizer, **told):
    variables = {"add_generation_prompt": False, **tokenizer.special_tokens_map, **told}
    try:
        return render(source, {**variables, "messages": messages}, datetime.now()).text
    except Fault:
        return None


@pytest.mark.parametrize("name", [*OF_TRL, *MADE])
def test_what_is_rendered_is_what_transformers_renders(name):
    source, tokenizer = (OF_TRL | MADE)[name], byte_level_tokenizer()
    wrong = [
        (chat, settings)
        for chat in CHATS
        for settings in SETTINGS
        if ours(source, CHATS[chat], tokenizer, **SETTINGS[settings])
        != transformers_s(source, CHATS[chat], tokenizer, **SETTINGS[settings])
    ]
    assert not wrong


@pytest.mark.parametrize("name", OF_TRL)
def test_a_template_gives_what_the_tokenizer_would(name):
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.chat_template, tokenizer.bos_token = OF_TRL[name], "<|endoftext|>"
    thought = Message("assistant", "Yes.", json.dumps({"reasoning_content": "Hm."}))
    prompt = Prompt((Message("user", "Hi"),), json.dumps({"tools": [TOOL], "enable_thinking": 1}))
    made, parts = Template(tokenizer), None
    for parts in (False, True):
        rows = [it.row() for it in (*prompt.messages, thought)]
        for row in rows if parts else ():
            row["content"] = [{"type": "text", "text": row["content"]}]
        told = {"tools": [TOOL], "enable_thinking": 1}
        expected = transformers_s(OF_TRL[name], rows, tokenizer, **told)
        if expected == made.said(prompt, [thought]):
            asked = transformers_s(
                OF_TRL[name], rows[:1], tokenizer, **told, add_generation_prompt=True
            )
            assert made.prompt(prompt) == asked
            return
    pytest.fail("neither as text nor as parts")


def test_the_time_is_that_of_the_beginning_and_its_first_use_is_told():
    source = "{{ strftime_now('%d %b %Y') }}, {{ strftime_now('%Y') }}"
    assert render(source, {"messages": [USER]}, NOW) == ("03 Feb 2024, 2024", "03 Feb 2024")
    assert render("{{ 1 }}", {"messages": [USER]}, NOW) == ("1", "")


# --- limits -------------------------------------------------------------------------------------


def template(source, **options):
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.chat_template = source
    return Template(tokenizer, **options)


def helpers():
    """The processes that render for this one."""
    return [
        child
        for child in psutil.Process().children()
        if any(NAME in word for word in child.cmdline())
    ]


def still_renders():
    """Whether the next template renders, by one process that is no zombie."""
    assert template(TEMPLATE).prompt(Prompt.of("Hi")).startswith("<|im_start|>user\nHi")
    return [it.status() != psutil.STATUS_ZOMBIE for it in helpers()] == [True]


SLOW = {
    "loops": FOREVER,
    "endless text": "{% for i in range(99999) %}{% for j in range(99999) %}{{ '' }}"
    + "{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}"
    "{{ f(99) }}",
    "a number": "{% set a = 9**9 %}{% if 9**a %}{% endif %}",
    "a constant": "{% if 9**387420489 %}{% endif %}",
    "lorem ipsum": "{{ lipsum(n=10**9) }}",
    "long to read": "{{a}}" * 200_000,
    "slices": "{{ [1]|slice(10**9)|list }}",
}


@pytest.mark.parametrize("name", SLOW)
def test_what_does_not_end_is_ended_and_said(monkeypatch, name):
    monkeypatch.setattr(rendering, "SECONDS", 0.3)
    with pytest.raises(UserFacingError, match=r"did not finish within 0\.3 seconds.*--plain"):
        template(SLOW[name] + TEMPLATE)
    monkeypatch.undo()
    assert still_renders()


LARGE = {
    "a word": "{{ 'a' * 10**10 }}",
    "centred": "{{ 'x'.center(10**12) }}",
    "joined": "{{ range(99999)|join('x' * 99999) }}",
    "formatted": "{{ '%1000000000d' % 1 }}",
    "formatted anew": "{{ '{:>1000000000}'.format(1) }}",
    "a list": "{{ [1] * 10**9 }}",
    "doubled": "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
    "{% endfor %}",
    "bytes": "{{ 'a'.encode('utf-32') * 10**8 }}",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system limits a process so")
@pytest.mark.parametrize("name", LARGE)
def test_what_takes_gigabytes_is_ended_and_said(monkeypatch, name):
    monkeypatch.setattr(rendering, "SECONDS", 30.0)  # a busy machine may take long to take memory
    with pytest.raises(UserFacingError, match=r"takes more than 512 MB of memory.*--plain"):
        template(LARGE[name] + TEMPLATE)
    assert still_renders()


WRONG = {
    "much text": ("{{ 'word ' * 400000 }}", "writes far more than it is told"),
    "text piece by piece": (
        "{% for i in range(99999) %}{% for j in range(99999) %}word {% endfor %}{% endfor %}",
        "writes far more than it is told",
    ),
    "itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply"),
    "ranges": ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    "blocks": ("{% if 1 %}" * 100_000, "nested too deeply"),
    "parentheses": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "nested too deeply"),
    "a long file": ("x" * 100_000_000, "longer than 1048576 characters"),
    "other files": ("{% extends '/etc/passwd' %}", "fails in line 1 on these turns"),
    "a long message": ("{{ raise_exception('no ' * 10**6) }}", r"\(no no no .*change them"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_far_too_much_is_said(name):
    source, said = WRONG[name]
    with pytest.raises(UserFacingError, match=said) as caught:
        template(source + TEMPLATE)
    assert len(str(caught.value)) < 600
    assert still_renders()


def test_turns_on_which_a_template_does_not_end(monkeypatch):
    made = template("{% if messages|length > 2 %}" + FOREVER + "{% endif %}" + TEMPLATE)
    monkeypatch.setattr(rendering, "SECONDS", 0.3)
    with pytest.raises(UserFacingError, match="did not finish"):
        made.prompt(Prompt((Message("user", "Hi"),) * 3))
    assert made.prompt(Prompt.of("Hi")).startswith("<|im_start|>user\nHi")


def test_long_texts_are_no_fault():
    text = "Zwölf Boxkämpfer 🙂 jagen Viktor. " * 20_000
    assert text in template(TEMPLATE).prompt(Prompt.of(text))


def test_a_switch_is_none_of_the_tokenizer_s_own():
    with pytest.raises(UserFacingError, match="chat_template is no switch"):
        template(TEMPLATE).prompt(Prompt((Message("user", "Hi"),), '{"chat_template": "x"}'))


# --- the process --------------------------------------------------------------------------------


def test_a_rendering_that_is_not_wanted_any_more_ends():
    asked = []
    with pytest.raises(Cancelled):
        template(FOREVER + TEMPLATE, cancelled=lambda: asked.append(1) or len(asked) > 2)
    assert len(asked) == 3
    assert still_renders()


def test_a_process_that_was_killed_meanwhile_is_not_missed():
    assert still_renders()
    for helper in helpers():
        helper.kill()
    assert still_renders()


def test_a_process_that_dies_of_a_template_is_said(monkeypatch):
    monkeypatch.setattr(rendering, "SECONDS", WAIT)

    def kill():
        for helper in helpers():
            if helper.cpu_times().user > 0.4:  # it is past its start
                helper.kill()
        return False

    with pytest.raises(UserFacingError, match=r"ended the process that renders it \(status -9\)"):
        template(FOREVER + TEMPLATE, cancelled=kill)
    assert still_renders()


def test_a_process_that_cannot_be_started_is_said(monkeypatch):
    for helper in helpers():
        helper.kill()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(UserFacingError, match=r"could not be started \(No such file.*plain text"):
        template(TEMPLATE)
    monkeypatch.undo()
    assert still_renders()


def test_many_threads_share_one_process():
    made, found = template(TEMPLATE), {}

    def ask(number):
        for i in range(50):
            text = f"{number}, {i}"
            found[number, i] = text in made.prompt(Prompt.of(text))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert len(found) == 200 and all(found.values())
    assert len(helpers()) == 1


def test_the_process_imports_jinja2_and_little_else():
    folders = {str(Path(find_spec(name).origin).parents[1]) for name in ("jinja2", "markupsafe")}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", str(rendering.PROGRAM), *folders],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT,
    )  # fmt: skip
    tops = set(re.findall(r"\| +([a-zA-Z]\w*)", done.stderr.decode()))
    of_python = {*sys.stdlib_module_names, "org"}  # which copy looks for, of Jython
    assert tops - of_python - {"cumulative", "imported"} == {"jinja2", "markupsafe"}


PARENT = """
import os, sys
from core import rendering
from datetime import datetime
told = {"messages": [{"role": "user", "content": "Hi"}]}
assert rendering.render("{{ messages[0].content }}", told, datetime.now()).text == "Hi"
"""
CHILDREN = "import psutil; print(*[it.pid for it in psutil.Process().children()], flush=True)\n"


def started(script):
    """A process that runs a script after a first rendering."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARENT + script],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def has_ended(pid):
    """Whether a process that is not ours ends soon; one that waits to be reaped has."""
    try:
        process = psutil.Process(pid)
        for _ in range(WAIT * 20):
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            with pytest.raises(psutil.TimeoutExpired):
                process.wait(0.05)
    except (psutil.NoSuchProcess, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize("busy", [False, True])
def test_the_process_ends_with_the_one_that_was_killed(busy):
    work = f"rendering.render({FOREVER!r}, told, datetime.now())" if busy else "input()"
    with started(CHILDREN + work) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 1
    assert has_ended(pids[0])


def test_nothing_is_left_after_a_usual_end():
    with started(CHILDREN) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert parent.wait(WAIT) == 0
    assert len(pids) == 1 and not psutil.pid_exists(pids[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_has_a_process_of_its_own():
    script = """
pid = os.fork()
for i in range(100):
    text = f"{pid} {i}"
    told["messages"][0]["content"] = text
    assert rendering.render("{{ messages[0].content }}", told, datetime.now()).text == text
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    print("both")
"""
    with started(script) as parent:
        assert parent.communicate(timeout=WAIT)[0] == "both\n"
        assert parent.returncode == 0
