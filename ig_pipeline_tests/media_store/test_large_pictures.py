"""Small files that unpack to large pictures: refused, or decoded small; never by many at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from ig_pipeline.media_store import previews
from ig_pipeline.media_store.checking import check_file
from ig_pipeline.media_store.errors import NotMediaError
from ig_pipeline.media_store.local_folder import LocalFolder
from ig_pipeline.media_store.sniffing import sniff

SIDE = 7000  # 49 megapixels
MOST_MB = 100
KINDS: dict[str, dict[str, Any]] = {
    "plain.jpg": {},
    "progressive.jpg": {"progressive": True},
    "a.png": {},
    "a.webp": {"lossless": True, "method": 0},
    "a.gif": {},
}
# Prints by how many MB the most memory of the process grew while a file was checked and shown.
MEASURE = """
import re, sys
from pathlib import Path
from ig_pipeline.media_store import previews
from ig_pipeline.media_store.checking import check_file
from ig_pipeline.media_store.errors import NotMediaError
from ig_pipeline.media_store.sniffing import sniff
path = Path(sys.argv[1])
def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
# A process begins with the peak of the one that started it.
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
try:
    check_file(path, sniff(path.read_bytes()[:64]), media_id="1")
except NotMediaError:
    pass
previews._picture(path, 640)
print((memory("VmHWM") - before) // 1024)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    large = Image.new("L", (SIDE, SIDE))
    for name, options in KINDS.items():
        large.save(folder / name, **options)
    return folder


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is read as Linux tells it"
)
@pytest.mark.parametrize("name", KINDS)
def test_a_large_picture_takes_little_memory(pictures: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(pictures / name)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < MOST_MB


def test_a_video_that_is_larger_than_it_claims_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 4400
        frame = av.VideoFrame.from_ndarray(np.zeros((4400, 4400, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    claimed = path.read_bytes().replace((4400).to_bytes(2) + b"\0\0" + (4400).to_bytes(2), b"\0\x40\0\0\0\x40")
    path.write_bytes(claimed)
    file_type = sniff(claimed[:64])
    assert file_type is not None
    with pytest.raises(NotMediaError):
        check_file(path, file_type, media_id="1")
    with pytest.raises(av.error.FFmpegError):
        previews._first_frame(path, 640)


def test_only_two_pictures_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    store, under_way, most = LocalFolder(tmp_path), [0], [0]
    decode: Callable[[Path, int], Image.Image | None] = previews._picture

    def counted(path: Path, side: int) -> Image.Image | None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        try:
            return decode(path, side)
        finally:
            under_way[0] -= 1

    monkeypatch.setattr(previews, "_picture", counted)
    threads = [Thread(target=previews.picture, args=(store, "a.jpg"), kwargs={"side": 32}) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 2
