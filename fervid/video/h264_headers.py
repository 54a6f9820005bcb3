"""What the headers of H.264 packets say about their pictures (ITU-T H.264, 7.3 and 7.4).

The decoder cannot check a picture that is left out. So its headers are checked here: a damaged one would make the
decoder drop or move frames.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

IDR, SLICE = 5, 1
PARAMETERS = {7, 8}
HARMLESS = {6, 9, 12}
"""Types of NAL units that change nothing: additional information, delimiters, filling."""

HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
MOST_BYTES = 48
"""Headers of slices are read from so many bytes."""


class UnusualStream(Exception):
    """The stream, or a packet, is damaged or uses a rare feature."""


class _Bits:
    """Reads bits and Exp-Golomb codes of a NAL unit after its first byte."""

    def __init__(self, unit: bytes) -> None:
        content = unit[1:].replace(b"\0\0\3", b"\0\0")
        self._bits = f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}" if content else ""
        self._place = 0

    def fixed(self, count: int) -> int:
        """A number of ``count`` bits."""
        end = self._place + count
        if end > len(self._bits):
            raise UnusualStream("a header is too short")
        value = int(self._bits[self._place : end] or "0", 2)
        self._place = end
        return value

    def unsigned(self) -> int:
        """An unsigned Exp-Golomb code (9.1)."""
        zeros = self._bits.find("1", self._place) - self._place
        if not 0 <= zeros <= 31:
            raise UnusualStream("a header is damaged")
        self._place += zeros
        return self.fixed(zeros + 1) - 1

    def signed(self) -> int:
        """A signed Exp-Golomb code (9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def up_to(self, most: int) -> int:
        """An unsigned code that is at most ``most``."""
        value = self.unsigned()
        if value > most:
            raise UnusualStream("a value in a header is too large")
        return value


@dataclass(frozen=True)
class _Sequence:
    """Number of bits of picture numbers and of the order of display; number of macroblocks."""

    number_bits: int
    order_bits: int
    blocks: int


@dataclass(frozen=True)
class _Parameters:
    """What a picture parameter set says about slice headers."""

    arithmetic: bool
    has_bottom: bool
    weighted: bool
    weighted_both: bool
    quantizer: int
    has_filter: bool


def _sequence(unit: bytes) -> _Sequence:
    """Read a sequence parameter set (7.3.2.1.1)."""
    bits = _Bits(unit)
    profile = bits.fixed(8)
    bits.fixed(16)
    bits.unsigned()
    if profile in HIGH_PROFILES:
        chroma = bits.up_to(3)
        planes = bits.fixed(1) if chroma == 3 else 0
        bits.unsigned(), bits.unsigned()
        if planes or bits.fixed(2) & 1:
            raise UnusualStream("separate planes or scaling lists")
    number_bits = bits.up_to(12) + 4
    if bits.unsigned() != 0:
        raise UnusualStream("no order of display in the slices")
    order_bits = bits.up_to(12) + 4
    bits.unsigned()
    gaps = bits.fixed(1)
    blocks = (bits.unsigned() + 1) * (bits.unsigned() + 1)
    if gaps or not bits.fixed(1):
        raise UnusualStream("missing numbers, or fields")
    return _Sequence(number_bits, order_bits, blocks)


def _parameters(unit: bytes) -> tuple[int, _Parameters]:
    """Read a picture parameter set (7.3.2.2); gives its number too."""
    bits = _Bits(unit)
    number = bits.up_to(255)
    bits.unsigned()
    arithmetic, has_bottom = bits.fixed(1), bits.fixed(1)
    if bits.unsigned():
        raise UnusualStream("slice groups")
    bits.unsigned(), bits.unsigned()
    weighted, weighted_both = bits.fixed(1), bits.fixed(2) == 1
    quantizer = 26 + bits.signed()
    bits.signed(), bits.signed()
    has_filter = bits.fixed(1)
    bits.fixed(1)
    if bits.fixed(1):
        raise UnusualStream("redundant pictures")
    return number, _Parameters(
        bool(arithmetic), bool(has_bottom), bool(weighted), weighted_both, quantizer, bool(has_filter)
    )


@dataclass(frozen=True)
class Picture:
    """The picture of a packet.

    Attributes:
        idr: Whether no later picture depends on an earlier one.
        referenced: Whether others may refer to it.
        optional: Whether it may be left out: none refers to it, and its headers are sound.
        order: Place in the order of display: number of the last IDR picture, and order after that.
    """

    idr: bool
    referenced: bool
    optional: bool
    order: tuple[int, int]


class PictureHeaders:
    """Reads the headers of the packets of one stream, in the order of the file.

    Args:
        extradata: The decoder configuration (ISO/IEC 14496-15, 5.3.3.1).

    Raises:
        UnusualStream: The stream has no such configuration, or a rare one.
    """

    def __init__(self, extradata: bytes) -> None:
        if len(extradata) < 7 or extradata[0] != 1:
            raise UnusualStream("no configuration")
        self._length = (extradata[4] & 3) + 1
        sequences, offset = _units(extradata, 6, 2, extradata[5] & 31)
        if len(sequences) != 1 or offset >= len(extradata):
            raise UnusualStream("not one sequence parameter set")
        parameters, _ = _units(extradata, offset + 1, 2, extradata[offset])
        self._known = {*sequences, *parameters}
        self._sequence = _sequence(sequences[0])
        self._parameters = dict(map(_parameters, parameters))
        self._last_number = self._high = self._low = 0
        """Number of the last picture to which others refer, and its order, in two parts."""
        self._idrs = 0

    def read(self, packet: bytes) -> Picture:
        """Read the headers of the next packet.

        Args:
            packet: Its content.

        Returns:
            Its picture.

        Raises:
            UnusualStream: The packet does not follow from those before it, or uses a rare feature.
        """
        slices = []
        for unit in _units(packet, 0, self._length)[0]:
            kind = unit[0] & 31
            if unit[0] & 128 or (kind in PARAMETERS and unit not in self._known):
                raise UnusualStream("other parameters")
            if kind in (IDR, SLICE):
                slices.append(unit)
            elif kind not in PARAMETERS | HARMLESS:
                raise UnusualStream("an unusual unit")
        if not slices or len({unit[0] for unit in slices}) > 1:
            raise UnusualStream("no slice, or slices of several kinds")
        idr, referenced = slices[0][0] & 31 == IDR, bool(slices[0][0] & 0x60)
        found = [self._slice(unit, idr, referenced) for unit in slices]
        firsts, orders = [one[0] for one in found], {one[1:3] for one in found}
        if firsts[0] or firsts != sorted(set(firsts)) or firsts[-1] >= self._sequence.blocks or len(orders) > 1:
            raise UnusualStream("slices that do not follow each other")
        optional = not referenced and all(one[3] for one in found)
        return Picture(idr, referenced, optional, self._order(idr, referenced, *orders.pop()))

    def _order(self, idr: bool, referenced: bool, number: int, low: int) -> tuple[int, int]:
        """The order of display (8.2.1.1), if the number is that which follows (7.4.3)."""
        if idr:
            self._idrs += 1
            self._last_number = self._high = self._low = 0
        expected = 0 if idr else (self._last_number + 1) % (1 << self._sequence.number_bits)
        if number != expected or not self._idrs or (idr and not referenced):
            raise UnusualStream("a picture is missing")
        turn = 1 << self._sequence.order_bits
        high = self._high
        if low < self._low and self._low - low >= turn // 2:
            high += turn
        elif low > self._low and low - self._low > turn // 2:
            high -= turn
        if referenced:
            self._last_number, self._high, self._low = number, high, low
        return self._idrs, high + low

    def _slice(self, unit: bytes, idr: bool, referenced: bool) -> tuple[int, int, int, bool]:
        """First macroblock, number, order and soundness of a slice (7.3.3)."""
        bits = _Bits(unit[:MOST_BYTES])
        first, kind = bits.unsigned(), bits.up_to(9) % 5
        parameters = self._parameters.get(bits.unsigned())
        if kind > 2 or parameters is None:
            raise UnusualStream("an unusual slice")
        number = bits.fixed(self._sequence.number_bits)
        if idr:
            bits.unsigned()
        order = bits.fixed(self._sequence.order_bits)
        if parameters.has_bottom and bits.signed():
            raise UnusualStream("fields at different times")
        return first, number, order, not referenced and self._is_sound(bits, kind, parameters)

    def _is_sound(self, bits: _Bits, kind: int, parameters: _Parameters) -> bool:
        """Whether the rest of the header of a slice is as it should be; False too if it cannot be told."""
        lists = (1, 2, 0)[kind]
        if kind == 1:
            bits.fixed(1)
        if lists and bits.fixed(1):
            for _ in range(lists):
                bits.up_to(15)
        for _ in range(lists):
            if bits.fixed(1):
                while bits.up_to(3) != 3:
                    bits.up_to((1 << self._sequence.number_bits) - 1)
        if (kind == 0 and parameters.weighted) or (kind == 1 and parameters.weighted_both):
            return False
        if parameters.arithmetic and lists:
            bits.up_to(2)
        quantizer = parameters.quantizer + bits.signed()
        shifts = [bits.signed(), bits.signed()] if parameters.has_filter and bits.up_to(2) != 1 else [0]
        if not 0 <= quantizer <= 51 or max(map(abs, shifts)) > 6:
            raise UnusualStream("a value in a header is too large")
        return True


def _units(content: bytes, offset: int, length: int, count: int | None = None) -> tuple[list[bytes], int]:
    """Units with their sizes before them: ``count`` of them, or all up to the end; and where they end."""
    units: list[bytes] = []
    while len(units) < count if count is not None else offset < len(content):
        size = int.from_bytes(content[offset : offset + length], "big")
        offset += length + size
        if size < 2 or offset > len(content):
            raise UnusualStream("a unit of a wrong size")
        units.append(content[offset - size : offset])
    return units, offset


class DisplayOrder:
    """Checks that presentation times are in the order that the pictures state.

    Attributes:
        stamps: The presentation times that were added and not removed, sorted.
    """

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self._orders: list[tuple[int, int]] = []

    def add(self, stamp: int, order: tuple[int, int]) -> int:
        """Add a picture.

        Args:
            stamp: Its presentation time.
            order: Its place in the order of display.

        Returns:
            Number of pictures that were added before it and are shown after it.

        Raises:
            UnusualStream: Both orders differ, or two pictures have one time.
        """
        place = bisect_left(self.stamps, stamp)
        doubled = self.stamps[place : place + 1] == [stamp]
        if doubled or place != bisect_left(self._orders, order) or self._orders[place : place + 1] == [order]:
            raise UnusualStream("times in another order than the pictures")
        self.stamps.insert(place, stamp)
        self._orders.insert(place, order)
        return len(self.stamps) - 1 - place

    def pop(self) -> int:
        """Remove the picture that is shown first.

        Returns:
            Its presentation time.
        """
        del self._orders[0]
        return self.stamps.pop(0)
