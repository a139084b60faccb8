"""The loss, against examples worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.conf.compose import validate
from sdsim.models import LanguageModel, ModelConfig
from sdsim.text.config import ObjectiveConfig
from sdsim.text.objective import Objective, masked_positions, weighted_loss

MASK = 9


class Echo(LanguageModel):
    """Predicts at each position the token that it reads there; keeps its arguments."""

    def __init__(self) -> None:
        super().__init__(ModelConfig("echo", ("base_conv",), width=10, depth=1), 10)
        self.given: tuple[Tensor, int | None] | None = None

    def hidden(self, tokens: Tensor, prefix_len: int | None = None, *_, **__) -> Tensor:
        self.given = tokens, prefix_len
        return F.one_hot(tokens, 10).float() * 4

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


def cross_entropy(token: int, target: int) -> float:
    """The loss of `Echo` on a target, at a position where it reads `token`."""
    scores = 4.0 * F.one_hot(torch.tensor(token), 10)
    return float(F.cross_entropy(scores, torch.tensor(target)))


def test_masked_tokens_are_predicted_in_place_and_the_others_one_ahead() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6, 7]])  # M = 4: the prefix is 1 2 3 4
    masked = torch.tensor([[1]])
    model = Echo()
    losses = Objective(model, ObjectiveConfig(), 4, MASK)(tokens, masked)
    assert model.given is not None
    assert model.given[0].tolist() == [[1, MASK, 3, 4, 5, 6, 7]]
    assert model.given[1] == 4
    assert float(losses.mlm) == pytest.approx(cross_entropy(MASK, 2))
    expected = [
        cross_entropy(4, 5),
        cross_entropy(5, 6),
        cross_entropy(6, 7),
    ]  # the prefix's last predicts the first after it
    assert float(losses.ntp) == pytest.approx(sum(expected) / 3)
    assert float(losses.loss) == pytest.approx(
        (sum(expected) / 3 + 0.25 * cross_entropy(MASK, 2)) / 1.25
    )


def test_the_two_weightings() -> None:
    ntp, mlm = torch.tensor(2.0), torch.tensor(4.0)
    paper, released = ObjectiveConfig(), ObjectiveConfig(weighting="released")
    assert float(weighted_loss(paper, ntp, mlm)) == pytest.approx((2 + 0.25 * 4) / 1.25)
    assert float(weighted_loss(released, ntp, mlm)) == pytest.approx(3)
    heavy = ObjectiveConfig(ntp_weight=2, mlm_weight=1)
    assert float(weighted_loss(heavy, ntp, mlm)) == pytest.approx(8 / 3)


def test_without_a_prefix_every_next_token_is_predicted() -> None:
    tokens = torch.tensor([[1, 1, 2], [3, 3, 3]])
    masked = masked_positions(0, torch.arange(2), 0, 0.15)
    losses = Objective(Echo(), ObjectiveConfig(), 0, MASK)(tokens, masked)
    expected = [cross_entropy(1, 1), cross_entropy(1, 2), cross_entropy(3, 3), cross_entropy(3, 3)]
    assert float(losses.loss) == pytest.approx(sum(expected) / 4)
    assert float(losses.mlm) == 0


def test_the_released_form_never_asks_for_the_token_after_the_prefix() -> None:
    """And a row may have any number of masked tokens, the prefix's last among them, or none."""
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 2, 3, 3, 4]])
    masked = torch.tensor([[1, 3], [-1, -1]])  # M = 4
    model = Echo()
    config = ObjectiveConfig(form="released", weighting="released")
    losses = Objective(model, config, 4, MASK)(tokens, masked)
    assert model.given is not None
    assert model.given[0].tolist() == [[1, MASK, 3, MASK, 5, 6, 7], [1, 1, 2, 2, 3, 3, 4]]
    ntp = [cross_entropy(5, 6), cross_entropy(6, 7), cross_entropy(3, 3), cross_entropy(3, 4)]
    mlm = [cross_entropy(MASK, 2), cross_entropy(MASK, 4)]
    assert float(losses.ntp) == pytest.approx(sum(ntp) / 4)
    assert float(losses.mlm) == pytest.approx(sum(mlm) / 2)
    assert float(losses.loss) == pytest.approx(sum(ntp) / 4 + 0.25 * sum(mlm) / 2)
    none = Objective(model, config, 4, MASK)(tokens, torch.full((2, 1), -1))
    assert float(none.mlm) == 0
    plain = Objective(model, config, 0, MASK)(tokens, torch.empty(2, 0, dtype=torch.int64))
    ours = Objective(model, ObjectiveConfig(), 0, MASK)(
        tokens, torch.empty(2, 0, dtype=torch.int64)
    )
    assert float(plain.loss) == float(ours.loss), "without a prefix there is one form"


def test_masks_of_the_released_form_are_independent() -> None:
    whole = masked_positions(7, torch.arange(2000), 20, 0.15, independent=True)
    counts = (whole >= 0).sum(1)
    assert len(counts.unique()) > 5, "the number of masked tokens varies"
    assert float(counts.double().mean()) == pytest.approx(3, abs=0.15)
    assert float(counts.double().var()) == pytest.approx(20 * 0.15 * 0.85, rel=0.15)
    places = whole[whole >= 0].bincount(minlength=20)
    assert len(places) == 20, "the prefix's last token may be masked too"
    assert places.min() > 0.75 * 300
    assert places.max() < 1.25 * 300
    for row in whole[:50].tolist():
        kept = [place for place in row if place >= 0]
        assert kept == sorted(set(kept))
        assert row == kept + [-1] * (len(row) - len(kept))
    alone = masked_positions(7, torch.tensor([5]), 20, 0.15, independent=True)[0]
    assert alone.tolist() == [place for place in whole[5].tolist() if place >= 0]
    assert masked_positions(0, torch.arange(3), 0, 0.15, independent=True).shape == (3, 0)


def test_masks_depend_on_the_seed_and_the_example_alone() -> None:
    whole = masked_positions(7, torch.arange(20), 100, 0.15)
    assert whole.shape == (20, 15)
    assert all(len(set(row)) == 15 for row in whole.tolist())
    assert 0 <= int(whole.min()) <= int(whole.max()) < 99, "the prefix's last token stays"
    parts = [masked_positions(7, torch.arange(start, start + 5), 100, 0.15) for start in (0, 5)]
    assert torch.equal(torch.cat(parts), whole[:10])
    assert not torch.equal(masked_positions(8, torch.arange(20), 100, 0.15), whole)
    counts = masked_positions(0, torch.arange(2000), 21, 0.15).flatten().bincount(minlength=20)
    assert counts.min() > 0.8 * 300
    assert counts.max() < 1.2 * 300, "uniform: 3 of 20 positions in 2000 examples"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ntp_weight": 0}, "^objective.ntp_weight = 0: must be greater than 0$"),
        ({"mlm_weight": -1}, "^objective.mlm_weight = -1: must be greater than or equal to 0$"),
        ({"mask_share": 0}, "^objective.mask_share = 0: must be greater than 0$"),
        ({"mask_share": 1}, "^objective.mask_share = 1: must be less than 1$"),
        ({"form": "ours"}, "^objective.form = 'ours': must be 'paper' or 'released'$"),
        ({"weighting": "equal"}, "^objective.weighting = 'equal': must be 'paper' or 'released'$"),
    ],
)
def test_errors(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(ObjectiveConfig, settings, "objective.")
