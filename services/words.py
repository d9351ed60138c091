"""Words of French and English as they are compared: without case, accents and endings."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import snowballstemmer

LANGUAGES = {"fr": "french", "en": "english"}
_WORD = re.compile(r"[^\W_]+")
_SELF = re.compile(r"\bje\s+suis\b", re.IGNORECASE)
"""Of the French verb for "to be": the same word, said to somebody, asks to follow."""
_CONNECTOR = re.compile(r"\b(?:et|puis|and|then)\b", re.IGNORECASE)


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text that blanks part."""
    return frozenset(text.split())


LINKS = word_set("de du des d l le la les of the named called nomme nommes appele appeles")
"""Words that stand between "project" and its name."""
STOP_WORDS = LINKS | word_set(
    """
    projet projets project projects
    a ai au aux avec c ce ces cet cette chez dans donc en encore entier est et il ils j je m ma mes moi mon n ne nos
    notre nous on ou par peux peut pour pourrais puis qu que s sa se ses si sur t te toi tu un une veux voudrais vous y plait
    svp stp merci maintenant aujourd hui complet dossier dossiers fichier fichiers nouveau nouveaux nouvelle nouvelles
    an and are as at be by can could for from i in into is it its me my new now of on or our please so than thanks that
    then this these those to us was we with would you your whole entire folder folders file files today video videos
    """
)
"""Words, without accents, that do not say what is to be done."""


def fold(text: str) -> str:
    """Return text without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def spans(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text in normal form C begin and end."""
    return [match.span() for match in _WORD.finditer(text)]


def words(text: str) -> list[str]:
    """Return the words of a text, as they are written."""
    return _WORD.findall(unicodedata.normalize("NFC", text))


def clauses(text: str) -> list[str]:
    """Return the parts of a text that "and" or "then" hold together."""
    return _CONNECTOR.split(text)


def stems(text: str, language: str) -> dict[str, str]:
    """Return the stems of a text that say something, each with the first word that has it. `language`: fr or en."""
    found: dict[str, str] = {}
    for word in words(_SELF.sub(" ", text)):
        if (folded := fold(word)) not in STOP_WORDS:
            found.setdefault(_stem(folded, language), word)
    return found


@lru_cache(maxsize=10_000)
def _stem(folded: str, language: str) -> str:
    return str(_stemmer(language).stemWord(folded))


@lru_cache(maxsize=2)
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(LANGUAGES[language])
