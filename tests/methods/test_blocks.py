from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import Tensor, nn

from dfpg.methods.blocks import SFT, SSFT, ChannelAttention, ImageNorm, ResBlock, ResGroup


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv3_numpy(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    planes = [
        sum(correlate2d(x[i], kernel[i], mode="same") for i in range(len(x))) for kernel in weight
    ]
    return np.stack(planes) + bias[:, None, None]


def branch_numpy(x: np.ndarray, branch: nn.Sequential) -> np.ndarray:
    hidden = conv3_numpy(x, branch[0])
    return conv3_numpy(np.where(hidden > 0, hidden, 0.2 * hidden), branch[2])


def test_channel_attention_equals_its_formula_in_numpy() -> None:
    module, x = ChannelAttention(32), random(2, 32, 5, 7)
    w1, b1 = (
        module.squeeze.weight[:, :, 0, 0].detach().numpy(),
        module.squeeze.bias.detach().numpy(),
    )
    w2, b2 = module.excite.weight[:, :, 0, 0].detach().numpy(), module.excite.bias.detach().numpy()
    pooled = x.numpy().mean(axis=(2, 3))
    weights = 1 / (1 + np.exp(-(np.maximum(pooled @ w1.T + b1, 0) @ w2.T + b2)))
    expected = x.numpy() * weights[:, :, None, None]
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "hidden"), [(8, 1), (24, 1), (48, 3), (64, 4), (256, 16)])
def test_channel_attention_keeps_a_hidden_channel_at_any_width(channels: int, hidden: int) -> None:
    assert ChannelAttention(channels).squeeze.out_channels == hidden


def test_channel_attention_at_the_papers_widths_has_the_assumed_size() -> None:
    assert sum(parameters(ChannelAttention(n)) for n in (64, 128, 256)) == 11_228


@pytest.mark.parametrize(("channels", "size"), [(64, 372_180), (128, 1_486_760), (256, 5_943_120)])
def test_a_group_of_five_blocks_has_the_published_size(channels: int, size: int) -> None:
    assert parameters(ResGroup(channels, 5)) == size


def test_res_block_adds_the_attended_convolutions_to_its_input() -> None:
    block, x = ResBlock(16), random(1, 16, 6, 6)
    residual = torch.from_numpy(branch_numpy(x[0].numpy(), block.body)).float()[None]
    torch.testing.assert_close(block(x), x + block.attention(residual), atol=1e-5, rtol=1e-5)


def test_res_group_adds_its_input_to_blocks_that_already_contain_it() -> None:
    group, x = ResGroup(16, 3), random(1, 16, 6, 6)
    inner = x
    for block in group.blocks:
        inner = block(inner)
    assert torch.equal(group(x), x + inner)


def test_sft_scales_by_one_plus_the_branch_and_shifts_by_the_prior() -> None:
    module, feature, prior = SFT(4), random(1, 4, 6, 5), random(1, 4, 6, 5, seed=1)
    scale = branch_numpy(prior[0].numpy(), module.scale)
    shift = branch_numpy(prior[0].numpy(), module.shift)
    expected = feature[0].numpy() * (scale + 1) + shift
    np.testing.assert_allclose(module(feature, prior)[0].detach().numpy(), expected, atol=1e-5)


def test_ssft_is_sft_conditioned_on_the_feature_itself() -> None:
    own, other, feature = SSFT(4), SFT(4), random(2, 4, 6, 6)
    other.load_state_dict(own.state_dict())
    assert torch.equal(own(feature), other(feature, feature))


@pytest.mark.parametrize(("channels", "size"), [(64, 147_712), (128, 590_336), (256, 2_360_320)])
def test_transforms_have_the_published_size(channels: int, size: int) -> None:
    assert parameters(SFT(channels)) == parameters(SSFT(channels)) == size


def test_image_norm_takes_each_images_own_statistics_outside_training() -> None:
    layer, x = ImageNorm(3, eps=1e-4).train(), 4 * random(2, 3, 5, 6) + 1
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(2))
    plain = nn.BatchNorm2d(3, eps=1e-4).train()
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), plain(x))
    expected = torch.cat([plain(image[None]) for image in x])  # as if never out of training
    torch.testing.assert_close(layer.eval()(x), expected)
