"""Checkpoints of fixed size with a checksum, of which a file holds two: one is always whole."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass

import numpy as np

_MAGIC = b"flowchk1"
_HEADER = struct.Struct("<8sQQQ32s")


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands.

    Attributes:
        sequence: Number of checkpoints written before.
        done: Number of steps made.
        arrays: What the engine needs to go on, and the final states.
    """

    sequence: int
    done: int
    arrays: dict[str, np.ndarray]

    def encode(self) -> bytes:
        """Bytes of the checkpoint; their number depends on the shapes alone."""
        manifest = json.dumps(
            [[name, a.dtype.str, list(a.shape)] for name, a in self.arrays.items()]
        ).encode()
        body = struct.pack("<Q", len(manifest)) + manifest
        body += b"".join(np.ascontiguousarray(a).tobytes() for a in self.arrays.values())
        numbers = (self.sequence, self.done, len(body))
        return _HEADER.pack(_MAGIC, *numbers, _digest(numbers, body)) + body

    @staticmethod
    def decode(data: bytes) -> Checkpoint | None:
        """Read a checkpoint.

        Args:
            data: Content of a slot.

        Returns:
            The checkpoint, or ``None`` if it was not written to its end.
        """
        if len(data) < _HEADER.size:
            return None
        magic, sequence, done, length, digest = _HEADER.unpack_from(data)
        body = data[_HEADER.size : _HEADER.size + length]
        if magic != _MAGIC or len(body) != length or _digest((sequence, done, length), body) != digest:
            return None
        (size,) = struct.unpack_from("<Q", body)
        arrays, start = {}, 8 + size
        for name, dtype, shape in json.loads(body[8:start]):
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(body, np.dtype(dtype), count, start)
            arrays[name] = array.reshape(shape)
            start += array.nbytes
        return Checkpoint(sequence, done, arrays)


def _digest(numbers: tuple[int, int, int], body: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<QQQ", *numbers) + body, digest_size=32).digest()


def latest(slots: list[bytes]) -> Checkpoint | None:
    """The newest checkpoint that is whole.

    Args:
        slots: Contents of the slots.

    Returns:
        The checkpoint, or ``None`` if there is none.
    """
    found = [checkpoint for data in slots if (checkpoint := Checkpoint.decode(data)) is not None]
    return max(found, key=lambda checkpoint: checkpoint.sequence, default=None)
