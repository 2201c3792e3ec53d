"""The page of odd bytes says of the router what comes of them."""

import pytest

from tests.services.router.raw_bytes import CLIENTS, PAGE, REPLICAS, TITLES, columns, measured, written

PATIENT_S = 20.0
"""For a machine that stands still a while."""


@pytest.mark.slow
async def test_the_page_says_what_a_client_of_this_router_hears_after_odd_bytes():
    page = PAGE.read_text(encoding="utf-8")
    said = columns(page)
    ours = said[TITLES["aegis"]]
    found = await measured("aegis")
    doubtful = {section: {name for name, word in found[section].items() if ours[section][name] != word} for section in found}
    if any(doubtful.values()):
        again = await measured("aegis", doubtful, PATIENT_S)
        for section, words in again.items():
            found[section].update(words)
    assert found[CLIENTS] == ours[CLIENTS] and found[REPLICAS] == ours[REPLICAS]
    assert written(said) == page
