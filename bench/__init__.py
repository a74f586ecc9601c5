"""Benchmarks of the suite: times, throughput, share of the machine's peak, memory."""
