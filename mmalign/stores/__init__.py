"""Files of rows that stay on disk: which reader opens which file."""

from __future__ import annotations

from mmalign.stores.opening import opened as opened
