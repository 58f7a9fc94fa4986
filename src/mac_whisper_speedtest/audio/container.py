"""Read the frames of an audio file, and refuse a file in which audio is missing.

FFmpeg plays a damaged file without an error: it skips undecodable parts and stops where the file
ends. The decoded audio is therefore compared with the time stamps of neighboring packets and with
the length that the container states. In streams that have neither (mp3, AAC and AC-3 without a
container), every byte must belong to a frame or a tag.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mac_whisper_speedtest.audio import stated_length
from mac_whisper_speedtest.errors import AudioError

if TYPE_CHECKING:
    import av

MAX_LOST_SECONDS: Final = 0.1
"""Longest total of gaps accepted in a file: a gap as long as a syllable changes the words."""

_MAX_LOST_SHARE: Final = 0.02
"""The same in a short file, as a share of its stated length."""

_RATES: Final = range(1_000, 1_000_001)
"""Accepted source rates. A damaged header that states 1 Hz would otherwise produce sixteen
thousand output samples per input sample."""

_CLOCK_ERROR: Final = 0.01
_CLOCK_ERROR_SECONDS: Final = 0.05
"""Accepted shortage, as a share and in seconds, against a length that comes from a clock."""

_LISTS: Final = frozenset({"concat", "dash", "hls", "imf", "sdp"})
"""Formats that only name other files or addresses."""

_ELEMENTARY: Final = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas", "mp3", "truehd"})
"""Streams of frames without a container: no time stamps, and no stated length but mp3's."""

_TAGS: Final = (b"ID3", b"TAG", b"APETAGEX")
_LARGEST_FRAME: Final = 2881
"""Bytes of the largest frame of MPEG audio (layer II, 160 kbit/s at 8 kHz)."""

_CHAINS: Final = {
    "aac": stated_length.adts_frame,
    "flv": stated_length.flv_tag,
    "ogg": stated_length.ogg_page,
}
"""Files that are a chain of frames or pages which state their own length."""

_CHECKSUMMED: Final = frozenset({"ac3", "ape", "eac3", "flac", "tta", "wavpack"})
"""Codecs with a checksum in every frame. FFmpeg ignores it by default: damage becomes noise."""


def frames(audio: Path | bytes, name: str) -> Iterator[av.AudioFrame]:
    """Yield every decoded frame that has samples, of the first audio stream.

    Undecodable packets before the first or after the last good one are ignored if the container
    does not state that they were audio: stray tags are common there.

    Args:
        audio: a file, or its bytes.
        name: its name in messages.

    Raises:
        AudioError: FFmpeg cannot read it, it has no audio stream, or more than
            ``MAX_LOST_SECONDS`` of it are missing. It may be raised after some frames.
    """
    with _ffmpeg_errors(name), _opened(audio) as container:
        if container.format.name in _LISTS:
            raise AudioError(
                f"{name} is a list of other files ({container.format.name})",
                hint="name the sound files themselves, or join them into one",
            )
        if not container.streams.audio:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no"
            raise AudioError(
                f"{name} has no audio stream (only {kinds} streams)",
                hint="choose a file that contains sound",
            )
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError(
                f"{name} is in a codec that FFmpeg does not know",
                hint="convert it to wav or flac with the program that made it",
            )
        watch = _LossWatch(audio, name, container, stream)
        for packet in _packets(container, stream, name):
            for frame in watch.decoded(packet):
                if frame.sample_rate not in _RATES:
                    raise AudioError(
                        f"{name} states {frame.sample_rate} samples per second",
                        hint="convert it to wav or flac with a plausible rate",
                    )
                yield frame
        watch.check_end()


def _packets(
    container: av.container.InputContainer, stream: av.AudioStream, name: str
) -> Iterator[av.Packet[av.AudioStream]]:
    try:
        yield from container.demux(stream)
    except IndexError as error:  # PyAV knows only the streams that were there at the beginning
        raise _damaged(name, "a stream begins in its middle") from error


