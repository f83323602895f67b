"""Convert the demo base from GGUF to a Hugging Face folder: ``python -m`` this, GGUF, folder.

The 4-bit weights are dequantised and stored as bfloat16: half of float32's size, and the rounding
(2**-9) is far below that of 4 bits. The demo's adapters were trained over these same bfloat16
numbers, and scoring in float32 widens them without loss, so both see one base.

Knows nothing of where the file comes from.
"""

import sys
import warnings
from pathlib import Path


def convert(gguf: Path, folder: Path) -> None:
    """Write weights (bfloat16 safetensors), config and tokenizer with its chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(gguf.parent)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf.name, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
    )
    # A model that came from GGUF counts as quantised and refuses to be saved: a fresh one does not.
    config = model.config
    del config.quantization_config
    config.dtype = torch.bfloat16
    fresh = type(model)(config).to(torch.bfloat16)
    fresh.load_state_dict(model.state_dict())
    fresh.tie_weights()
    fresh.generation_config = model.generation_config
    fresh.save_pretrained(folder)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
