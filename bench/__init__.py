"""Benchmarks of the suite: times, throughput, share of the machine's peak, memory."""

import os

from dfpg.cli import OPENMP_SPIN

os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN)  # as the command sets it, before torch loads
