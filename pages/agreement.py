"""Agreement: a grouping against what people know of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state, widgets
from app.charts import agreement as charts
from app.live import LATER
from app.parameters import Number, OneOf, in_url
from app.references import choose_reference
from app.score_curve import score_curve
from stg_core.results.run import Run
from stg_core.tasks.groups import superclass_of_tasks

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Agreement, Reference

LIVING = "living or not"
NOUNS = {"superclasses": ("superclass", "superclasses"), "families": ("family", "families")}
MOST_NAMED = 15
PANELS_PER_PAGE = 25  # labels: a canvas has room for so many
CHANCE = (
    "**Chance** is what 1,000 random relabellings of the tasks score: the clusters keep their"
    " sizes, and the tasks are dealt out anew. **p** is the share of them that score as high as"
    " this grouping."
)
SCORES_HELP = "\n".join(
    [
        "What is drawn thick:",
        "",
        *(f"- **{name}**: {asks}" for name, asks in charts.SCORES.values()),
    ]
)


@st.fragment(key="agreement")
def explore(run: Run, given: widgets.Input) -> None:
    """In a fragment: a slider moves the pictures, and nothing else runs again."""
    with widgets.user_errors():
        chosen = widgets.choose_clusters(run, given, followed=True)
        if reference := choose_reference(run):
            show(run, chosen, reference)
        elif (known := with_superclasses()) and st.button(
            f"See {known.spec.group.title}, whose superclasses are known",
            key="known",
            icon=":material/account_tree:",
        ):
            state.keep("run", known.id)
            st.rerun()  # of the whole page


def with_superclasses() -> Run | None:
    """A run of which nobody need say what its tasks have to do with each other."""
    runs = (run for run in state.shared().store.runs() if run.has_data_maps)
    return next((run for run in runs if superclass_of_tasks(run.spec.group)), None)


def show(run: Run, chosen: widgets.Chosen, reference: Reference) -> None:
    from stg_core.grouping.agreement import agreement_with

    grouping = chosen.grouping
    found = agreement_with(reference, grouping)
    noun, plural = NOUNS.get(reference.name, ("label", "labels"))
    with widgets.answers("agreement"):
        summary(found, grouping.k, plural)
        left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
        with left:
            st.caption(CHANCE)
            charts.scores_beside_chance(found.scores)
        with right:
            scores_for_every_k(run, chosen, found)
        charts.contingency(found, grouping, chosen.colours, f"Tasks by {noun} and cluster")
        lists(found, chosen.colours, plural)
    title, page, pages = f"Memberships by {noun}, the most coherent first", 1, pages_of(found)
    if pages > 1:
        page = st.pagination(
            pages, **in_url("labels_page", Number(1, pages, of="pages")), width="stretch"
        )
        title += f" (page {page} of {pages})"
    panels = found.panels[(page - 1) * PANELS_PER_PAGE : page * PANELS_PER_PAGE]
    charts.membership_panels(panels, grouping, chosen.colours, title, chosen.every)


def pages_of(found: Agreement) -> int:
    """How many pages of panels there are."""
    return -(-len(found.panels) // PANELS_PER_PAGE)


def summary(found: Agreement, k: int, plural: str) -> None:
    reference = found.reference
    st.markdown(
        f"Reference: {reference.name}. Of {len(found.rows)} {plural}, **{len(found.whole)} kept"
        f" whole** and **{len(found.split)} split**; of {k} clusters, **{len(found.merged)}** hold"
        f" several {plural}."
    )
    if left_out := reference.left_out:
        why = "are not a single class" if reference.name == LIVING else "have no label"
        named = widgets.plain(", ".join(left_out[:MOST_NAMED]))
        more = f" and {len(left_out) - MOST_NAMED} more" if len(left_out) > MOST_NAMED else ""
        st.caption(f"Left out, since they {why}: {named}{more}.")


def scores_for_every_k(run: Run, chosen: widgets.Chosen, found: Agreement) -> None:
    from stg_core.grouping.agreement import MAX_K

    score = st.selectbox(
        "Score",
        list(charts.SCORES),
        format_func=lambda name: charts.SCORES[name][0],
        **in_url("score", OneOf([title for title, _ in charts.SCORES.values()])),
        help=SCORES_HELP,
    )
    k = chosen.grouping.k
    if run.live:
        charts.scores_by_k({k: found.scores}, score, k, found.scores[score])
        st.caption(f"The scores of every other k: {LATER}.")
        return
    curve = score_curve(run, found.reference, chosen.space, chosen.grouping)
    polling = not curve.complete
    total = min(MAX_K, len(chosen.grouping.tasks)) - 1

    def draw() -> None:
        by_k = curve.look() or {k: found.scores}
        if polling and curve.complete:
            st.rerun()  # which ends the polling
        if polling:
            done = min(len(curve.scores), total)
            st.progress(done / total, text=f"{done} of {total} values of k are done.")
        charts.scores_by_k(by_k, score, k, found.scores[score])

    st.fragment(draw, run_every=widgets.POLL if polling else None)()


def lists(found: Agreement, colours: list[int], plural: str) -> None:
    whole, split, merged = st.columns(3, gap="medium")
    for column, title, listed, help in (
        (
            whole,
            f"{len(found.whole)} kept whole",
            charts.kept_whole,
            f"All tasks of these {plural} are in one cluster.",
        ),
        (
            split,
            f"{len(found.split)} split",
            charts.split,
            f"The tasks of these {plural} are in several clusters.",
        ),
        (
            merged,
            f"{len(found.merged)} merged",
            charts.merged,
            f"These clusters hold tasks of several {plural}.",
        ),
    ):
        column.markdown(f"**{title}**", help=help)
        with column.container(height="stretch", border=True):
            st.html(listed(found, colours, title))


if head := widgets.grouping_head(
    "Agreement",
    "Do the clusters follow what people know of the tasks? The model never saw these labels: where"
    " a grouping agrees with them, it found out from how the tasks are learned.",
):
    explore(*head)
