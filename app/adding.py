"""What is brought in behind the app's back, and the expander in which it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import streamlit as st

from app import widgets
from stg_core.system.errors import Cancelled, UserError

T = TypeVar("T")
Tell = Callable[[str, float], None]
NOT_KEPT = "what could not be kept"


class Adding(Generic[T]):
    """A thread that brings something in: how far it is, and what came of it.

    message: what it is doing; share: how much of that is done, in [0, 1]; kept: what the work
    returned, once it has; problem: why it could not be kept, or "".
    """

    def __init__(self, message: str, work: Callable[[Tell], T], too_large: str) -> None:
        """work: is given what tells how far it is; too_large: said where memory is short."""
        self.message, self.share = message, 0.0
        self.kept: T | None = None
        self.problem = ""
        self._work, self._too_large = work, too_large
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="adding")
        self._thread.start()

    @property
    def going_on(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Ends it at its next step; nothing is kept."""
        self._unwanted.set()

    def _tell(self, what: str, share: float) -> None:
        if self._unwanted.is_set():
            raise Cancelled
        self.message, self.share = what, min(max(share, 0.0), 1.0)

    def _run(self) -> None:
        try:
            self.kept = self._work(self._tell)
        except UserError as error:
            self.problem = str(error)
        except Cancelled:
            self.problem = "Cancelled. Nothing was kept."
        except MemoryError:
            self.problem = self._too_large


def bring(
    label: str, icon: str, key: str, about: str, ask: Callable[[], None], keep: Callable[[T], None]
) -> None:
    """An expander in which something is asked for, or how far it is.

    ask: draws the questions, and begins by `begin(key, …)`; keep: called once with what was kept.
    """
    adding: Adding[T] | None = st.session_state.get(_slot(key))
    place = st.expander(label, icon=icon, expanded=bool(adding), key=key, on_change="rerun")
    if not (place.open or adding):
        return
    with place:
        if adding:
            every = widgets.POLL if adding.going_on else None
            st.fragment(_show, run_every=every)(key, adding, keep)
            return
        st.caption(f"{about} Nothing leaves this machine.")
        with widgets.user_errors():
            ask()


def begin(key: str, adding: Adding[T]) -> None:
    """From here on the expander of that key shows how far it is."""
    st.session_state[_slot(key)] = adding
    st.rerun()


def _show(key: str, adding: Adding[T], keep: Callable[[T], None]) -> None:
    if adding.going_on:
        st.progress(adding.share, text=widgets.plain(adding.message))
        if st.button("Cancel", key=f"cancel {key}", icon=":material/cancel:"):
            adding.cancel()
        return
    st.session_state.pop(_slot(key), None)
    if adding.kept is not None:
        keep(adding.kept)
    else:
        st.session_state[NOT_KEPT] = adding.problem
    st.rerun()


def tell_what_was_not_kept() -> None:
    """Once, why what was being brought could not be kept."""
    if problem := st.session_state.pop(NOT_KEPT, None):
        st.error(widgets.plain(problem), icon=":material/error:")


def _slot(key: str) -> str:
    return f"being brought: {key}"
