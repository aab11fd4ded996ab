"""Specialists: does the grouping pay? The plan, its trainings, and the judgement."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import brought_back, judgement, state, take_home, widgets
from app.charts import quality
from app.charts import specialists as charts
from app.charts.base import number
from app.charts.specialists import SCHEMES, USUAL, WARM, about_scheme, scheme_title
from app.parameters import Number, OneOf, SeveralOf, Text, in_url
from app.studies import say_default
from app.tables import as_csv
from app.training_choices import is_being_measured, not_known_yet, speed_of
from app.widgets import Chosen, Input
from stg_core.engine.derived import Answer
from stg_core.engine.job import Job
from stg_core.judging.budget import known_costs
from stg_core.judging.verdict import Words, verdict_in
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.extras import is_installed, lacking_to_train
from stg_core.system.words import counted
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from stg_core.judging.brought_back import BroughtBack
    from stg_core.judging.plan import Plan

Specs = Sequence[TrainingSpec]

THIS_PLAN = "this plan"  # in the address
PLACES = FINISHED, PLAN = "Finished judgements", "Your plan"
LOOK = 1.0  # seconds between two looks at a plan: drawing it takes from the trainings
ROW, MOST_ROWS = 35, 10  # of the table of trainings: a row's height in pixels
LONGEST_LIST = 200  # characters of the seeds
SMALL_MODEL = 20e6  # multiply-adds: a wider one costs little
MOST_WARM = 10.0  # of MTL's epochs
LONG_LIST = 25  # tasks

# -------------------------------------------------------------------------------------- the plan


def choose_plan(run: Run, chosen: Chosen) -> Plan:
    from stg_core.judging.plan import (
        WARM_SHARE,
        families_of,
        grouping_trainings_of,
        make_plan,
        mtl_spec_of,
        words_of,
    )

    words, families = words_of(run.spec), {*(families_of(run.spec) or ())}
    possible, usual = possible_schemes(run.spec, bool(families))
    titles = {scheme: scheme_title(scheme, words) for scheme in possible}
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    schemes = left.pills(
        "Compared",
        possible,
        selection_mode="multi",
        wrap=True,
        default=usual,
        format_func=titles.__getitem__,
        **in_url("schemes", SeveralOf([*titles.values()])),
        help="\n".join(f"- **{titles[name]}**: {about_scheme(name, words)}." for name in possible),
    )
    with right:
        asked = choose_seeds(
            str(run.spec.seed), "All is trained once for each. Empty: the run's own."
        )
        share = choose_warm_share(WARM_SHARE) if {*schemes} & {*WARM} else WARM_SHARE
    in_order = [scheme for scheme in possible if scheme in schemes]
    if "superclass" in in_order and len(families) < chosen.grouping.k:
        in_order.remove("superclass")
        st.caption(
            f"{titles['superclass']} is left out: {len(families)} of them cannot form"
            f" {chosen.grouping.k} groups."
        )
    mtl = mtl_spec_of(run, state.shared().store)
    groupings = grouping_trainings_of(run)
    return make_plan(mtl, chosen.grouping, chosen.space, in_order, asked, share, groupings)


def possible_schemes(spec: TrainingSpec, has_families: bool) -> tuple[list[str], list[str]]:
    """Those that can be planned for a run, and those of them that are chosen at first.

    A wider model is among these where it costs little; with a model whose multiply-adds are not
    known there is none.
    """
    from stg_core.judging.plan import multiply_adds_of

    each = multiply_adds_of(spec)
    possible = [
        scheme
        for scheme in SCHEMES
        if (scheme != "superclass" or has_families) and (scheme != "wider" or each)
    ]
    usual = [*USUAL, "wider"] if each and each <= SMALL_MODEL else USUAL
    return possible, [scheme for scheme in possible if scheme in usual]


def choose_warm_share(usual: float) -> float:
    share: float = st.number_input(
        "Warm share",
        min_value=0.0,
        max_value=MOST_WARM,
        value=usual,
        step=0.1,
        format="%g",
        **in_url("warm_share", Number(0, MOST_WARM, fraction=True)),
        help="For which share of MTL's epochs warm trainings go on from it.",
    )
    return share


def choose_seeds(usual: str, about: str) -> tuple[int, ...]:
    text = st.text_input(
        "Seeds",
        **in_url("plan_seeds", Text(LONGEST_LIST)),
        placeholder=usual,
        help=f"Whole numbers with commas, such as 0, 1. {about}",
    )
    return read_seeds(text or "")


def read_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"Write seeds as 0, 1; “{text}” is not a list.") from None


def show_plan(plan: Plan, missing: Specs) -> None:
    """What is to be trained and how long it takes; looks again until the speed is measured."""
    unknown = bool(missing) and is_being_measured(plan.spec)
    st.fragment(describe_plan, run_every=1.0 if unknown else None)(plan, missing)


def describe_plan(plan: Plan, missing: Specs) -> None:
    with widgets.user_errors():
        seconds = speed_of(plan.spec) if missing else 0.0
        st.dataframe(
            pd.DataFrame([planned(plan, scheme, missing, seconds) for scheme in plan.schemes]),
            hide_index=True,
            placeholder="–",
            alt=f"Table of {counted(len(plan.schemes), 'scheme')} of this plan and what they cost",
            column_config={
                "What it is": st.column_config.TextColumn(width="medium"),
                "Training cost": st.column_config.TextColumn(
                    help="Of one seed, counted: 1 is one training of MTL. That of the specialists"
                    " includes the training whose data maps are grouped, that of warm ones the"
                    " model they go on from."
                ),
                "Serving cost": st.column_config.TextColumn(
                    help="Of all models that answer, counted: 1 is one model of all tasks."
                ),
                "Trainings": st.column_config.NumberColumn(help="Of all seeds."),
                "Here": st.column_config.NumberColumn(
                    help="Trained before; schemes share trainings."
                ),
                "Time": st.column_config.TextColumn(help="Expected for those that are not here."),
            },
        )
        distinct = len(plan.trainings)
        total = (
            f"**{counted(distinct, 'training')}** in all, {distinct - len(missing)} of them here."
            f" They cost {as_trainings(plan, plan.trainings)}"
        )
        if missing:
            place, time = widgets.training_place(), expected(plan, missing, seconds)
            rest = f", the rest {as_trainings(plan, missing)}" * (len(missing) < distinct)
            total += f"{rest}. Expected duration of the rest on {place}: {time}"
            if seconds is not None and state.shared().engine.busy:
                total += ": a training is going on"
        st.caption(total)


def planned(plan: Plan, scheme: str, missing: Specs, seconds: float | None) -> dict[str, Any]:
    from stg_core.judging.plan import words_of

    ensembles = [ensemble for ensemble in plan.ensembles if ensemble.scheme == scheme]
    specs = {spec.key for ensemble in ensembles for spec in ensemble.trainings}
    to_do = [spec for spec in missing if spec.key in specs]
    words = words_of(plan.spec)
    return {
        "Scheme": scheme_title(scheme, words),
        "What it is": about_scheme(scheme, words),
        "Training cost": number(ensembles[0].training_cost),
        "Serving cost": number(ensembles[0].serving_cost),
        "Trainings": len(specs),
        "Here": len(specs) - len(to_do),
        "Time": expected(plan, to_do, seconds) if to_do else "–",
    }


def expected(plan: Plan, specs: Specs, seconds: float | None) -> str:
    """How long trainings of a plan take; seconds: of an epoch of its MTL model."""
    if seconds is None:
        return not_known_yet()
    rough = ", roughly" if state.shared().engine.busy else ""
    return f"about {widgets.duration(seconds * epochs_of(plan, specs))}{rough}"


def epochs_of(plan: Plan, specs: Specs) -> float:
    """Of all trainings together, in epochs of the MTL model by count."""
    from stg_core.judging.plan import relative_cost

    return sum(relative_cost(spec, plan.spec) * spec.epochs for spec in specs)


def as_trainings(plan: Plan, specs: Specs) -> str:
    cost = epochs_of(plan, specs) / plan.spec.epochs
    return f"as much as {number(cost, '.1f')} trainings of MTL"


# --------------------------------------------------------------------------------- its trainings


def jobs_of(plan: Plan) -> dict[str, Job]:
    wanted = {spec.key for spec in plan.trainings}
    return {job.key: job for job in state.shared().engine.jobs() if job.key in wanted}


def run_plan(plan: Plan, missing: Specs) -> None:
    """Start, cancel, resume; and the progress of every training while there is any."""
    jobs = jobs_of(plan)
    active = [job for job in jobs.values() if job.active]
    begun = any(job.state in ("cancelled", "failed") for job in jobs.values())
    if missing and not active:
        label = "Resume" if begun else "Train"
        models = counted(len(missing), "model")
        if st.button(
            f"{label} {models}",
            key="train",
            type="primary",
            icon=":material/resume:" if begun else ":material/play_arrow:",
            help="In the background: you may close the page meanwhile.",
        ):
            begin(plan, missing)
    elif active and st.button("Cancel", key="cancel plan", icon=":material/cancel:"):
        state.shared().engine.cancel(*(job.key for job in active))
        st.rerun()
    if missing and jobs:
        seen = [job.key for job in active]
        st.fragment(progress, run_every=LOOK if active else None)(plan, seen)


def begin(plan: Plan, missing: Specs) -> None:
    """Starts what is missing; asks before, where that takes long or nobody knows how long.

    Raises UserError where nothing can be trained here.
    """
    if lacking := lacking_to_train():
        raise UserError(lacking)
    from stg_core.judging.plan import takes_long

    speed = None
    with suppress(UserError):  # the plan says already that it cannot be measured
        speed = speed_of(plan.spec)
    if takes_long(None if speed is None else speed * epochs_of(plan, missing)):
        confirm(plan, missing, speed)
    else:
        train(missing)


@st.dialog("Start this plan?")
def confirm(plan: Plan, missing: Specs, speed: float | None) -> None:
    models = "1 model" if len(missing) == 1 else f"{len(missing)} models"
    if speed is None:
        st.markdown(
            f"**{models}** would be trained on {widgets.plain(widgets.training_place())}. How long"
            " that takes is **not known yet**: it is being measured."
        )
    else:
        st.markdown(
            f"**{models}** would be trained on {widgets.plain(widgets.training_place())}, which"
            f" takes **{expected(plan, missing, speed)}**: {as_trainings(plan, missing)}."
        )
        if state.shared().engine.busy:
            st.caption("Roughly: a training is going on, with which they share the machine.")
    st.caption("You may cancel at any time: what is trained by then is kept.")
    with st.container(horizontal=True):
        if st.button("Start", key="confirm plan", type="primary"):
            train(missing)
        if st.button("Not now", key="decline plan"):
            st.rerun()


def train(missing: Specs) -> None:
    state.keep("result", THIS_PLAN)
    for spec in missing:
        state.shared().engine.submit(spec, owner=state.visitor())
    st.rerun()


def progress(plan: Plan, seen: list[str]) -> None:
    from stg_core.judging.plan import words_of

    words, jobs = words_of(plan.spec), jobs_of(plan)
    if [key for key, job in jobs.items() if job.active] != seen:
        st.rerun()  # of the whole page: what ended is here now, and the polling may stop
    engine = state.shared().engine
    if engine.problem:
        st.warning(widgets.plain(engine.problem), icon=":material/warning:")
    rows = [described(plan, spec, jobs.get(spec.key), words) for spec in plan.trainings]
    shares = [row["Progress"] for row in rows]
    done = sum(share == 1 for share in shares)
    st.progress(sum(shares) / len(shares), text=f"{done} of {counted(len(rows), 'training')} done.")
    st.dataframe(
        pd.DataFrame(rows).drop(columns="Scheme"),
        hide_index=True,
        height=ROW * (min(len(rows), MOST_ROWS) + 1) + 2,
        placeholder="–",
        alt=f"Table of {counted(len(rows), 'training')} and how far each is",
        column_config={
            "Progress": st.column_config.ProgressColumn(format="%.2f", max_value=1.0),
            f"Mean {words.score}": st.column_config.NumberColumn(
                format="%.3f", help=f"On the test {words.point}s, of this model alone."
            ),
        },
    )
    curves = {
        row["Model"]: (row["Scheme"], jobs[spec.key].metrics["mean_f1"])
        for row, spec in zip(rows, plan.trainings, strict=True)
        if spec.key in jobs and any(f1 is not None for f1 in jobs[spec.key].metrics["mean_f1"])
    }
    if curves:  # axes without a line say nothing
        charts.show(charts.trainings(curves, state.dark(), words))
    for failed in (job for job in jobs.values() if job.state == "failed"):
        st.error(widgets.plain(failed.message), icon=":material/error:")


def described(plan: Plan, spec: TrainingSpec, job: Job | None, words: Words) -> dict[str, Any]:
    ensemble, name = plan.place_of(spec)
    seed = f", seed {ensemble.seed}" if len(plan.seeds) > 1 else ""
    title = scheme_title(ensemble.scheme, words)
    row = {"Scheme": ensemble.scheme, "Model": f"{title}, {name}{seed}"}
    if job is None:
        here = state.shared().store.holds(spec.key)
        state_now, share, f1, left = ("here" if here else "–"), float(here), None, None
    else:
        before = f", {job.place} before it" if job.state == "queued" and job.place else ""
        state_now, share, left = f"{job.state}{before}", job.fraction, job.seconds_left
        f1 = job.metrics["mean_f1"][-1] if job.metrics["mean_f1"] else None
    running = state_now == "running" and left is not None
    return {
        **row,
        "State": state_now,
        "Progress": min(max(share, 0.0), 1.0),
        f"Mean {words.score}": f1,
        "Left": widgets.duration(left) if running and left else None,
    }


# ------------------------------------------------------------------------------------ the result


def choose_place() -> str:
    """PLAN or FINISHED: a plan of one's own, or what came with the project. The address has it."""
    if not judgement.bundled():
        return PLAN
    st.session_state["place_choice"] = PLAN if chosen_result() == THIS_PLAN else FINISHED
    chosen = st.segmented_control(
        "Show",
        PLACES,
        required=True,
        key="place_choice",
        label_visibility="collapsed",
        on_change=lambda: state.keep(
            "result", THIS_PLAN if st.session_state["place_choice"] == PLAN else nearest_judgement()
        ),
    )
    return PLAN if chosen == PLAN else FINISHED


