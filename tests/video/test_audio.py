"""Audio in another file: copied or re-encoded, and always on time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fervid.types import FloatArray
from fervid.video.audio import COPIED, AudioRemuxer
from fervid.video.reader import VideoReader
from fervid.video.timestamps import ClosedJumps
from fervid.video.writer import VideoWriter
from tests.support.browser import open_page
from tests.support.clips import HEIGHT, WIDTH, at_rate, draw_number, read_times

CLICKS = (0.4, 1.1, 1.7)
SECONDS = 2.4

CONTAINERS = [
    ("aac", "clip.mp4"),
    ("aac", "clip.ts"),
    ("libmp3lame", "clip.mp4"),
    ("libmp3lame", "clip.avi"),
    ("libopus", "clip.webm"),
    ("flac", "clip.mkv"),
    ("ac3", "clip.mp4"),
    ("mp2", "clip.mkv"),
    ("pcm_s16le", "clip.mov"),
    ("pcm_mulaw", "clip.mov"),
]
"""Audio encoders and the containers that hold them."""

MORE_CONTAINERS = [
    ("aac", "clip.mkv"),
    ("libmp3lame", "clip.mkv"),
    ("libopus", "clip.mp4"),
    ("pcm_s16le", "clip.avi"),
    ("alac", "clip.mov"),
]
"""Those that take their turn nightly."""


def nightly(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


def clicks(rate: int, channels: int, start: float = 0.0) -> FloatArray:
    """(channels, n): short bursts at CLICKS seconds, in audio that begins at ``start``."""
    times = np.arange(round(SECONDS * rate)) / rate + start
    tone = 0.6 * np.sin(2 * np.pi * 1500 * times)
    on = np.any([(times >= click) & (times < click + 0.03) for click in CLICKS], axis=0)
    return np.tile((tone * on).astype(np.float32), (channels, 1))


def clicking_video(
    path: Path,
    codec: str,
    rate: int = 48000,
    channels: int = 2,
    audio_start: float = 0.0,
    video_start: float = 0.0,
    begin: float = 0.0,
) -> Path:
    """A video with clicks as audio. Either stream may begin later, and the clock of both at ``begin``."""
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", options={"output_ts_offset": str(begin)}) as container:
        video: Any = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        video.codec_context.max_b_frames = 0
        audio: Any = container.add_stream(codec, rate=rate, layout=layout)
        kind = audio.codec_context.format.name if audio.codec_context.format else "fltp"
        resampler = av.AudioResampler(format=kind, layout=layout, rate=rate, frame_size=audio.frame_size or 1024)
        samples_frame = av.AudioFrame.from_ndarray(clicks(rate, channels, audio_start), format="fltp", layout=layout)
        samples_frame.sample_rate, samples_frame.pts, samples_frame.time_base = (
            rate,
            round(audio_start * rate),
            Fraction(1, rate),
        )
        for number, time in enumerate(at_rate(25, int(25 * SECONDS), video_start)):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="bgr24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for part in (*resampler.resample(samples_frame), *resampler.resample(None)):
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
    return path


def moved(source: Path, target: Path, follow: bool = True) -> list[str]:
    """Write the video again with its audio; returns the notes. ``follow``: the audio knows how the clock jumps."""
    with (
        VideoReader(source) as reader,
        AudioRemuxer(source, reader.origin, ClosedJumps(reader.jumps, reader.moved) if follow else None) as audio,
    ):
        with VideoWriter(target, WIDTH, HEIGHT, audio=audio) as writer:
            for time, planes, _ in reader.planes():
                writer.write_planes(planes, time)
        return audio.notes


def heard(path: Path) -> list[float]:
    """Start times of the clicks in seconds, on the clock of the video."""
    with VideoReader(path) as reader:
        origin = reader.origin
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    found: list[float] = []
    for frame in frames:
        samples = np.abs(np.atleast_2d(frame.to_ndarray()).astype(np.float64))
        samples = samples.reshape(-1, frame.samples) if frame.format.is_planar else samples.reshape(frame.samples, -1).T
        loud = samples.max(axis=0) > 0.2 * (1 if "flt" in frame.format.name or "dbl" in frame.format.name else 1 << 15)
        for place in np.flatnonzero(loud):
            time = float((frame.pts or 0) * (frame.time_base or 0)) + place / frame.sample_rate - origin
            if not found or time > found[-1] + 0.2:
                found.append(time)
    return found


def content(path: Path) -> tuple[str, list[bytes]]:
    """Codec and packets of the first audio stream."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return stream.codec_context.codec.canonical_name, [bytes(p) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize(("codec", "name"), [*CONTAINERS, *(nightly(*names) for names in MORE_CONTAINERS)])
