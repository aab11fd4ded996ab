"""What a training budget buys: the best scheme of each cost, and who is beaten at no more cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stg_core.judging.verdict import SLACK, told_apart

Report = Mapping[str, Any]


def known_costs(report: Report, variant: str, measure: str) -> dict[str, float]:
    """Training cost of every scheme that has both a cost and a mean, the cheapest first."""
    scores = report["variants"][variant]["measures"][measure]["schemes"]
    costs = {s: report["costs"][s]["training"] for s in scores if scores[s]["mean"] is not None}
    known = {scheme: cost for scheme, cost in costs.items() if cost is not None}
    return dict(sorted(known.items(), key=lambda item: item[1]))


def beaten(report: Report, variant: str, measure: str) -> set[str]:
    """The schemes than which another one of no more training cost is better, as verdicts tell it.

    No more: within what counts are off. Schemes that cannot be told apart do not beat each other;
    who is not beaten is on the Pareto front.
    """
    costs = known_costs(report, variant, measure)
    found = report["variants"][variant]["measures"][measure]["differences"]
    of_known = [d for d in found if d["scheme"] in costs and d["other"] in costs]
    told = told_apart(of_known, report["intervals"] == "points and seeds")
    return {
        scheme
        for (other, scheme), difference in told.items()
        if difference.sign == 1 and costs[other] <= costs[scheme] * SLACK
    }


def best_by_budget(report: Report, variant: str, measure: str) -> list[tuple[float, str]]:
    """Who has the best mean from which training cost on: (cost, scheme), the cheapest first."""
    scores = report["variants"][variant]["measures"][measure]["schemes"]
    best: list[tuple[float, str]] = []
    for scheme, cost in known_costs(report, variant, measure).items():
        if best and scores[scheme]["mean"] <= scores[best[-1][1]]["mean"]:
            continue
        if best and cost <= best[-1][0] * SLACK:
            best[-1] = best[-1][0], scheme
        else:
            best.append((cost, scheme))
    return best
