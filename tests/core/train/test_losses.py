from __future__ import annotations

import math

import pytest
import timm
import torch

from ich_cli.core.data import UNKNOWN
from ich_cli.core.errors import UsageError
from ich_cli.core.train.losses import MaskLearner, mask_loss, mask_planes, patch_mask_loss


def test_bits_become_planes_in_the_order_of_the_labels() -> None:
    masks = torch.tensor([[[0, 1], [16, 5]]], dtype=torch.uint8)
    planes = mask_planes(masks)[0].tolist()
    assert planes == [
        [[0, 1], [1, 1]],  # any
        [[0, 1], [0, 1]],  # epidural: bit 0
        [[0, 0], [0, 0]],
        [[0, 0], [0, 1]],  # intraventricular: bit 2
        [[0, 0], [0, 0]],
        [[0, 0], [1, 0]],  # subdural: bit 4
    ]
    assert mask_planes(torch.full((1, 2, 2), UNKNOWN, dtype=torch.uint8)).isnan().all()


def test_the_loss_by_hand() -> None:
    masks = torch.zeros((2, 6, 4, 4))
    masks[0, :, :2, :2] = 1.0  # of the four cells of 2 by 2, one is full
    masks[1] = float("nan")
    maps = [torch.zeros((2, 6, 2, 2))]
    # at logit 0 each cell costs ln 2; the full one counts four times
    assert float(mask_loss(maps, masks)) == pytest.approx(math.log(2) * (4 + 1 + 1 + 1) / 4)
    masks[0] = 0
    masks[0, :, 0, 0] = 0.5  # an eighth of the cell, half of what makes it bleed
    cost = math.log(2) * (0.5 * 4 + 0.5 + 3) / 4
    assert float(mask_loss(maps, masks)) == pytest.approx(cost)


def test_unknown_masks_do_not_contribute() -> None:
    maps = [torch.ones((1, 6, 2, 2), requires_grad=True)]
    loss = mask_loss(maps, torch.full((1, 6, 4, 4), float("nan")))
    loss.backward()
    assert float(loss.detach()) == 0
    assert maps[0].grad is not None
    assert not maps[0].grad.any()


def test_odds_at_the_wrong_place_cost_their_share() -> None:
    masks = torch.full((2, 6, 4, 4), float("nan"))  # unknown in the second slice
    masks[0] = 0
    masks[0, 5, :2, :2] = 1.0  # a subdural over the first of four cells
    cells = torch.zeros((2, 6, 2, 2))
    cells[0, 5] = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # 3 of 6 parts of the odds inside
    cells.requires_grad_()
    loss = patch_mask_loss(cells, masks)
    more = (loss - mask_loss([cells], masks)).detach()
    assert float(more) == pytest.approx(0.1 * math.log(2))
    loss.backward()
    assert cells.grad is not None
    assert cells.grad[0].isfinite().all()
    assert not cells.grad[1].any()
    masks[0] = 0  # nothing bleeds
    assert torch.equal(patch_mask_loss(cells, masks), mask_loss([cells], masks))


def test_the_mean_of_the_map_is_the_logit() -> None:
    model = timm.create_model("test_resnet", num_classes=6).eval()
    learner = MaskLearner(model).eval()
    with torch.no_grad():
        learner.scale.fill_(1)
        learner.shift.fill_(0)
        x = torch.randn((2, 3, 64, 64))
        logits, (coarse, fine) = learner(x)
        bias = model.get_classifier().bias
        torch.testing.assert_close(coarse.mean((2, 3)) + bias, logits)
        torch.testing.assert_close(logits, model(x))
    assert coarse.shape == (2, 6, 2, 2)
    assert fine.shape == (2, 6, 4, 4)


@pytest.mark.parametrize("name", ["test_vit", "test_mambaout"])
def test_a_backbone_without_such_maps_is_refused(name: str) -> None:
    model = timm.create_model(name, num_classes=6)
    side = model.pretrained_cfg["input_size"][-1]
    with pytest.raises(UsageError, match="--mask-weight needs"):
        MaskLearner(model)(torch.zeros((1, 3, side, side)))
