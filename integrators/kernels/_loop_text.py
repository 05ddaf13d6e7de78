"""Text of the loop over steps and blocks on the CPU.

``run_block`` advances the trajectories of one block. In the checked one the step itself finds the codes of
the lanes and keeps their last good values. In the plain one, chunks of steps run without a look, and one that
ends badly is run again step by step.
"""

from __future__ import annotations

CHUNK = 64
"""Steps between two looks at the values, where steps do not look themselves."""

CHECKED_BLOCK = """
def run_block(b, C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at):
    A = np.zeros(ROWS * L, dtype=FLOAT)
    code = np.zeros(L, dtype=np.int64)
    stopped = np.zeros(L, dtype=np.int64)
    base = b * L
    live = min(L, C.shape[0] - base)
    moving = 0
    for l in range(L):
        code[l] = codes[base + min(l, live - 1)]
        if code[l] >= 2:
            stopped[l] = code[l]
        elif l < live:
            moving += 1
    read_rows(A, 0, CARRY, C, base, live)
    for k in range(steps):
        load_controls(A, U, k, base, live)
        n = done + k + 1
        if moving > 0 and step(A, P, code) >= 2:
            for l in range(L):
                if stopped[l] >= 2:
                    code[l] = stopped[l]
                elif code[l] >= 2:
                    stopped[l] = code[l]
                    if l < live:
                        failed_at[base + l] = n
                        moving -= 1
        record(A, P, done, n, stride, X, observe_stride, O, base, live)
    for l in range(live):
        codes[base + l] = code[l]
    write_rows(A, 0, CARRY, C, base, live)
"""

PLAIN_BLOCK = """
def advance_one_by_one(A, S, P, U, bad, base, live, n, first, size, failed_at):
    frozen = 0
    for j in range(size):
        for i in range(CARRY * L):
            S[i] = A[i]
        load_controls(A, U, first + j, base, live)
        clear_verdict(A)
        step(A, P)
        frozen = 0
        for l in range(L):
            v = 0.0
            for r in range(CARRY):
                v += abs(A[r * L + l])
            status = read_verdict(A, l)
            if not v < LARGEST and status < 2:
                status = NON_FINITE
            if bad[l] < 2:
                bad[l] = max(bad[l], status)
                if bad[l] >= 2 and l < live:
                    failed_at[base + l] = n + j + 1
            if bad[l] >= 2:
                frozen += 1
                for r in range(CARRY):
                    A[r * L + l] = S[r * L + l]
    return frozen


def finite_lanes(A, T):
    for l in range(L):
        T[l] = 0.0
    for r in range(CARRY):
        for l in range(L):
            T[l] += abs(A[r * L + l])
    good = 0
    for l in range(L):
        good += 1 if T[l] < LARGEST else 0
    return good


def run_block(b, C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at):
    A = np.zeros(ROWS * L, dtype=FLOAT)
    S = np.zeros(CARRY * L, dtype=FLOAT)
    T = np.zeros(L, dtype=FLOAT)
    bad = np.zeros(L, dtype=np.int64)
    base = b * L
    live = min(L, C.shape[0] - base)
    frozen = 0
    for l in range(L):
        bad[l] = codes[base + min(l, live - 1)]
        frozen += bad[l] >= 2
    read_rows(A, 0, CARRY, C, base, live)
    n = done
    while n < done + steps:
        k = n - done
        size = min(steps - k, CHUNK)
        if stride > 0:
            size = min(size, stride - n % stride)
        if observe_stride > 0:
            size = min(size, observe_stride - n % observe_stride)
        whole = frozen == 0
        if whole:
            for i in range(CARRY * L):
                S[i] = A[i]
            clear_verdict(A)
            run_chunk(A, P, U, k, size, base, live)
            whole = finite_lanes(A, T) == L and worst_verdict(A) == 0
            if not whole:
                for i in range(CARRY * L):
                    A[i] = S[i]
        if not whole:
            frozen = advance_one_by_one(A, S, P, U, bad, base, live, n, k, size, failed_at)
        n += size
        record(A, P, done, n, stride, X, observe_stride, O, base, live)
    for l in range(live):
        codes[base + l] = bad[l]
    write_rows(A, 0, CARRY, C, base, live)
"""

SINGLE_STEPS = """
def run_chunk(A, P, U, k, size, base, live):
    for j in range(size):
        load_controls(A, U, k + j, base, live)
        step(A, P)
"""

STEPS_IN_PAIRS = """
def run_chunk(A, P, U, k, size, base, live):
    if U.shape[0] > 1:
        for j in range(size):
            load_controls(A, U, k + j, base, live)
            step(A, P)
    else:
        load_controls(A, U, k, base, live)
        for j in range(size // 2):
            step_twice(A, P)
        if size % 2 == 1:
            step(A, P)
"""

PAIRS_WITHOUT_CONTROLS = """
def run_chunk(A, P, U, k, size, base, live):
    for j in range(size // 2):
        step_twice(A, P)
    if size % 2 == 1:
        step(A, P)
"""

DRIVERS = """
def start_all(X, P, C):
    A = np.zeros(ROWS * L, dtype=FLOAT)
    for base in range(0, X.shape[0], L):
        live = min(L, X.shape[0] - base)
        read_rows(A, STATE, STATE_SIZE, X, base, live)
        start(A, P)
        write_rows(A, 0, CARRY, C, base, live)


def read_all(C, P, X, O):
    A = np.zeros(ROWS * L, dtype=FLOAT)
    for base in range(0, C.shape[0], L):
        live = min(L, C.shape[0] - base)
        read_rows(A, 0, CARRY, C, base, live)
        finish(A, P)
        observe(A, P)
        write_rows(A, STATE, STATE_SIZE, X, base, live)
        write_rows(A, OBSERVED, OBSERVED_SIZE, O, base, live)


def run_serial(C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at):
    for b in range((C.shape[0] + L - 1) // L):
        run_block(b, C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at)


def run_parallel(C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at):
    for b in prange((C.shape[0] + L - 1) // L):
        run_block(b, C, P, U, done, steps, stride, X, observe_stride, O, codes, failed_at)
"""
