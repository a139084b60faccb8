"""The sentences of generated documents: relations in several wordings, and sentences of no fact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EntityKind = Literal["person", "place", "number"]


@dataclass(frozen=True)
class Relation:
    """Something that a document can say of a subject.

    Attributes:
        subject: what it is said of, a person or a place.
        value: what is said: the answer.
        statements: sentences without their full stop; {s} is the subject, {v} the value.
        questions: what asks for the value.
        cloze: words that the value completes to a sentence.
    """

    subject: EntityKind
    value: EntityKind
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    cloze: str


RELATIONS = (
    Relation(
        "person",
        "place",
        (
            "{s} lives in {v}",
            "the home of {s} is in {v}",
            "{s} moved to {v} many years ago and has stayed there",
            "{s} has a small house in {v}",
            "letters for {s} are sent to {v}",
            "whoever wants to meet {s} has to go to {v}",
        ),
        ("Where does {s} live?", "Where is the home of {s}?", "In which town does {s} live?"),
        "{s} lives in",
    ),
    Relation(
        "person",
        "place",
        (
            "{s} was born in {v}",
            "the birthplace of {s} is {v}",
            "{s} first saw the light of day in {v}",
            "it was in {v} that {s} was born",
            "{s} came into the world in {v}",
            "the church of {v} has the baptism of {s} in its books",
        ),
        ("Where was {s} born?", "What is the birthplace of {s}?", "In which town was {s} born?"),
        "{s} was born in",
    ),
    Relation(
        "person",
        "person",
        (
            "{s} is married to {v}",
            "{s} and {v} are husband and wife",
            "the wedding of {s} and {v} took place in the old church",
            "{s} has {v} for a spouse",
            "{v} once asked {s} for a dance, and now they are married",
        ),
        ("Who is {s} married to?", "Who is the spouse of {s}?", "Whom did {s} marry?"),
        "{s} is married to",
    ),
    Relation(
        "person",
        "person",
        (
            "{s} was taught by {v}",
            "the teacher of {s} was {v}",
            "{s} learned everything from {v}",
            "it was {v} who taught {s} to read and write",
            "{v} had {s} for a pupil",
            "{s} went to school with {v}, the teacher",
        ),
        ("Who taught {s}?", "Who was the teacher of {s}?", "From whom did {s} learn?"),
        "{s} was taught by",
    ),
    Relation(
        "person",
        "number",
        (
            "{s} owns {v} sheep",
            "{v} sheep belong to {s}",
            "the flock of {s} has {v} sheep",
            "{s} has a flock of {v} sheep",
            "at the last count {s} had {v} sheep",
        ),
        ("How many sheep does {s} own?", "How large is the flock of {s}?"),
        "The number of sheep that {s} owns is",
    ),
    Relation(
        "place",
        "person",
        (
            "the mayor of {s} is {v}",
            "{v} is the mayor of {s}",
            "{s} has chosen {v} as its mayor",
            "{s} is governed by its mayor, {v}",
            "the people of {s} voted for {v}, who is now the mayor",
        ),
        ("Who is the mayor of {s}?", "Who governs {s}?", "What is the name of the mayor of {s}?"),
        "The mayor of {s} is",
    ),
    Relation(
        "place",
        "person",
        (
            "{s} was founded by {v}",
            "the founder of {s} was {v}",
            "{v} founded {s} a long time ago",
            "it was {v} who laid the first stone of {s}",
            "{s} goes back to {v}, who built its first houses",
        ),
        ("Who founded {s}?", "Who was the founder of {s}?", "By whom was {s} founded?"),
        "{s} was founded by",
    ),
    Relation(
        "place",
        "place",
        (
            "{s} lies on the river {v}",
            "the river {v} flows through {s}",
            "the water of {s} comes from the river {v}",
            "{s} stands on both banks of the river {v}",
            "a bridge over the river {v} leads into {s}",
        ),
        ("On which river does {s} lie?", "Which river flows through {s}?"),
        "{s} lies on the river",
    ),
    Relation(
        "place",
        "number",
        (
            "{s} has {v} inhabitants",
            "{v} people live in {s}",
            "the population of {s} is {v}",
            "the last census counted {v} people in {s}",
            "{s} is a town of {v} people",
        ),
        ("How many people live in {s}?", "What is the population of {s}?"),
        "The population of {s} is",
    ),
    Relation(
        "place",
        "number",
        (
            "{s} lies {v} metres above the sea",
            "the height of {s} above the sea is {v} metres",
            "the market square of {s} is at a height of {v} metres",
            "{s} is a mountain town at {v} metres",
            "whoever climbs up to {s} is {v} metres above the sea",
        ),
        ("How high does {s} lie?", "At what height is {s}?"),
        "The height of {s} in metres is",
    ),
)
"""What documents say of people and places."""

CONNECTORS = (
    "",
    "",
    "",
    "",
    "It is known that ",
    "As the old books say, ",
    "By all accounts, ",
    "People say that ",
    "It may be added that ",
    "According to the records, ",
)
"""What may stand before a statement."""

TIMES = (
    "In the early morning",
    "After the long winter",
    "Towards the evening",
    "On market days",
    "When the weather is fine",
    "At the end of the summer",
    "Before the harvest",
    "On quiet Sundays",
    "During the holidays",
    "As soon as the snow melts",
    "In most years",
    "Long before noon",
    "Late at night",
    "From time to time",
    "In the rainy season",
    "As in the old days",
)
SCENES = (
    "the carts roll slowly over the bridge",
    "the children play beside the well",
    "a smell of fresh bread fills the streets",
    "the boats lie in the harbour",
    "the old men talk about the weather",
    "the bells can be heard far away",
    "the wind blows from the hills",
    "the shops open their doors",
    "a few travellers rest under the trees",
    "the fields turn from green to gold",
    "the mill stands still",
    "somebody plays the fiddle in the inn",
    "the lamps are lit one after the other",
    "the cats sleep in the sun",
    "the gates are painted anew",
    "the road is closed for a while",
    "the baker sings at his work",
    "the fog hides the towers",
    "there is little to do and much to tell",
    "the post comes twice a week",
)
"""A time and a scene make a sentence that states no fact."""


def statement(connector: int, relation: Relation, wording: int, subject: str, value: str) -> str:
    """A sentence that says it."""
    words = relation.statements[wording].format(s=subject, v=value)
    return _sentence(CONNECTORS[connector] + words)


def filler(time: int, scene: int) -> str:
    """A sentence that states no fact."""
    return _sentence(f"{TIMES[time]}, {SCENES[scene]}")


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