def test_audio_keeps_its_time_with_any_codec(tmp_path: Path, codec: str, name: str) -> None:
    source, target = clicking_video(tmp_path / name, codec), tmp_path / "out" / "clip.mp4"
    target.parent.mkdir()
    assert moved(source, target) == []
    before, after = heard(source), heard(target)
    assert len(before) == len(CLICKS)
    assert after == pytest.approx(before, abs=0.003)
    (kind, packets), (kind_after, packets_after) = content(source), content(target)
    if kind in COPIED and not name.endswith(".ts"):
        assert kind_after == kind
        assert packets_after == packets
    elif kind in COPIED:  # MPEG-TS puts a header of seven bytes before each packet
        assert packets_after == [packet[7:] for packet in packets]
    else:
        assert kind_after == "aac"


@pytest.mark.parametrize(("audio_start", "video_start"), [(0.25, 0.0), (0.0, 0.3), (2.0, 2.2), (0.011, 0.0)])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mov", "aac"),
        ("clip.mkv", "pcm_s16le"),
        nightly("clip.mov", "pcm_s16le"),
        nightly("clip.mkv", "aac"),
    ],
)
def test_a_stream_that_begins_later_stays_later(
    tmp_path: Path, name: str, codec: str, audio_start: float, video_start: float
) -> None:
    source, target = (
        clicking_video(tmp_path / name, codec, audio_start=audio_start, video_start=video_start),
        tmp_path / "out.mp4",
    )
    moved(source, target)
    assert read_times(target) == pytest.approx(read_times(source), abs=1e-3)
    assert heard(target) == pytest.approx(heard(source), abs=0.003)


JOINED = {"again": (0.0, 0.0, 0.0), "earlier": (10.0, 9.0), "returned": (10.0, 2.0, 14.8), "little": (0.0, 1.5)}
"""Where the clock of each of several files that are joined begins, in seconds. The second one jumps back."""


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.ts", "aac"), nightly("clip.ts", "ac3"), ("clip.mpg", "mp2"), nightly("clip.ts", "libmp3lame")],
)
@pytest.mark.parametrize("begins", JOINED)
def test_sound_follows_the_picture_where_the_clock_of_both_jumps_back(
    tmp_path: Path, name: str, codec: str, begins: str
) -> None:
    source, target = tmp_path / name, tmp_path / "out.mp4"
    parts = [
        clicking_video(tmp_path / f"{number}{source.suffix}", codec, begin=begin)
        for number, begin in enumerate(JOINED[begins])
    ]
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert moved(source, target) == []
    assert len(read_times(target, 0)) == len(parts) * int(25 * SECONDS)
    expected = [SECONDS * number + click for number in range(len(parts)) for click in CLICKS]
    assert heard(target) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (44100, 2), (96000, 2)])
def test_any_sampling_rate_is_encoded(tmp_path: Path, rate: int, channels: int) -> None:
    source, target = clicking_video(tmp_path / "clip.mov", "pcm_s16le", rate, channels), tmp_path / "out.mp4"
    moved(source, target)
    assert heard(target) == pytest.approx(list(CLICKS), abs=0.003)
    with av.open(str(target)) as container:
        context = container.streams.audio[0].codec_context
        assert context.sample_rate == min(rate, 48000)
        assert context.layout.nb_channels == channels


