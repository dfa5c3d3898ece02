"""Evaluation of the sentence encoder: each sentence must be closest to its paraphrase."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

PAIRS: Final = (
    ("The movie was wonderful.", "I enjoyed the film a lot."),
    ("How do I reset my password?", "I forgot my login and need a new one."),
    ("It is raining heavily today.", "There is a downpour outside."),
    ("The patient has a high fever.", "Her temperature is far above normal."),
    ("She bought a new car.", "A vehicle was purchased by her."),
    ("The stock market fell sharply.", "Share prices dropped a great deal."),
    ("He plays the piano every day.", "Each day he practises on a keyboard instrument."),
    ("The cat sleeps on the sofa.", "A kitten is napping on the couch."),
    ("Our train leaves at noon.", "We depart by rail at twelve o'clock."),
    ("The soup is too salty.", "There is more salt in the broth than I like."),
    ("They won the football match.", "The team was victorious in the game."),
    ("The computer does not start.", "My laptop will not boot."),
    ("Children are playing in the park.", "Kids have fun on the playground."),
    ("The bridge is closed for repairs.", "Construction work blocks the river crossing."),
    ("I would like to cancel my order.", "Please call off the purchase I made."),
    ("The mountain is covered with snow.", "White powder lies on the peak."),
)


def validate(predict: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of sentences closest to their paraphrase (`accuracy`) and the mean similarity."""
    first, second = (
        predict({"text": np.array(texts, dtype=object)})["embedding"] for texts in zip(*PAIRS, strict=True)
    )
    nearness = first @ second.T
    found = [nearness.argmax(axis=axis) == np.arange(len(PAIRS)) for axis in (0, 1)]
    return {"accuracy": float(np.mean(found)), "nearness": float(np.diag(nearness).mean())}