def chosen_result() -> str:
    """This plan, or the name of a bundled judgement.

    At first the plan, where a run of one's own is chosen, a plan is trained, or nothing is bundled.
    """
    if wanted := state.kept("result", OneOf([THIS_PLAN, *judgement.bundled()])):
        return wanted
    own = not (state.kept("run") or state.FIRST_CHOICE).startswith("bundled:")
    begun = any(job.active and not job.spec.recorded for job in state.shared().engine.jobs())
    return THIS_PLAN if own or begun else nearest_judgement()


def nearest_judgement() -> str:
    """The bundled judgement of the chosen run's task group whose k is nearest to the chosen one.

    Where nothing is bundled: this plan.
    """
    bundled, group, k = judgement.bundled(), "", state.kept("k") or ""
    with suppress(UserError):
        group = state.shared().store.run(state.kept("run") or state.FIRST_CHOICE).spec.group.name
    wanted = int(k) if k.isdecimal() and len(k) < 5 else widgets.USUAL_K.get(group, 3)

    def distance(name: str) -> tuple[bool, int]:
        return bundled[name]["group"] != group, abs(bundled[name]["k"] - wanted)

    return min(bundled, key=distance, default=THIS_PLAN)


def choose_variant(average: DeltaGenerator, routing: DeltaGenerator) -> str:
    with average:
        averaged = widgets.one_of(
            "Average of",
            ["logits", "probabilities"],
            key="average",
            help="What of the specialists is averaged: their logits, as in the authors' code, or"
            " their probabilities. Nothing is trained again.",
        )
    with routing:
        routed = widgets.one_of(
            "Routing",
            ["soft", "hard"],
            key="routing",
            help="soft: every specialist answers, with its membership. hard: the strongest alone."
            " Nothing is trained again.",
        )
    return f"{averaged}-{routed}"


