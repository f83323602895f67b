"""The page of what is supported is what the code says now."""

from tests.supported import PAGE, page


def test_the_page_is_up_to_date():
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.supported --write"
