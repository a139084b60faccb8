from figures.palette import series_styles


def test_known_models_look_the_same_whatever_stands_beside_them():
    alone = series_styles([("gru", "")])["gru", ""]
    beside = series_styles([("zebra", ""), ("based", ""), ("gru", "")])["gru", ""]
    assert alone == beside


def test_no_two_series_look_alike():
    names = ["based", "gru", "lstm", *(f"model_{i}" for i in range(15))]
    series = [(name, variant) for name in names for variant in ("", "steps=1", "steps=2")]
    styles = series_styles(series).values()
    assert len({(style.colour, style.marker) for style in styles}) == len(series)


def test_variants_of_a_model_share_its_colour():
    styles = series_styles([("gru", "steps=1"), ("gru", "steps=2")])
    assert len({style.colour for style in styles.values()}) == 1
    assert styles["gru", "steps=2"].label == "GRU steps=2"
