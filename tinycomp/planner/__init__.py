"""Placement of buffers in one static arena, and the independent check of a placement."""

from tinycomp.planner.bound import lower_bound
from tinycomp.planner.buffers import Buffer, Placement
from tinycomp.planner.check import PlannerError, check
from tinycomp.planner.place import EFFORT, place

__all__ = ["EFFORT", "Buffer", "Placement", "PlannerError", "check", "lower_bound", "place"]
