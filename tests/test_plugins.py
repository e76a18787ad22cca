"""Discovery: order, provenance, and plugins that are broken in every way."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest
from rich.console import Console

from mmalign import MmalignError
from mmalign.listing import plugins as table
from mmalign.plugins import Registry, discover

SOUND = """
from mmalign import hookimpl

class Gaze:
    name = "gaze"

@hookimpl
def mmalign_modalities():
    return [Gaze]
"""

Install = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as site-packages is; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.delenv("MMALIGN_PLUGINS", raising=False)
    return tmp_path


@pytest.fixture
def install(folder: Path) -> Install:
    """Write a module and the metadata of a distribution that declares it."""

    def installed(distribution: str, code: str = SOUND, plugin: str = "", module: str = "") -> None:
        plugin = plugin or distribution
        module = module or distribution.replace("-", "_")
        (folder / f"{module}.py").write_text(code)
        about = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (about / "entry_points.txt").write_text(f"[mmalign]\n{plugin} = {module}\n")

    return installed


def found(folder: Path) -> list[EntryPoint]:
    return [each for d in distributions(path=[str(folder)]) for each in d.entry_points]


def shown(registry: Registry) -> str:
    console = Console(width=200, highlight=False)
    with console.capture() as captured:
        console.print(table(registry))
    return captured.get()


def test_plugin_is_found_with_its_provenance(folder: Path, install: Install) -> None:
    install("gaze-plugin", plugin="gaze")
    registry = discover(found(folder))
    (plugin,) = registry.plugins
    assert (plugin.name, plugin.version, plugin.distribution) == ("gaze", "1.2", "gaze-plugin")
    assert plugin.components == ("modality:gaze",)
    assert plugin.problem is None
    assert registry.find("modality", "gaze").__module__ == "gaze_plugin"
    assert "modality:gaze" in shown(registry)


def test_component_of_a_type_that_cannot_be_checked(folder: Path, install: Install) -> None:
    """Listed all the same; an error, which names it, for a recipe that needs it."""
    code = SOUND.replace("import hookimpl", "import component, hookimpl")
    code = code.replace("class Gaze:", "class Odd: ...\n\n@component\nclass Gaze:")
    install("odd-dist", code.replace('"gaze"\n', '"gaze"\n    odd: Odd\n'))
    registry = discover(found(folder))
    assert registry.plugins[0].components == ("modality:gaze",)
    with pytest.raises(MmalignError, match=r"modality 'gaze' of odd-dist cannot be used: .*Odd"):
        registry.find("modality", "gaze")


BROKEN = {
    "import": ("import no_such_module", "No module named 'no_such_module'"),
    "exit": ("raise SystemExit('goodbye')", "SystemExit: goodbye"),
    "mute": ("raise RuntimeError", "RuntimeError: no message"),
    "syntax": ("def", "SyntaxError"),
    "misspelt": (SOUND.replace("modalities", "modalitys"), "mmalign_modalitys"),
    "undecorated": (SOUND.replace("@hookimpl", ""), "mmalign_modalities is no hook; decorate"),
    "empty": ("", "implements no hook"),
    "no list": (SOUND.replace("[Gaze]", "Gaze"), "mmalign_modalities returned type, not a list"),
    "instance": (SOUND.replace("[Gaze]", "[Gaze()]"), "no class with a name"),
    "nameless": (SOUND.replace("name =", "title ="), "no class with a name"),
    "raising": (SOUND.replace("return [Gaze]", "1 / 0"), "ZeroDivisionError"),
    "exiting": (SOUND.replace("return [Gaze]", "raise SystemExit(3)"), "SystemExit: 3"),
}


@pytest.mark.parametrize(("code", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_plugin_is_named_and_harms_nothing(
    code: str, said: str, folder: Path, install: Install
) -> None:
    install("broken-dist", code, plugin="a-broken")
    install("sound-dist", plugin="gaze")
    registry = discover(found(folder))
    broken, sound = registry.plugins
    assert said in (broken.problem or "")
    assert (broken.name, broken.distribution) == ("a-broken", "broken-dist")
    assert broken.components == ()
    assert sound.problem is None
    assert registry.find("modality", "gaze").__module__ == "sound_dist"
    assert [name for name, _ in registry.manager.list_name_plugin()] == ["gaze"]
    assert "broken-dist" in shown(registry)
    assert "not loaded: " in shown(registry)


def test_broken_plugin_is_mentioned_where_something_is_missing(
    folder: Path, install: Install
) -> None:
    install("broken-dist", "raise ImportError('needs libgaze')", plugin="gaze")
    with pytest.raises(MmalignError, match=r"no modality 'gaze'.*'gaze' of broken-dist.*libgaze"):
        discover(found(folder)).find("modality", "gaze")


def test_interrupt_is_not_a_plugins_problem(folder: Path, install: Install) -> None:
    install("slow-dist", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        discover(found(folder))


@pytest.mark.parametrize("modules", [("one", "two"), ("same", "same")])
def test_two_plugins_of_one_name(modules: tuple[str, str], folder: Path, install: Install) -> None:
    for distribution, module in zip(("dist-a", "dist-b"), modules, strict=True):
        install(distribution, plugin="gaze", module=module)
    registry = discover(found(folder))
    assert [each.distribution for each in registry.plugins] == ["dist-a", "dist-b"]
    for plugin in registry.plugins:
        assert "dist-a and dist-b both call a plugin 'gaze'" in (plugin.problem or "")
    assert registry.components["modality"] == {}


def test_two_components_of_one_name(folder: Path, install: Install) -> None:
    install("dist-a", plugin="a")
    install("dist-b", plugin="b")
    registry = discover(found(folder))
    assert [each.problem for each in registry.plugins] == [None, None]
    with pytest.raises(MmalignError, match=r"dist-a \(plugin 'a'\) and dist-b \(plugin 'b'\)"):
        registry.find("modality", "gaze")
    assert "modality 'gaze' is offered by dist-a and dist-b" in shown(registry)


def test_one_distribution_on_the_path_twice_counts_once(folder: Path, install: Install) -> None:
    install("gaze-plugin", plugin="gaze")
    registry = discover([*found(folder), *found(folder)])
    assert [each.problem for each in registry.plugins] == [None]


def test_order_is_by_name_never_by_installation(folder: Path, install: Install) -> None:
    for name in ("zebra", "ant", "moose"):
        install(f"{name}-dist", SOUND.replace('"gaze"', f'"{name}"'), plugin=name)
    entries = found(folder)
    for given in (entries, entries[::-1]):
        registry = discover(given)
        assert [each.name for each in registry.plugins] == ["ant", "moose", "zebra"]
        assert list(registry.components["modality"]) == ["ant", "moose", "zebra"]


def test_environment_restricts(
    folder: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ant", "moose"):
        install(f"{name}-dist", SOUND.replace('"gaze"', f'"{name}"'), plugin=name)
    install("broken-dist", "raise ImportError", plugin="broken")
    monkeypatch.setenv("MMALIGN_PLUGINS", "moose, ant")
    assert [each.name for each in discover(found(folder)).plugins] == ["ant", "moose"]
    monkeypatch.setenv("MMALIGN_PLUGINS", "moose")
    assert [each.name for each in discover(found(folder)).plugins] == ["moose"]
    assert "broken_dist" not in sys.modules
    monkeypatch.setenv("MMALIGN_PLUGINS", "")
    assert discover(found(folder)).plugins == []
    monkeypatch.setenv("MMALIGN_PLUGINS", "mouse")
    with pytest.raises(MmalignError, match=r"'mouse': no such plugin; did you mean 'moose'\?"):
        discover(found(folder))


def test_unknown_component_names_the_nearest(folder: Path, install: Install) -> None:
    install("gaze-plugin", plugin="gaze")
    registry = discover(found(folder))
    with pytest.raises(MmalignError, match=r"no modality 'gase'; did you mean 'gaze'\?"):
        registry.find("modality", "gase")
    with pytest.raises(MmalignError, match=r"no head 'gaze'; none is known"):
        registry.find("head", "gaze")


def test_entry_point_without_distribution(folder: Path) -> None:
    (folder / "lonely.py").write_text(SOUND)
    (plugin,) = discover([EntryPoint("lonely", "lonely", "mmalign")]).plugins
    assert (plugin.distribution, plugin.version, plugin.problem) == ("unknown", "unknown", None)


def test_every_caller_has_a_registry_of_its_own(folder: Path, install: Install) -> None:
    install("gaze-plugin", plugin="gaze")
    one, other = discover(found(folder)), discover([])
    assert one.manager is not other.manager
    assert other.plugins == []


def test_first_party_plugins_come_through_the_same_door() -> None:
    ours = [each for each in discover().plugins if each.distribution == "mmalign"]
    assert {"image", "attributes", "aligned-vae"} <= {each.name for each in ours}
    assert [each.problem for each in ours if each.problem] == []
