"""The innermost loops of a program's functions, as objdump disassembles them; for `inner-loops` and
`neon-inner-loops`."""

import re
import subprocess
import sys
from collections import namedtuple

Instruction = namedtuple("Instruction", "address name operands")
Loop = namedtuple("Loop", "function instructions stack")

# How to read an architecture: the objdump that knows it, a line of its output, what a jump is (its
# target comes last), what nothing falls through, the instruction that sets a frame pointer up, and
# operands on the stack, without a frame pointer and with one.
Architecture = namedtuple("Architecture", "objdump line jump leaves framed stack framed_stack")

X86_64 = Architecture(
    objdump="objdump",
    line=re.compile(r"^ *([0-9a-f]+):\t(?:(?:data16|lock|notrack|rep\w*|bnd) )*(\S+) *([^#<]*)"),
    jump=re.compile(r"j\w+$"),
    leaves=("jmp", "ret", "ud2"),
    framed=re.compile(r"mov %rsp,%rbp$"),
    stack=re.compile(r"\(%rsp"),
    framed_stack=re.compile(r"\(%r[sb]p"),
)

AARCH64 = Architecture(
    objdump="aarch64-linux-gnu-objdump",
    line=re.compile(r"^ *([0-9a-f]+):\t(\S+)\s*([^</]*)"),
    jump=re.compile(r"(b|bc?\.\w+|cbn?z|tbn?z)$"),
    leaves=("b", "br", "ret", "brk", "udf"),
    framed=re.compile(r"(mov x29, sp|add x29, sp, #\w+)$"),
    stack=re.compile(r"\[sp\b"),
    framed_stack=re.compile(r"\[(sp|x29)\b"),
)

FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
TARGET = re.compile(r"(?:^|[ ,])([0-9a-f]+)$")


def functions(architecture, binary, symbols):
    """Name and instructions of the functions with one of `symbols` in their names."""
    command = [architecture.objdump, "--disassemble", "--no-show-raw-insn", "--wide", binary]
    name, body = None, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as objdump:
        for line in objdump.stdout:
            if header := FUNCTION.match(line):
                if name:
                    yield name, body
                name, body = header[2], []
                if not any(symbol in name for symbol in symbols):
                    name = None
            elif name and (found := architecture.line.match(line)):
                body.append(Instruction(int(found[1], 16), found[2], found[3].strip()))
    if name:
        yield name, body
    if objdump.returncode:
        sys.exit(f"{architecture.objdump} {binary} failed")


def jump_target(architecture, instruction):
    """The address that an instruction may jump to."""
    found = architecture.jump.match(instruction.name) and TARGET.search(instruction.operands)
    return int(found[1], 16) if found else None


def natural_loops(architecture, body):
    """Indices of the instructions of each loop: what leads from the target of a backward jump to
    the jump, unless there is another way in."""
    at = {instruction.address: i for i, instruction in enumerate(body)}
    targets, before = {}, {i: [] for i in range(len(body))}
    for i, instruction in enumerate(body):
        target = at.get(jump_target(architecture, instruction))
        if target is not None:
            targets[i] = target
            before[target].append(i)
        if i + 1 < len(body) and instruction.name not in architecture.leaves:
            before[i + 1].append(i)
    for end, start in targets.items():
        if start > end:
            continue
        inside, to_do = {start}, [end]
        while to_do:
            i = to_do.pop()
            if i not in inside:
                inside.add(i)
                to_do += before[i]
        if start == 0 or 0 not in inside:
            yield inside


def innermost_loops(architecture, name, body):
    loops = {frozenset(loop) for loop in natural_loops(architecture, body)}
    framed = any(architecture.framed.match(f"{i.name} {i.operands}") for i in body)
    stack = architecture.framed_stack if framed else architecture.stack
    for loop in sorted(loops, key=min):
        if not any(other < loop for other in loops):
            yield Loop(name, [body[i] for i in sorted(loop)], stack)
