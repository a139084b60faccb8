from pathlib import Path

from matplotlib.figure import Figure

from figures.style import add_legend, house_style


def test_names_are_data_not_mathematics(tmp_path: Path) -> None:
    """A dollar, an underscore or a backslash in a model's name is drawn as it is."""
    name = r"$a_b$ \frac <b> [x]"
    with house_style():
        figure = Figure()
        figure.subplots().plot([0, 1], label=name)
        add_legend(figure)
        figure.savefig(tmp_path / "names.png")
    (text,) = figure.legends[0].get_texts()
    assert text.get_text() == name
    assert text.get_parse_math() is False
