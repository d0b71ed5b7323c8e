"""The races of `experiments.throughput`: a file for each kind, and what they have in common.

All of them: `settings` (what can be asked), `problem` and `charlm` (what is computed), `turns` (how
times are taken), `contest` (who may race, and what becomes a row), `report` and `pictures`. Those
who race: `forms` (JAX), `pytorch`. The kinds: `layers`, `steps`, `sampling`, `growth`, `startup`,
`seeds`, `devices`; each has ``jobs(settings)``, one `Job` for each row it can measure.
"""
