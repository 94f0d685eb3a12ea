#!/usr/bin/env python3
"""What NVIDIA's compiler makes of a .cu file: registers, spills, memory instructions.

    nvrtc_check.py FILE.cu [--arch 75,90,120] [--name EXPRESSION]... [--option=OPTION]...

Needs no GPU and no driver, real or fake: run it with the Python of an environment made by
./build. The source is compiled through CuPy's NVRTC binding with the options RawModule uses.
Kernels are extern "C" names of the file or --name expressions such as 'pool<float, 4>'.
"""

import argparse
import os
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)


class CompileError(Exception):
    """NVRTC refused the source, or warned about it; the text is its log."""


@dataclass
class Compiled:
    image: bytes  # an ELF file, or PTX text
    names: dict  # name expression -> mangled name


@dataclass
class KernelReport:
    name: str
    registers: int
    stack: int  # bytes
    shared: int  # bytes; from sm_90 on, 1024 are the system's
    local: int  # bytes that ptxas reports as LOCAL
    instructions: Counter  # full SASS mnemonic -> count

    @property
    def instruction_count(self):
        return sum(self.instructions.values())

    def count(self, mnemonic):
        """How many instructions of this kind, with any modifiers: count('CALL')."""
        return sum(n for name, n in self.instructions.items() if name.split(".")[0] == mnemonic)

    @property
    def spills(self):
        """Loads and stores of local memory: spilled registers or local arrays."""
        return self.count("LDL") + self.count("STL")

    def widths(self, mnemonic):
        """Global accesses by bits: widths('LDG') -> Counter({128: 2, 32: 1})."""
        found = Counter()
        for name, count in self.instructions.items():
            if name.split(".")[0] == mnemonic:
                found[access_bits(name)] += count
        return found


def access_bits(mnemonic):
    """The width of a SASS load or store; 32 bits are not written in the name."""
    parts = mnemonic.split(".")[1:]
    for part, bits in (
        ("U8", 8),
        ("S8", 8),
        ("U16", 16),
        ("S16", 16),
        ("64", 64),
        ("128", 128),
        ("256", 256),
    ):
        if part in parts or f"ENL2_{part}" in parts:
            return bits
    return 32


def compile_source(source, arch, names=(), options=(), kind="cubin"):
    """Compile as RawModule(code=source, name_expressions=names, options=options) would.

    kind is 'cubin' or 'ptx'; arch is 75, 90, '90a', ...
    """
    from cupy._core import core
    from cupy_backends.cuda.libs import nvrtc

    target = f"-arch={'sm' if kind == 'cubin' else 'compute'}_{arch}"
    # RawModule appends -ftz=true and the execution-space flag to what the user gives.
    arguments = (
        *core.assemble_cupy_compiler_options(tuple(options)),
        "-ftz=true",
        target,
        "--device-as-default-execution-space",
    )
    program = nvrtc.createProgram(source, "source.cu", (), ())
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(program, arguments)
        except nvrtc.NVRTCError:
            raise CompileError(nvrtc.getProgramLog(program)) from None
        lowered = {name: nvrtc.getLoweredName(program, name) for name in names}
        # CuPy's getCUBIN takes the last byte for a terminator and drops it.
        image = nvrtc.getPTX(program) if kind == "ptx" else nvrtc.getCUBIN(program) + b"\0"
        return Compiled(image, lowered)
    finally:
        nvrtc.destroyProgram(program)


# --- SASS ----------------------------------------------------------------------------------
def tool(name):
    """The path of cuobjdump or nvdisasm, from NVIDIA's packages on PyPI."""
    import nvidia

    for root in nvidia.__path__:
        for path in Path(root).glob(f"cu*/bin/{name}"):
            return path
    raise FileNotFoundError(f"{name}: install the package nvidia-cuda-{name}")


def output_of(name, *arguments):
    path = tool(name)
    environment = os.environ | {"PATH": f"{path.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [path, *arguments], env=environment, check=True, text=True, capture_output=True
    ).stdout


def resource_usage(cubin):
    """Return {kernel: {'REG': 24, 'STACK': 0, 'SHARED': 0, 'LOCAL': 0, ...}}."""
    text = output_of("cuobjdump", "-res-usage", cubin)
    found = re.findall(r"Function (\S+):\s*\n\s*(.*)", text)
    return {
        name: {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
        for name, line in found
    }


INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", re.M)


def instructions(cubin):
    """Return {kernel: Counter of SASS mnemonics}."""
    text = output_of("nvdisasm", "-c", cubin)
    sections = re.split(r"^\s*\.section\s+\.text\.|^\.text\.", text, flags=re.M)[1:]
    found = {}
    for section in sections:
        name = re.match(r"[\w$]+", section).group()
        found.setdefault(name, Counter()).update(INSTRUCTION.findall(section))
    return found


def check(source, arch, names=(), options=()):
    """Return {name expression or extern "C" name: KernelReport}. Warnings are errors."""
    compiled = compile_source(source, arch, names, (*options, "-Werror=all-warnings"))
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        cubin.write_bytes(compiled.image)
        usage, code = resource_usage(cubin), instructions(cubin)
    readable = {mangled: name for name, mangled in compiled.names.items()}
    reports = {}
    for name, line in usage.items():
        sizes = (line[key] for key in ("REG", "STACK", "SHARED", "LOCAL"))
        own = readable.get(name, name)
        reports[own] = KernelReport(own, *sizes, code.get(name, Counter()))
    return reports


# --- command line --------------------------------------------------------------------------
def accesses(report, mnemonic):
    counts = sorted(report.widths(mnemonic).items())
    return " ".join(f"{count}x{bits}" for bits, count in counts) or "-"


def print_table(reports, arch):
    width = max([len(name) for name in reports] + [6])
    print(f"{f'sm_{arch}':{width}}  regs stack local shared spill instr call  LDG / STG (bits)")
    for name, r in sorted(reports.items()):
        print(
            f"{name:{width}}  {r.registers:4} {r.stack:5} {r.local:5} {r.shared:6} {r.spills:5}"
            f" {r.instruction_count:5} {r.count('CALL'):4}"
            f"  {accesses(r, 'LDG')} / {accesses(r, 'STG')}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--arch", default=",".join(map(str, ARCHITECTURES)))
    parser.add_argument("--name", action="append", default=[], help="a name expression")
    parser.add_argument("--option", action="append", default=[], help="e.g. --option=-DVEC=4")
    options = parser.parse_args()
    for arch in options.arch.split(","):
        print_table(check(options.file.read_text(), arch, options.name, options.option), arch)


if __name__ == "__main__":
    main()
