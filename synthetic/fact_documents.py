"""Documents that state facts, with questions about them: the text twin of associative recall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
from numbers import Integral

from torch import Tensor

from .counter_rng import distinct, integers
from .names import WordKind, words
from .prompt import Examples
from .prose import CONNECTORS, RELATIONS, SCENES, TIMES, EntityKind, Relation, filler, statement
from .task import Split

MOST_STATEMENTS = 64
"""Facts and distractors of a document: the names of the smallest split suffice for so many."""

_UNIQUE: tuple[WordKind, ...] = ("family", "place", "number")
_MANY = 2**20  # so that no remainder is noticeably likelier than another


@dataclass(frozen=True)
class Question:
    """A question about a document.

    Attributes:
        text: the question.
        cloze: words that the answer completes to a sentence, in place of the question.
        answer: stands exactly once in the document.
    """

    text: str
    cloze: str
    answer: str


@dataclass(frozen=True)
class FactDocument:
    """A document, and questions about it.

    Attributes:
        text: sentences, without a line break.
        questions: each about another fact, in random order.
    """

    text: str
    questions: tuple[Question, ...]

    def read(self, times: int = 1, *, question_first: bool = False) -> str:
        r"""The document `times` times, then all questions with their answers, a line each.

        With `question_first` the first question also stands at the very beginning. This is how a
        model learns to answer prompts of these forms.

        >>> asked = (Question("Who?", "It is", "Ann"), Question("Where?", "In", "Rome"))
        >>> FactDocument("Ann is in Rome.", asked).read()
        'Ann is in Rome. Who? Ann\nWhere? Rome\n'
        >>> FactDocument("Ann is in Rome.", asked[:1]).read(2, question_first=True)
        'Who? Ann is in Rome.\nAnn is in Rome. Who? Ann\n'
        """
        opening = f"{self.questions[0].text} " if question_first else ""
        lines = "".join(f"{question.text} {question.answer}\n" for question in self.questions)
        return opening + "\n".join([self.text] * times) + f" {lines}"


@dataclass(frozen=True)
class FactDocuments:
    r"""Documents of made-up people, places and measurements, as a stream like that of a task.

    A document states `facts`, each of another subject: who lives where, who founded a town, how
    many people it has. Every fact has several wordings, and so has its question. Facts and
    distractors stand in random order; sentences that state nothing come last.

    Names, places and numbers of the splits have no word in common (see `names`), so that what a
    model was trained on does not help it to guess. Example i of (seed, split) is the same whatever
    the batch; its facts stay the same when other knobs change, and those of a document with fewer
    facts are among those of one with more.

    Args:
        facts: facts that may be asked for, from 1.
        questions: about different facts, from 1 to `facts`.
        distractors: statements that nothing asks for, each in the relation of one of the facts;
            where that is about a person, about another one of the same given name.
        distance: sentences between the last statement and the end of the document.

    Raises:
        ValueError: if a knob is out of its range, or the names do not suffice.

    Example:
        >>> document = FactDocuments(facts=2, distance=1).sample(1, seed=0, start=1)[0]
        >>> print(document.text.replace(". ", ".\n"))
        Corla Ullzen founded Betidor a long time ago.
        Jonia Crevin lives in Savamar.
        When the weather is fine, somebody plays the fiddle in the inn.
        >>> document.questions[0].text, document.questions[0].answer
        ('Where is the home of Jonia Crevin?', 'Savamar')
    """

    facts: int
    questions: int = 1
    distractors: int = 0
    distance: int = 0

    def __post_init__(self) -> None:
        least = {"facts": 1, "questions": 1, "distractors": 0, "distance": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < smallest:
                raise ValueError(
                    f"{name} = {value!r}: a whole number of at least {smallest} is needed"
                )
            object.__setattr__(self, name, int(value))
        if self.questions > self.facts:
            raise ValueError(f"questions = {self.questions}: at most facts = {self.facts}")
        if self._statements > MOST_STATEMENTS:
            raise ValueError(
                f"facts + distractors = {self.facts} + {self.distractors}: at most "
                f"{MOST_STATEMENTS}, as no name is used for two people"
            )

    @property
    def _statements(self) -> int:
        return self.facts + self.distractors

    @property
    def chance(self) -> float:
        """Naming any value of the kind that is asked for: a person, a place or a number.

        Of n facts m are of that kind, the one that is asked for included, and so are the
        distractors that repeat the relation of one of these: the mean of 1/(all of them).
        """
        kinds = Counter(relation.value for relation in RELATIONS)
        shares = [count / len(RELATIONS) for count in kinds.values()]
        return sum(
            share
            * _binomial(self.facts - 1, share, others)
            * _binomial(self.distractors, (others + 1) / self.facts, alike)
            / (others + 1 + alike)
            for share in shares
            for others in range(self.facts)
            for alike in range(self.distractors + 1)
        )

    def sample(
        self, count: int, *, seed: int, start: int = 0, split: Split = "train"
    ) -> list[FactDocument]:
        """Documents `start` … `start + count - 1` of the stream (seed, split).

        Raises:
            ValueError: for a negative `count` or `start`, or an unknown split.
        """
        draws = _Draws(Examples(count, start, seed, split, "cpu"))
        order = draws.distinct("order", self._statements, self._statements)
        asked = draws.distinct("asked", self.questions, self.facts)
        fillers = draws.below("filler", self.distance, len(TIMES) * len(SCENES))
        documents = []
        for i, stated in enumerate(self._stated(draws, split)):
            sentences = [stated[place].sentence for place in order[i]]
            sentences += [filler(*divmod(number, len(SCENES))) for number in fillers[i]]
            questions = tuple(stated[place].question for place in asked[i])
            documents.append(FactDocument(" ".join(sentences), questions))
        return documents

    def _stated(self, draws: _Draws, split: Split) -> Iterator[list[_Stated]]:
        """The statements of each document: its facts, then its distractors."""
        relations = draws.below("relation", self.facts, len(RELATIONS))
        copied = draws.below("copied", self.distractors, self.facts)
        wordings = draws.below("wording", 3 * self._statements, _MANY)
        names = draws.names(self._statements, split)
        for i in range(draws.count):
            facts = list(range(self.facts))
            like = facts + copied[i]  # the fact in whose relation each statement is
            yield [
                _Stated(
                    relation := RELATIONS[relations[i][like[place]]],
                    names[i].of(relation.subject, 2 * place, given=2 * like[place]),
                    names[i].of(relation.value, 2 * place + 1),
                    wordings[i][3 * place : 3 * place + 3],
                )
                for place in range(self._statements)
            ]


@dataclass(frozen=True)
class _Stated:
    """A relation of a subject and a value, and numbers that choose the words for it."""

    relation: Relation
    subject: str
    value: str
    wordings: list[int]

    @property
    def sentence(self) -> str:
        connector, wording, _ = self.wordings
        return statement(
            connector % len(CONNECTORS),
            self.relation,
            wording % len(self.relation.statements),
            self.subject,
            self.value,
        )

    @property
    def question(self) -> Question:
        words = self.relation.questions[self.wordings[2] % len(self.relation.questions)]
        return Question(
            words.format(s=self.subject), self.relation.cloze.format(s=self.subject), self.value
        )


@dataclass(frozen=True)
class _Names:
    """Names for the entities of a document, by the numbers of these."""

    given: list[str]
    family: list[str]
    place: list[str]
    number: list[str]

    def of(self, kind: EntityKind, entity: int, given: int | None = None) -> str:
        """The name of an entity; `given`: the entity whose given name a person has."""
        if kind == "person":
            return f"{self.given[entity if given is None else given]} {self.family[entity]}"
        return self.place[entity] if kind == "place" else self.number[entity]


class _Draws:
    """Random numbers for each document, by what they decide."""

    def __init__(self, examples: Examples) -> None:
        self._examples, self.count = examples, examples.count

    def below(self, part: str, count: int, bound: int) -> list[list[int]]:
        """`count` numbers in [0, bound) for each document; a larger count only appends."""
        return _lists(integers(self._keys(part), count, bound))

    def distinct(self, part: str, count: int, population: int) -> list[list[int]]:
        """Likewise, all different."""
        return _lists(distinct(self._keys(part), count, population))

    def names(self, statements: int, split: Split) -> list[_Names]:
        """Names for two entities of each statement, different but for given names."""
        given = self._words("given", self.below, 2 * statements, split)
        others = [self._words(kind, self.distinct, 2 * statements, split) for kind in _UNIQUE]
        return [_Names(*parts) for parts in zip(given, *others, strict=True)]

    def _words(
        self,
        kind: WordKind,
        draw: Callable[[str, int, int], list[list[int]]],
        count: int,
        split: Split,
    ) -> list[list[str]]:
        known = words(kind, split)
        return [[known[number] for number in row] for row in draw(kind, count, len(known))]

    def _keys(self, part: str) -> Tensor:
        return self._examples.keys("fact_documents", part=part)


def _binomial(trials: int, probability: float, successes: int) -> float:
    """Probability of so many successes."""
    failures = trials - successes
    return comb(trials, successes) * probability**successes * (1 - probability) ** failures


def _lists(numbers: Tensor) -> list[list[int]]:
    rows: list[list[int]] = numbers.tolist()
    return rows
