"""Makes a whole file: stories from every source, cut down to what they cover, written by the model."""

from __future__ import annotations

from typing import Any

from scripts.chain.artifacts import ROOT
from scripts.vectors.file import assemble
from scripts.vectors.functions import write_functions
from scripts.vectors.play import Stage
from scripts.vectors.refusals import refusals
from scripts.vectors.select import Cut, Say, select, shown_by
from scripts.vectors.sources import SCENARIOS, Story, scenario_stories, walk_stories

DEFAULT_OUT = ROOT / ".build" / "vectors.json"
STEPS = 400
"""Length of a walk, in calls of production contracts."""

FUNCTION_CASES = 16


def make(seed: int, count: int, say: Say) -> dict[str, Any]:
    """A file of vectors; ``count`` walks are searched for what can happen. The same for the same arguments."""
    stages: dict[str, Stage] = {}
    whole: list[Story] = []
    say("scenarios", 0, None)
    for story, setup in scenario_stories(sorted(SCENARIOS.glob("*.yaml"))):
        stages[story.setup] = Stage(setup)
        whole.append(story)
    walks: list[Story] = []
    for story, setup in walk_stories(seed, count, STEPS):
        say("walking", len(walks), count)
        if story.setup not in stages:
            stages[story.setup] = Stage(setup)
        if not walks:
            whole += refusals(story.setup, setup)
        walks.append(story)
    cuts = [Cut(s.name, s.setup, s.operations, s.orders, []) for s in whole]
    covered: set[str] = set()
    for cut in cuts:
        shown = shown_by(stages[cut.setup], cut.operations, cut.orders)
        cut.covers = sorted(shown - covered)
        covered |= shown
    cuts += select(walks, stages, covered, say)
    vectors = []
    for done, cut in enumerate(cuts):
        say("writing", done, len(cuts))
        vectors.append(stages[cut.setup].record(cut.name, cut.setup, cut.operations, cut.orders, cut.covers))
    generator = {"seed": str(seed), "count": str(count), "steps": str(STEPS), "function_cases": str(FUNCTION_CASES)}
    used = {cut.setup for cut in cuts}
    kept = {name: stage for name, stage in stages.items() if name in used}
    return assemble(generator, kept, vectors, write_functions(seed, FUNCTION_CASES))
