"""How near the dense engines come to the matrix products alone, in a sentence of the samples' own numbers.

The shares are ratios of speeds of the same rounds, with their 95 % intervals. A goal is a multiple of the best peer's
speed; where all of its interval lies above the speed of the products alone, no engine that multiplies every pixel can
reach it, and the sentence says so. Where a dense engine was faster than the products that it makes, the limit did not
hold in these rounds: something else on the machine held up torch's threads, and nothing follows.
"""

from __future__ import annotations

from accelmnist.measure.statistics.comparison import Comparison
from bench.peers.judgement import Board, Judged

_COMPILED = "ours-compiled"


def limit_lines(board: Board) -> list[str]:
    """The sentence as a paragraph of its own, or nothing where the products, or a peer, were not measured."""
    peer = board.best_peer
    if peer is None or peer.to_limit is None:
        return []
    compiled = next((row for row in board.rows if row.case.key == _COMPILED and row.ranked), None)
    dense = [row for row in (peer, compiled) if row is not None and row.to_limit is not None]
    if any(row.to_limit.low > 1 for row in dense if row.to_limit):
        return ["", "The matrix products alone were slower than an engine that makes them: they are no limit here."]
    shares = [_reaches(row) for row in dense]
    reached = f"{shares[0]} of the speed of the matrix products alone{''.join(f', {share}' for share in shares[1:])}"
    goals = [_goal(goal, peer.to_limit, name=_short(peer)) for goal in board.workload.goals]
    return ["", f"{reached}; {', '.join(goals)}." if goals else f"{reached}."]


def _reaches(row: Judged) -> str:
    assert row.to_limit is not None
    return f"{_short(row)} reaches {_percent(row.to_limit)}"


def _short(row: Judged) -> str:
    """The library's name, or our engine's with the package's."""
    return row.case.title.partition(",")[0]


def _goal(goal: float, share: Comparison, *, name: str) -> str:
    share_text = f"{goal:g} times {name} would be {_percent(share, times=goal)} of it"
    return share_text + (", out of reach of whoever multiplies every pixel" if goal * share.low > 1 else "")


def _percent(share: Comparison, *, times: float = 1.0) -> str:
    ratio, low, high = (100 * times * value for value in (share.ratio, share.low, share.high))
    return f"{ratio:.0f} % ({low:.0f} to {high:.0f} %)"
