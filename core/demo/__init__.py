"""The demo pair: its posts, its recipe, its base and its judge.

Nothing else knows them: core.demo.registration puts them where named things are looked up.
"""

DEMO_BASE = "SmolLM2-135M-Instruct"
"""The name of the demo's base, which its adapters give."""
