"""ASCII spelling of characters that the output encoding lacks.

The terminal, PYTHONIOENCODING or the locale set the encoding. Many consoles have ASCII, Latin-1 or
code page 1252, none of which has ∇. Bytes of file names that are not UTF-8 are written unchanged.
"""

import codecs
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

HANDLER = "mlp_jax.spelled"

SPELLINGS = {
    "∇": "grad ", "Σ": "sum ", "σ": "sigma", "μ": "mu", "γ": "gamma", "β": "beta", "ε": "eps",
    "δ": "delta", "λ": "lambda", "θ": "theta", "α": "alpha", "π": "pi", "φ": "phi", "Φ": "Phi",
    "Δ": "delta ", "ρ": "rho", "τ": "tau", "κ": "kappa", "η": "eta", "ξ": "xi", "Ω": "Omega",
    "∞": "inf", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "√": "sqrt", "∂": "d", "∈": "in",
    "·": "*", "×": "x", "⊙": "*", "⊗": "(x)", "∘": "*", "−": "-", "–": "-", "—": "-", "‑": "-",
    "±": "+-", "÷": "/", "→": "->", "←": "<-", "↦": "->", "↑": "^", "↓": "v", "…": "...",
    "‖": "||", "⟨": "<", "⟩": ">", "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"',
    "«": '"', "»": '"', "ᵀ": "^T", "½": "1/2", "§": "section ", "ß": "ss", "•": "*", "✓": "ok",
    "✗": "x", "°": " deg", "€": "EUR", "⁻": "-", "å": "a", "ø": "o", "Ø": "O",
    "æ": "ae", "Æ": "AE", "œ": "oe", "ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe",
    "Ü": "Ue", "ν": "nu", "∝": "~", "∅": "{}", "⌊": "[", "⌋": "]",
}  # fmt: skip
FRAMES = {"─": "-", "━": "-", "╌": "-", "═": "=", "│": "|", "┃": "|", "║": "|", "╴": "-", "╸": "-"}


def spelled(letter: str) -> str:
    """Return a character in ASCII: its usual spelling, without accents, or a question mark."""
    if letter in SPELLINGS:
        return SPELLINGS[letter]
    if "\u2500" <= letter <= "\u257f":  # frames of tables
        return FRAMES.get(letter, "+")
    if "\u2580" <= letter <= "\u259f" or "\u2800" <= letter <= "\u28ff":  # bars and dots
        return "#"
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or ("" if unicodedata.combining(letter) else "?")


def _replacement(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the replacement of the first unencodable character, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":  # a byte that Python could not decode
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return spelled(letter), error.start + 1


def spell_what_is_missing(streams: Sequence[Any]) -> None:
    """Make these output streams spell characters that they cannot encode, instead of raising."""
    codecs.register_error(HANDLER, _replacement)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=HANDLER)
