"""The scenes of the tracking benchmark, 640x360 pixels. Heads are those of ``composites.SOURCES``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.benchmarks.composites import SOURCES, Actor, Block, Scene, Shot, at_rate, dropped, walk

WOMAN, GLASSES, PALE, GRAY, ANGRY, HAPPY, SURPRISED, AFRAID, NEUTRAL, PHONE = range(10)


def crossings() -> Scene:
    """Two people change places four times: one in front, one behind, fast, and at different sizes."""
    one = walk(
        "0 110 180 100, 1 110 180 100, 3 530 180 100, 3.6 530 180 100, 5.6 110 185 100, 6.2 110 185 100, "
        "7.2 530 190 95, 7.8 530 190 95, 9.8 110 180 80, 11 110 180 80"
    )
    other = walk(
        "0 530 170 95, 1 530 170 95, 3 110 170 95, 3.6 110 170 95, 5.6 530 175 95, 6.2 530 175 95, "
        "7.2 110 175 100, 7.8 110 175 100, 9.8 530 170 120, 11 530 170 120"
    )
    layers = (
        Actor(WOMAN, one, depth=((0, 1), (3.6, 0), (6.2, 1), (7.8, 0))),
        Actor(GLASSES, other, depth=((0, 0.5),)),
    )
    return Scene("crossings", (Shot(11, layers, 1),), at_rate(25, 11))


def turning_back() -> Scene:
    """Two similar people approach until one covers most of the other, and turn back. Then they pass each other."""
    one = Actor(
        HAPPY,
        walk(
            "0 150 180 100, 1 150 180 100, 2.4 290 180 100, 2.7 290 180 100, "
            "4.2 140 180 100, 5.0 140 180 100, 7.5 520 180 100, 9 520 180 100"
        ),
        depth=((0, 1),),
    )
    two = Actor(
        SURPRISED,
        walk(
            "0 490 180 100, 1 490 180 100, 2.4 340 185 100, 2.7 340 185 100, "
            "4.2 500 180 100, 5.0 500 180 100, 7.5 120 180 100, 9 120 180 100"
        ),
    )
    return Scene("turning back", (Shot(9, (one, two), 2),), at_rate(30, 9))


def three() -> Scene:
    """Three people pass each other at different speeds, sizes and heights."""
    layers = (
        Actor(
            PALE,
            walk("0 90 150 80, 0.8 90 150 80, 3.5 560 170 80, 4.2 560 170 80, 6.2 320 160 80, 9 320 160 80"),
            depth=((0, 0),),
        ),
        Actor(AFRAID, walk("0 560 190 110, 1.5 560 190 110, 5.5 100 190 110, 9 100 190 110"), depth=((0, 2),)),
        Actor(
            NEUTRAL,
            walk("0 320 130 70, 2.5 330 200 90, 5 560 130 70, 6.5 560 130 70, 8.5 110 140 60, 9 110 140 60"),
            depth=((0, 1),),
        ),
    )
    return Scene("three people", (Shot(9, layers, 3),), at_rate(25, 9))


def fast() -> Scene:
    """Two people run past each other and back, at a face width or more per fifth of a second."""
    one = Actor(
        ANGRY,
        walk(
            "0 90 150 80, 0.8 90 150 80, 2.1 560 160 80, 2.9 560 160 80, 4.1 90 150 80, "
            "5 90 150 80, 6.1 560 150 80, 7 560 150 80"
        ),
        depth=((0, 1),),
    )
    two = Actor(
        PHONE,
        walk(
            "0 560 190 80, 0.8 560 190 80, 2.1 90 180 80, 2.9 90 180 80, 4.1 560 190 80, "
            "5 560 190 80, 6.1 90 190 80, 7 90 190 80"
        ),
    )
    return Scene("running", (Shot(7, (one, two), 4),), at_rate(30, 7))


def pillars() -> Scene:
    """Two people walk behind pillars that hide each for half a second. A board passes in front of a third person."""
    layers = (
        Actor(GLASSES, walk("0 50 110 70, 6.5 600 110 70, 8 600 110 70")),
        Actor(GRAY, walk("0 600 130 75, 6 70 130 75, 8 70 130 75"), depth=((0, 0.3),)),
        Actor(WOMAN, walk("0 320 270 90, 8 330 268 90"), depth=((0, 60),)),
        Block(((0, 200, 100),), 40, 240, 60),
        Block(((0, 450, 100),), 50, 240, 90),
        Block(((0, -100, 270), (3, -100, 270), (5.5, 740, 270), (8, 740, 270)), 120, 170, 150, depth=70.0),
    )
    return Scene("pillars", (Shot(8, layers, 5),), at_rate(25, 8))


def exits() -> Scene:
    """People leave the frame and return after half a second, after two seconds, or on the other side."""
    layers = (
        Actor(
            PALE,
            walk(
                "0 100 180 90, 1 100 180 90, 1.5 -30 180 90, 1.6 -30 180 90, 2.1 100 180 90, "
                "4 150 180 90, 4.8 -70 180 90, 7 -70 180 90, 7.8 120 180 90, 10 130 180 90"
            ),
        ),
        Actor(
            AFRAID,
            walk("0 480 150 100, 2 480 150 100, 3.4 740 150 100, 5.9 740 150 100, 7.2 500 150 100, 10 480 150 100"),
        ),
        Actor(HAPPY, walk("0 320 260 70, 10 300 250 70"), spans=((0, 3.0), (3.5, 5.0), (7.6, 10))),
    )
    return Scene("exits and returns", (Shot(10, layers, 6),), at_rate(25, 10))


def scales() -> Scene:
    """Faces approach and recede while passing each other."""
    layers = (
        Actor(NEUTRAL, walk("0 200 140 28, 4 330 180 150, 5 330 180 150, 9 480 140 30"), depth=((0, 1),)),
        Actor(PHONE, walk("0 420 160 120, 3 560 130 36, 6 100 130 36, 9 200 190 130"), depth=((0, 0.5),)),
    )
    return Scene("scale changes", (Shot(9, layers, 7),), at_rate(30, 9))


def cuts() -> Scene:
    """Eight shots: another person at the same place and size, the same person closer, and back."""
    spot = (0.0, 320.0, 180.0, 110.0)

    def still(head: int, end: float, x: float = 320, height: float = 110) -> Actor:
        return Actor(head, ((0, x, 180, height), (end, x + 8, 178, height)))

    shots = (
        Shot(1.6, (still(WOMAN, 20),), 1),
        Shot(3.0, (still(GLASSES, 20),), 2),
        Shot(4.4, (still(WOMAN, 20),), 1),
        Shot(5.8, (still(WOMAN, 20, height=150),), 3),
        Shot(7.0, (still(HAPPY, 20, 200), still(AFRAID, 20, 450)), 4),
        Shot(8.2, (still(AFRAID, 20, 200), still(HAPPY, 20, 450)), 5),
        Shot(9.2, (still(GRAY, 20),), 6),
        Shot(10.8, (Actor(ANGRY, (spot, (8.0, 200, 180, 110), (20.0, 1800, 180, 110))),), 7),
    )
    return Scene("hard cuts", shots, at_rate(25, 10.8), ("cut",) * 7)


def fades() -> Scene:
    """Five shots joined by dissolves and fades through black of 0.6 s. The faces stay in place."""
    heads = (GLASSES, WOMAN, NEUTRAL, PALE, ANGRY)
    shots = tuple(
        Shot(2.2 * (i + 1), (Actor(head, walk("0 310 180 110, 20 340 180 110")),), i + 1)
        for i, head in enumerate(heads)
    )
    return Scene("fades", shots, at_rate(25, 11.0), ("dissolve", "black", "black", "dissolve"))


def variable() -> Scene:
    """Two crossing people and a third one, with jittered frame times, a third of the frames missing, and stalls."""
    layers = (
        Actor(PHONE, walk("0 100 150 90, 3 540 150 90, 6 100 150 90, 9 540 160 90"), depth=((0, 1), (4, -1))),
        Actor(GRAY, walk("0 540 180 90, 3 100 180 90, 6 540 180 90, 9 100 170 90")),
        Actor(HAPPY, walk("0 320 290 70, 9 360 280 70"), depth=((0, -2),)),
    )
    times = dropped(at_rate(30, 9), 0.33, ((1.9, 2.3), (3.2, 3.8), (6.5, 6.9)))
    return Scene("dropped frames", (Shot(9, layers, 8),), times)


def flicker() -> Scene:
    """Two people in front. Behind them small faces: three with short absences, and four that appear only briefly."""
    random = np.random.default_rng(3)
    steady = tuple(
        Actor(head, ((0, x, 60, 37), (9, x + 25, 62, 37)), spans=spans)
        for head, x, spans in (
            (NEUTRAL, 80, ((0, 2.0), (2.3, 6), (6.6, 9))),
            (ANGRY, 250, ((1.0, 5), (5.4, 9))),
            (PALE, 560, ((0, 4), (4.5, 7.5))),
        )
    )
    brief = tuple(
        Actor(
            head,
            ((0, x, 120, 32), (9, x, 120, 32)),
            counts=False,
            depth=((0, -1),),
            spans=tuple((float(begin), float(begin) + 0.12) for begin in np.cumsum(random.uniform(1.5, 2.5, 4))),
        )
        for head, x in ((AFRAID, 40), (GLASSES, 180), (HAPPY, 330), (WOMAN, 600))
    )
    front = (
        Actor(WOMAN, walk("0 200 220 120, 9 300 220 120"), depth=((0, 1),)),
        Actor(SURPRISED, walk("0 480 230 110, 9 440 230 110"), depth=((0, 0.5),)),
    )
    return Scene("small and flickering", (Shot(9, (*steady, *brief, *front), 1),), at_rate(25, 9))


def tilts() -> Scene:
    """Heads tilt to both sides while passing each other."""
    layers = (
        Actor(WOMAN, walk("0 160 180 110, 8 220 180 110"), tilt=35, period=4),
        Actor(
            GLASSES,
            walk("0 460 180 100, 3 420 180 100, 6 60 200 100, 8 80 200 100"),
            tilt=30,
            period=3,
            depth=((0, 1),),
        ),
    )
    return Scene("tilted heads", (Shot(8, layers, 2),), at_rate(25, 8))


def camera() -> Scene:
    """Four people in a row, one face width apart. The camera shakes, jumps aside and pans."""
    heads = (GLASSES, HAPPY, PALE, NEUTRAL)
    layers = tuple(
        Actor(head, ((0, 130 + 115 * i, 180, 75), (9, 140 + 115 * i, 182, 75)), tilt=4, period=3 + i)
        for i, head in enumerate(heads)
    )
    pan = ((0, 0, 0), (1.5, 0, 0), (1.8, -110, 0), (3, -110, 5), (3.3, 20, 0), (4.5, 20, 0), (6, 90, 0), (7.5, -60, 10))
    return Scene("moving camera", (Shot(9, layers, 3, pan, shake=6.0),), at_rate(30, 9))


def crowd() -> Scene:
    """Six people of different sizes walk around, pass in front of each other and leave."""
    layers = (
        Actor(WOMAN, walk("0 60 200 105, 7 560 210 125, 10 560 210 125"), depth=((0, 6),)),
        Actor(GLASSES, walk("0 600 170 85, 6 90 170 80, 10 90 170 80"), depth=((0, 4),)),
        Actor(HAPPY, walk("0 300 110 55, 2 540 105 58, 5 300 110 60, 10 120 115 60"), depth=((0, 2),)),
        Actor(AFRAID, walk("0 560 80 48, 4 60 80 48, 10 420 80 48"), depth=((0, 1),)),
        Actor(PHONE, walk("0 480 150 68, 4 220 150 72, 10 560 130 60"), depth=((0, 3),)),
        Actor(NEUTRAL, walk("2 700 230 95, 7 -80 230 95"), depth=((0, 5),)),
    )
    return Scene("crowd", (Shot(10, layers, 4),), at_rate(25, 10))


def light() -> Scene:
    """Two people move back and forth during flashes of two frames."""
    layers = (
        Actor(PALE, walk("0 180 180 100, 2 230 180 100, 5 150 180 100, 7 200 180 100")),
        Actor(AFRAID, walk("0 450 180 100, 3 400 180 100, 7 470 180 100")),
    )
    flashes = ((1.2, 1.28), (3.0, 3.08), (3.4, 3.48), (5.6, 5.68))
    return Scene("flashes", (Shot(7, layers, 5),), at_rate(25, 7), flashes=flashes)


SCENES = (
    crossings,
    turning_back,
    three,
    fast,
    pillars,
    exits,
    scales,
    cuts,
    fades,
    variable,
    flicker,
    tilts,
    camera,
    crowd,
    light,
)


def with_other_heads(scene: Scene, number: int) -> Scene:
    """The same paths with other heads and backgrounds; 0 changes nothing."""
    if number == 0:
        return scene

    def changed(layer: Actor | Block) -> Actor | Block:
        return replace(layer, head=(3 * layer.head + number) % len(SOURCES)) if isinstance(layer, Actor) else layer

    shots = tuple(
        replace(shot, scenery=shot.scenery + 20 + number, layers=tuple(map(changed, shot.layers)))
        for shot in scene.shots
    )
    return replace(scene, shots=shots)
