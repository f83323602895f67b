"""Lays out tokens as text from their bytes alone.

Knows bytes and spans; knows nothing of tokenizers or Qt.
"""

import numpy as np

from core.text import Tokens


def spell(pieces: list[bytes], ids: tuple[int, ...]) -> Tokens:
    """Return tokens with their spans in the text that their bytes make together.

    Parts of one character all carry that character's span, as in core.codec.
    """
    data = b"".join(pieces)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # Not valid as a whole: each token by itself, with U+FFFD for what is no text.
        texts = [piece.decode("utf-8", "replace") for piece in pieces]
        stops = np.cumsum([len(part) for part in texts], dtype=np.int64).tolist()
        starts = [0, *stops[:-1]] if stops else []
        text = "".join(texts)
    else:
        first = np.array([byte & 0xC0 != 0x80 for byte in data], dtype=np.int64)
        character = np.append(np.cumsum(first) - 1, len(text))
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        begins = ends - [len(piece) for piece in pieces]
        starts = [int(character[b]) for b in begins]
        stops = [
            int(character[e - 1]) + 1 if e > b else int(character[b])
            for b, e in zip(begins, ends, strict=True)
        ]
    return Tokens(text, ids, tuple(starts), tuple(stops), tuple(pieces), (False,) * len(pieces))
