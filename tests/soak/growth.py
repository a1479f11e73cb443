"""Memory and descriptors of workers while they work: neither grows once they are warm."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

#: Samples below which nothing is said of a worker: it was killed soon, or the run is short.
_ENOUGH = 12
#: What may be added between the second quarter and the last: pools and caches fill, up to their bounds, and the
#: first sign-in and the first fault at a worker import what they need.
_MEMORY_SHARE, _MEMORY_MIB, _DESCRIPTORS = 0.10, 48.0, 48


@dataclass(frozen=True)
class Sample:
    """One look at a worker."""

    #: resident memory in MiB
    memory: float
    descriptors: int


class Growth:
    """The samples of each worker, by its process id."""

    def __init__(self) -> None:
        self._samples: dict[int, list[Sample]] = defaultdict(list)

    def look(self, pids: Sequence[int]) -> None:
        """Take a sample of each process that is there."""
        for pid in pids:
            if (sample := sample_of(pid)) is not None:
                self.add(pid, sample)

    def add(self, pid: int, sample: Sample) -> None:
        """Keep a sample."""
        self._samples[pid].append(sample)

    @property
    def problems(self) -> list[str]:
        """What grows, in words."""
        found = []
        for pid, samples in self._samples.items():
            if len(samples) < _ENOUGH:
                continue
            early, late = _quarters(samples)
            if late.memory > early.memory * (1 + _MEMORY_SHARE) + _MEMORY_MIB:
                found.append(f"worker {pid} grew from {early.memory:.0f} to {late.memory:.0f} MiB")
            if late.descriptors > early.descriptors + _DESCRIPTORS:
                found.append(f"worker {pid} had {early.descriptors} descriptors, and then {late.descriptors}")
        return found

    @property
    def summary(self) -> str:
        """One line: the largest that was seen, and how much those changed who lived long enough."""
        every = [sample for samples in self._samples.values() for sample in samples]
        if not every:
            return "no worker was looked at"
        changes = [_quarters(samples) for samples in self._samples.values() if len(samples) >= _ENOUGH]
        text = (
            f"{len(self._samples)} workers, at most {max(s.memory for s in every):.0f} MiB and "
            f"{max(s.descriptors for s in every)} descriptors"
        )
        if changes:
            memory = max(late.memory - early.memory for early, late in changes)
            descriptors = max(late.descriptors - early.descriptors for early, late in changes)
            text += f"; of {len(changes)} that lived long enough the most growth: {memory:+.1f} MiB, {descriptors:+d}"
        return text


def _quarters(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """The medians of the second quarter and of the last."""
    quarter = len(samples) // 4
    return _middle(samples[quarter : 2 * quarter]), _middle(samples[-quarter:])


def _middle(samples: Sequence[Sample]) -> Sample:
    return Sample(median(s.memory for s in samples), int(median(s.descriptors for s in samples)))


def sample_of(pid: int) -> Sample | None:
    """Look at a process; ``None``: it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    return Sample(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, descriptors)