def has_sound(path: Path) -> bool:
    """Whether FFmpeg can open a file with any name and finds an audio stream in it."""
    import av

    try:
        with _opened(path) as container:
            return bool(container.streams.audio) and container.format.name not in _LISTS
    except av.error.FFmpegError:
        return False


@contextlib.contextmanager
def _ffmpeg_errors(name: str) -> Iterator[None]:
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: av.error.FFmpegError) -> AudioError:
    reason = (error.strerror or str(error)).splitlines()[0]
    if reason.startswith("Error number"):  # a code of one decoder, without a text
        reason = "its data are damaged, or of a kind that FFmpeg does not know"
    return AudioError(
        f"{name} cannot be read as audio: {reason}",
        hint="try it in another player; if it plays there, convert it to wav or flac",
    )


def _opened(audio: Path | bytes) -> av.container.InputContainer:
    """Open the container, and no other file or address.

    Only the file protocol is allowed, and it is written out: a disguised playlist cannot make
    FFmpeg use the network, and a file named "concat:..." is just a file.
    """
    import av

    # Before PyAV 19, a tag that is not UTF-8 prevents opening a file unless it is ignored.
    old = int(av.__version__.partition(".")[0]) < 19
    tags: dict[str, Any] = {"metadata_errors": "ignore"} if old else {}
    source: Any = f"file:{audio.absolute()}" if isinstance(audio, Path) else io.BytesIO(audio)
    container: av.container.InputContainer = av.open(
        source, options={"protocol_whitelist": "file"}, **tags
    )
    return container


