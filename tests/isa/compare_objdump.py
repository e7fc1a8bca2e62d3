#!/usr/bin/env python3
"""Compares the disassembler with GNU objdump over the words that disasm_sweep writes.

usage: compare_objdump.py DISASM_SWEEP [--prefix riscv64-linux-gnu-]
Exit status 77 (skipped) when the cross binutils are missing.
"""
import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

ARCH = ("rv64imafdc_zicsr_zifencei_zihintpause_zfh_zba_zbb_zbc_zbkb_zbkc_zbkx_zbs_zknd_zkne"
        "_zknh_zksed_zksh_zicbom_zicbop_zicboz_zawrs_svinval")
ILLEGAL = re.compile(r"\.[24]byte\t")
# Zicond, Zimop, Zcmop, Zcb, Zacas, Zabha and Zfa, which binutils 2.40 does not have, and the hints of
# Zihintntl, which it names after the additions that they are.
UNKNOWN = re.compile(r"(czero\.(eqz|nez)|c\.(lbu|lhu?|s[bh]|[sz]ext\.[bhw]|not|mul)"
                     r"|amocas\.\w+(\.\w+)?|amo\w+\.[bh](\.\w+)?"
                     r"|(fli|f(min|max)m|fround(nx)?|fl[et]q)\.[hsd]|fcvtmod\.w\.d)\t|(c\.)?mop\.")
HINTS = {"ntl.p1": "sp", "ntl.pall": "gp", "ntl.s1": "tp", "ntl.all": "t0"}
CSR_OPERAND = re.compile(r"^(csrr\w+\t\w+),([^,]+),")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Objdump:
    def __init__(self, prefix, directory):
        self.prefix = prefix
        self.directory = directory
        source = self.path("empty.s")
        with open(source, "w") as file:
            file.write(f'.attribute arch, "{ARCH}"\n.text\n')
        self.template = self.path("empty.o")
        run(prefix + "as", "-o", self.template, source)

    def path(self, name):
        return os.path.join(self.directory, name)

    def texts(self, code):
        """Text by address for a file of raw code."""
        objectfile = self.path("code.o")
        run(self.prefix + "objcopy", "--update-section", f".text={code}", self.template,
            objectfile)
        texts = {}
        listing = run(self.prefix + "objdump", "-d", "-z", "-M", "no-aliases", objectfile)
        for line in listing.splitlines():
            match = re.match(r"\s*([0-9a-f]+):\t[0-9a-f ]+\t(.*)$", line)
            if match:
                text = re.sub(r"\s*(<.*>|#.*)$", "", match[2])
                texts[int(match[1], 16)] = text.strip()
        return texts

    def csr_numbers(self):
        """objdump's CSR names to numbers."""
        code = self.path("csrs.bin")
        with open(code, "wb") as file:
            for number in range(4096):
                file.write((number << 20 | 2 << 12 | 0x73).to_bytes(4, "little"))
        return {text.split(",")[1]: address // 4 for address, text in self.texts(code).items()}


def normalise(text, csr_numbers):
    """One spelling for what objdump and we write differently on purpose."""
    # Shift amount 0 is a hint here; objdump has the RV128 names for it.
    text = re.sub(r"^(c\.s\w\wi)64\t(\w+)$", r"\1\t\2,0x0", text)
    if text == "c.unimp":
        return ".2byte\t0x0"
    if text in HINTS:
        return f"add\tzero,zero,{HINTS[text]}"
    if text.startswith("c.") and text[2:] in HINTS:
        return f"c.add\tzero,{HINTS[text[2:]]}"
    match = CSR_OPERAND.match(text)
    if match:
        name = match[2]
        number = csr_numbers.get(name)
        if number is None:
            number = int(name, 0)
        text = f"{match[1]},{number:#x},{text[match.end():]}"
    return text


def reason_to_ignore(word, ours, theirs):
    """What this objdump does not know or shows although it is reserved."""
    if ILLEGAL.match(theirs):
        if UNKNOWN.match(ours):
            return "extension that objdump does not know"
        if re.match(r"fence(\.tso|\.i|\t)", ours):
            return "fence with ignored fields set"
        if re.match(r"fcvt\.(d\.(wu?|s|h)|s\.h)\t", ours):
            return "rounding mode of an exact conversion"
    if ILLEGAL.match(ours):
        if theirs == "c.addi16sp\tsp,0":
            return "reserved encoding"
        if re.match(r"(uret|hret|sfence\.vm)\b", theirs):
            return "withdrawn instruction"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep")
    parser.add_argument("--prefix", default="riscv64-linux-gnu-")
    options = parser.parse_args()
    if not all(shutil.which(options.prefix + tool) for tool in ("as", "objcopy", "objdump")):
        print("cross binutils are missing")
        return 77

    with tempfile.TemporaryDirectory() as directory:
        objdump = Objdump(options.prefix, directory)
        code, text = objdump.path("code.bin"), objdump.path("text")
        run(options.sweep, code, text)
        numbers = objdump.csr_numbers()
        theirs = objdump.texts(code)
        ignored = collections.Counter()
        different = []
        count = 0
        for line in open(text):
            address, word, ours = line.rstrip("\n").split("\t", 2)
            address, word = int(address, 16), int(word, 16)
            if address not in theirs:
                different.append((word, ours, "nothing: objdump lost step"))
                continue
            count += 1
            left = normalise(ours, numbers)
            right = normalise(theirs[address], numbers)
            if left == right:
                continue
            reason = reason_to_ignore(word, left, right)
            if reason:
                ignored[reason] += 1
            else:
                different.append((word, left, right))
    for reason, number in ignored.items():
        print(f"ignored {number}: {reason}")
    for word, ours, right in different[:40]:
        print(f"{word:08x}  ours: {ours!r}  objdump: {right!r}")
    print(f"{count} words compared, {len(different)} different")
    return 1 if different or count < 100000 else 0


if __name__ == "__main__":
    sys.exit(main())
