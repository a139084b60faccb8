"""Every hint is followed: what it names exists, differs from what was typed, and is accepted."""

import re
from collections.abc import Iterator

import pytest

from sdsim import commands
from sdsim.commands.errors import _instead, did_you_mean
from sdsim.commands.help import choices_of, settings_of
from tests.conftest import Run

HINT = re.compile(r"; did you mean ([^?]+)\?")


def misspelt(word: str) -> Iterator[str]:
    """A name without its last letter, with two of them exchanged, one twice, one missing, …"""
    group, dot, end = word.rpartition(".")
    yield group + dot + end.upper()
    if len(end) > 3:
        yield group + dot + end[:-1]
        yield group + dot + end[1] + end[0] + end[2:]
        yield group + dot + end + end[-1]
        yield group + dot + end[: len(end) // 2] + end[len(end) // 2 + 1 :]
    if "_" in end:
        yield group + dot + end.replace("_", "-")
    if dot:
        yield end


@pytest.mark.parametrize("name", commands.names())
def test_a_misspelt_setting(name: str) -> None:
    command = commands.find(name)
    command.register()
    known = settings_of(command)
    for place, setting in enumerate(known):
        slips = [typed for typed in misspelt(setting) if typed not in known]
        if not slips:
            continue
        typed = slips[place % len(slips)]  # all of them take a minute
        said = _instead(typed, "1", command, known)
        found = HINT.match(said)
        assert found, f"{typed}{said}"
        assert found[1] in known
        assert found[1] != typed


def test_a_misspelt_command_or_choice() -> None:
    for name in commands.names():
        for typed in misspelt(name):
            found = HINT.match(did_you_mean(typed, commands.names()))
            assert found, typed
            assert found[1] in commands.names()
    train = commands.find("sweep")
    train.register()
    for group, choices in choices_of(train, []).items():
        for choice in choices:
            for typed in set(misspelt(choice)) - set(choices):
                found = HINT.match(did_you_mean(typed, choices, prefix=f"{group}="))
                assert found, typed
                assert found[1] in [f"{group}={choice}" for choice in choices]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("bench lenghts=[64]", "lengths"),
        ("confirm thraeds=3", "threads"),
        ("figures stoer=x", "store"),
        ("generate promt=x", "prompt"),
        ("import checkpint=x", "checkpoint"),
        ("pretrain STEPS=3", "steps"),
        ("sweep +sweep.time_budgt=8m", "sweep.time_budget"),
        ("sweep train.lr-=0.1", "train.lr"),
        ("theory bounds pases=3", "passes"),
        ("theory figures ot=x", "out"),
        ("train width=8", "model.width"),
        ("train +model.dpth=3", "model.depth"),
        ("train modle.depth=3", "model.depth"),
        ("train task=associative_recal", "task=associative_recall"),
        ("theory bounds max_second=3", "max_seconds"),
    ],
)
def test_a_hint_that_is_followed_is_accepted(words: str, hint: str, run: Run) -> None:
    *command, typed = words.split()
    code, out, err = run(*command, typed)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert hint in err
    found = HINT.search(err)
    assert found, err
    value = "" if "=" in found[1] else f"={typed.partition('=')[2]}"
    followed = f"{found[1]}{value}"
    code, _, err = run(*command, followed, "--cfg", "job")
    assert (code, err) == (0, "")


def test_what_a_user_s_own_task_takes_may_be_added(run: Run) -> None:
    code, out, _ = run("train", "+task.options.answer=decision", "--cfg", "job")
    assert code == 0
    assert "answer: decision" in out
    code, _, err = run("train", "+task.foo=3")
    assert (code, err.count("\n")) == (2, 1)
    assert "unexpected keyword argument 'foo'" in err
