#!/usr/bin/env python3
"""Translate PTX, as NVRTC writes it, to C++ for the fake driver.

    ptx2cpp.py IN.ptx OUT.cpp               translate
    ptx2cpp.py --compile IN.ptx OUT         translate, compile to a shared library
    ptx2cpp.py --opcodes IN.ptx             list the opcodes used; mark the unknown ones

Each PTX function becomes a C++ function for one thread: a register becomes a variable, a label
stays a label, an instruction becomes a block `{ ... }`. What an instruction computes is written
in driver/ptx_ops.h. An opcode or modifier that is not known is an error, never skipped.

To add an opcode: if it takes its operands in order and gives one result, add it to INTEGER or
FLOAT and write the C++ function; otherwise write a handler marked @opcode('name').
"""

import os
import re
import subprocess
import sys
from collections import ChainMap, Counter
from dataclasses import dataclass, field
from pathlib import Path

HEADERS = Path(__file__).resolve().parent / "driver"
COMPILE = (
    "-std=c++17 -O1 -mfma -mf16c -frounding-math -ffp-contract=off -fno-strict-aliasing -w"
    " -shared -fPIC"
)
LOCAL_LIMIT = 64 << 10  # bytes of local arrays of one function; see kStackSize in scheduler.cpp

# PTX type -> (size in bytes, C++ type)
TYPES = {
    f"{kind}{bits}": (bits // 8, f"{'u' if kind == 'b' else kind}{bits}")
    for kind in "bus"
    for bits in (8, 16, 32, 64)
}
TYPES |= {
    "b128": (16, "u128"),
    "f16": (2, "f16"),
    "bf16": (2, "bf16"),
    "f32": (4, "f32"),
    "f64": (8, "f64"),
    "pred": (1, "bool"),
}
# Two values in one register -> the type of each
PACKED = {"f16x2": "f16", "bf16x2": "bf16", "f32x2": "f32", "u16x2": "u16", "s16x2": "s16"}
TYPES |= {name: (2 * TYPES[part][0], f"u{TYPES[part][0] * 16}") for name, part in PACKED.items()}
FLOATS = {"f16", "bf16", "f32", "f64"}
ROUNDING = {"rz": "FE_TOWARDZERO", "rm": "FE_DOWNWARD", "rp": "FE_UPWARD"}
TO_INTEGRAL = {"rni": "round_even", "rzi": "std::trunc", "rmi": "std::floor", "rpi": "std::ceil"}
SPACES = ("param", "shared", "global", "local", "const")

SPECIAL_REGISTERS = {
    f"%{name}.{axis}": f"thread->{name}[{i}]"
    for name in ("tid", "ntid", "ctaid", "nctaid")
    for i, axis in enumerate("xyz")
} | {
    "%laneid": "thread->lane",
    "%warpid": "thread->warp",
    "WARP_SZ": "32",
    "%lanemask_eq": "(1u << thread->lane)",
    "%lanemask_lt": "((1u << thread->lane) - 1)",
    "%lanemask_le": "((2ull << thread->lane) - 1)",
    "%lanemask_gt": "(~0u << thread->lane << 1)",
    "%lanemask_ge": "(~0u << thread->lane)",
    "%dynamic_smem_size": "(thread->shared_size - DYNAMIC_SHARED)",
    "%total_smem_size": "thread->shared_size",
    "%smid": "0",
    "%nsmid": "1",
    "%clock": "0",
    "%clock64": "0",
    "%globaltimer": "0",
}

# Opcodes by their operands: T of the instruction's type, u a u32, p a predicate.
# The C++ function is int_<opcode>.
INTEGER = {
    "T": "neg abs not cnot popc clz brev bfind",
    "TT": "add sub div rem min max and or xor",
    "TTT": "sad",
    "TTTu": "lop3",
    "TTp": "selp",
    "TTuu": "bfi",
    "Tu": "shl shr",
    "Tuu": "bfe",
    "uuu": "prmt",
}
INTEGER = {name: operands for operands, names in INTEGER.items() for name in names.split()}
INTEGER_MODIFIERS = {"lo", "sync", "shiftamt", "relu"}
# Opcodes by the number of operands. The C++ function is fp_<opcode>.
FLOAT = {
    1: "neg abs sqrt rcp rsqrt ex2 lg2 sin cos tanh",
    2: "add sub mul div min max copysign",
    3: "fma mad",
}
FLOAT = {name: count for count, names in FLOAT.items() for name in names.split()}
FLOAT_MODIFIERS = {"ftz", "sat", "relu", "rn", "approx", "full", "NaN", *ROUNDING}
BIT_OPERATIONS = {"neg", "abs", "copysign"}  # these leave a NaN as it is
COMPARISONS = {
    "eq": "a == b",
    "ne": "a != b",
    "lt": "a < b",
    "le": "a <= b",
    "gt": "a > b",
    "ge": "a >= b",
    "lo": "a < b",
    "ls": "a <= b",
    "hi": "a > b",
    "hs": "a >= b",
}
COMBINE = {"and": "&&", "or": "||", "xor": "!="}
ATOMICS = {
    "exch": "x",
    "and": "old & x",
    "or": "old | x",
    "xor": "old ^ x",
    "min": "int_min(old, x)",
    "max": "int_max(old, x)",
    "inc": "increment(old, x)",
    "dec": "decrement(old, x)",
}
NO_EFFECT = "membar fence prefetch prefetchu nanosleep griddepcontrol discard applypriority pmevent"


class Unsupported(Exception):
    """Something in the PTX that this translator does not know."""


@dataclass
class Instruction:
    text: str
    line: int
    guard: str = ""
    name: str = ""
    modifiers: list = field(default_factory=list)
    args: list = field(default_factory=list)

    GUARD = re.compile(r"@(!?)(%?[\w$]+)\s+")
    OPCODE = re.compile(r"([a-z]\w*)((?:(?:\.|::)\w+)*)\s*")

    def __post_init__(self):
        rest = " ".join(self.text.split())
        if match := self.GUARD.match(rest):
            self.guard = match.group(1) + variable(match.group(2))
            rest = rest[match.end() :]
        match = self.OPCODE.match(rest)
        if not match:
            raise self.unsupported()
        self.name = match.group(1)
        self.modifiers = match.group(2).replace("::", "__").split(".")[1:]
        self.args = split_operands(rest[match.end() :])

    def has(self, modifier):
        return modifier in self.modifiers

    def one_of(self, choices):
        """The first of the modifiers that is in choices, or None."""
        return next((m for m in self.modifiers if m in choices), None)

    @property
    def types(self):
        return [m for m in self.modifiers if m in TYPES]

    @property
    def type(self):
        if not self.types:
            raise self.unsupported()
        return self.types[-1]

    @property
    def space(self):
        bare = [m.split("__")[0] for m in self.modifiers]
        return next((s for s in SPACES if s in bare), "generic")

    def allow(self, modifiers):
        """Refuse modifiers that would change the result and that nobody handled."""
        if unknown := set(self.modifiers) - set(TYPES) - set(modifiers):
            raise self.unsupported(f"modifier .{sorted(unknown)[0]}")

    def unsupported(self, what="not supported"):
        return Unsupported(f"PTX line {self.line}: {what}: {self.text.strip()}")


# --- small text functions ------------------------------------------------------------------
def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def split_operands(text):
    """Split at the commas that are outside of brackets."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char in "{[(") - (char in "}])")
        if char == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def elements(operand):
    """The registers of a vector operand `{a, b}`, or the operand itself."""
    return split_operands(operand[1:-1]) if operand.startswith("{") else [operand]


def identifier(name):
    return re.sub(r"\W", "_", name)


def variable(register):
    return ("r_" if register.startswith("%") else "q_") + identifier(register.lstrip("%"))


def matching_brace(text, start):
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i
    raise Unsupported("unbalanced braces")


PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+"
    r"(?:\.ptr(?:\s+\.(?:global|shared|const|local))?"
    r"(?:\s+\.align\s+\d+)?\s+)?"
    r"([\w$]+)(?:\[(\d+)\])?"
)


def parse_parameters(text):
    """Return [(name, size in bytes), ...]."""
    return [
        (name, TYPES[kind][0] * int(count or 1))
        for kind, name, count in PARAMETER.findall(text or "")
    ]


# --- one function --------------------------------------------------------------------------
class FunctionTranslator:
    STATEMENT = re.compile(r"\s*(?:([{}])|([\w$]+)\s*:(?!:)|([^;]*);)")
    REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.S)
    ARRAY = re.compile(
        r"\.(shared|local|param)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+"
        r"([\w$%]+)\s*(?:\[(\d+)\])?$"
    )
    ADDRESS = re.compile(r"\[?\s*(%?[\w$]+)\s*(?:\+\s*(-?\d+))?\s*\]?$")

    def __init__(self, module, parameters, results):
        self.module = module
        self.registers = ChainMap()  # a { } in PTX is a scope of names
        self.symbols = {name: f"(u64)P[{i}]" for i, (name, _) in enumerate(parameters)}
        self.symbols |= {name: f"(u64)R[{i}]" for i, (name, _) in enumerate(results)}
        self.parameter_names = set(self.symbols)
        self.branch_targets = {}
        self.local_bytes = 0
        self.line = 0

    # --- statements ------------------------------------------------------------------------
    def translate(self, body, first_line):
        self.find_branch_targets(body)
        lines, position = ["bool carry = false;"], 0
        while match := self.STATEMENT.match(body, position):
            start = match.start() + len(match.group()) - len(match.group().lstrip())
            self.line = first_line + body.count("\n", 0, start)
            position = match.end()
            brace, label, statement = match.groups()
            if brace:
                lines.append(self.scope(brace))
            elif label:
                lines.append(f"L_{identifier(label)}:;")
            elif statement.strip():
                lines.append(self.statement(statement.strip()))
        return "\n".join(lines)

    def scope(self, brace):
        opening = brace == "{"
        self.registers = self.registers.new_child() if opening else self.registers.parents
        return brace

    def find_branch_targets(self, body):
        for name, labels in re.findall(r"([\w$]+):\s*\.branchtargets\s+([^;]*);", body):
            self.branch_targets[name] = [label.strip() for label in labels.split(",")]

    def statement(self, text):
        return self.directive(text) if text.startswith(".") else self.instruction(text)

    def directive(self, text):
        if match := self.REGISTERS.match(text):
            return self.declare_registers(*match.groups())
        if match := self.ARRAY.match(text):
            return self.declare_array(*match.groups())
        if text.startswith((".pragma", ".loc", ".branchtargets")):
            return ""
        raise Unsupported(f"PTX line {self.line}: {text}")

    def declare_registers(self, kind, names):
        declared = []
        for name in names.split(","):
            match = re.match(r"\s*(%?[\w$]+)(?:<(\d+)>)?", name)
            prefix, count = match.groups()
            declared += [f"{prefix}{i}" for i in range(int(count))] if count else [prefix]
        size = TYPES[kind][0]
        cpp = "bool" if kind == "pred" else f"u{size * 8}"
        self.registers.update(dict.fromkeys(declared, cpp))
        return f"{cpp} {', '.join(map(variable, declared))};"

    def declare_array(self, space, align, kind, name, count):
        size = TYPES[kind][0] * int(count or 1)
        if space == "shared":
            offset = self.module.allocate_shared(size, int(align or TYPES[kind][0]))
            self.symbols[name] = f"{offset}ull"
            return ""
        self.local_bytes += size
        if self.local_bytes > LOCAL_LIMIT:
            raise Unsupported(f"PTX line {self.line}: more than {LOCAL_LIMIT} local bytes")
        array = f"{space}_{identifier(name)}"
        self.symbols[name] = f"(u64){array}"
        return f"alignas(32) char {array}[{size}];"

    def instruction(self, text):
        ins = Instruction(text, self.line)
        handler = HANDLERS.get(ins.name)
        if handler is None:
            raise ins.unsupported("unknown opcode")
        code = handler(self, ins)
        return f"if ({ins.guard}) {{ {code} }}" if ins.guard else f"{{ {code} }}"

    # --- operands --------------------------------------------------------------------------
    def raw(self, operand):
        """An operand as a C++ expression for its bits."""
        if operand in SPECIAL_REGISTERS:
            return f"(u64)({SPECIAL_REGISTERS[operand]})"
        if operand in self.registers:
            return variable(operand)
        if match := re.match(r"0[fFdD]([0-9A-Fa-f]{8,16})$", operand):
            return f"0x{match.group(1)}ull"
        if match := re.match(r"(-?)(0[xX][0-9A-Fa-f]+|\d+)U?$", operand):
            return f"(u64)({match.group(1)}{match.group(2)}ull)"
        return f"({self.address(operand)})"

    def value(self, operand, kind):
        """An operand as a C++ expression of a PTX type."""
        if kind == "pred":
            return self.predicate(operand)
        return f"as<{TYPES[kind][1]}>({self.raw(operand)})"

    def predicate(self, operand):
        if operand.startswith("!"):
            return f"!{self.predicate(operand[1:])}"
        return f"bool({self.raw(operand)})"

    def address(self, operand):
        """`[register + 8]`, `[symbol + 8]` or `symbol + 8` as a u64 expression."""
        match = self.ADDRESS.match(operand)
        if not match:
            raise Unsupported(f"PTX line {self.line}: operand {operand}")
        name, offset = match.groups()
        if name in self.registers:
            base = f"(u64){variable(name)}"
        elif name.isdigit():
            base = f"{name}ull"
        else:
            base = self.symbols.get(name) or self.module.symbol(name, self.line)
        return f"{base} + ({offset}ll)" if offset else base

    def assign(self, register, expression):
        """Write a C++ value to a register, widened as its type says."""
        if register == "_":
            return f"(void)({expression});"
        if register not in self.registers:
            raise Unsupported(f"PTX line {self.line}: {register} is not a register")
        kind = self.registers[register]
        if kind == "bool":
            return f"{variable(register)} = {expression};"
        return f"{variable(register)} = widen<{kind}>({expression});"

    def memory(self, ins, operand, size, what):
        """A checked pointer to `size` bytes."""
        address, space = self.address(operand), ins.space
        base = self.ADDRESS.match(operand).group(1)
        if space == "param" and base not in self.registers:
            return f"(char*)({address})"
        check = {"shared": "shared_at", "local": "local_at"}.get(space, "global_at")
        return f'{check}(thread, {address}, {size}, "{what}", {self.line})'


# --- opcodes -------------------------------------------------------------------------------
HANDLERS = {}


def opcode(*names):
    def register(handler):
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


# --- control flow --------------------------------------------------------------------------
@opcode("ret", "exit")
def leave(f, ins):
    return "return;"


@opcode("bra")
def branch(f, ins):
    return f"goto L_{identifier(ins.args[0])};"


@opcode("brx")
def indexed_branch(f, ins):
    targets = f.branch_targets[ins.args[1]]
    cases = " ".join(f"case {i}: goto L_{identifier(t)};" for i, t in enumerate(targets))
    return f"switch ({f.value(ins.args[0], 'u32')}) {{ {cases} }}"


@opcode("trap")
def trap(f, ins):
    return 'emulator->fail("trap");'


@opcode(*NO_EFFECT.split())
def no_effect(f, ins):
    return ""


@opcode("call")
def call(f, ins):
    args = list(ins.args)
    results = elements_of_call(args.pop(0)) if args[0].startswith("(") else []
    name = args.pop(0)
    parameters = elements_of_call(args[0]) if args else []
    if name == "__assertfail":
        return 'emulator->fail("assert failed in the kernel");'
    if name not in f.module.functions:
        raise ins.unsupported("call of an unknown function (printf, or a pointer?)")
    pointers = [
        ", ".join(f"(char*)({f.symbols[x]})" for x in group) or "nullptr"
        for group in (results, parameters)
    ]
    return (
        f"char* R_[] = {{{pointers[0]}}}; char* P_[] = {{{pointers[1]}}}; "
        f"f_{identifier(name)}(thread, R_, P_);"
    )


def elements_of_call(text):
    return split_operands(text.strip()[1:-1])


# --- moves and addresses -------------------------------------------------------------------
@opcode("mov")
def move(f, ins):
    to, source = ins.args
    if to.startswith("{"):
        return unpack(f, ins, elements(to), source)
    if source.startswith("{"):
        return pack(f, ins, to, elements(source))
    return f.assign(to, f.value(source, ins.type))


def unpack(f, ins, registers, source):
    bits = TYPES[ins.type][0] * 8 // len(registers)
    moves = [f.assign(r, f"(u{bits})(x >> {i * bits})") for i, r in enumerate(registers)]
    return f"auto x = {f.value(source, ins.type)}; " + " ".join(moves)


def pack(f, ins, to, sources):
    whole = TYPES[ins.type][1]
    bits = TYPES[ins.type][0] * 8 // len(sources)
    parts = [f"({whole}){f.value(s, f'b{bits}')} << {i * bits}" for i, s in enumerate(sources)]
    return f.assign(to, f"{whole}({' | '.join(parts)})")


@opcode("cvta")
def convert_address(f, ins):
    address = f.value(ins.args[1], "u64") if ins.type == "u64" else f.value(ins.args[1], "u32")
    if ins.space == "shared":  # the others are addresses of the host already
        address = f"{address} {'-' if ins.has('to') else '+'} (u64)thread->shared"
    return f.assign(ins.args[0], f"(u64)({address})")


@opcode("isspacep")
def is_in_space(f, ins):
    offset = f"{f.value(ins.args[1], 'u64')} - (u64)thread->shared"
    if ins.space not in ("shared", "global"):
        raise ins.unsupported()
    comparison = "<" if ins.space == "shared" else ">="
    return f.assign(ins.args[0], f"({offset}) {comparison} thread->shared_size")


# --- memory --------------------------------------------------------------------------------
def vector_length(ins):
    return int((ins.one_of({"v2", "v4", "v8"}) or "v1")[1:])


@opcode("ld", "ldu")
def load(f, ins):
    size, kind = TYPES[ins.type]
    count = vector_length(ins)
    pointer = f.memory(ins, ins.args[1], size * count, "read")
    names = [f"x{i}" for i in range(count)]
    # All loads come first: a destination may be the address register.
    loads = ", ".join(f"{x} = load<{kind}>(p + {i * size})" for i, x in enumerate(names))
    stores = map(f.assign, elements(ins.args[0]), names)
    return f"char* p = {pointer}; auto {loads}; " + " ".join(stores)


@opcode("st")
def store(f, ins):
    size, kind = TYPES[ins.type]
    count = vector_length(ins)
    pointer = f.memory(ins, ins.args[0], size * count, "write")
    values = [f.value(x, ins.type) for x in elements(ins.args[1])]
    stores = [f"store<{kind}>(p + {i * size}, {x});" for i, x in enumerate(values)]
    return f"char* p = {pointer}; " + " ".join(stores)


@opcode("atom", "red")
def atomic(f, ins):
    if vector_length(ins) != 1:
        raise ins.unsupported("vector atomics")
    args = list(ins.args)
    to = args.pop(0) if ins.name == "atom" else "_"
    size, kind = TYPES[ins.type]
    pointer = f.memory(ins, args[0], size, "atomic access")
    operands = [f.value(x, ins.type) for x in args[1:]]
    update = atomic_update(ins, operands)
    return f"char* p = {pointer}; auto x = {operands[0]}; " + f.assign(
        to, f"atomic<{kind}>(p, [&]({kind} old) {{ return {kind}({update}); }})"
    )


def atomic_update(ins, operands):
    if ins.has("cas"):
        return f"old == x ? {operands[1]} : old"
    if ins.has("add"):
        return atomic_add(ins)
    operation = ins.one_of(ATOMICS)
    if operation is None or ins.type in FLOATS or ins.type in PACKED:
        raise ins.unsupported()
    return ATOMICS[operation]


def atomic_add(ins):
    if ins.type in PACKED:
        part = PACKED[ins.type]
        return f"packed<{part}>([]({part} a, {part} b) {{ return fp_add(a, b); }}, old, x)"
    if ins.type not in FLOATS:
        return "int_add(old, x)"
    if ins.type == "f32" and ins.space != "shared":  # the hardware flushes in global memory
        return "result<true, false, false>(fp_add(flush(old), flush(x)))"
    return "fp_add(old, x)"


# --- block and warp ------------------------------------------------------------------------
@opcode("bar", "barrier")
def barrier(f, ins):
    args = list(ins.args)
    if ins.has("warp"):
        return f"emulator->warp_sync(thread, {f.value(args[0], 'u32')});"
    ins.allow({"sync", "red", "cta", "aligned", "popc", "and", "or"})
    to = args.pop(0) if ins.has("red") else "_"
    predicate = f.predicate(args.pop()) if ins.has("red") else "false"
    number = f.value(args[0], "u32")
    everyone = "true"
    if len(args) > 1:
        everyone = f"{f.value(args[1], 'u32')} == threads_in_block(thread)"
    call = f"auto x = emulator->barrier(thread, {number}, {everyone}, {predicate});"
    results = {"popc": "x.holds", "and": "x.holds == x.threads", "or": "x.holds > 0"}
    return f"{call} {f.assign(to, results.get(ins.one_of(results), 'x.holds'))}"


@opcode("shfl")
def shuffle(f, ins):
    mode = ins.one_of({"up", "down", "bfly", "idx"})
    value, delta, clamp, mask = (f.value(x, "u32") for x in ins.args[1:])
    registers = [*ins.args[0].split("|"), "_"]
    return (
        f"auto x = shuffle(thread, '{mode[0]}', {value}, {delta}, {clamp}, {mask}); "
        + f.assign(registers[0], "x.value")
        + f.assign(registers[1], "x.valid")
    )


@opcode("vote")
def vote(f, ins):
    functions = {"ballot": "ballot", "any": "0 != ballot", "all": "all_lanes", "uni": "uniform"}
    function = functions[ins.one_of(functions)]
    predicate, mask = f.predicate(ins.args[1]), f.value(ins.args[2], "u32")
    return f.assign(ins.args[0], f"{function}(thread, {mask}, {predicate})")


@opcode("match")
def match(f, ins):
    value, mask = f.value(ins.args[1], ins.type), f.value(ins.args[2], "u32")
    lanes = f"u32 mask = {mask}, lanes = match_any(thread, mask, {value}); "
    if ins.has("any"):
        return lanes + f.assign(ins.args[0], "lanes")
    registers = [*ins.args[0].split("|"), "_"]
    everyone = "(mask & emulator->active_lanes(thread))"
    return (
        lanes
        + f"bool same = lanes == {everyone}; "
        + f.assign(registers[0], "same ? mask : 0u")
        + f.assign(registers[1], "same")
    )


@opcode("activemask")
def active_mask(f, ins):
    return f.assign(ins.args[0], "emulator->active_lanes(thread)")


@opcode("elect")
def elect(f, ins):
    register, predicate = ins.args[0].split("|")
    mask = f.value(ins.args[1], "u32")
    return (
        f"u32 leader = __builtin_ctz({mask}); "
        + f.assign(register, "leader")
        + f.assign(predicate, "leader == thread->lane")
    )


@opcode("redux")
def reduce_lanes(f, ins):
    operation = ins.one_of({"add", "min", "max", "and", "or", "xor"})
    prefix = "int"
    if ins.type in FLOATS:
        prefix, operation = "fp", operation + ("_nan" if ins.has("NaN") else "")
    ins.allow({"sync", "add", "min", "max", "and", "or", "xor", "NaN"})
    value, mask = f.value(ins.args[1], ins.type), f.value(ins.args[2], "u32")
    combine = f"[](auto a, auto b) {{ return {prefix}_{operation}(a, b); }}"
    return f.assign(ins.args[0], f"reduce_lanes(thread, {mask}, {value}, {combine})")


# --- arithmetic ----------------------------------------------------------------------------
@opcode(*(set(INTEGER) | set(FLOAT)) - {"mul", "mad"})
def arithmetic(f, ins):
    if ins.type in PACKED:
        return packed_arithmetic(f, ins)
    if ins.type in FLOATS and ins.name != "selp":
        return float_arithmetic(f, ins)
    return integer_arithmetic(f, ins)


def integer_arithmetic(f, ins):
    if ins.has("cc") or ins.name in ("addc", "subc"):
        return carry_arithmetic(f, ins)
    ins.allow(INTEGER_MODIFIERS)
    kinds = [{"T": ins.type, "u": "u32", "p": "pred"}[code] for code in INTEGER[ins.name]]
    values = ", ".join(map(f.value, ins.args[1:], kinds))
    if len(ins.args) - 1 != len(kinds):
        raise ins.unsupported("number of operands")
    function = ins.name + ("_shift" if ins.has("shiftamt") else "")
    result = f"int_{function}({values})"
    if ins.has("relu"):  # of sm_90 and later
        if ins.name not in ("min", "max") or ins.type != "s32":
            raise ins.unsupported("modifier .relu")
        result = f"int_max({result}, int32_t(0))"
    return f.assign(ins.args[0], result)


@opcode("addc", "subc")
def carry_arithmetic(f, ins):
    a, b = (f.value(x, ins.type) for x in ins.args[1:])
    return with_carry(f, ins, a, b)


def with_carry(f, ins, a, b):
    function = "sub_borrow" if ins.name.startswith("sub") else "add_carry"
    carry_in = "carry" if ins.name.endswith("c") else "false"
    keep = "carry = next; " if ins.has("cc") else ""
    return f"bool next; auto x = {function}({a}, {b}, {carry_in}, &next); {keep}" + f.assign(
        ins.args[0], "x"
    )


def float_operation(ins, kind):
    """A C++ lambda for a float instruction on values of one type."""
    ins.allow(FLOAT_MODIFIERS)
    name = {"mad": "fma"}.get(ins.name, ins.name) + ("_nan" if ins.has("NaN") else "")
    ftz = str(ins.has("ftz")).lower()
    names = "abc"[: len(ins.args) - 1]
    inputs = [f"flush_if<{ftz}>({x})" for x in names]
    if len(names) == 3 and ins.name in ("min", "max"):  # of three, sm_100
        inputs = [f"fp_{name}({inputs[0]}, {inputs[1]})", inputs[2]]
    if len(inputs) != FLOAT[ins.name]:
        raise ins.unsupported("number of operands")
    call = f"fp_{name}({', '.join(inputs)})"
    if ins.name not in BIT_OPERATIONS:
        flags = ", ".join([ftz] + [str(ins.has(m)).lower() for m in ("sat", "relu")])
        call = f"result<{flags}>({call})"
    elif ins.has("ftz"):
        call = f"flush({call})"
    parameters = ", ".join(f"{kind} {x}" for x in names)
    return f"[]({parameters}) {{ return {call}; }}"


def float_arithmetic(f, ins):
    operation = float_operation(ins, ins.type)
    values = ", ".join(f.value(x, ins.type) for x in ins.args[1:])
    mode = ins.one_of(ROUNDING)
    if mode and ins.type not in ("f32", "f64"):
        raise ins.unsupported("rounding of a half")
    call = f"rounded<{ROUNDING[mode]}>({operation}, {values})" if mode else f"{operation}({values})"
    return f.assign(ins.args[0], call)


def packed_arithmetic(f, ins):
    part = PACKED[ins.type]
    if part in FLOATS:
        operation = float_operation(ins, part)
    else:
        ins.allow(())
        operation = f"[]({part} a, {part} b) {{ return int_{ins.name}(a, b); }}"
    values = ", ".join(f.value(x, ins.type) for x in ins.args[1:])
    if ins.one_of(ROUNDING):
        raise ins.unsupported("rounding of packed values")
    return f.assign(ins.args[0], f"packed<{part}>({operation}, {values})")


@opcode("mul", "mad", "madc", "mul24", "mad24")
def multiply(f, ins):
    if ins.type in PACKED or ins.type in FLOATS:
        return arithmetic(f, ins)
    part = ins.one_of({"lo", "hi", "wide"})
    ins.allow({"lo", "hi", "wide", "cc"})
    prefix = "mul24" if ins.name.endswith("24") else "mul"
    a, b = (f.value(x, ins.type) for x in ins.args[1:3])
    product = f"{prefix}_{part}({a}, {b})"
    if ins.name.startswith("mad"):
        kind = ins.type
        if part == "wide":
            kind = f"{ins.type[0]}{TYPES[ins.type][0] * 16}"
        addend = f.value(ins.args[3], kind)
        if ins.has("cc") or ins.name == "madc":
            return with_carry(f, ins, product, addend)
        product = f"int_add({product}, {addend})"
    return f.assign(ins.args[0], product)


@opcode("shf")
def funnel_shift(f, ins):
    low, high, count = (f.value(x, "u32") for x in ins.args[1:])
    count = f"{count} & 31" if ins.has("wrap") else f"int_min({count}, 32u)"
    direction = "left" if ins.has("l") else "right"
    return f.assign(ins.args[0], f"funnel_{direction}({low}, {high}, {count})")


@opcode("dp4a")
def dot_product(f, ins):
    kinds = ", ".join("s8" if kind == "s32" else "u8" for kind in ins.types)
    a, b = (f.value(x, "u32") for x in ins.args[1:3])
    return f.assign(ins.args[0], f"dp4a<{kinds}>({a}, {b}, {f.value(ins.args[3], 's32')})")


# --- comparison and selection --------------------------------------------------------------
def comparison(ins, kind):
    """A C++ lambda that compares two values of one type."""
    name = next(m for m in ins.modifiers if m not in TYPES)
    unordered = "is_nan(a) || is_nan(b)"
    if kind not in FLOATS:
        return f"[]({kind} a, {kind} b) {{ return {COMPARISONS[name]}; }}"
    if name in ("num", "nan"):
        test = unordered if name == "nan" else f"!({unordered})"
    elif name in COMPARISONS:
        test = f"!({unordered}) && ({COMPARISONS[name]})"
    else:  # equ, neu, ltu ...: also true for NaN
        test = f"{unordered} || ({COMPARISONS[name[:-1]]})"
    test = re.sub(r"\b([ab]) (\S+) ([ab])\b", r"number(\1) \2 number(\3)", test)
    flush = "a = flush(a); b = flush(b); " if ins.has("ftz") else ""
    return f"[]({kind} a, {kind} b) {{ {flush}return {test}; }}"


@opcode("setp")
def set_predicate(f, ins):
    ins.allow({*COMPARISONS, *COMBINE, "ftz", "num", "nan", *(c + "u" for c in COMPARISONS)})
    first, second = ([*ins.args[0].split("|"), "_"])[:2]
    if ins.type in PACKED:
        return set_two_predicates(f, ins, first, second)
    kind = TYPES[ins.type][1]
    a, b = (f.value(x, ins.type) for x in ins.args[1:3])
    holds, fails = "c", "!c"
    if combine := ins.one_of(COMBINE):
        other = f.predicate(ins.args[3])
        holds, fails = (f"{x} {COMBINE[combine]} other" for x in (holds, fails))
        other = f"bool other = {other}; "
    else:
        other = ""
    return (
        f"bool c = {comparison(ins, kind)}({a}, {b}); {other}"
        + f.assign(first, holds)
        + f.assign(second, fails)
    )


def set_two_predicates(f, ins, first, second):
    if ins.one_of(COMBINE):
        raise ins.unsupported()
    part = PACKED[ins.type]
    a, b = (f.value(x, ins.type) for x in ins.args[1:3])
    compare = (
        f"auto compare = {comparison(ins, part)}; auto x = {a}, y = {b}; "
        f"bool c[] = {{compare(element<{part}, 0>(x), element<{part}, 0>(y)), "
        f"compare(element<{part}, 1>(x), element<{part}, 1>(y))}}; "
    )
    return compare + f.assign(first, "c[0]") + f.assign(second, "c[1]")


@opcode("set")
def set_value(f, ins):
    to, source = ins.types
    a, b = (f.value(x, source) for x in ins.args[1:3])
    part = PACKED.get(source, TYPES[source][1])
    answer = PACKED.get(to, TYPES[to][1])
    if source in PACKED and to not in PACKED:  # a mask of 16 bits for each element
        answer = "u16"
    yes, no = (
        (f"{answer}(1.0f)", f"{answer}(0.0f)")
        if answer in FLOATS
        else (f"{answer}(-1)", f"{answer}(0)")
    )
    choose = f"[](auto a, auto b) {{ return {comparison(ins, part)}(a, b) ? {yes} : {no}; }}"
    if ins.one_of(COMBINE):
        raise ins.unsupported()
    if source in PACKED:
        pair = (
            f"pack<{answer}>(f(element<{part}, 0>(x), element<{part}, 0>(y)), "
            f"f(element<{part}, 1>(x), element<{part}, 1>(y)))"
        )
        return f"auto f = {choose}; auto x = {a}, y = {b}; " + f.assign(ins.args[0], pair)
    return f.assign(ins.args[0], f"{choose}({a}, {b})")


@opcode("slct")
def select_by_sign(f, ins):
    kind, sign = ins.types
    a, b = (f.value(x, kind) for x in ins.args[1:3])
    return f.assign(ins.args[0], f"number({f.value(ins.args[3], sign)}) >= 0 ? {a} : {b}")


@opcode("testp")
def test_property(f, ins):
    tests = {
        "notanumber": "is_nan(x)",
        "number": "!is_nan(x)",
        "finite": "std::isfinite(x)",
        "infinite": "std::isinf(x)",
        "normal": "std::isnormal(x)",
    }
    test = tests[ins.one_of(tests)]
    return f"auto x = {f.value(ins.args[1], ins.type)}; " + f.assign(ins.args[0], test)


# --- conversion ----------------------------------------------------------------------------
@opcode("cvt")
def convert(f, ins):
    ins.allow({"ftz", "sat", "relu", "rn", *ROUNDING, *TO_INTEGRAL})
    to, source = ins.types
    if to in PACKED:
        return convert_pair(f, ins, PACKED[to], source)
    x = f.value(ins.args[1], source)
    if source in FLOATS and ins.has("ftz"):
        x = f"flush({x})"
    call = f"{conversion(ins, to, source)}({x})"
    if to in FLOATS:
        call = finish_conversion(ins, to, source, x)
    return f.assign(ins.args[0], call)


def conversion(ins, to, source):
    """The C++ function for a conversion, as a lambda of one value."""
    target, origin = TYPES[to][1], TYPES[source][1]
    integral = TO_INTEGRAL.get(ins.one_of(TO_INTEGRAL))
    if source not in FLOATS and to not in FLOATS:
        body = f"saturate_int<{target}>(x)" if ins.has("sat") else f"{target}(x)"
    elif source not in FLOATS:
        body = f"int_to_float<{target}>(x)"
    elif to not in FLOATS:
        body = f"float_to_int<{target}>(x, {integral})"
    elif integral:
        body = f"round_to_integral(x, {integral})"
    else:
        body = f"float_to_float<{target}>(x)"
    return f"[]({origin} x) {{ return {body}; }}"


def finish_conversion(ins, to, source, x):
    """Rounding mode, saturation and flushing of a conversion to a float type."""
    mode = ins.one_of(ROUNDING)
    function = conversion(ins, to, source)
    call = f"{function}({x})"
    if mode and TYPES[to][0] == 2:
        raise ins.unsupported("rounding to a half")
    if mode:
        call = f"rounded<{ROUNDING[mode]}>({function}, {x})"
    flags = ", ".join(str(ins.has(m)).lower() for m in ("ftz", "sat", "relu"))
    return f"result<{flags}>({call})"


def convert_pair(f, ins, part, source):
    if len(ins.args) != 3 or source != "f32" or ins.one_of(ROUNDING):
        raise ins.unsupported()
    high, low = (finish_conversion(ins, part, source, f.value(x, source)) for x in ins.args[1:])
    return f.assign(ins.args[0], f"pack<{part}>({low}, {high})")


# --- a module ------------------------------------------------------------------------------
class ModuleTranslator:
    IGNORED = re.compile(r"\s*(?:\.(?:version|target|address_size|file)\b[^\n]*|;)")
    HEADER = re.compile(r"\.(entry|func)\s*(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\((.*?)\))?", re.S)
    VARIABLE = re.compile(
        r".*?\.(global|const|shared)\s+(?:\.attribute\([^)]*\)\s*)?"
        r"(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)\s*((?:\[\d*\])*)\s*"
        r"(?:=\s*(.*))?$",
        re.S,
    )
    BOUNDS = re.compile(r"\.(?:maxntid|reqntid)\s+([\d\s,]+)")

    def __init__(self, ptx):
        self.text = strip_comments(ptx)
        self.functions, self.kernels, self.variables = {}, [], []
        self.symbols, self.code = {}, []
        self.shared_size = 0
        definitions = list(self.split())
        for header, _, _ in definitions:
            if ".func" in header:
                self.declare(header)
        for header, body, line in definitions:
            self.define(header, body, line)

    def split(self):
        """Declare the variables; yield (header, body, line) for each function with a body."""
        text, i = self.text, 0
        while text[i:].strip():
            if match := self.IGNORED.match(text, i):
                i = match.end()
                continue
            if text[i:].lstrip().startswith(".section"):
                i = text.index("}", i) + 1
                continue
            end = re.compile(r"[;{]").search(text, i).start()
            header = text[i:end]
            if re.search(r"\.(entry|func)\b", header):
                close = end if text[end] == ";" else matching_brace(text, end)
                if text[end] == "{":
                    yield header, text[end + 1 : close], text.count("\n", 0, end + 1) + 1
                i = close + 1
            else:
                end = text.index(";", i)
                self.declare_variable(text[i:end])
                i = end + 1

    def allocate_shared(self, size, align):
        start = (self.shared_size + align - 1) // align * align
        self.shared_size = start + size
        return start

    def declare_variable(self, text):
        match = self.VARIABLE.match(text)
        if not match:
            raise Unsupported(f"module variable: {text.strip()}")
        space, align, kind, name, dimensions, initial = match.groups()
        size, cpp = TYPES[kind]
        count = 1
        for dimension in re.findall(r"\[(\d*)\]", dimensions):
            count *= int(dimension or 0)
        if space == "shared":
            self.declare_shared(name, size, count, int(align or size))
            return
        values = re.sub(r"0[fFdD]([0-9A-Fa-f]{8,16})", r"0x\1", (initial or "0").strip("{} \n"))
        if re.search(r"(?<![\w])[A-Za-z_$]", values):
            raise Unsupported(f"an address as the initial value of {name}")
        cpp = f"u{size * 8}"
        array = f"g_{identifier(name)}"
        self.symbols[name] = f"(u64){array}"
        self.variables.append((name, array))
        # 256 bytes, as any allocation on a GPU is aligned at least so.
        self.code.append(f"alignas(256) static {cpp} {array}[{max(count, 1)}] = {{{values}}};")

    def declare_shared(self, name, size, count, align):
        if count == 0:  # extern __shared__: the dynamic part, after all static variables
            self.symbols[name] = "(u64)DYNAMIC_SHARED"
        else:
            self.symbols[name] = f"{self.allocate_shared(size * count, align)}ull"

    def symbol(self, name, line):
        if name not in self.symbols:
            raise Unsupported(f"PTX line {line}: unknown symbol {name}")
        return self.symbols[name]

    def declare(self, header):
        _, results, name, parameters = self.HEADER.search(header).groups()
        self.functions[name] = parse_parameters(results), parse_parameters(parameters)
        self.code.append(f"static void f_{identifier(name)}(Thread* thread, char** R, char** P);")

    def define(self, header, body, line):
        kind, results, name, parameters = self.HEADER.search(header).groups()
        parameters, results = parse_parameters(parameters), parse_parameters(results)
        function = FunctionTranslator(self, parameters, results)
        code = function.translate(body, line)
        if kind == "entry":
            self.kernels.append((name, [size for _, size in parameters], self.bound(header)))
            signature = f"k_{identifier(name)}(Thread* thread, char** P)"
        else:
            signature = f"f_{identifier(name)}(Thread* thread, char** R, char** P)"
        self.code.append(f"static void {signature} {{\n{code}\n}}")

    def bound(self, header):
        match = self.BOUNDS.search(header)
        bound = 1 if match else 0
        for number in match.group(1).split(",") if match else ():
            bound *= int(number)
        return bound

    def emit(self):
        """The whole C++ file."""
        static = (self.shared_size + 15) // 16 * 16
        lines = ['#include "ptx_ops.h"', f"static const u32 DYNAMIC_SHARED = {static};", *self.code]
        rows = []
        for name, sizes, bound in self.kernels:
            table = f"s_{identifier(name)}"
            lines.append(f"static const int {table}[] = {{{', '.join(map(str, sizes)) or 0}}};")
            rows.append(
                f'{{"{name}", k_{identifier(name)}, {len(sizes)}, {table}, {static}, {bound}}}'
            )
        variables = [f'{{"{name}", {array}, sizeof {array}}}' for name, array in self.variables]
        lines += [
            f"static const Kernel kernels[] = {{{', '.join([*rows, '{}'])}}};",
            f"static const Variable variables[] = {{{', '.join([*variables, '{}'])}}};",
            'extern "C" void describe_module(Emulator* e, Module* module) {',
            "    emulator = e;",
            f"    *module = {{kernels, {len(rows)}, variables, {len(variables)}}};",
            "}",
        ]
        return "\n".join(lines) + "\n"


def translate(ptx):
    return ModuleTranslator(ptx).emit()


def list_opcodes(ptx):
    """Counter of the opcodes, with modifiers, in PTX text."""
    pattern = r"(?:^|[;{}\n])\s*(?:@!?%?\w+\s+)?([a-z]\w*(?:(?:\.|::)\w+)+|ret|exit)\b"
    return Counter(re.findall(pattern, strip_comments(ptx)))


def compile_library(source, library):
    command = [
        os.environ.get("CXX", "g++"),
        *COMPILE.split(),
        f"-I{HEADERS}",
        str(source),
        "-o",
        str(library),
    ]
    subprocess.run(command, check=True)


def main(arguments):
    mode = arguments.pop(0) if arguments[0].startswith("--") else None
    source = Path(arguments[0])
    ptx = source.read_text()
    if mode == "--opcodes":
        for name, count in sorted(list_opcodes(ptx).items()):
            known = name.split(".")[0] in HANDLERS
            print(f"{count:6} {name}{'' if known else '   UNKNOWN'}")
        return
    target = source.with_suffix(".cpp") if mode == "--compile" else Path(arguments[1])
    target.write_text(translate(ptx))
    if mode == "--compile":
        compile_library(target, arguments[1])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Unsupported as error:
        sys.exit(f"{error}")
