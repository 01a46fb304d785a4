#!/usr/bin/env python3
"""Make the strokes of this example, train.txt and validation.txt: shapes by formula, moved, scaled, turned and shaken."""

import math
import random
from pathlib import Path

POINTS = 14


def circle(t):
    return math.cos(2 * math.pi * t), math.sin(2 * math.pi * t)


def spiral(t):
    return t * math.cos(4 * math.pi * t), t * math.sin(4 * math.pi * t)


def zigzag(t):
    return 2 * t - 1, 0.6 * (-1) ** round((POINTS - 1) * t)


def triangle(t):
    side, along = divmod(3 * min(t, 0.999), 1)
    a, b = (math.radians(90 + 120 * (side + end)) for end in (0, 1))
    return (1 - along) * math.cos(a) + along * math.cos(b), (1 - along) * math.sin(a) + along * math.sin(b)


def stroke(shape, rng):
    scale, angle = rng.uniform(0.25, 0.4), rng.uniform(-0.3, 0.3)
    middle = rng.uniform(0.45, 0.55), rng.uniform(0.45, 0.55)
    points = []
    for i in range(POINTS):
        x, y = (v + rng.gauss(0, 0.05) for v in shape(i / (POINTS - 1)))
        turned = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
        points.append(",".join(f"{min(max(m + scale * v, 0), 1):.2f}" for m, v in zip(middle, turned)))
    return f"{shape.__name__} {' '.join(points)}\n"


rng = random.Random(7)
for name, count in (("train", 30), ("validation", 10)):
    lines = [stroke(shape, rng) for _ in range(count) for shape in (circle, spiral, zigzag, triangle)]
    Path(__file__).with_name(f"{name}.txt").write_text("".join(lines))
