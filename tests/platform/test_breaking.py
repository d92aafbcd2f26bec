"""The list of rules that are broken on purpose stays true: what is to be changed is there, and so are the tests."""

import pytest

from tools.breaking import Mutation, fitting, read_mutations
from tools.scratch_database import ROOT

MUTATIONS = read_mutations()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_what_a_mutation_changes_and_who_notices_is_there(mutation: Mutation) -> None:
    missing = [edit.old for edit in mutation.edits if not fitting(edit, ROOT)]
    for test in mutation.tests:
        file, _, name = test.partition("::")
        if name not in (ROOT / file).read_text():
            missing.append(test)

    assert missing == []
    assert mutation.tests


def test_the_list_is_long_enough_and_every_name_is_one_mutation() -> None:
    assert len(MUTATIONS) >= 10
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
