"""Processes in the background, beside what somebody does meanwhile."""

from __future__ import annotations

import os

import pytest

from stg_core.system.guard import PARENT, environment


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert environment()["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert environment()["OMP_WAIT_POLICY"] == "active"
    assert environment()[PARENT] == str(os.getpid())
