"""Structures of blocks: full, diagonal, block-diagonal, triangular, low rank plus diagonal, hierarchical."""

from __future__ import annotations

from torch import Tensor

from ._factor import StructuredFactor
from ._packed_segments import PackedSegments
from ._segments import Layout, Segment


class SegmentedFactor(StructuredFactor):
    """A structure of dense, diagonal and triangular blocks.

    Args:
        kind: Name of the structure.
        n: Number of rows.
        options: Its options.
        layout: Its blocks.
        dual: Name and options of the structure of the transposed matrices.
    """

    def __init__(
        self,
        kind: str,
        n: int,
        options: dict[str, object],
        layout: Layout,
        dual: tuple[str, dict[str, object]],
    ) -> None:
        self.layout = layout
        self._dual = dual
        every_matrix = layout.dim == n * (n + 1) // 2
        super().__init__(
            kind,
            n,
            options,
            memory=layout.memory,
            dim=layout.dim,
            tied=False,
            geodesic=layout.symmetric or every_matrix,
        )
        self._packed = PackedSegments(self)

    def _labels(self) -> Tensor:
        return self.layout.labels()

    def _order(self) -> list[int]:
        return self.layout.order()

    @property
    def dual(self) -> StructuredFactor:
        """The structure of A^T and of A^-T, in which (A expm(N))^-T = A^-T expm(-N^T)."""
        kind, options = self._dual
        return SegmentedFactor(kind, self.n, options, self.layout.mirrored, (self.kind, self.options))


def _dense(size: int) -> Segment:
    return Segment(size, size)


def full(n: int) -> SegmentedFactor:
    """All invertible matrices; V: symmetric matrices. All SPD matrices tau."""
    return SegmentedFactor("full", n, {}, Layout((_dense(n),)), ("full", {}))


def diagonal(n: int) -> SegmentedFactor:
    """Diagonal matrices; diagonal tau."""
    return SegmentedFactor("diagonal", n, {}, Layout((Segment(n, 1),)), ("diagonal", {}))


def block_diagonal(n: int, block: int) -> SegmentedFactor:
    """Dense blocks of ``block`` rows, the last of n mod block; block-diagonal tau."""
    _require_size(block, "block", n)
    whole, rest = n // block * block, n % block
    segments = tuple(s for s in (Segment(whole, block), _dense(rest)) if s.size)
    options: dict[str, object] = {"block": block}
    return SegmentedFactor("block_diagonal", n, options, Layout(segments), ("block_diagonal", options))


def lower(n: int) -> SegmentedFactor:
    """Lower triangular matrices, as Cholesky factors are. All SPD matrices tau."""
    return SegmentedFactor("lower", n, {}, Layout((Segment(n, n, "lower"),)), ("upper", {}))


def upper(n: int) -> SegmentedFactor:
    """Upper triangular matrices. All SPD matrices tau."""
    return SegmentedFactor("upper", n, {}, Layout((Segment(n, n, "upper"),)), ("lower", {}))


def block_lower(n: int, rank: int, diagonal: str = "last") -> SegmentedFactor:
    """[[A, 0], [B, D]], A dense of ``rank`` rows, D diagonal: tau is diagonal plus rank ``rank``.

    With diagonal="first" it is [[D, 0], [B, A]]: then tau^-1 is diagonal plus rank ``rank``, and tau with
    rank 1 is an arrow matrix.

    Args:
        n: Number of rows.
        rank: Rows of A.
        diagonal: "last" or "first".

    Returns:
        The structure.
    """
    return _block_triangular("block_lower", "block_upper", n, rank, diagonal)


def block_upper(n: int, rank: int, diagonal: str = "last") -> SegmentedFactor:
    """[[A, B], [0, D]], A dense of ``rank`` rows, D diagonal: tau^-1 is diagonal plus rank ``rank``.

    With diagonal="first" it is [[D, B], [0, A]]: then tau is diagonal plus rank ``rank``.

    Args:
        n: Number of rows.
        rank: Rows of A.
        diagonal: "last" or "first".

    Returns:
        The structure.
    """
    return _block_triangular("block_upper", "block_lower", n, rank, diagonal)


def hierarchical(n: int, k1: int, k2: int, transposed: bool = False) -> SegmentedFactor:
    """[[A, B1, B2], [0, C, 0], [0, D, E]], A of k1 and E of k2 rows dense, C diagonal.

    With n <= k1 all of it is A; with n <= k1 + k2 there is no C.

    Args:
        n: Number of rows.
        k1: Rows of A.
        k2: Rows of E.
        transposed: Whether the pattern is that of the transposed matrices.

    Returns:
        The structure.

    Raises:
        ValueError: If k1 or k2 is not a number of rows.
    """
    for value, word in ((k1, "k1"), (k2, "k2")):
        if not _is_count(value) or value < 0:
            raise ValueError(f"{word} of hierarchical must be a whole number, 0 or more, got {value!r}.")
    first = min(k1, n)
    last = min(k2, n - first)
    sizes = (first, n - first - last, last)
    segments = {i: Segment(s, 1) if i == 1 else _dense(s) for i, s in enumerate(sizes) if s}
    numbers = {i: number for number, i in enumerate(segments)}
    couplings = tuple(
        (numbers[i], numbers[j]) for i, j in ((0, 1), (0, 2), (2, 1)) if i in numbers and j in numbers
    )
    layout = Layout(tuple(segments.values()), couplings)
    options: dict[str, object] = {"k1": k1, "k2": k2}
    turned: dict[str, object] = {**options, "transposed": True}
    if transposed:
        return SegmentedFactor("hierarchical", n, turned, layout.mirrored, ("hierarchical", options))
    return SegmentedFactor("hierarchical", n, options, layout, ("hierarchical", turned))


def _block_triangular(kind: str, dual: str, n: int, rank: int, diagonal: str) -> SegmentedFactor:
    _require_size(rank, "rank", n)
    if diagonal not in ("first", "last"):
        raise ValueError(f'diagonal of {kind} must be "first" or "last", got {diagonal!r}.')
    block, rest = _dense(rank), Segment(n - rank, 1)
    segments = tuple(s for s in ((block, rest) if diagonal == "last" else (rest, block)) if s.size)
    couplings = (((1, 0),) if kind == "block_lower" else ((0, 1),)) if len(segments) == 2 else ()
    options: dict[str, object] = {"rank": rank}
    if diagonal == "first":
        options["diagonal"] = diagonal
    return SegmentedFactor(kind, n, options, Layout(segments, couplings), (dual, options))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_size(value: int, word: str, n: int) -> None:
    if not _is_count(value) or not 1 <= value <= n:
        raise ValueError(f"{word} must be a whole number from 1 to n = {n}, got {value!r}.")
