"""The looks are told apart by outline, by sign and by colour, at every size, on every panel."""

import itertools

import pytest
from PIL import Image, ImageChops

from ollama_bridge_tray import icon
from ollama_bridge_tray.status import Look

PANELS = {"white": "#ffffff", "light": "#f6f5f4", "dark": "#2b2b2b", "black": "#000000"}
SMALL = (16, 22, 24)
PAIRS = list(itertools.combinations(Look, 2))


def pixels(image: Image.Image) -> list[tuple[int, ...]]:
    data, bands = image.tobytes(), len(image.getbands())
    return [tuple(data[at : at + bands]) for at in range(0, len(data), bands)]


def share(image: Image.Image) -> float:
    """How much of a grey image is clearly bright."""
    return sum(value > 96 for (value,) in pixels(image)) / (image.width * image.height)


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("size", icon.SIZES)
def test_every_look_fills_every_size(look: Look, size: int) -> None:
    image = icon.drawn(look, size)
    assert (image.mode, image.size) == ("RGBA", (size, size))
    left, top, right, bottom = image.getchannel("A").point(lambda a: 255 * (a > 96)).getbbox()
    assert right - left >= 0.8 * size
    assert bottom - top >= 0.8 * size


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("size", SMALL)
def test_looks_differ_without_colour(one: Look, other: Look, size: int) -> None:
    """Seen in grey on a light panel, as a colour-blind user might."""
    seen = []
    for look in (one, other):
        panel = Image.new("RGBA", (size, size), PANELS["light"])
        panel.alpha_composite(icon.drawn(look, size))
        seen.append(panel.convert("L"))
    assert share(ImageChops.difference(*seen)) > 0.08


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_looks_differ_in_colour(one: Look, other: Look) -> None:
    assert max(abs(a - b) for a, b in zip(colour(one), colour(other), strict=True)) > 40


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("panel", PANELS)
def test_looks_stand_out_on_every_panel(look: Look, panel: str) -> None:
    background = Image.new("RGB", (1, 1), PANELS[panel]).getpixel((0, 0))
    assert contrast(colour(look), background) >= 3


@pytest.mark.parametrize("look", [Look.STOPPED, Look.STARTING])
def test_looks_without_a_ground_stand_out_on_the_lightest_dark_panel(look: Look) -> None:
    assert contrast(colour(look), (0x35, 0x35, 0x35)) >= 3


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("size", SMALL)
def test_small_icons_are_crisp(look: Look, size: int) -> None:
    """Most pixels are wholly in or wholly out; blurred ones are but edges."""
    alpha = pixels(icon.drawn(look, size).getchannel("A"))
    assert sum(0 < value < 255 for (value,) in alpha) / len(alpha) < 0.35


def test_a_picture_brings_every_size() -> None:
    image = icon.picture(Look.RUNNING)
    assert image.size == (64, 64)
    assert [one.size for one in image.info["sizes"]] == [(size, size) for size in icon.SIZES]


def colour(look: Look) -> tuple[int, ...]:
    """The colour most of it has; signs are white and do not count."""
    solid = [p[:3] for p in pixels(icon.drawn(look, 64)) if p[3] == 255 and p[:3] != (255,) * 3]
    return max(set(solid), key=solid.count)


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """As the web's accessibility rules count it; 3 is what they ask of signs."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(rgb: tuple[int, ...]) -> float:
    parts = [value / 255 for value in rgb]
    red, green, blue = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
