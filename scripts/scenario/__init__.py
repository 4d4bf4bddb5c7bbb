"""Scenarios: a market's story in a file, played on contracts and model, and told in tables.

``story`` reads a file, ``runner`` plays it, ``rows`` puts events into words, ``report`` prints and writes the result.
"""

from __future__ import annotations

from scripts.scenario.nodes import ScenarioError
from scripts.scenario.runner import Result, ScenarioFailed, play
from scripts.scenario.story import POLICIES, Scenario, load, parse

__all__ = ["POLICIES", "Result", "Scenario", "ScenarioError", "ScenarioFailed", "load", "parse", "play"]