def show_result(run: Run, chosen: Chosen, plan: Plan, missing: Specs) -> None:
    """What this plan found, where it is trained."""
    if missing:
        waiting = any(job.active for job in jobs_of(plan).values())
        trainings = counted(len(missing), "training")
        are = "is" if len(missing) == 1 else "are"
        st.info(
            f"The judgement appears here when {trainings} more {are} done."
            if waiting
            else f"Not judged yet: {trainings} {are} missing.",
            icon=":material/hourglass_empty:",
        )
        return
    show_judgement(run, chosen, plan)


def show_judgement(run: Run, chosen: Chosen, plan: Plan, back: BroughtBack | None = None) -> None:
    """back: of a logged run, the logs that are the trainings of the plan."""

    def ask() -> Answer[dict[str, Any]]:
        return state.shared().derived.report(run, chosen.space, plan, back)

    answer = ask()
    if answer.value:
        head, average, routing = st.columns([5, 3, 3], vertical_alignment="bottom")
        head.subheader("What this plan found")
        variant = choose_variant(average, routing)
        show_report(answer.value, variant, chosen.colours)
        if back is None:
            take_home.offer(run, chosen, plan, variant)
    elif answer.pending:
        st.info("The schemes are being compared.", icon=":material/hourglass_empty:")
    widgets.wait_for(answer, ask)


