"""Text to train on: of the Debian packages that are installed here, or of a folder; and its tokens. No torch.

Of packages: documentation and licences, English manual pages, sources of Python and Perl libraries, C headers. Copies go: of files, and of
paragraphs (a licence stands in hundreds of packages). Documents are in the order of their hashes, so that any part is a mixture.
"""

import gzip
import hashlib
import json
import pathlib
import re
import sysconfig

from .problems import Problem, needed, say, write_whole
from .texts import read_documents

WANTED = re.compile(r"^/usr/share/(?:doc/.*|common-licenses/[^/]*|man/man\d[a-z]*/.*|info/.*)$"
                    r"|^/usr/(?:lib|share)/.*\.(?:py|pm|pl|pod|rb|tcl|el)$|^/usr/include/.*\.h(?:pp)?$")
UNWANTED = re.compile(r"\.(?:png|gif|jpe?g|svg|pdf|ps|js|css|html?|xml|zip|xz|bz2|db|so|pyc|ico|woff2?|mo|inv)(?:\.gz)?$|/changelog\.Debian")
LONGEST = 1 << 20     # bytes of a document; the rest is left out
PARAGRAPH = 120       # characters from which on a paragraph that was there before is left out
LARGEST = 0.1         # part of the text that one package may be
VALIDATION = 20       # every so-manieth document is for validation


def package_files(info=pathlib.Path("/var/lib/dpkg/info")):
    """(package, path) of what packages installed, by dpkg's own lists."""
    for listing in sorted(info.glob("*.list")):
        package = listing.stem.split(":")[0]
        for path in listing.read_text("utf-8", "replace").splitlines():
            if WANTED.match(path) and not UNWANTED.search(path):
                yield package, pathlib.Path(path)


def python_files():
    """Of Python's standard library, where it is no package's."""
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" not in path.parts:
            yield "python", path


def text_in(path):
    """None: no text."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        data = path.read_bytes()[:8 * LONGEST]
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data[:LONGEST].decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, gzip.zlib.error):
        return None
    if "\0" in text:
        return None
    return without_troff(text) if "/man/man" in str(path) else text


def without_troff(text):
    """A manual page's words: its requests and escapes are no language."""
    text = re.sub(r"(?m)^[.'](?:\\\"|[a-z]|TH|[LPT]?P\b|HP|IP|R[SE]\b|I[NX]\b|Dd|Dt|Os|[BE]l\b).*\n", "", text)
    text = re.sub(r"(?m)^[.'][A-Z][A-Za-z]? ?\"?(.*?)\"?$", r"\1", text)  # .B, .SH: what they mark stays
    return re.sub(r"\\(?:f[A-Z\d]|f\(..|-|&|s[-+]?\d)", lambda found: "-" if found[0] == "\\-" else "", text)


def without_copies(found, enough):
    """Documents, (package, text), in which paragraphs stand once, and no package is most of it. Stops at `enough` characters."""
    seen, documents, size, of_package = set(), [], 0, {}
    for package, text in found:
        if package and of_package.get(package, 0) > LARGEST * enough:
            continue
        parts = []
        for part in text.split("\n\n"):
            mark = hashlib.blake2b(" ".join(part.split()).encode(), digest_size=8).digest()
            if len(part) >= PARAGRAPH and mark in seen:
                continue
            seen.add(mark)
            parts.append(part)
        text = "\n\n".join(parts).strip()
        if len(text) >= 200:
            documents.append((package, text))
            size += len(text)
            of_package[package] = of_package.get(package, 0) + len(text)
        if size >= enough:
            break
    return documents


def of_packages(enough):
    texts = {}
    for package, path in (*package_files(), *python_files()):
        text = text_in(path)
        if text and len(text) >= 200:
            texts.setdefault(hashlib.sha256(text.encode()).hexdigest(), (package, text))
    documents = without_copies((texts[mark] for mark in sorted(texts)), enough)
    if not documents:
        raise Problem("no text of Debian packages here; give --text FOLDER", 3)
    return documents


def documents_of(text, megabytes):
    """Documents, and what they are: {"packages": …, "documents": …, "characters": …, "sha256": …}."""
    enough = megabytes * 1_000_000
    found = of_packages(enough) if text is None else without_copies((("", content) for content in sorted(read_documents(text), key=hash_of)), enough)
    if not found:
        raise Problem(f"{text}: no text of 200 characters or more")
    digest = hashlib.sha256()
    for _, content in found:
        digest.update(content.encode())
    about = {"packages": sorted({package for package, _ in found if package}) if text is None else None, "text": None if text is None else str(text),
             "documents": len(found), "characters": sum(len(content) for _, content in found), "sha256": digest.hexdigest()}
    return [content for _, content in found], about


def hash_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def encode(documents, tokenizer, vocabulary, folder):
    """Tokens of each document (lists); a tokenizer is trained where `tokenizer` is "bpe", and kept in the folder."""
    if tokenizer == "bytes":
        return [list(text.encode()) for text in documents]
    library = needed("tokenizers", "--tokenizer bpe")
    path = folder / "tokenizer.json"
    if path.exists():
        made = library.Tokenizer.from_file(str(path))
    else:
        say(f"  training a tokenizer of {vocabulary} tokens")
        made = library.ByteLevelBPETokenizer()
        made.train_from_iterator(documents[:4000], vocab_size=vocabulary, min_frequency=2, show_progress=False)
        write_whole(path, made.to_str())
    return [encoding.ids for encoding in made.encode_batch(documents)]


def prepare(folder, text, megabytes, tokenizer, vocabulary):
    """Arrays of training tokens, documents of validation (lists of tokens), and what they are; kept in the folder for the next time."""
    numpy = needed("numpy", "lab")
    files = {name: folder / f"{name}.npy" for name in ("training", "validation", "lengths")}
    about_file = folder / "corpus.json"
    if not about_file.exists():
        say("  collecting text")
        documents, about = documents_of(text, megabytes)
        tokens = encode(documents, tokenizer, vocabulary, folder)
        held = [tokens[i] for i in range(0, len(tokens), VALIDATION)]
        kept = [part for i, part in enumerate(tokens) if i % VALIDATION]
        if not kept or sum(map(len, kept)) < 1000:
            raise Problem(f"{about['characters']} characters of text: too few to train on")
        about |= {"tokenizer": tokenizer, "training_tokens": sum(map(len, kept)), "validation_tokens": sum(map(len, held))}
        for name, value in (("training", [token for part in kept for token in part]), ("validation", [token for part in held for token in part]),
                            ("lengths", [len(part) for part in held])):
            save(numpy, files[name], numpy.array(value, numpy.uint32 if name == "lengths" else numpy.uint16))
        write_whole(about_file, json.dumps(about, indent=1) + "\n")
    training, validation, lengths = (numpy.load(files[name]) for name in ("training", "validation", "lengths"))
    parts = numpy.split(validation, numpy.cumsum(lengths)[:-1])
    return training, [part.tolist() for part in parts], json.loads(about_file.read_text())


def save(numpy, path, array):
    import io
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    write_whole(path, buffer.getvalue())
