"""Documents with facts: answers stand in them once, splits share no name, examples are stable."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.fact_documents import MOST_STATEMENTS, FactDocument, FactDocuments
from synthetic.names import split_of, words
from synthetic.prose import CONNECTORS, RELATIONS, SCENES, Relation
from synthetic.task import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
KINDS = ("given", "family", "place", "number")

splits = st.sampled_from(SPLITS)
streams = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), splits)


@st.composite
def kinds(draw: st.DrawFn) -> FactDocuments:
    facts = draw(st.integers(1, 12))
    return FactDocuments(
        facts, draw(st.integers(1, facts)), draw(st.integers(0, 6)), draw(st.integers(0, 4))
    )


def first(kind: FactDocuments, stream: tuple[int, int, Split]) -> FactDocument:
    seed, start, split = stream
    return kind.sample(1, seed=seed, start=start, split=split)[0]


def sentences(document: FactDocument) -> list[str]:
    return document.text.removesuffix(".").split(". ")


def names(text: str) -> set[str]:
    """The words that may be made up: capitals inside a sentence, and numbers."""
    return {word for word in re.findall(r"\w+", text) if word[0].isupper() or word[0].isdigit()}


@settings(max_examples=15, deadline=None)
@given(kinds(), streams)
def test_an_answer_stands_once_in_its_document(
    kind: FactDocuments, stream: tuple[int, int, Split]
) -> None:
    document = first(kind, stream)
    assert len(document.questions) == kind.questions
    for question in document.questions:
        assert document.text.casefold().count(question.answer.casefold()) == 1
        assert question.answer not in question.text + question.cloze
        assert question.text.endswith("?")
    assert len({question.answer for question in document.questions}) == kind.questions


@settings(max_examples=15, deadline=None)
@given(kinds(), streams)
def test_the_sentence_with_the_answer_names_whom_the_question_is_about(
    kind: FactDocuments, stream: tuple[int, int, Split]
) -> None:
    document = first(kind, stream)
    for question in document.questions:
        (stated,) = [each for each in sentences(document) if question.answer in each]
        # The first word of a question is no name; those of a cloze may be.
        subject = names(question.text.partition(" ")[2])
        assert subject
        assert subject <= names(stated)
        assert subject <= names(question.cloze)
        others = [each for each in sentences(document) if subject <= names(each)]
        assert others == [stated], "no other sentence is about the same subject"


@settings(max_examples=15, deadline=None)
@given(kinds(), st.integers(0, 2**40), st.integers(0, 2**40), splits, st.integers(2, 4))
def test_an_example_is_the_same_in_any_batch(
    kind: FactDocuments, seed: int, start: int, split: Split, count: int
) -> None:
    batch = kind.sample(count, seed=seed, start=start, split=split)
    alone = [kind.sample(1, seed=seed, start=start + i, split=split)[0] for i in range(count)]
    assert batch == alone
    assert len({document.text for document in batch}) == count
    assert batch != kind.sample(count, seed=seed + 1, start=start, split=split)


@settings(max_examples=15, deadline=None)
@given(kinds(), streams, st.integers(0, 3), st.integers(0, 3))
def test_knobs_leave_the_facts_as_they_are(
    kind: FactDocuments, stream: tuple[int, int, Split], distractors: int, distance: int
) -> None:
    plain = first(replace(kind, questions=kind.facts, distractors=0, distance=0), stream)
    stated = set(sentences(plain))
    more = first(replace(kind, distractors=distractors, distance=distance), stream)
    assert stated <= set(sentences(more))
    assert set(more.questions) <= set(plain.questions)
    assert len(sentences(more)) == kind.facts + distractors + distance
    fewer = first(FactDocuments(1), stream)
    assert set(sentences(fewer)) <= stated


@settings(max_examples=15, deadline=None)
@given(kinds(), streams)
def test_the_distance_is_that_of_sentences_without_a_fact(
    kind: FactDocuments, stream: tuple[int, int, Split]
) -> None:
    read = sentences(first(kind, stream))
    states = [not any(each.endswith(scene) for scene in SCENES) for each in read]
    assert states == [True] * (kind.facts + kind.distractors) + [False] * kind.distance


@settings(max_examples=15, deadline=None)
@given(streams)
def test_a_distractor_says_the_same_of_another_who_has_the_same_given_name(
    stream: tuple[int, int, Split],
) -> None:
    fact = first(FactDocuments(1), stream)
    (distractor,) = set(sentences(first(FactDocuments(1, distractors=1), stream))) - set(
        sentences(fact)
    )
    (question,) = fact.questions
    (relation,) = [
        each
        for each in RELATIONS
        for words in each.questions
        if re.fullmatch(re.escape(words).replace(r"\{s\}", r"[\w ]+"), question.text)
    ]
    patterns = [
        re.escape(words).replace(r"\{s\}", r"[\w ]+").replace(r"\{v\}", r"[\w ]+")
        for words in relation.statements
    ]
    opening = "|".join(re.escape(each) for each in set(CONNECTORS))
    assert any(
        re.fullmatch(f"({opening}){pattern}", distractor, re.IGNORECASE) for pattern in patterns
    )
    if relation.subject == "person":
        (given_name, _) = sorted(
            names(question.cloze), key=lambda name: question.cloze.index(name)
        )[-2:]
        assert given_name in names(distractor)


@pytest.mark.parametrize("kind", [FactDocuments(4), FactDocuments(3, distractors=4)])
def test_chance_is_that_of_any_value_of_the_kind_asked_for(kind: FactDocuments) -> None:
    def value_kind(answer: str) -> str:
        return "number" if answer.isdigit() else "person" if " " in answer else "place"

    found = []
    for document in kind.sample(400, seed=0):
        asked = value_kind(document.questions[0].answer)
        values = []
        for sentence in sentences(document):
            (value,) = {each for relation in RELATIONS for each in value_in(relation, sentence)}
            values.append(value_kind(value))
        found.append(1 / values.count(asked))
    assert sum(found) / len(found) == pytest.approx(kind.chance, abs=0.05)
    assert FactDocuments(1).chance == pytest.approx(1)


def value_in(relation: Relation, sentence: str) -> list[str]:
    """The value that a sentence gives, if it states this relation."""
    name = r"[A-Z]\w+ [A-Z]\w+" if relation.subject == "person" else r"[A-Z]\w+"
    value = {"person": r"[A-Z]\w+ [A-Z]\w+", "place": r"[A-Z]\w+", "number": r"\d{4}"}
    opening = "|".join(re.escape(each) for each in set(CONNECTORS))
    found = []
    for wording in relation.statements:
        pattern = re.escape(wording).replace(r"\{s\}", name)
        pattern = pattern.replace(r"\{v\}", f"(?P<v>{value[relation.value]})", 1)
        first = pattern[0] if wording[0] == "{" else f"[{wording[0]}{wording[0].upper()}]"
        match = re.fullmatch(f"({opening}){first}{pattern[1:]}", sentence)
        found += [match["v"]] if match else []
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_belongs_to_one_split(kind: str) -> None:
    shares = {split: words(kind, split) for split in SPLITS}  # type: ignore[arg-type]
    together = [word for share in shares.values() for word in share]
    assert len(set(together)) == len(together)
    assert len({len(word) for word in together}) == 1
    assert len(shares["train"]) / len(together) == pytest.approx(0.8, abs=0.05)
    for split, share in shares.items():
        assert {split_of(word) for word in share} == {split}
        assert kind == "given" or len(share) >= 2 * MOST_STATEMENTS


def test_held_out_documents_have_no_name_of_training() -> None:
    kind = FactDocuments(6, 6, 2, 1)
    seen = {
        split: {
            word
            for document in kind.sample(200, seed=3, split=split)
            for question in document.questions
            for word in question.answer.split()
        }
        for split in SPLITS
    }
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]
    for split, found in seen.items():
        assert {split_of(word) for word in found} == {split}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"facts": 0}, "facts = 0: a whole number of at least 1"),
        ({"facts": 2, "questions": 3}, "questions = 3: at most facts = 2"),
        ({"facts": 2, "distance": -1}, "distance = -1: a whole number of at least 0"),
        ({"facts": 2, "distractors": 1.5}, "distractors = 1.5: a whole number"),
        ({"facts": 60, "distractors": 5}, "facts \\+ distractors = 60 \\+ 5: at most 64"),
    ],
)
def test_knobs_out_of_range_are_named(knobs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FactDocuments(**knobs)


def test_the_largest_documents_find_enough_names_in_every_split() -> None:
    for split in SPLITS:
        (document,) = FactDocuments(MOST_STATEMENTS, 1).sample(1, seed=0, split=split)
        assert len(sentences(document)) == MOST_STATEMENTS
    assert FactDocuments(2).sample(0, seed=0) == []