class _LossWatch:
    """Decodes the packets of a stream and counts the missing time between them."""

    def __init__(
        self,
        audio: Path | bytes,
        name: str,
        container: av.container.InputContainer,
        stream: av.AudioStream,
    ) -> None:
        self._stream = stream
        self._name = name
        self._container = container.format.name
        self._size = container.size
        self._audio = audio
        self._stated_s = stated_length.stated_seconds(audio, container, stream)
        self._max_lost_s = min(
            MAX_LOST_SECONDS, _MAX_LOST_SHARE * self._stated_s if self._stated_s else math.inf
        )
        self._heard_s = 0.0  # decoded so far
        self._lost_s = 0.0  # missing since the start
        self._what = ""  # what is missing, if its duration is unknown
        self._next: int | None = None  # time stamp at which the next packet should begin
        self._longest = 0  # duration of a packet, in the same unit
        self._undecodable_s = 0.0  # duration of the last packet, if it could not be decoded
        self._reached = self._start = self._stream.start_time or 0
        self._previous: av.Packet[av.AudioStream] | None = None  # the last one that was decoded
        self._tag_end = 0  # position in the file
        self._cut_off = False  # the last packet was incomplete
        self._error: av.error.FFmpegError | None = None
        if self._stream.codec_context.name in _CHECKSUMMED:
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}

    def decoded(self, packet: av.Packet[av.AudioStream]) -> Iterator[av.AudioFrame]:
        """The packet's frames that have samples.

        Raises:
            AudioError: too much is missing before them.
        """
        import av

        if packet.size and (packet.pos or 0) + packet.size <= self._tag_end:
            return
        self._check_time(packet)
        try:
            found = packet.decode()
        except av.error.FFmpegError as error:
            found = self._decoded_again(packet, error)
        else:
            self._cut_off = False
            self._previous = packet
            skips = self._container == "mp3" and packet.size > _LARGEST_FRAME
            if skips and memoryview(packet)[0] == 0:  # the decoder skips zeros before a frame
                self._count_junk(packet)
            if packet.pts is not None and packet.duration:
                self._reached = max(self._reached, packet.pts + packet.duration)
        for frame in found:
            if not frame.samples:
                continue
            if self._lost_s > self._max_lost_s:
                what = self._what or f"{self._lost_s:.2f} s are missing"
                raise _damaged(self._name, f"{what} {self._heard_s:.1f} s after its start")
            yield frame
            self._heard_s += frame.samples / frame.sample_rate

    def _check_time(self, packet: av.Packet[av.AudioStream]) -> None:
        """Count a gap between the end of the last packet and the start of this one."""
        if not packet.size:
            return
        undecodable_s, self._undecodable_s = self._undecodable_s, 0.0
        duration = packet.duration or 0
        self._longest = max(self._longest, duration)
        gap = 0
        if packet.pts is not None:
            if self._next is not None:
                gap = packet.pts - self._next
            self._next = packet.pts
        if self._next is not None:
            self._next = self._next + duration if duration else None
        if gap < 0 and self._container == "ogg":
            return  # joined files: what could not be decoded was the header of the next one
        self._lost_s += undecodable_s
        # Stamps are rounded, in Matroska to milliseconds, and Vorbis leaves out a part of the
        # difference of a long and a short block; a lost page or cluster is longer.
        if gap > self._longest / 2 and self._container not in _ELEMENTARY:
            self._lost_s += stated_length.seconds(gap, packet.time_base)

    def _decoded_again(
        self, packet: av.Packet[av.AudioStream], error: av.error.FFmpegError
    ) -> list[av.AudioFrame]:
        """The frame behind a tag in an undecodable packet; without a tag it is counted as lost.

        Where mp3 files were joined, packets hold the end of one file, the tags of the next, and its
        first frame. A file may end within a frame, so a seam may cost one.
        """
        import av

        self._error = error
        if self._container in _ELEMENTARY:
            if not self._heard_s:
                return []
            data = bytes(packet)
            begins = self._after_tags(data, packet.pos or 0)
            if begins is not None:
                with contextlib.suppress(av.error.FFmpegError):
                    if rest := data[begins:]:
                        return self._stream.codec_context.decode(av.Packet(rest))
                return []
            self._count_junk(packet)
        self._cut_off = packet.is_corrupt or self._container == "amr"
        self._undecodable_s = stated_length.seconds(packet.duration, packet.time_base)
        return []

    def _count_junk(self, packet: av.Packet[av.AudioStream]) -> None:
        """Count bytes of an elementary stream that are no frame, if no length shows the loss."""
        if self._stated_s is None and self._heard_s:
            self._lost_s = math.inf
            self._what = f"{packet.size} bytes are not audio"

    def _after_tags(self, data: bytes, position: int) -> int | None:
        """Where in a packet the tags at a seam end, perhaps behind it; None without a seam."""
        ends = self._tag_end
        if not ends or position >= ends + _LARGEST_FRAME:
            before = bytes(self._previous) if self._previous is not None else b""
            around = before + data[:_LARGEST_FRAME]
            found = [at for tag in _TAGS if (at := around.find(tag)) >= 0]
            if not found:
                return None
            ends = position - len(before) + min(found)
        begins = max(ends - position, 0)
        tags = stated_length.tags_length(data[begins:])
        if tags and position + begins + tags <= self._size:
            ends = position + begins + tags
        self._tag_end = ends
        return max(ends - position, 0)

    def check_end(self) -> None:
        """Compare the decoded length with the length that the container states.

        Raises:
            AudioError: nothing could be decoded, or the end is missing.
        """
        if not self._heard_s:
            if self._error is not None:
                raise _unreadable(self._name, self._error)
            return
        heard_s, error_s = self._heard_s, self._max_lost_s
        if self._container not in stated_length.TO_THE_SAMPLE:
            heard_s = max(
                heard_s, stated_length.seconds(self._reached - self._start, self._stream.time_base)
            )
        if self._container in stated_length.BY_CLOCK:
            error_s = max(error_s, _CLOCK_ERROR_SECONDS, _CLOCK_ERROR * (self._stated_s or 0.0))
        if self._stated_s is not None and heard_s < self._stated_s - error_s:
            raise _damaged(
                self._name, f"it holds {heard_s:.2f} s of the stated {self._stated_s:.2f} s"
            )
        link = _CHAINS.get(self._container)
        if self._cut_off or (link and not stated_length.is_chain(self._audio, link)):
            raise _damaged(self._name, f"frames are missing in its {heard_s:.1f} s, or behind them")


def _damaged(name: str, what: str) -> AudioError:
    return AudioError(
        f"{name} is damaged: {what}",
        hint="use an undamaged copy: missing words would count against every backend",
    )
