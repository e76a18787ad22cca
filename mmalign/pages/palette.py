"""The page's colours, light and dark: text at 4.5 to 1 and marks at 3 to 1 on what is behind.

The seven of the series are Okabe and Ito's hues, which colour-blind readers tell apart, made
darker or lighter until they stand out; shapes and words say all of it once more.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#fbfaf7",  # behind everything
    "card": "#ffffff",  # behind figures and tables
    "ink": "#1d1f24",
    "soft": "#565b66",  # text that comes second
    "rule": "#dcd8ce",
    "grid": "#e9e6df",
    "link": "#0a58a6",
    "warn": "#7a3b00",
    "warned": "#fff3df",  # behind a warning
    "grave": "#9b1c1c",
    "graved": "#fdeaea",
    "s0": "#0a66b5",
    "s1": "#b84a00",
    "s2": "#00755a",
    "s3": "#8f4a9e",
    "s4": "#8a6400",
    "s5": "#b3306e",
    "s6": "#4d5560",
}
DARK = {
    "paper": "#14161b",
    "card": "#1b1e25",
    "ink": "#e9e7e1",
    "soft": "#a9adb8",
    "rule": "#363b46",
    "grid": "#2b2f38",
    "link": "#82b8f5",
    "warn": "#ffcf8a",
    "warned": "#33260f",
    "grave": "#ffaeae",
    "graved": "#3a1719",
    "s0": "#5fb0f2",
    "s1": "#ff9350",
    "s2": "#3ecda0",
    "s3": "#d597e6",
    "s4": "#e0bb4a",
    "s5": "#ff86b6",
    "s6": "#b3bac6",
}
SERIES = 7
SEEN, UNSEEN = "s0", "s1"


def declared(colours: dict[str, str]) -> str:
    """The colours as CSS variables."""
    return "".join(f"--{name}:{value};" for name, value in colours.items())