def show_report(report: dict[str, Any], variant: str, colours: list[int]) -> None:
    measure = choose_measure(report)
    found, told = report["variants"][variant], verdict_in(report, variant, measure)
    with st.container(border=True):
        st.markdown(f"**Does the grouping pay?** {judgement.title(report)}")
        st.markdown(widgets.plain(told.headline))
        with st.expander("What else the comparison says"):
            st.markdown(widgets.plain(told.details))
    if missing := judgement.about_missing(report):
        st.caption(missing)
    if known_costs(report, variant, measure):
        charts.show(quality.quality_and_cost(report, variant, measure, state.dark()))
        st.caption(judgement.about_picture(report))
    st.dataframe(
        judgement.final_scores(report, variant, measure),
        hide_index=True,
        placeholder="–",
        alt=f"Table of the final scores of {len(report['schemes'])} schemes",
        column_config={
            name: st.column_config.Column(help=text)
            for name, text in judgement.about_columns(report).items()
        },
    )
    left, right = st.columns(2, gap="medium")
    for column, split in ((left, "test"), (right, "train")):
        with column:
            charts.show(
                charts.scores_by_epoch(found["schemes"], split, state.dark(), Words.of(report))
            )
    st.caption(f"{judgement.about_bands(report)} {judgement.about_costs(report)}".rstrip())
    left, right = st.columns(2, gap="medium")
    with left:
        differences(report, found["measures"][measure], measure, colours)
    with right:
        specialisation(report, colours)
    export(report, variant, measure, colours)


