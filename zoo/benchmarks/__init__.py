"""What `zoo bench` measures: each contestant in a process of its own, all of them taking turns.

`timing` is the arithmetic, `crew` the processes, `worker` and `contestants` what runs in them;
`running`, `converting` and `training` are the suites, `report` writes what they found.
"""
