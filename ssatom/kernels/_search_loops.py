"""Compiled search for pairs of sites in a periodic cell.

All sites and images that may be neighbours, those in a box around one brick of the lattice, are
put into bins of which each row along x follows itself in memory. A site then looks at the part of
each row that its sphere cuts out. Time and memory are linear in the number of sites and of pairs.
"""

from __future__ import annotations

import numpy as np

from ssatom.kernels._jit import compiled
from ssatom.kernels._lattice_loops import dot, reduced, triangle

TOLERANCE = 1e-8  # Å²; a neighbour on the surface of the sphere is in, whatever the rounding
FOUND, NO_VOLUME, NOT_FINITE, TOO_MANY = range(4)
_SLACK = 1e-9  # Å; rounding must lose no image
_BINS_PER_RADIUS = 2.0


@compiled
def _into_brick(frac, lattice, r, axes):  # type: ignore[no-untyped-def]
    """Coordinates of the sites in the axes of the triangle, moved into the brick at the origin."""
    points = np.empty((len(frac), 3))
    place = np.empty(3)
    for i in range(len(frac)):
        for c in range(3):
            place[c] = 0.0
            for k in range(3):
                place[c] += (frac[i, k] - np.floor(frac[i, k])) * lattice[k, c]
        for c in range(3):
            points[i, c] = dot(place, axes[c])
        for k in range(2, -1, -1):
            n = np.floor(points[i, k] / r[k, k])
            for c in range(k + 1):
                points[i, c] -= n * r[k, c]
    return points


@compiled
def _images(points, r, radius, images, sites, own):  # type: ignore[no-untyped-def]
    """Sites and images in the box that is wider than the brick by the radius; returns how many.

    Those for which there is no room are counted only. `own` receives the place of the sites.
    """
    count = 0
    reach = radius + _SLACK
    for j in range(len(points)):
        x, y, z = points[j, 0], points[j, 1], points[j, 2]
        low3, high3 = np.ceil((-reach - z) / r[2, 2]), np.floor((reach - z) / r[2, 2] + 1)
        for n3 in range(int(low3), int(high3) + 1):
            z3 = z + n3 * r[2, 2]
            y3 = y + n3 * r[2, 1]
            x3 = x + n3 * r[2, 0]
            low2, high2 = np.ceil((-reach - y3) / r[1, 1]), np.floor((reach - y3) / r[1, 1] + 1)
            for n2 in range(int(low2), int(high2) + 1):
                y2 = y3 + n2 * r[1, 1]
                x2 = x3 + n2 * r[1, 0]
                low1, high1 = np.ceil((-reach - x2) / r[0, 0]), np.floor((reach - x2) / r[0, 0] + 1)
                for n1 in range(int(low1), int(high1) + 1):
                    if count < len(images):
                        images[count, 0] = x2 + n1 * r[0, 0]
                        images[count, 1] = y2
                        images[count, 2] = z3
                        sites[count] = j
                        if n1 == 0 and n2 == 0 and n3 == 0:
                            own[j] = count
                    count += 1
    return count


@compiled
def _into_bins(images, sites, own, r, radius):  # type: ignore[no-untyped-def]
    """Sort the images by bins, along x first; returns them with what it takes to find them."""
    n = len(images)
    low = -radius - 2 * _SLACK
    volume = 1.0
    for k in range(3):
        volume *= r[k, k] - 2 * low
    edge = max(radius / _BINS_PER_RADIUS, (volume / n) ** (1 / 3))
    bins = np.empty(3, np.int64)
    for k in range(3):
        bins[k] = int((r[k, k] - 2 * low) / edge) + 1
    of_image = np.empty(n, np.int64)
    starts = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for m in range(n):
        place = 0
        for k in range(2, -1, -1):
            place = place * bins[k] + int((images[m, k] - low) / edge)
        of_image[m] = place
        starts[place + 1] += 1
    for place in range(len(starts) - 1):
        starts[place + 1] += starts[place]
    sorted_images = np.empty((3, n))
    sorted_sites = np.empty(n, np.int64)
    filled = starts.copy()
    for m in range(n):
        place = filled[of_image[m]]
        filled[of_image[m]] += 1
        for k in range(3):
            sorted_images[k, place] = images[m, k]
        sorted_sites[place] = sites[m]
        if own[sites[m]] == m:
            own[sites[m]] = -1 - place  # Negative, so that it is not met again.
    for j in range(len(own)):
        own[j] = -1 - own[j]
    return sorted_images, sorted_sites, bins, starts, edge, low


@compiled
def _near(own, binned, bound, squared, who):  # type: ignore[no-untyped-def]
    """Squared distances and places of the images in the sphere around one; returns how many."""
    images, _, bins, starts, edge, low = binned
    xs, ys, zs = images[0], images[1], images[2]
    x, y, z = xs[own], ys[own], zs[own]
    radius = np.sqrt(bound) + _SLACK
    count = 0
    for b3 in range(int((z - radius - low) / edge), int((z + radius - low) / edge) + 1):
        dz = max(low + b3 * edge - z, z - low - (b3 + 1) * edge, 0.0)
        rest3 = radius * radius - dz * dz
        if rest3 < 0:
            continue
        reach = np.sqrt(rest3)
        for b2 in range(int((y - reach - low) / edge), int((y + reach - low) / edge) + 1):
            dy = max(low + b2 * edge - y, y - low - (b2 + 1) * edge, 0.0)
            rest2 = rest3 - dy * dy
            if rest2 < 0:
                continue
            half = np.sqrt(rest2)
            row = (b3 * bins[1] + b2) * bins[0]
            first = starts[row + int((x - half - low) / edge)]
            last = starts[row + int((x + half - low) / edge) + 1]
            for m in range(first, last):
                dd = (xs[m] - x) ** 2 + (ys[m] - y) ** 2 + (zs[m] - z) ** 2
                squared[count] = dd
                who[count] = m
                count += 1 if (dd < bound and m != own) else 0
    return count