def choose_measure(report: dict[str, Any]) -> str:
    """By which measure the schemes are compared: at first by the one that decides."""
    measures = report["measures"]
    if len(measures) == 1:
        return str(measures[0])
    return widgets.one_of(
        "By",
        measures,
        key="measure",
        format_func=lambda name: judgement.measure_title(report, name),
        help="\n".join(f"- {judgement.MEASURES[name]}" for name in measures),
    )


def differences(
    report: dict[str, Any], found: dict[str, Any], measure: str, colours: list[int]
) -> None:
    words, name = Words.of(report), judgement.measure_title(report, measure)
    title, choice = st.columns([2, 3], vertical_alignment="bottom")
    title.header("Who gains?")
    if not found["to_mtl"]:
        if "mtl" in report["schemes"]:
            st.caption(f"This judgement, of an earlier version, has no {name} of single tasks.")
            return
        st.caption("Without MTL there is nothing to compare the tasks with: add the scheme MTL.")
        return
    scheme = choice.selectbox(
        "Against MTL",
        list(found["to_mtl"]),
        format_func=lambda scheme: scheme_title(scheme, words),
        index=list(found["to_mtl"]).index("specialists") if "specialists" in found["to_mtl"] else 0,
        key="gains_of",
        help=f"Whose {words.measure(measure)} is compared with that of MTL, task by task.",
    )
    if not charts.is_told(found["to_mtl"][scheme]):
        st.caption(f"{name} is not defined for any of the tasks.")
        return
    gain, lose, open_ = charts.gains_and_losses(found["to_mtl"][scheme])
    gains = f"{counted(gain, 'task')} {'gains' if gain == 1 else 'gain'}"
    st.caption(
        f"{scheme_title(scheme, words)}: {gains}, {lose} lose, of {open_} it cannot be told."
        " Coloured and numbered by cluster; lines: 95 % intervals of each task alone."
        f" {widgets.plain(judgement.about_undefined(report, measure, found['to_mtl'][scheme]))}"
    )
    with st.container(height=560 if len(report["tasks"]) > LONG_LIST else "content", border=False):
        charts.show(
            charts.differences_to_mtl(
                report, found["to_mtl"][scheme], scheme, name, colours, state.dark()
            )
        )


def specialisation(report: dict[str, Any], colours: list[int]) -> None:
    from stg_core.judging.report import specialisation as rows_of

    title, choice = st.columns([2, 3], vertical_alignment="bottom")
    title.header("Do they specialise?")
    rows, correlation = rows_of(report)
    words = Words.of(report)
    if not rows:
        st.caption(
            f"{words.title} is not defined for any of the tasks."
            if report["specialists"]
            else "No specialists were trained in this plan."
        )
        return
    with choice:
        measure = widgets.one_of(
            "Of each specialist alone",
            list(charts.MEASURES),
            format_func={"f1": words.title, "advantage": "Against the others"}.__getitem__,
            key="specialisation",
            help=f"Its {words.score} on each task, or how far that is above the mean of all"
            " specialists.",
        )
    told = (
        "is not defined: one of them is the same everywhere"
        if correlation is None
        else f"is {number(correlation)}"
    )
    st.caption(
        "A number is a specialist, at its weight for a task. The rank correlation of weight and"
        f" {words.score} above the other specialists {told}."
    )
    frame = pd.DataFrame(rows)
    charts.show(charts.specialisation(report, frame, measure, colours, state.dark()))


