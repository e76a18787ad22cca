"""Checks of timm and torchvision, run by tests/test_hubs.py in an environment that has them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image

from mmalign import MmalignError, read_features
from mmalign.testing import Check, checks
from mmalign_vision.frozen import digest_of
from mmalign_vision.hubs import Timm, Torchvision

PROGRAM = Path(sys.executable).with_name("mmalign")
SMALL = (Timm(model="resnet18", pretrained=False), Torchvision(model="resnet18", pretrained=False))


def picture(number: int) -> Image.Image:
    rough = np.random.default_rng(number).integers(0, 256, size=(4, 4, 3)).astype(np.uint8)
    return Image.fromarray(rough).resize((300, 250), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("check", [check for each in SMALL for check in checks(each)], ids=str)
def test_conforms(check: Check) -> None:
    check()


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def test_torchvision_gives_what_the_classifier_is_given() -> None:
    whole = seeded(lambda: torchvision.models.get_model("resnet18", weights=None))
    ours = Torchvision(model="resnet18", pretrained=False).extractor("cpu")
    weights = torchvision.models.get_model_weights("resnet18").DEFAULT
    batch = torch.stack([weights.transforms()(picture(number)) for number in range(3)])
    mine = np.stack([ours.prepare(picture(number)) for number in range(3)])
    assert np.array_equal(batch.numpy(), mine)
    with torch.inference_mode():
        logits = whole.fc(torch.from_numpy(ours(mine)))
        torch.testing.assert_close(logits, whole(batch), rtol=1e-4, atol=1e-4)


def test_timm_gives_pooled_maps_of_pictures_prepared_as_evaluated() -> None:
    whole = seeded(lambda: timm.create_model("resnet18", num_classes=0))
    ours = Timm(model="resnet18", pretrained=False).extractor("cpu")
    assert ours.facts["weights"] == digest_of(whole.state_dict())
    config = timm.data.resolve_model_data_config(whole)
    transform = timm.data.create_transform(**config, is_training=False)
    batch = torch.stack([transform(picture(number)) for number in range(3)])
    mine = np.stack([ours.prepare(picture(number)) for number in range(3)])
    assert np.array_equal(batch.numpy(), mine)
    with torch.inference_mode():
        maps = whole.forward_features(batch)
        torch.testing.assert_close(
            torch.from_numpy(ours(mine)), maps.mean((2, 3)), rtol=1e-4, atol=1e-5
        )


FAMILIES = {
    "alexnet": 4096, "convnext_tiny": 768, "densenet121": 1024, "efficientnet_b0": 1280,
    "googlenet": 1024, "inception_v3": 2048, "mobilenet_v3_small": 1024, "regnet_y_400mf": 440,
    "shufflenet_v2_x0_5": 1024, "swin_t": 768, "vit_b_16": 768,
}  # fmt: skip


@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_of_torchvision_loses_its_head(model: str) -> None:
    ours = Torchvision(model=model, pretrained=False).extractor("cpu")
    assert ours(ours.prepare(picture(0))[None]).shape == (1, FAMILIES[model])


@pytest.mark.parametrize(
    "model", ["vit_tiny_patch16_224", "mobilenetv3_small_050", "convnext_atto"]
)
def test_other_families_of_timm(model: str) -> None:
    ours = Timm(model=model, pretrained=False).extractor("cpu")
    rows = ours(ours.prepare(picture(0))[None])
    assert rows.ndim == 2
    assert rows.shape[1] != 1000


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (Timm(model="resnt18"), "no model 'resnt18'; did you mean 'resnet18'"),
        (Timm(model="resnet18.no_such_tag"), "its weights cannot be had"),
        (Torchvision(model="resnt18"), "no classifier 'resnt18'; did you mean 'resnet18'"),
        (Torchvision(model="resnet18", weights="V9"), "no weights 'V9'; known: DEFAULT"),
        (Torchvision(model="squeezenet1_0", pretrained=False), "does not end with a linear"),
        (Torchvision(model="raft_small"), "no classifier 'raft_small'"),
    ],
)
def test_what_is_not_there_is_said(backbone, said: str) -> None:
    with pytest.raises(MmalignError, match=said):
        backbone.extractor("cpu")


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_command_from_folder_to_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        picture(number).save(tmp_path / "pictures" / f"{number}.png")
    fields = ["--set", "model=resnet18", "--set", "pretrained=false", "--batch", "2"]
    program = [PROGRAM, "extract", "pictures", "out.safetensors", "--backbone", name, *fields]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 rows of 512 numbers, 0 of them there before" in done.stdout
    file = read_features(tmp_path / "out.safetensors")
    assert json.loads(file.metadata["backbone"])["use"] == name
    again = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert "5 rows of 512 numbers, 5 of them there before" in again.stdout
