"""`make test-clock`: the suite at the hours at which it has failed, or could.

A schedule's minute, midnight in Los Angeles and in UTC, both days of the clock change, the end of the year, a 29th of
February. `instants` lists them, in the future of whoever runs this. Before each test the clock is set back so that the
instant falls into its middle; the clock then runs on.

The clock is that of whole processes, of those under test and of all they start: `clock_shift.c`, a library that the
loader puts before the C library (LD_PRELOAD) and that shifts the time of day by a number that all processes share.
Measured instead, with Python 3.11:

- A clock injected into the product moves only the product. What fell into tests were ticks of Dagster's scheduler,
  which has a clock of its own, as have both databases.
- Debian 12's libfaketime 0.9.10 breaks Python: `time.sleep` raises EINVAL when the monotonic clock is left alone, and
  `Event.wait(0.3)` does not return when it is not.
- A newer libfaketime (PyPI's 3.0.1) works and doubles the CPU that a test with processes takes, 75 s for 31: a
  semaphore for every look at the clock. `ig-pipeline up` and its main job took 77 s for 22.
- This library costs nothing that could be measured. It leaves monotonic clocks alone, and translates deadlines that
  are given by the time of day (gRPC waits by such).

Which tests: all of them once, at a quiet hour (`quiet`), which shows whether the library itself breaks one, and notes
how long each takes and whether it looks at the real clock: through `ig_pipeline.clock.utc_now`, the only place in the
product that does, in a process it starts, in Dagster, or in the test module's own code. At the instants those are run
that do, and those not known yet; all are with FULL=1.
"""
