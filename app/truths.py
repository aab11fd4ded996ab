"""Tables whose groups were trained with several seeds, as the Methods page shows them first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app import widgets
from app.charts import truths as charts
from app.charts.base import number
from app.live_slider import live_slider
from stg_core.affinity.seeds import bundled_seed_tables, load_seed_table
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.affinity.pair_part import Foretold
    from stg_core.affinity.seeds import SeedTable
    from stg_core.affinity.truth import Estimate, MethodTruth

PREFIX = "seeds-"  # of the name of such a table in the address
DATA = {
    "digits": "handwritten digits",
    "yeast": "functions of genes in yeast",
    "tox21": "toxicity of molecules (Tox21)",
    "chemical": "which molecules bind (the data of ETAP’s authors)",
}
USUAL_BUDGET = 3
ABOUT_COLUMNS = {
    "Gain": "Mean over the learned tasks of (loss alone − loss together) / loss alone on the test"
    " points that nothing was chosen on, with its 95 % interval over seeds and points.",
    "Regret": "What exhaustive search gains more, chosen and scored in the same way.",
    "Over random": "What it gains more than random groups within the budget.",
    "Rank": "Among the methods within the budget, 1 the best, and the 95 % of resampled seeds and"
    " points.",
    "Cost": "Measured seconds of all its trainings, over those of one training of all tasks.",
    "Says of groups": "Correlation of what it says of groups that it did not train with what those"
    " truly gain.",
    "Says of pairs’ own part": "The same with the own part of pairs, and in brackets how often the"
    " tasks in another order would give one as strong.",
}


def names() -> dict[str, str]:
    """The titles of the tables that came with the project, by their name in the address."""
    return {f"{PREFIX}{name}": title_of(name) for name in bundled_seed_tables()}


def title_of(name: str) -> str:
    data, _, n_tasks = name.rpartition("-")
    return f"{n_tasks} questions: {DATA.get(data, data)}, several seeds"


def _stamp(name: str) -> tuple[str, int]:
    path = bundled_seed_tables()[name]
    return str(path), path.stat().st_mtime_ns


@st.cache_resource(show_spinner="Reading the table", max_entries=8)
def _read(path: str, stamp: int) -> SeedTable:
    return load_seed_table(Path(path))


@st.fragment
def show(chosen: str) -> None:
    """In a fragment: the budget moves what is below it, and nothing else runs again."""
    with widgets.user_errors():
        _show(_read(*_stamp(chosen.removeprefix(PREFIX))))
        _foretelling()


def _show(table: SeedTable) -> None:
    from stg_core.affinity.seed_methods import BUDGETS
    from stg_core.affinity.truth import kept_methods, kept_truth, sentences

    epochs = table.provenance["epochs"]
    st.caption(
        f"{', '.join(map(widgets.plain, table.tasks))}: all {counted(len(table.masks), 'group')},"
        f" each trained with {counted(len(table.whole_seeds), 'seed')} ({table.spec.model},"
        f" {table.spec.epochs} epochs: on a fifth of the training points that was held back for"
        f" that, single models need {epochs['single']} and the model of all tasks"
        f" {epochs['together']}). A model is stopped at the epoch that is best on one half of the"
        " test points; groups are chosen on that half and scored on the other, both ways round."
    )
    budget = live_slider(
        "Budget",
        BUDGETS,
        USUAL_BUDGET,
        key="truth_budget",
        help="How many models may serve the tasks in the end.",
    )
    found = kept_methods(table, budget)
    st.markdown("\n".join(f"- {told}" for told in sentences(kept_truth(table), found)))
    charts.over_random(found)
    st.caption(
        "Lines: 95 % intervals over seeds and test points, of each method alone. Of forty methods"
        " that are no better than random groups, one looks better by chance."
    )
    st.dataframe(
        pd.DataFrame([_row(one) for one in found]),
        hide_index=True,
        placeholder="–",
        alt=f"Table of {len(found)} methods: gain, regret, rank and cost",
        column_config={
            column: st.column_config.NumberColumn(help=text, format="%.1f")
            if column == "Cost"
            else st.column_config.Column(help=text)
            for column, text in ABOUT_COLUMNS.items()
        },
    )


def _row(one: MethodTruth) -> dict[str, object]:
    from stg_core.affinity.pair_part import p_in_words

    own = one.own and one.own.get("model")
    return {
        "Method": one.title,
        "Gain": _percent(one.score),
        "Regret": _percent(one.regret),
        "Over random": _percent(one.over_random),
        "Rank": _estimated(one.rank, ".0f"),
        "Cost": one.cost,
        "Says of groups": _estimated(one.told, ".2f"),
        "Says of pairs’ own part": f"{number(own[0])} ({p_in_words(own[1])})" if own else "–",
    }


def _percent(one: Estimate) -> str:
    ends = (number(100 * end, "+.1f") for end in (one.mean, one.low, one.high))
    return "{} % ({} to {})".format(*ends)


def _estimated(one: Estimate | None, pattern: str) -> str:
    if one is None:
        return "–"
    return "{} ({} to {})".format(*(number(end, pattern) for end in (one.mean, one.low, one.high)))


# ------------------------------------------------------------------------------------ foretelling


@st.cache_data(show_spinner="Foretelling pairs of one table from the others")
def _foretold(stamps: tuple[tuple[str, int], ...]) -> dict[str, Foretold] | None:
    from stg_core.affinity.truth import foretelling

    return foretelling({Path(path).stem: _read(path, stamp) for path, stamp in stamps})


def _foretelling() -> None:
    """What foretells the own part of pairs, over all tables."""
    from stg_core.affinity.truth import feature_titles, foretelling_sentence

    found = _foretold(tuple(map(_stamp, bundled_seed_tables())))
    if not found:
        return
    titles, model, last = feature_titles(), found["model"], found["last"]
    st.header("What foretells the own part of a pair?")
    st.markdown(foretelling_sentence(found))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Feature": titles[feature],
                    **{
                        f"{table}{how}": number(of[feature][table])
                        for table in model.ridge
                        for how, of in (("", model.single), (", not stopped", last.single))
                    },
                }
                for feature in model.single
            ]
        ),
        hide_index=True,
        placeholder="–",
        alt="Table of features, and how each goes with the own part of pairs in each table",
    )
    st.caption(
        "Correlation of each feature with the own part of the gains of pairs. Both less the effects"
        " of the two tasks, and features as ranks; a dash where a table does not have it."
    )
