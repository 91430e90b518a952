"""YAML text → plain values, and the place of every key and value.

What comes out is a mapping of plain values by the rules of YAML 1.2 (`no` is a string, `1e-3` a
number), with text keys, and never more than the limits allow. Whatever text, file or mapping goes
in, the only exception is SpecError, with these codes:

    NS101  the text is not YAML
    NS102  a key is given twice in one mapping
    NS103  a limit is passed: size, depth, number of values, length of a text or a number
    NS104  a part of YAML that specs do not use: tags, merge keys, keys that are not text
    NS105  the file cannot be read
    NS106  the document is not one mapping: it is empty, a list, a text, or there are several
    NS107  a mapping given in Python holds something that a spec cannot
    NS108  a comma inside braces cut an expression short
"""

from netspec.source.document import Path, Plain, Source
from netspec.source.mapping import from_mapping
from netspec.source.read import read_source, read_text

__all__ = ["Path", "Plain", "Source", "from_mapping", "read_source", "read_text"]