@compiled
def _sort(squared, who, count, bound, scratch):  # type: ignore[no-untyped-def]
    """Sort the first `count` images by distance into the scratch arrays, ties as they come.

    Shells of equal volume hold about two each, so that insertion within a shell does the rest.
    Where sites crowd, steps over longer gaps come first, or time would grow with their square.
    """
    by_distance, by_who, shell, starts = scratch
    n_shells = count // 2 + 1
    scale = (n_shells - 0.5) / (bound * np.sqrt(bound))
    for k in range(n_shells + 1):
        starts[k] = 0
    for p in range(count):
        shell[p] = int(squared[p] * np.sqrt(squared[p]) * scale)
        starts[shell[p] + 1] += 1
    largest = 0
    for k in range(n_shells):
        largest = max(largest, starts[k + 1])
        starts[k + 1] += starts[k]
    for p in range(count):
        q = starts[shell[p]]
        starts[shell[p]] += 1
        by_distance[q] = squared[p]
        by_who[q] = who[p]
    gap = 1
    while largest > 64 and 9 * gap < count:
        gap = 3 * gap + 1
    while gap > 0:
        for p in range(gap, count):
            dd, image, q = by_distance[p], by_who[p], p
            while q >= gap and by_distance[q - gap] > dd:
                by_distance[q] = by_distance[q - gap]
                by_who[q] = by_who[q - gap]
                q -= gap
            by_distance[q] = dd
            by_who[q] = image
        gap //= 3


@compiled
def _longer(old, length):  # type: ignore[no-untyped-def]
    new = np.empty(length, old.dtype)
    for p in range(len(old)):  # A loop compiles several times faster than a slice.
        new[p] = old[p]
    return new


@compiled
def _prepare(frac, lattice, bound, most):  # type: ignore[no-untyped-def]
    """Status, axes, sites' own places, and images in bins."""
    r, axes = triangle(reduced(lattice))
    radius = np.sqrt(bound)
    own = np.full(len(frac), -1)
    cells = 1.0
    for k in range(3):
        cells *= (r[k, k] + 2 * (radius + _SLACK)) / r[k, k]
    status = FOUND
    if not cells < np.inf:
        status = NO_VOLUME
        r = np.eye(3)  # so that the bins, of nothing, have a size
    elif len(frac) * cells > 64.0 * len(frac) + 16.0 * most:
        status = TOO_MANY  # For each pair there are at most that many images.
    room = int(1.1 * len(frac) * cells) + 64 if status == FOUND else 0
    images, sites = np.empty((room, 3)), np.empty(room, np.int64)
    points = _into_brick(frac, lattice, r, axes)
    count = _images(points, r, radius, images, sites, own) if room else 0
    if count > room:
        images, sites = np.empty((count, 3)), np.empty(count, np.int64)
        _images(points, r, radius, images, sites, own)
    binned = _into_bins(images[:count], sites[:count], own, r, radius)
    return status, axes, own, binned


@compiled
def search(frac, lattice, radius, centers, with_vectors, most):  # type: ignore[no-untyped-def]
    """All pairs of `centers` with sites within `radius`, sorted by centre and distance.

    Returns a status, counts by centre, neighbours, distances and vectors, flat.
    """
    bound = radius * radius + TOLERANCE
    counts = np.zeros(len(centers), np.int64)
    neighbors, distances, vectors = np.empty(0, np.int64), np.empty(0), np.empty(0)
    for i in range(len(frac)):
        for k in range(3):
            if not abs(frac[i, k]) < np.inf:
                return NOT_FINITE, counts, neighbors, distances, vectors
    status, axes, own, binned = _prepare(frac, lattice, bound, most)
    if status != FOUND:
        return status, counts, neighbors, distances, vectors
    images, sites = binned[0], binned[1]
    n = len(sites) + 1
    squared, who = np.empty(n), np.empty(n, np.int64)
    scratch = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n + 1, np.int64)
    total = 0
    for c in range(len(centers)):
        center = own[centers[c]]
        counts[c] = _near(center, binned, bound, squared, who)
        if total + counts[c] > most:
            return TOO_MANY, counts, neighbors, distances, vectors
        if total + counts[c] > len(neighbors):
            # As many as are needed if the rest has as many as those so far.
            length = int(1.1 * (total + counts[c]) / (c + 1) * len(centers))
            length = max(total + counts[c], min(length, most))
            neighbors, distances = _longer(neighbors, length), _longer(distances, length)
            if with_vectors:
                vectors = _longer(vectors, 3 * length)
        _sort(squared, who, counts[c], bound, scratch)
        for p in range(counts[c]):
            image = scratch[1][p]
            neighbors[total + p] = sites[image]
            distances[total + p] = np.sqrt(scratch[0][p])
            if with_vectors:
                for k in range(3):
                    part = 0.0
                    for q in range(3):
                        part += (images[q, image] - images[q, center]) * axes[q, k]
                    vectors[3 * (total + p) + k] = part
        total += counts[c]
    if with_vectors:
        vectors = vectors[: 3 * total]
    return FOUND, counts, neighbors[:total], distances[:total], vectors
