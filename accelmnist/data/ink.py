"""The ink of a digit in a photograph or a scan: on which sheet, in which light, without what is printed there.

    1. the sheet: a bright rectangle on something darker is cut out and turned straight, so that the table, a scanner's
       edge or a frame around it are gone;
    2. the light: how bright the paper is at each place is what a morphological closing leaves, which fills all that is
       narrower than a quarter of the picture; ink is the share of that light that is missing;
    3. printed lines, as of squared paper: what a morphological opening along rows and columns leaves, after the page is
       turned so that they are straight;
    4. the digit: the largest group of ink that does not touch the border, with what lies close to it.

N. Otsu 1979, "A Threshold Selection Method from Gray-Level Histograms"; J. Serra 1982, "Image Analysis and Mathematical
Morphology". Grey levels are 0 to 255, ink is 0 to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

INVERTED = "light background: inverted"
DARKENED = "dark background: inverted, as the network learned dark on light"
CUT_OUT = "cut out of what lies around the paper"
LINES = "printed lines removed"

_SHEET_SHARE = (0.12, 0.985)  # of the picture
_RECTANGLE = 0.85  # of its bounding rectangle's area, what a sheet covers at least; an ellipse covers 0.79
_DARKER = 0.55  # of a sheet's level, what lies around it at most
_WIDEST_STROKE = 0.25  # of the picture's longer side
_DARKEST_PAPER = 40  # below it, missing light is noise
_LINE = 0.06  # ink of a printed line
_LEAST_LINES = 4  # no digit has as many straight strokes across half of the picture
_SPECKS = 0.02  # of all ink: no digit is as small beside what touches the border
_NEAR = 0.25  # of the digit's longer side: within, other strokes belong to it
_SECOND = 0.5  # of the digit's ink: what is as large is left in wherever it is, for it makes the picture ambiguous


def find_ink(grey: NDArray[np.uint8]) -> tuple[Field, list[str]]:
    """The ink of the digit in `grey` (height, width), 0 where there is none, and notes of what was done to find it."""
    levels = grey.astype(np.float32)
    sheet = _sheet(levels)
    if sheet is not None:
        digit, notes = _digit_on(sheet, keep_border=False)
        if digit.any():
            return digit, [*notes, CUT_OUT]
    return _digit_on(levels, keep_border=True)


def _digit_on(levels: Field, *, keep_border: bool) -> tuple[Field, list[str]]:
    ink, is_dark_ink = _ink_on(levels)
    plain = _without_lines(ink)
    notes = [INVERTED] * is_dark_ink + [LINES] * (plain is not None)
    return _digit(ink if plain is None else plain, keep_border=keep_border), notes


# --- 1. the sheet


def _sheet(levels: Field) -> Field | None:
    """The largest bright rectangle, turned straight and without its edges; None if nothing darker lies around it."""
    labels, count = ndimage.label(ndimage.binary_opening(levels > _otsu(levels), iterations=2))
    if count == 0:
        return None
    region = ndimage.binary_fill_holes(labels == 1 + np.bincount(labels.ravel())[1:].argmax())
    around = ndimage.binary_dilation(region, iterations=6) & ~ndimage.binary_dilation(region, iterations=3)
    if not _SHEET_SHARE[0] < region.mean() < _SHEET_SHARE[1] or not around.any():
        return None
    if np.median(levels[around]) > _DARKER * np.median(levels[region]):
        return None
    angle, left, top, width, height = _bounding_rectangle(region)
    if region.sum() < _RECTANGLE * width * height:
        return None
    edge = 2 + 0.02 * max(width, height)
    shape = (int(height - 2 * edge), int(width - 2 * edge))
    if min(shape) < 16:
        return None
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    corner = turn @ (top + edge, left + edge)
    return np.asarray(ndimage.affine_transform(levels, turn, corner, output_shape=shape, order=1, mode="nearest"))


def _otsu(levels: Field) -> float:
    """The level that parts the levels into two classes with the largest variance between them."""
    counts, edges = np.histogram(levels, bins=128)
    middles = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * middles)
    above, total = levels.size - below, sums[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (total - sums[:-1]) / above) ** 2
    return float(edges[1 + np.argmax(np.nan_to_num(between))])


def _bounding_rectangle(region: Mask) -> tuple[float, float, float, float, float]:
    """The smallest rectangle around `region`: its angle in radians, its left, top, width and height in turned axes."""
    points = np.argwhere(region & ~ndimage.binary_erosion(region))[:, ::-1].astype(float)
    corners = points[ConvexHull(points, qhull_options="QJ").vertices]
    rectangles = []
    for angle in np.deg2rad(np.arange(-20, 20.5, 0.5)):
        cosine, sine = np.cos(angle), np.sin(angle)
        along, down = corners @ (cosine, sine), corners @ (-sine, cosine)
        rectangles.append((angle, along.min(), down.min(), np.ptp(along) + 1, np.ptp(down) + 1))
    return min(rectangles, key=lambda rectangle: float(rectangle[3] * rectangle[4]))


# --- 2. the light


def _ink_on(levels: Field) -> tuple[Field, bool]:
    """The share of the paper's light that is missing at each place, and whether the ink is the darker one.

    A closing takes dark ink away and leaves bright ink as a blob, an opening does the reverse: paper is what has fewer
    steep places.
    """
    size = (max(3, int(_WIDEST_STROKE * max(levels.shape))),) * 2
    closed, opened = ndimage.grey_closing(levels, size=size), ndimage.grey_opening(levels, size=size)
    is_dark_ink = _steepness(closed) <= _steepness(opened)
    if not is_dark_ink:
        levels, closed = 255 - levels, 255 - opened
    return np.asarray((closed - levels) / np.maximum(closed, _DARKEST_PAPER)), is_dark_ink


# --- 3. printed lines


def _without_lines(ink: Field) -> Field | None:
    """`ink` turned straight and without printed lines; None if there are none."""
    small = ndimage.zoom(ink, min(1.0, 200 / max(ink.shape)), order=1)
    angles = np.arange(-10, 10.5, 0.5)
    turned = (_turned(small, angle) for angle in angles)
    # Where lines run along them, the sums of rows and columns change most.
    angle = angles[np.argmax([_steepness(part.sum(axis=0)) + _steepness(part.sum(axis=1)) for part in turned])]
    straight = _turned(ink, angle)
    lines = [_lines_along(straight, axis) for axis in (0, 1)]
    if sum(ndimage.label(part.max(axis=axis) > _LINE)[1] for axis, part in enumerate(lines)) < _LEAST_LINES:
        return None
    both = np.maximum(*lines)
    typical = np.median(both[both > _LINE])
    printed = ndimage.grey_dilation(np.minimum(both, 1.5 * typical), size=(3, 3))
    return np.asarray(np.maximum(straight - printed, 0))


def _turned(ink: Field, angle: float) -> Field:
    return np.asarray(ndimage.rotate(ink, angle, reshape=False, order=1))


def _steepness(values: Field) -> float:
    """The squares of all steps between neighbours, added."""
    return sum(float(np.square(np.diff(values, axis=axis)).sum()) for axis in range(values.ndim))


def _lines_along(ink: Field, axis: int) -> Field:
    """The ink of thin lines along `axis` that cross most of the picture."""
    length, across = int(0.7 * ink.shape[axis]), 3 + max(ink.shape) // 60
    smooth = ndimage.uniform_filter1d(ink, max(1, length // 8), axis=axis)
    thin = ndimage.white_tophat(smooth, size=(across, 1) if axis else (1, across))
    return np.asarray(ndimage.grey_opening(thin, size=(1, length) if axis else (length, 1)))


# --- 4. the digit


def _digit(ink: Field, *, keep_border: bool) -> Field:
    """`ink` where the digit is, 0 elsewhere; if all touches the border, all ink if `keep_border`, else none."""
    dark = ink > _sure_ink(ink)
    inside = _apart_from_border(dark)
    if ink[inside].sum() <= _SPECKS * ink[dark].sum():
        return ink if keep_border else np.zeros_like(ink)
    sure = inside & (ink > _sure_ink(ink[inside]))
    reach = 1 + max(ink.shape) // 40
    labels, count = ndimage.label(ndimage.binary_dilation(sure, iterations=reach))
    amounts = ndimage.sum_labels(np.where(sure, ink, 0), labels, np.arange(count + 1))
    boxes: list[Any] = [None, *ndimage.find_objects(labels)]
    largest = int(np.argmax(amounts))
    near = _NEAR * max(part.stop - part.start for part in boxes[largest])
    kept = [
        label
        for label in range(1, count + 1)
        if amounts[label] >= _SECOND * amounts[largest] or _gap(boxes[label], boxes[largest]) <= near
    ]
    return np.where(np.isin(labels, kept), _without_shade(ink, labels == 0, 2 * reach), 0)


def _without_shade(ink: Field, is_paper: Mask, width: float) -> Field:
    """`ink` against the paper around it, which a finger's narrow shadow darkens."""
    paper = is_paper.astype(np.float32)
    weight, shade = (ndimage.gaussian_filter(part, width) for part in (paper, paper * ink))
    shade = np.minimum(shade / (weight + 1e-3), 0.9)
    return np.asarray(np.maximum(ink - shade, 0) / (1 - shade))


def _sure_ink(ink: Field) -> float:
    """What parts strokes from their soft edges and from shadows, of which the ink is fainter."""
    return _otsu(ink[ink > 0.1 * ink.max()])


def _apart_from_border(mask: Mask) -> Mask:
    """The parts of `mask` that do not touch the border."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.asarray(~np.isin(labels, np.union1d(touching, [0])))


def _gap(one: tuple[slice, slice], other: tuple[slice, slice]) -> int:
    """How far two boxes are apart, in pixels along the axis where it is more."""
    return int(max(max(a.start - b.stop, b.start - a.stop) for a, b in zip(one, other, strict=True)))
