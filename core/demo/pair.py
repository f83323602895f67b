"""The demo pair: two adapters that ship with Qscope, over a base that is fetched on first use.

Knows nothing of loading.
"""

import tomllib
from dataclasses import replace
from pathlib import Path

from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair
from core.demo.base import demo_base as demo_base
from core.errors import UserFacingError
from core.progress import Report, Stop, never
from core.provenance import Provenance

DEMO_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "demo"


def demo_beta() -> float:
    """Return the beta that the demo's policy was trained with, as its recipe says.

    Raises:
        UserFacingError: the recipe is not there or not whole.
    """
    try:
        recipe = tomllib.loads((DEMO_FOLDER / "recipe.toml").read_text(encoding="utf-8"))
        return float(recipe["dpo"]["beta"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserFacingError(
            f"The demo's recipe in {DEMO_FOLDER} is damaged: get Qscope again whole (git checkout "
            f"resources)."
        ) from error


def demo_plan(progress: Report, cancelled: Stop = never) -> PairPlan:
    """Return how the DPO adapter and the SFT adapter that it was trained from are loaded.

    Raises:
        UserFacingError, Cancelled: as ``demo_base``; or the adapters are not there.
    """
    adapters = DEMO_FOLDER / "dpo", DEMO_FOLDER / "sft"
    for adapter in adapters:
        if not (adapter / "adapter_config.json").is_file():
            raise UserFacingError(
                f"The demo's adapter {adapter} is missing: get Qscope again whole (git checkout "
                f"resources), or open a pair of your own."
            )
    known = Provenance(
        demo_beta(),
        losses=(("sigmoid", 1.0),),
        sources=dict.fromkeys(("beta", "losses"), "the demo's recipe"),
    )
    return replace(resolve_pair(*adapters, base=demo_base(progress, cancelled)), provenance=known)