def export(report: dict[str, Any], variant: str, measure: str, colours: list[int]) -> None:
    name = judgement.file_name(report, variant, measure)
    st.markdown("**Export** of this judgement")
    with st.container(horizontal=True):
        for label, suffix, mime, made, about in (
            (
                "CSV",
                "csv",
                "text/csv",
                lambda: as_csv(judgement.all_scores(report, variant)),
                "A row per measure, scheme and task, of the average and routing chosen above.",
            ),
            (
                "JSON",
                "json",
                "application/json",
                lambda: judgement.as_json(report),
                "All that is known of the judgement, logits and probabilities, soft and hard.",
            ),
            (
                "HTML report",
                "html",
                "text/html",
                lambda: judgement.as_html(report, variant, measure, colours),
                "One file with verdict, tables and charts, which opens without a network."
                + ("" if is_installed("vl_convert") else f" {judgement.WITHOUT_CHARTS}"),
            ),
        ):
            st.download_button(
                label,
                data=made,
                file_name=f"{name}.{suffix}",
                mime=mime,
                on_click="ignore",
                icon=":material/download:",
                help=about,
            )


# -------------------------------------------------------------------------------------- the page


@st.fragment
def judge(run: Run, given: Input) -> None:
    """In a fragment: a control moves what depends on it, and nothing else runs again."""
    with widgets.user_errors():
        chosen = widgets.choose_clusters(run, given)
        if chosen.grouping.problem:
            st.caption("No specialists are planned for such a grouping.")
            return
        if isinstance(run, LoggedRun):
            judge_log(run, chosen)
            return
        if not run.ended:
            st.info(
                "Its specialists can be planned and trained once it has ended.",
                icon=":material/hourglass_empty:",
            )
            return
        plan = choose_plan(run, chosen)
        missing = plan.missing(state.shared().store)
        label = f"The plan: {widgets.plain(run.title)}, k = {plan.grouping.k}"
        with st.expander(label, expanded=True, icon=":material/list_alt:"):
            show_plan(plan, missing)
            run_plan(plan, missing)
        show_result(run, chosen, plan, missing)


def judge_log(run: LoggedRun, chosen: Chosen) -> None:
    """Of a run that others trained: what they need for its specialists, and what they logged."""
    with st.columns([4, 1])[1]:
        seeds = choose_seeds(
            str(run.spec.seed), "Empty: the run's own, and those of which all specialists are back."
        )
    back = brought_back.brought_back(run, chosen, seeds)
    brought_back.take_along(back)
    brought_back.show(run, chosen, seeds, back)
    if reason := brought_back.why_not_judged(back):
        st.info(widgets.plain(reason), icon=":material/hourglass_empty:")
    else:
        show_judgement(run, chosen, back.judged(), back)


@st.fragment
def finished() -> None:
    """A judgement that came with the project; nothing here is of the plan."""
    with widgets.user_errors():
        bundled = judgement.bundled()
        head, average, routing = st.columns([5, 3, 3], vertical_alignment="bottom")
        st.session_state["result_choice"] = chosen_result()
        name = head.selectbox(
            "Judgement",
            list(bundled),
            format_func=lambda name: judgement.title(bundled[name]),
            key="result_choice",
            on_change=lambda: state.keep("result", st.session_state["result_choice"]),
            help="Of real trainings, which came with the project.",
        )
        variant = choose_variant(average, routing)
        show_report(bundled[name], variant, list(range(bundled[name]["k"])))


def planning() -> None:
    run_place, input_place = st.columns([5, 3], vertical_alignment="bottom")
    with run_place:
        run = widgets.choose_run()
    if head := widgets.with_input(run, input_place):
        say_default(head[0])
        judge(*head)


title, place = st.columns([5, 6], vertical_alignment="bottom")
title.title("Specialists")
with place:
    shown = choose_place()
st.caption(
    "Does the grouping pay? One specialist for each cluster, against what the same budget buys"
    " otherwise: one model for all tasks, longer trained or larger, or as many without grouping."
)
if shown == PLAN:
    planning()
else:
    finished()
