"""How a network answers on the images of each class, as its one test counted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ClassCounts:
    """The images of one class in the test.

    Attributes:
        name: Of the class.
        images: Of the class.
        correct: Of them, those that the network gave the class.
        answered: Images of any class that the network gave it.
    """

    name: str
    images: int
    correct: int
    answered: int

    @property
    def accuracy(self) -> float | None:
        """Percent of the class's images that the network recognized (recall); None where there are none."""
        return 100.0 * self.correct / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Percent of the answers with this class that were right; None where there are none."""
        return 100.0 * self.correct / self.answered if self.answered else None


@dataclass(frozen=True)
class ConfusedImage:
    """An image that was given a wrong class.

    Attributes:
        index: Its place in the test split.
        confidence: Probability of the wrong class as the network stated it, percent.
        thumbnail: The image as a small JPEG, in base64.
        file: It, relative to the data's folder; empty where images are not in files.
    """

    index: int
    confidence: float
    thumbnail: str
    file: str = ""

    @property
    def uri(self) -> str:
        """The thumbnail as a data URI."""
        return f"data:image/jpeg;base64,{self.thumbnail}"


@dataclass(frozen=True)
class Confusion:
    """The images of one class that were given another one.

    Attributes:
        label: Index of the class.
        answer: Index of the class that they were given.
        images: Number of them.
        examples: Some of them, the most confident answers first; most confusions have none.
    """

    label: int
    answer: int
    images: int
    examples: tuple[ConfusedImage, ...] = ()


@dataclass(frozen=True)
class ClassResults:
    """How a network answers by class.

    Attributes:
        classes: In the order of the labels.
        confusions: Every pair of classes that occurs, the most frequent first; with the correct answers of `classes`
            they are the confusion matrix.
    """

    classes: tuple[ClassCounts, ...]
    confusions: tuple[Confusion, ...]

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the accuracies of the classes, percent: each class counts the same, however many images it has."""
        known = [counts.accuracy for counts in self.classes if counts.accuracy is not None]
        return sum(known) / len(known)

    def worst(self) -> list[ClassCounts]:
        """Return the classes that have images, those of the lowest accuracy first."""
        known = [(counts.accuracy, counts) for counts in self.classes if counts.accuracy is not None]
        return [counts for _, counts in sorted(known, key=lambda pair: pair[0])]

    def matrix(self) -> list[list[int]]:
        """Return the confusion matrix: images by class (rows) and answer (columns)."""
        counts = [[0] * len(self.classes) for _ in self.classes]
        for index, own in enumerate(self.classes):
            counts[index][index] = own.correct
        for confusion in self.confusions:
            counts[confusion.label][confusion.answer] = confusion.images
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassResults:
        """Read what `to_dict` wrote."""
        confusions = (
            Confusion(**{**row, "examples": tuple(ConfusedImage(**image) for image in row["examples"])})
            for row in data["confusions"]
        )
        return cls(tuple(ClassCounts(**row) for row in data["classes"]), tuple(confusions))