@pytest.mark.parametrize(
    "change", [lambda stamp: stamp + 4800 * (stamp > 30000), lambda stamp: None], ids=["gap", "none"]
)
def test_a_gap_in_the_audio_becomes_silence(
    tmp_path: Path, change: Callable[[int], int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded frames whose times jump by 0.1 s. Frames without times follow each other."""
    source, target = clicking_video(tmp_path / "clip.mov", "pcm_s16le"), tmp_path / "out.mp4"
    from fervid.video import audio as audio

    take = audio._ReencodedStream._take

    def leaping(self: Any, frame: Any) -> Any:
        frame.pts = change(frame.pts)
        return take(self, frame)

    monkeypatch.setattr(audio._ReencodedStream, "_take", leaping)
    moved(source, target)
    late = 0.1 if change(40000) is not None else 0.0
    assert heard(target) == pytest.approx([CLICKS[0], CLICKS[1] + late, CLICKS[2] + late], abs=0.005)


def test_every_audio_stream_is_written(tmp_path: Path) -> None:
    first = clicking_video(tmp_path / "one.mkv", "aac")
    second = clicking_video(tmp_path / "two.mkv", "pcm_s16le")
    both = tmp_path / "both.mkv"
    with av.open(str(first)) as one, av.open(str(second)) as two, av.open(str(both), "w") as container:
        streams = [(one, stream) for stream in one.streams] + [(two, two.streams.audio[0])]
        outs = [(source, stream, container.add_stream_from_template(stream)) for source, stream in streams]
        for source, stream, out in outs:
            source.seek(0)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = out
                    container.mux(packet)
    moved(both, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac", "aac"]
        assert len(container.streams.video) == 1


def test_a_video_without_audio_stays_without(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", WIDTH, HEIGHT) as writer:
        for number, time in enumerate(at_rate(25, 20)):
            writer.write(draw_number(number), time)
    assert moved(tmp_path / "clip.mp4", tmp_path / "out.mp4") == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def joined(target: Path, *parts: Path, shift: Fraction) -> Path:
    """Several videos in one file, each shifted in time by the given seconds."""
    with av.open(str(target), "w") as container:
        with av.open(str(parts[0])) as first:
            streams = {stream.index: container.add_stream_from_template(stream) for stream in first.streams}
        for number, path in enumerate(parts):
            with av.open(str(path)) as part:
                for packet in part.demux():
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        later = int(number * shift / packet.time_base)
                        packet.pts, packet.dts = packet.pts + later, packet.dts + later
                        packet.stream = streams[packet.stream.index]
                        container.mux(packet)
    return target


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (44100, 2)])
def test_the_audio_format_may_change(tmp_path: Path, rate: int, channels: int) -> None:
    """As in broadcasts, between a programme and commercials."""
    first = clicking_video(tmp_path / "first.ts", "ac3")
    second = clicking_video(tmp_path / "second.ts", "ac3", rate, channels)
    source = joined(tmp_path / "clip.ts", first, second, shift=Fraction(5, 2))
    assert moved(source, tmp_path / "out.mp4") == []
    assert heard(tmp_path / "out.mp4") == pytest.approx([*CLICKS, *(2.5 + click for click in CLICKS)], abs=0.01)


@pytest.mark.parametrize("codec", ["ac3", "aac"])
def test_audio_that_goes_backwards_alone_is_noted(tmp_path: Path, codec: str) -> None:
    part = clicking_video(tmp_path / "part.ts", codec)
    source = tmp_path / "clip.ts"
    source.write_bytes(part.read_bytes() * 2)
    assert moved(source, tmp_path / "out.mp4", follow=False) == ["audio whose timestamps go backwards is left out"]
    assert heard(tmp_path / "out.mp4") == pytest.approx(heard(part), abs=0.01)
    assert len(read_times(tmp_path / "out.mp4")) == 2 * int(25 * SECONDS)


@pytest.mark.parametrize("rate", [8000, 11025])
def test_mp3_at_a_rate_that_mp4_does_not_support_becomes_aac(tmp_path: Path, rate: int) -> None:
    source = clicking_video(tmp_path / "clip.mkv", "libmp3lame", rate, 1)
    assert moved(source, tmp_path / "out.mp4") == []
    assert content(tmp_path / "out.mp4")[0] == "aac"
    assert heard(tmp_path / "out.mp4") == pytest.approx(heard(source), abs=0.01)


def test_damaged_audio_costs_no_frame(tmp_path: Path) -> None:
    source = clicking_video(tmp_path / "clip.mp4", "ac3")
    with av.open(str(source)) as container:
        places = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
    data = bytearray(source.read_bytes())
    for place, size in places[20:30]:
        assert place is not None
        data[place : place + size] = bytes(size)
    source.write_bytes(data)
    moved(source, tmp_path / "out.mp4")
    assert read_times(tmp_path / "out.mp4") == pytest.approx(read_times(source), abs=1e-3)
    assert heard(tmp_path / "out.mp4") == pytest.approx(list(CLICKS), abs=0.003)


PLAY = """
Promise.all([...document.querySelectorAll("video")].map(async (video) => {
  video.muted = true;
  await video.play();
  await new Promise((go) => setTimeout(go, 900));
  return [video.currentTime, video.webkitAudioDecodedByteCount];
}))
"""


def test_chromium_plays_every_copied_codec(tmp_path: Path) -> None:
    codecs = ("aac", "libmp3lame", "libopus", "flac")
    for codec in codecs:
        moved(clicking_video(tmp_path / f"{codec}.mkv", codec), tmp_path / f"{codec}.mp4")
        assert content(tmp_path / f"{codec}.mp4")[0] in COPIED
    page_file = tmp_path / "play.html"
    page_file.write_text("".join(f'<video src="{codec}.mp4" preload="auto"></video>' for codec in codecs))
    with open_page(page_file) as page:
        found = dict(zip(codecs, page.evaluate(PLAY), strict=True))
    for codec, (played, audio) in found.items():
        assert played > 0.1, codec
        assert audio > 0, codec
