"""stills.py: pictures of every mode come out as the colours that a viewer shows."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmrgb.errors import MediaError
from fmrgb.stills import read_still, still_size

WIDTH, HEIGHT = 12, 7
RED, LIGHT, WHITE = (200, 30, 10), (230, 240, 250), (255, 255, 255)
ORIENTATION = 0x0112


def halves(left: tuple[int, ...], right: tuple[int, ...], mode: str) -> Image.Image:
    """Return a picture, 12 x 7, of two colours side by side."""
    picture = Image.new(mode, (WIDTH, HEIGHT), left)
    picture.paste(right, (WIDTH // 2, 0, WIDTH, HEIGHT))
    return picture


def saved(picture: Image.Image, path: Path, **how: object) -> Path:
    """Write a picture; return its path."""
    picture.save(path, **how)
    return path


def assert_halves(levels: np.ndarray, left: object, right: object, by: int = 0) -> None:
    """Compare the middles of both halves with colours, to within `by` levels."""
    assert levels.dtype == np.uint8
    assert levels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(levels[3, 2].astype(int) - left).max() <= by
    assert np.abs(levels[3, 9].astype(int) - right).max() <= by


def test_colours_come_as_red_green_blue(tmp_path):
    path = saved(halves(RED, LIGHT, "RGB"), tmp_path / "a.png")
    assert_halves(read_still(path), RED, LIGHT)
    assert still_size(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("suffix", ["bmp", "tiff", "webp", "jpg", "gif"])
def test_every_kind_of_file_is_read(tmp_path, suffix):
    how = {"lossless": True} if suffix == "webp" else {}
    how |= {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    path = saved(halves(RED, LIGHT, "RGB"), tmp_path / f"a.{suffix}", **how)
    assert_halves(read_still(path), RED, LIGHT, by=6)


def test_grey_and_black_and_white_become_three_equal_planes(tmp_path):
    grey = saved(halves((40,), (200,), "L"), tmp_path / "a.png")
    assert_halves(read_still(grey), 40, 200)
    bits = saved(halves((0,), (1,), "1"), tmp_path / "b.png")
    assert_halves(read_still(bits), 0, 255)


def test_of_16_bits_the_higher_eight_count(tmp_path):
    levels = np.full((HEIGHT, WIDTH), 40 * 256 + 255, np.uint16)
    levels[:, WIDTH // 2 :] = 200 * 256
    path = saved(Image.fromarray(levels), tmp_path / "a.png")
    assert_halves(read_still(path), 40, 200)


def test_float_and_32_bit_pictures_are_stretched_over_their_range(tmp_path):
    for number, kind in enumerate((np.float32, np.int32)):
        levels = np.full((HEIGHT, WIDTH), -3, kind)
        levels[:, WIDTH // 2 :] = 5000
        path = saved(Image.fromarray(levels), tmp_path / f"{number}.tiff")
        assert_halves(read_still(path), 0, 255)


def test_what_is_transparent_shows_white_and_not_its_hidden_colour(tmp_path):
    path = saved(halves((*RED, 255), (*RED, 0), "RGBA"), tmp_path / "a.png")
    assert_halves(read_still(path), RED, WHITE)
    grey = saved(halves((40, 255), (40, 0), "LA"), tmp_path / "b.png")
    assert_halves(read_still(grey), 40, 255)


def test_a_palette_is_looked_up_and_its_transparent_entry_is_white(tmp_path):
    picture = halves((0,), (1,), "P")
    picture.putpalette([*RED, *LIGHT])
    assert_halves(read_still(saved(picture, tmp_path / "a.png")), RED, LIGHT)
    path = saved(picture, tmp_path / "b.png", transparency=1)
    assert_halves(read_still(path), RED, WHITE)


def test_cmyk_becomes_the_colours_that_are_printed(tmp_path):
    cyan, black = (255, 0, 0, 0), (0, 0, 0, 255)
    path = saved(halves(cyan, black, "CMYK"), tmp_path / "a.tiff")
    assert_halves(read_still(path), (0, 255, 255), (0, 0, 0))
    jpeg = saved(halves(cyan, black, "CMYK"), tmp_path / "a.jpg", quality=100)
    assert_halves(read_still(jpeg), (0, 255, 255), (0, 0, 0), by=12)


def test_a_picture_that_the_camera_lay_on_its_side_for_is_turned_upright(tmp_path):
    upright = halves(RED, LIGHT, "RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by a quarter, clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    assert turned.size == (HEIGHT, WIDTH)
    path = saved(turned, tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    assert_halves(read_still(path), RED, LIGHT, by=12)
    assert still_size(path) == (WIDTH, HEIGHT)


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [halves(RED, LIGHT, "RGB"), Image.new("RGB", (WIDTH, HEIGHT))]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert_halves(read_still(path), RED, LIGHT, by=6)


def test_a_picture_is_made_to_fill_the_size(tmp_path):
    path = saved(halves(RED, LIGHT, "RGB"), tmp_path / "a.png")
    levels = read_still(path, (30, 14))
    assert levels.shape == (14, 30, 3)
    assert (levels[:, 3] == RED).all()
    assert (levels[:, 26] == LIGHT).all()


def test_a_large_jpeg_made_small_has_the_mean_of_what_it_shows(tmp_path):
    rows = np.indices((640, 900)).sum(axis=0) % 2 * 120 + 60  # 60 and 180 by turns
    picture = Image.fromarray(np.repeat(rows[..., None], 3, axis=2).astype(np.uint8))
    path = saved(picture, tmp_path / "a.jpg", quality=95)
    assert np.abs(read_still(path, (9, 5)).astype(int) - 120).max() <= 3


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_file_is_refused_and_not_painted_over(tmp_path, share):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match=r"a\.jpg cannot be read to its end: .*trunc"):
        read_still(path)


@pytest.mark.parametrize("content", [b"", b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.png is not a picture of a known kind"):
        read_still(path)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_of = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + sum_of

    for side in (9000, 60000):  # the second is one that Pillow itself refuses
        header = side.to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
        path = tmp_path / "bomb.png"
        body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body)
        with pytest.raises(MediaError, match="expected a picture of 67108864 pixels"):
            read_still(path)


def test_what_is_not_there_or_never_ends_is_refused(tmp_path):
    with pytest.raises(MediaError, match=r"gone\.png cannot be read"):
        read_still(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MediaError, match="named pipe"):
        read_still(tmp_path / "pipe.png")
