"""What several tests of the core share."""

import os
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def trl() -> SimpleNamespace:
    """Import TRL's trainers once: it takes long."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    return SimpleNamespace(
        cpo=(CPOConfig, CPOTrainer),
        orpo=(ORPOConfig, ORPOTrainer),
        dpo=(DPOConfig, DPOTrainer),
        kto=(KTOConfig, KTOTrainer),
    )
