"""How a picture comes into the size that was asked for; pure. Every size is even, which 4:2:0 video needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from flowscale.specs import Fit, Resize
from flowscale_worker.source import Picture


@dataclass(frozen=True, slots=True)
class Geometry:
    """How one picture becomes the canvas: scale, then crop or pad. Sizes in pixels, all even."""

    scale: tuple[int, int] | None
    crop: tuple[int, int, int, int] | None  # width, height, x, y
    pad: tuple[int, int, int, int] | None  # width, height, x, y
    width: int
    height: int


def canvas_of(resize: Resize | None, first: Picture) -> tuple[int, int]:
    """The size all clips share: what was asked for, else the first picture's own."""
    if resize is None:
        own = _own_size(first)
        return own.width, own.height
    target = resize.width // 2 * 2, resize.height // 2 * 2
    if resize.fit is not Fit.INSIDE:
        return target
    inside = fit_picture(first.width, first.height, target, Fit.INSIDE)
    return inside.width, inside.height


def geometry_of(picture: Picture, resize: Resize | None, canvas: tuple[int, int], *, alone: bool) -> Geometry:
    if alone and resize is None:
        return _own_size(picture)
    # The canvas of `inside` has the first picture's shape; others come into it whole.
    fit = resize.fit if resize and resize.fit is not Fit.INSIDE else Fit.CONTAIN
    geometry = fit_picture(picture.width, picture.height, canvas, fit)
    if geometry.scale is None and not picture.square_pixels:
        return replace(geometry, scale=(picture.width, picture.height))
    return geometry


def fit_picture(width: int, height: int, target: tuple[int, int], fit: Fit) -> Geometry:
    """How a picture of `width` x `height` comes into `target` (even numbers); no side falls below 2."""
    wide, high = target
    if fit is Fit.FILL:
        return _geometry((width, height), (wide, high), None, None)
    by_width, by_height = Fraction(wide, width), Fraction(high, height)
    if fit is Fit.COVER:
        factor = max(by_width, by_height)
        scaled = max(wide, _even(width * factor)), max(high, _even(height * factor))
        crop = None if scaled == target else (wide, high, (scaled[0] - wide) // 2, (scaled[1] - high) // 2)
        return _geometry((width, height), scaled, crop, None)
    factor = min(by_width, by_height)
    scaled = min(wide, _even(width * factor)), min(high, _even(height * factor))
    if fit is Fit.INSIDE or scaled == target:
        return _geometry((width, height), scaled, None, None)
    x, y = (wide - scaled[0]) // 4 * 2, (high - scaled[1]) // 4 * 2  # even, so that chroma does not shift
    return _geometry((width, height), scaled, None, (wide, high, x, y))


def _geometry(
    source: tuple[int, int],
    scaled: tuple[int, int],
    crop: tuple[int, int, int, int] | None,
    pad: tuple[int, int, int, int] | None,
) -> Geometry:
    final = crop or pad or (*scaled, 0, 0)
    return Geometry(None if scaled == source else scaled, crop, pad, final[0], final[1])


def _own_size(picture: Picture) -> Geometry:
    """The picture's own size, an odd last column or row cut off."""
    wide, high = max(2, picture.width // 2 * 2), max(2, picture.height // 2 * 2)
    if picture.width < 2 or picture.height < 2:
        return fit_picture(picture.width, picture.height, (wide, high), Fit.FILL)
    crop = None if (wide, high) == (picture.width, picture.height) else (wide, high, 0, 0)
    scale = None if picture.square_pixels else (picture.width, picture.height)
    return Geometry(scale, crop, None, wide, high)


def _even(value: Fraction) -> int:
    return max(2, round(value / 2) * 2)
