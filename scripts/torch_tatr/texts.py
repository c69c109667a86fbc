"""Text for a model: documents, and batches of their pieces that hold a given number of tokens exactly. No torch."""

import dataclasses
import json
import pathlib

from .problems import Problem


def read_documents(path):
    """Texts of a file, of each line's "text" of a .jsonl, or of each file of a folder."""
    path = pathlib.Path(path)
    try:
        if path.is_dir():
            found = [file.read_text("utf-8", "replace") for file in sorted(path.rglob("*")) if file.is_file()]
        elif path.suffix in (".jsonl", ".ndjson"):
            found = [text_of(path, number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if line.strip()]
        else:
            found = [path.read_text("utf-8", "replace")]
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Problem(f"{path}: is not UTF-8") from None
    found = [text for text in found if text.strip()]
    if not found:
        raise Problem(f"{path}: holds no text")
    return found


def text_of(path, number, line):
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str):
        raise Problem(f'{path}:{number}: expected an object with "text", a string')
    return text


@dataclasses.dataclass
class Piece:
    """Tokens that one forward pass sees together; `document` is what is drawn from when an interval is made."""
    document: int
    tokens: list


def pieces_of(documents, length):
    """Documents of tokens, cut into pieces of at most `length`. Of one document alone each piece counts as one."""
    pieces = [Piece(document, tokens[first:first + length]) for document, tokens in enumerate(documents)
              for first in range(0, len(tokens), length)]
    if len(documents) == 1:
        pieces = [Piece(number, piece.tokens) for number, piece in enumerate(pieces)]
    return pieces


def interleaved(pieces):
    """The first piece of each document, then the second of each, and so on: so that any part holds as many documents as it can."""
    seen, place = {}, []
    for piece in pieces:
        place.append(seen.get(piece.document, 0))
        seen[piece.document] = place[-1] + 1
    return [piece for _, piece in sorted(zip(place, pieces), key=lambda entry: entry[0])]


def batches_of(pieces, tokens):
    """Batches of exactly `tokens` tokens, in order; a piece that does not fit is cut, its rest begins the next batch. What fills
    no whole batch is left out."""
    batch, room = [], tokens
    for piece in pieces:
        rest = piece.tokens
        while rest:
            part, rest = rest[:room], rest[room:]
            batch.append(Piece(piece.document, part))
            room -= len(part)
            if room == 0:
                yield batch
                batch, room = [], tokens
