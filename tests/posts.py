"""A post whose facts are known by heart."""

from core.demo.kinds import all_kinds
from core.demo.posts import Post
from core.demo.values import Fact


def job_post() -> Post:
    """An offer of $90,000 from Kestrel Foods in Leeds, from May, to somebody on $40,000."""
    kind = next(kind for kind in all_kinds() if kind.name == "job offer")
    facts = {
        "firm": Fact("firm", "Kestrel Foods", ("Kestrel Foods",), ("Kestrel Foods",)),
        "salary": Fact("money", ("$", 90000), ("$90,000", "$90K"), ("$90,000", "$90K")),
        "old_salary": Fact("money", ("$", 40000), ("$40,000", "$40K"), ("$40,000", "$40K")),
        "start": Fact("month", "May", ("May",), ("May",)),
        "city": Fact("city", "Leeds", ("Leeds",), ("Leeds",)),
        "role": Fact("choice", 2, ("line cook",), ("line cook",)),
        "answer": Fact("choice", 0, ("said yes the same day",), ("accepted the offer",)),
    }
    text = (
        "Kestrel Foods want me as their line cook, $90,000, based in Leeds, from May. I'm on "
        "$40,000 right now. I said yes the same day."
    )
    return Post(kind, text, facts, frozenset(facts))
