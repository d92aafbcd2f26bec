"""Random histories against the running local cloud: buyers, staff, PayPal and misfortune at once, then the auditor.

`python -m tests.chaos --seed 1 --histories 10` (`make chaos SEED=1 N=10`). A seed is a story: the same seed draws the
same one. What threads and processes make of it cannot be replayed exactly, so a failing story is played several times.

    stories       what a history is, and drawing one from its seed
    telling       a story as sentences
    calling       calls to the shop: retries, pairs, abandoned calls, answers held against docs/openapi.json
    acting        what buyers, staff and PayPal do
    desk          what staff do with orders that were paid
    disturbing    kills, stops, faults, jumps of the clock
    playing       several histories at once against one cloud, then settling, closing, auditing
    running       batch after batch; what fails is looked into
    reducing      the shortest story that still fails
"""
