"""Who is beaten by nobody in speed and in error rate at once."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """The places of the points that no other dominates (Pareto's front).

    A point dominates another where it is at least as fast and at least as right, and better in one
    of the two. Equal points do not dominate each other.

    Args:
        points: speed (more is better) and error rate (less is better) of each.
    """
    return {
        place
        for place, (speed, errors) in enumerate(points)
        if not any(
            other_speed >= speed
            and other_errors <= errors
            and (other_speed, other_errors) != (speed, errors)
            for other_speed, other_errors in points
        )
    }
