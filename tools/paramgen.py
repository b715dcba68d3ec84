#!/usr/bin/python3
"""Generate the typed configuration, postconf's table and the parameter part of
postconf(5) from the records in src/global/param/ (its README has the format).

  paramgen.py --header OUT --table OUT FILE...
  paramgen.py --man5 OUT FILE...       replaces the part between the markers
"""
import argparse
import os
import re
import sys

KINDS = {"str": "STR", "raw": "RAW", "str-fn": "STR", "int": "INT", "nint": "INT",
         "long": "LONG", "bool": "BOOL", "nbool": "BOOL", "time": "TIME"}
C_TYPES = {"STR": "const char *", "RAW": "const char *", "INT": "int64_t ",
           "LONG": "int64_t ", "BOOL": "bool ", "TIME": "int64_t "}
KEYS = {"param", "pattern", "legacy", "type", "range", "default", "programs", "since",
        "builtin", "successor", "doc"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
UNIT_NAMES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
HASH_SIZE = 4096


def fail(where, text):
    sys.exit(f"paramgen: {where}: {text}")


class Record:
    def __init__(self, where, fields):
        self.where = where
        self.fields = fields
        self.role = next((k for k in ("param", "pattern", "legacy") if k in fields), None)
        if not self.role:
            fail(where, "a record starts with param:, pattern: or legacy:")
        self.name = fields[self.role]
        words = fields.get("type", "str").split()
        if words[0] not in KINDS:
            fail(where, f"unknown type {words[0]}")
        self.type = words[0]
        self.kind = KINDS[words[0]]
        self.unit = words[1] if self.kind == "TIME" else ""
        if self.kind == "TIME" and self.unit not in UNITS:
            fail(where, "a time needs a default unit")
        self.readonly = "readonly" in words
        self.default = fields.get("default", "")
        self.range = [int(x) for x in fields["range"].split()] if "range" in fields else None
        self.programs = fields.get("programs", "")
        self.since = fields.get("since", "")
        self.successor = fields.get("successor", "")
        self.doc = fields.get("doc", "")
        if self.role != "legacy" and not self.doc:
            fail(where, f"{self.name} has no doc")

    def macro(self):
        found = re.fullmatch(r"@([A-Z_]+)@", self.default)
        return found.group(1) if found else None

    def computed(self):
        return self.default == "@computed@"

    def dynamic(self):
        return "$" in self.default and self.kind != "RAW"

    def number(self):
        if self.kind in ("STR", "RAW") or self.dynamic() or self.computed():
            return 0
        if self.kind == "BOOL":
            if self.default not in ("yes", "no"):
                fail(self.where, f"{self.name}: default is not yes or no")
            return int(self.default == "yes")
        found = re.fullmatch(r"(-?\d+)([smhdw]?)", self.default)
        if not found or (found.group(2) and self.kind != "TIME"):
            fail(self.where, f"{self.name}: malformed default {self.default}")
        value = int(found.group(1))
        return value * UNITS[found.group(2) or self.unit] if self.kind == "TIME" else value

    def field(self):
        return ("p_" if self.name[0].isdigit() else "") + self.name


def parse(path):
    records, fields, key, start = [], {}, None, 0
    with open(path, encoding="ascii") as source:
        lines = source.read().split("\n")
    for number, line in enumerate(lines + [""], 1):
        where = f"{path}:{number}"
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                records.append(Record(f"{path}:{start}", fields))
            fields, key = {}, None
        elif line[0] in " \t":
            if key != "doc":
                fail(where, "only doc may be continued")
            fields[key] += " " + line.strip()
        else:
            key, colon, value = line.partition(":")
            if not colon or (key not in KEYS and not key.startswith("default.")):
                fail(where, f"unknown key {key}")
            if key in fields:
                fail(where, f"{key} given twice")
            start = start if fields else number
            fields[key] = value.strip()
    return records


def instances(pattern):
    """The rows of a pattern that exist without being asked for."""
    for prefix in pattern.fields.get("builtin", "").split():
        fields = {k: v for k, v in pattern.fields.items() if k not in ("pattern", "builtin")}
        fields["param"] = prefix + pattern.name
        fields["default"] = fields.get("default." + prefix, pattern.default)
        yield Record(pattern.where, fields)


def load(paths):
    records = [r for path in paths for r in parse(path)]
    params = [r for r in records if r.role == "param"]
    patterns = [r for r in records if r.role == "pattern"]
    legacy = [r for r in records if r.role == "legacy"]
    for pattern in patterns:
        params.extend(instances(pattern))
    params.sort(key=lambda r: r.name)
    legacy.sort(key=lambda r: r.name)
    names = [r.name for r in params + legacy]
    for name in names:
        if names.count(name) > 1:
            fail("all files", f"{name} is declared twice")
    return params, patterns, legacy


def c_string(text):
    return '"' + re.sub(r'(["\\])', r"\\\1", text).replace("??", '?""?') + '"'


def row(record, role):
    flags = [flag for flag, on in (
        ("PARAM_DYNAMIC", record.dynamic()), ("PARAM_COMPUTED", record.computed()),
        ("PARAM_READONLY", record.readonly), ("PARAM_LEGACY", role == "legacy"),
        ("PARAM_GATEPOST", record.since == "gatepost"),
    ) if on]
    text = record.macro() or c_string("" if record.computed() else record.default)
    low, high = record.range or (0, 0)
    parts = [f".name = {c_string(record.name)}", f".text = {text}"]
    if record.number():
        parts.append(f".number = {record.number()}")
    if record.range:
        parts.append(f".min = {low}, .max = {high}")
    parts.append(f".programs = {c_string(record.programs)}")
    if record.successor:
        parts.append(f".successor = {c_string(record.successor)}")
    if role == "param":
        parts.append(f".offset = offsetof(struct config, {record.field()})")
    parts.append(f".kind = PARAM_{record.kind}")
    if flags:
        parts.append(".flags = " + " | ".join(flags))
    if record.unit:
        parts.append(f".unit = '{record.unit}'")
    return "    {" + ", ".join(parts) + "},"


def fnv1a(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def name_index(names):
    """Open addressing: slot -> 1 + row, 0 where the search ends."""
    slots = [0] * HASH_SIZE
    for position, name in enumerate(names):
        slot = fnv1a(name) % HASH_SIZE
        while slots[slot]:
            slot = (slot + 1) % HASH_SIZE
        slots[slot] = position + 1
    return slots


def header(params):
    out = ["/* Generated by tools/paramgen.py: the fields of struct config. */",
           "#ifdef CONFIG_FIELDS"]
    out += [f"{C_TYPES[r.kind]}{r.field()};" for r in params]
    out += ["#else", f"#define PARAM_COUNT {len(params)}",
            f"#define PARAM_INDEX_SIZE {HASH_SIZE}", "#endif"]
    return "\n".join(out) + "\n"


def table(params, patterns, legacy):
    slots = name_index([r.name for r in params + legacy])
    out = ["/* Generated by tools/paramgen.py. */", '#include "global/config.h"',
           '#include "global/param.h"', '#include "global/paths.h"', '#include "param_gen.h"', "",
           "const struct param_row param_table[] = {"]
    out += [row(r, "param") for r in params] + [row(r, "legacy") for r in legacy]
    out += ["};", f"const size_t param_count = {len(params)};",
            f"const size_t param_legacy_count = {len(legacy)};", "",
            "const struct param_row param_patterns[] = {"]
    out += [row(r, "pattern") for r in patterns]
    out += ["};", f"const size_t param_pattern_count = {len(patterns)};", "",
            "extern const uint16_t param_index[];",
            "const uint16_t param_index[PARAM_INDEX_SIZE] = {"]
    out += ["    " + ", ".join(map(str, slots[i:i + 16])) + "," for i in range(0, HASH_SIZE, 16)]
    out += ["};"]
    return "\n".join(out) + "\n"


def man_text(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def man_default(record):
    if record.computed():
        return "(worked out by the program)"
    if record.macro():
        return "(fixed when the software is built)"
    return f"(default: \\fI{man_text(record.default)}\\fR)" if record.default else "(default: empty)"


def man_range(record):
    low, high = record.range or (0, 0)
    if record.kind in ("STR", "RAW"):
        if low and low == high:
            return f"Exactly {low} characters."
        return "May not be empty." if low else ""
    if low and high:
        return f"From {low} to {high}."
    return f"At least {low}." if low else f"At most {high}." if high else ""


def man_notes(record):
    notes = []
    if record.kind == "TIME":
        notes.append(f"A time, in {UNIT_NAMES[record.unit]} unless a unit follows.")
    elif record.kind == "BOOL":
        notes.append("Yes or no.")
    notes.append(man_range(record))
    if record.successor:
        notes.append(f"Outdated: use {record.successor} instead.")
    if record.readonly:
        notes.append("Cannot be set.")
    if record.programs and record.programs != "global":
        notes.append("Read by " + record.programs.replace("(patterned)", "") + ".")
    if record.since == "gatepost":
        notes.append("Known to Gatepost only.")
    elif record.since:
        notes.append(f"Since {record.since}.")
    return " ".join(note for note in notes if note)


def man_entry(record, shown_name):
    out = [f".It Sy {man_text(shown_name)}", man_default(record), ".br", man_text(record.doc)]
    notes = man_notes(record)
    return out + [".br", man_text(notes)] if notes else out


def man5(path, params, patterns, legacy):
    instance_names = {r.name for p in patterns for r in instances(p)}
    out = [".Bl -tag -width Ds"]
    for record in params:
        if record.name not in instance_names:
            out += man_entry(record, record.name)
    out += [".El", ".Sh PARAMETERS NAMED AFTER A TRANSPORT OR SERVICE",
            "The first part of these names is the name of an entry in",
            ".Xr master.cf 5 .", ".Bl -tag -width Ds"]
    for record in patterns:
        prefix = "service" if record.name == "_time_limit" else "transport"
        out += man_entry(record, f"<{prefix}>" + record.name)
    out += [".El", ".Sh OLD NAMES", ".Bl -tag -width Ds"]
    for record in legacy:
        out += [f".It Sy {record.name}", f"The old name of {record.successor}."]
    out.append(".El")
    begin, end = '.\\" BEGIN GENERATED', '.\\" END GENERATED'
    with open(path, encoding="utf-8") as page:
        text = page.read()
    head, _, rest = text.partition(begin)
    _, marker, tail = rest.partition(end)
    if not marker:
        fail(path, "no markers for the generated part")
    return head + begin + "\n" + "\n".join(out) + "\n" + end + tail


def write(path, text):
    """Atomically, so that an interrupted build leaves no half file."""
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--header")
    parser.add_argument("--table")
    parser.add_argument("--man5")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    params, patterns, legacy = load(sorted(options.files))
    if options.header:
        write(options.header, header(params))
    if options.table:
        write(options.table, table(params, patterns, legacy))
    if options.man5:
        write(options.man5, man5(options.man5, params, patterns, legacy))


main()
