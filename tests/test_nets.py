"""How encoders and decoders begin, and what they compute."""

import torch
from helpers import generator

from mmalign.nets import Decoder, Encoder


def bound(layer_in: int, layer_out: int) -> float:
    """Xavier's bound of uniform weights with gain 0.5 (Glorot & Bengio 2010, eq. 16)."""
    return 0.5 * (6 / (layer_in + layer_out)) ** 0.5


def assert_uniform(weight: torch.Tensor, limit: float) -> None:
    largest = weight.abs().max().item()
    # The largest of n uniform magnitudes is below 1 - 20/n of the bound once in e^20 times.
    assert limit * (1 - 20 / weight.numel()) < largest <= limit


def test_weights_begin_within_xaviers_bound_of_their_own_layer():
    encoder, decoder = Encoder(40, 60, 30, generator(0)), Decoder(30, 50, 40, generator(0))
    assert_uniform(encoder.hidden.weight, bound(40, 60))
    for half in encoder.moments.weight.split(30):  # mean and logvar, each a layer of its own
        assert_uniform(half, bound(60, 30))
    assert_uniform(decoder.hidden.weight, bound(30, 50))
    assert_uniform(decoder.output.weight, bound(50, 40))


def test_biases_begin_at_zero():
    for net in (Encoder(4, 6, 3, generator(0)), Decoder(3, 5, 4, generator(0))):
        biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
        assert len(biases) == 2
        assert not any(bias.any() for bias in biases)


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    one = Encoder(4, 6, 3, generator(0)).state_dict()
    state = torch.get_rng_state()
    torch.manual_seed(1)
    other = Encoder(4, 6, 3, generator(0)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was moved"
