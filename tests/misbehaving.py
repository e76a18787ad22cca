"""Plugins that misbehave, each written into a folder as an installed distribution."""

import sys
import textwrap
from pathlib import Path

SOUND = """
from mmalign import hookimpl

class Gaze:
    name = "gaze"

@hookimpl
def mmalign_modalities():
    return [Gaze]
"""
WHO = "plugin 'bad' of bad-dist 1.2"


def install(folder: Path, code: str, plugin: str = "bad", version: str = "1.2") -> None:
    """Write a module, ``<plugin>_module``, and the metadata of ``<plugin>-dist``."""
    (folder / f"{plugin}_module.py").write_text(textwrap.dedent(code), encoding="utf-8")
    about = folder / f"{plugin}_dist-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {plugin}-dist\nVersion: {version}\n"
    )
    (about / "entry_points.txt").write_text(f"[mmalign]\n{plugin} = {plugin}_module\n")


def forget(folder: Path) -> None:
    """Take the modules of this folder out of the process."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def component(base: str, home: str, kind: str, body: str, more: str = "") -> str:
    """The module of a plugin with one component called "bad", made of a first-party one."""
    head = f"""
from typing import ClassVar
import numpy as np
from mmalign import MmalignError, View, component, hookimpl
from {home} import {base}
{more}
@component
class Bad({base}):
    name: ClassVar[str] = "bad"
"""
    tail = f"""
@hookimpl
def mmalign_{kind}():
    return [Bad]
"""
    return head + textwrap.indent(textwrap.dedent(body), "    ") + tail
