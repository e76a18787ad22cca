"""A finished run done again from its folder, and what is said where the two differ."""

import json
import shutil

import pytest
from commands import SMALL, call, only, refused, report_of

import mmalign.run as run_module
from mmalign.reproduce import compared
from mmalign.run import Outcome


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    done = call("run", "synthetic", *SMALL, "--seeds", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, only(folder / "runs" / "synthetic")


@pytest.fixture
def then(place, tmp_path):
    """A copy of the finished run, to be altered."""
    shutil.copytree(place[1], tmp_path / "then")
    return tmp_path / "then"


def altered(folder, **values):
    """The run's report with other values: "a__b" is the key b of the table a."""
    report = report_of(folder)
    for name, value in values.items():
        *tables, key = name.split("__")
        table = report
        for each in tables:
            table = table[each]
        table[key] = value
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def spoilt(folder):
    """As a fit that rounded otherwise: another model, and metrics in the same place."""
    path = folder / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.fixture
def again(place, tmp_path, monkeypatch):
    """The command, which finds that the run comes to what it came to then: a copy."""

    def copied(recipe, registry, console, out):
        shutil.copytree(place[1], out / "again")
        return Outcome(None, out / "again")

    monkeypatch.setattr(run_module, "run", copied)

    def reproduced(folder, status):
        done = call("reproduce", folder.name, cwd=folder.parent)
        assert done.returncode == status, (done.stdout, done.stderr)
        said = json.loads((folder.parent / "runs" / "again" / "reproduced.json").read_text())
        assert said["of"] == folder.name
        return done.stdout, said

    return reproduced


def test_the_same_machine_gives_the_same_bits(place):
    folder = place[1]
    done = call("reproduce", folder, "--out", "again", cwd=place[0])
    assert done.returncode == 0, (done.stdout, done.stderr)
    out, made = done.stdout, only(place[0] / "again" / "synthetic")
    said = json.loads((made / "reproduced.json").read_text())
    assert out.count("the same, bit for bit") == 3
    assert "\nreproduced, bit for bit\n" in out
    assert said["same"]
    assert said["differs"] == []


def test_another_version_is_named_and_excuses_what_is_near(then, again):
    altered(then, versions__torch="1.0")
    spoilt(then)
    out, said = again(then, 0)
    assert 'versions.torch: "1.0" then, ' in out
    assert "model/model.safetensors   another one" in out
    assert "reproduced within the tolerance" in out
    assert not said["same"]
    assert said["metrics"]["H"]["tolerance"] == 0.03  # of one seed


def test_a_difference_without_a_reason_is_not_reproduced(then, again):
    spoilt(then)
    out, _ = again(then, 1)
    assert "not reproduced, though data, versions, plugins and machine are the same" in out


def test_other_data_are_another_experiment(then, again):
    altered(then, data={"features.npy": "0" * 64})
    spoilt(then)
    out, _ = again(then, 1)
    assert f'data.features.npy: "{"0" * 64}" then, nothing now' in out
    assert "not reproduced: see above" in out


def test_a_metric_that_is_far_is_not_reproduced_whatever_the_versions(then, again):
    altered(then, versions__torch="1.0", summary__H__mean=0.99)
    spoilt(then)
    out, said = again(then, 1)
    assert not said["reproduced"]
    assert "99.00" in out


def test_the_tolerance_is_three_deviations_where_there_are_several_seeds(place, then):
    altered(then, summary__H__std=0.02)
    folder = place[1]
    found = compared(folder, report_of(then), folder, report_of(folder))
    assert found.metrics["H"][2] == pytest.approx(0.06)
    assert found.same


def test_what_is_no_finished_run_is_refused(tmp_path, then):
    said = refused("reproduce", "nothing", cwd=tmp_path)
    assert said == "error: nothing: no finished run; it has no report.json\n"
    altered(then, processes=2)
    assert "2 processes trained it together" in refused("reproduce", "then", cwd=tmp_path)
    for content in ("", "[]", "{}", '{"summary": 1}'):
        (then / "report.json").write_text(content)
        assert "no run's report" in refused("reproduce", "then", cwd=tmp_path)
