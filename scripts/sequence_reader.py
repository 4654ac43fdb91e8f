# SPDX-License-Identifier: MIT
"""
For check-sequences: reads the instructions of a restartable sequence, of x86-64
or aarch64, and says in the same few words what they do.

Values are sums of what registers held before ("in:rdi"), words of memory ("[x]"
is the word at x; "mem[x]", "mem32[x]" one of C's, its address having come in)
and what changes in a loop ("loop:rcx").  Words that are read before the sequence
starts are "early".  An address is the block's if it is

	gate + (id << CUBBY__STRIPE_SHIFT) + anything

where `id` is a signed 32-bit word at the thread pointer and the gate a word of
memory.  What the words look like is shown by KINDS in check-sequences.
"""
import collections
import re
import subprocess

Insn = collections.namedtuple("Insn", "at name ops next")


class Fault(Exception):
    pass


# ---------------------------------- listing ---------------------------------


def disassemble(objdump, path):
    """The instructions of a file by their addresses."""
    text = subprocess.run([objdump, "-dw", "--no-show-raw-insn", path],
                          check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t(.*)$", text, re.M)
    insns = {}
    for (at, line), after in zip(found, found[1:] + [("0", "")]):
        # Relative to rip: objdump has computed the address.
        line = re.sub(r"-?0x[0-9a-f]+\(%rip\)(.*?) +# ([0-9a-f]+).*",
                      r"0x\2\1", line)
        line = re.sub(r" *(//|<).*", "", line.replace("\t", " ")).strip()
        name, ops = re.match(r"((?:(?:lock|repz?|notrack|bnd) )?\S+) *(.*)",
                             line).groups()
        ops = re.findall(r"(?:[^,(\[]|\([^)]*\)|\[[^]]*\])+", ops)
        insns[int(at, 16)] = Insn(int(at, 16), name,
                                  [op.strip() for op in ops],
                                  int(after[0], 16))
    return insns


def target_of(insn):
    """Where a branch goes; None for anything else."""
    if re.match(r"j|b$|b\.|[ct]bn?z$", insn.name) and insn.ops and \
            re.fullmatch(r"[0-9a-fx]+", insn.ops[-1]):
        return int(insn.ops[-1], 16)
    return None


# ----------------------------------- sums -----------------------------------


class Sum:
    """A value: terms by coefficient, and a constant."""

    def __init__(self, terms=None, constant=0):
        self.terms = {term: n for term, n in (terms or {}).items() if n}
        self.constant = constant

    def __add__(self, other):
        terms = collections.Counter(self.terms)
        for term, n in other.terms.items():
            terms[term] += n
        return Sum(terms, self.constant + other.constant)

    def __mul__(self, n):
        return Sum({term: m * n for term, m in self.terms.items()},
                   self.constant * n)

    def __eq__(self, other):
        return (self.terms, self.constant) == (other.terms, other.constant)

    def text(self):
        out = ""
        for term, n in sorted(self.terms.items(),
                              key=lambda it: (it[1] < 0, rank(it[0]))):
            out += "%s%s%s" % ("-" if n < 0 else "+" if out else "",
                               "%d*" % abs(n) if abs(n) != 1 else "", term)
        if self.constant or not out:
            out += "%s%d" % ("+" if out and self.constant > 0 else "",
                             self.constant)
        return out


# In which order things stand, whatever registers they are in.
ORDER = ("tp", "block", "[", "gate", "id", "loop:", "mem", "in:")


def rank(text):
    return [text.startswith(it) for it in ORDER + ("",)].index(True), text


# -------------------------------- processors --------------------------------
#
# An instruction becomes steps of one small machine, the Walk:
#
#   set REG SUM         load ADDRESS BYTES SIGNED   store ADDRESS SUM BYTES RELEASE
#   compare A B BYTES   branch CONDITION TARGET     jump TARGET
#
# compare leaves its operands for the next branch.

CONDITIONS = {
    "e": "==", "eq": "==", "z": "==", "ne": "!=", "nz": "!=",
    "ae": ">=", "nc": ">=", "cs": ">=", "hs": ">=", "b": "<", "cc": "<",
}


class Processor:
    """What the two have in common."""

    def __init__(self, machine):
        self.machine = machine

    def step(self, insn):
        method = getattr(self, "do_" + insn.name.replace(".", "_"), None)
        try:
            if method is None:
                raise ValueError
            method(*insn.ops)
        except (ValueError, TypeError) as error:
            raise Fault("not an instruction for a sequence: %s %s" % (
                insn.name, ", ".join(insn.ops))) from error

    def set(self, op, value):
        name, n_bytes = self.reg(op)
        if n_bytes != 8:
            raise ValueError(op)
        self.machine.set(name, value)

    def written(self, insn):
        """The register that an instruction changes, if any."""
        try:
            return self.reg(insn.ops[self.TARGET])[0]
        except ValueError:
            return None


class X86(Processor):
    """AT&T syntax: the destination comes last."""

    TARGET = -1
    NAMES = {"a": "rax", "b": "rbx", "c": "rcx", "d": "rdx", "si": "rsi",
             "di": "rdi", "bp": "rbp", "sp": "rsp"}

    def reg(self, op):
        """Name of the whole register, and bytes."""
        found = re.fullmatch(r"%(r\d+|[re](?:[abcd](?=x)|[sd]i|[bs]p))(x?)(d?)",
                             op)
        if not found:
            raise ValueError(op)
        name, _, d = found.groups()
        if name[1:].isdigit():
            return name, 4 if d else 8
        return self.NAMES[name[1:]], 8 if name[0] == "r" else 4

    def address(self, op):
        found = re.fullmatch(
            r"(%fs:)?(-?0x[0-9a-f]+)?(?:\((%\w+)?(?:,(%\w+),(\d))?\))?", op)
        if not found:
            raise ValueError(op)
        segment, offset, base, index, scale = found.groups()
        value = Sum({"tp": 1} if segment else {}, int(offset or "0", 16))
        if base:
            value += self.machine.regs[self.reg(base)[0]]
        if index:
            value += self.machine.regs[self.reg(index)[0]] * int(scale)
        return value

    def value(self, op, n_bytes=8):
        if op.startswith("$"):
            return Sum(constant=int(op[1:], 16))
        if re.match(r"%(?!fs:)", op):
            return self.machine.regs[self.reg(op)[0]]
        return self.machine.load(self.address(op), n_bytes, False)

    def bytes_of(self, *ops):
        for op in ops:
            if re.match(r"%(?!fs:)", op):
                return self.reg(op)[1]
        raise ValueError(ops)

    def do_mov(self, source, target):
        if re.match(r"%(?!fs:)", target):
            self.set(target, self.value(source))
        else:
            self.machine.store(self.address(target), self.value(source),
                               self.bytes_of(source), True)

    def do_movslq(self, source, target):
        self.set(target, self.machine.load(self.address(source), 4, True))

    def do_lea(self, source, target):
        self.set(target, self.address(source))

    def compute(self, op, value):
        self.machine.flags = None
        self.set(op, value)

    def do_add(self, source, target):
        self.compute(target, self.value(target) + self.value(source))

    def do_sub(self, source, target):
        self.compute(target, self.value(target) + self.value(source) * -1)

    def do_inc(self, target):
        self.compute(target, self.value(target) + Sum(constant=1))

    def do_shl(self, n, target):
        self.compute(target, self.value(target) * (1 << int(n[1:], 16)))

    def do_xor(self, source, target):
        if source != target:
            raise ValueError
        self.machine.flags = None
        self.machine.set(self.reg(target)[0], Sum())

    def do_cmp(self, source, target):
        n_bytes = self.bytes_of(source, target)
        self.machine.compare("cmp", self.value(target, n_bytes),
                             self.value(source, n_bytes), n_bytes)

    def do_test(self, source, target):
        n_bytes = self.bytes_of(source, target)
        if source == target:
            self.machine.compare("cmp", self.value(source), Sum(), n_bytes)
        else:
            self.machine.compare("test", self.value(target, n_bytes),
                                 self.value(source, n_bytes), n_bytes)

    def do_jmp(self, target):
        self.machine.jump(int(target, 16))

    def do_je(self, target, name="e"):
        self.machine.branch(CONDITIONS[name], int(target, 16))

    def do_jne(self, target):
        self.do_je(target, "ne")

    def do_jae(self, target):
        self.do_je(target, "ae")

    def do_jb(self, target):
        self.do_je(target, "b")


class Arm(Processor):
    """The destination comes first, but in stores."""

    TARGET = 0

    def reg(self, op):
        found = re.fullmatch(r"([xw])(\d+|zr)", op)
        if not found:
            raise ValueError(op)
        return "x" + found[2], 8 if found[1] == "x" else 4

    def value(self, op, shift=None):
        if op.startswith("#"):
            value = Sum(constant=int(op[1:], 16))
        elif self.reg(op)[0] == "xzr":
            value = Sum()
        else:
            value = self.machine.regs[self.reg(op)[0]]
        if shift is None:
            return value
        return value * (1 << int(re.fullmatch(r"lsl #(\d+)", shift)[1]))

    def address(self, op):
        found = re.fullmatch(r"\[([^]]*)\]", op)
        if not found:
            raise ValueError(op)
        base, *index = [part.strip() for part in found[1].split(",")]
        if index and index[0].startswith("#"):
            return self.value(base) + Sum(constant=int(index[0][1:]))
        return self.value(base) + (self.value(*index) if index else Sum())

    def do_mrs(self, target, source):
        if source != "tpidr_el0":
            raise ValueError(source)
        self.set(target, Sum({"tp": 1}))

    def do_adrp(self, target, page):
        self.set(target, Sum(constant=int(page, 16)))

    def do_mov(self, target, source):
        self.set(target, self.value(source))

    def do_add(self, target, left, *right):
        self.set(target, self.value(left) + self.value(*right))

    def do_sub(self, target, left, *right):
        self.set(target, self.value(left) + self.value(*right) * -1)

    def do_ldr(self, target, source):
        name, n_bytes = self.reg(target)
        self.machine.set(name, self.machine.load(self.address(source), n_bytes,
                                                 False))

    do_ldur = do_ldr

    def do_ldrsw(self, target, source):
        self.set(target, self.machine.load(self.address(source), 4, True))

    def do_str(self, source, target, release=False):
        self.machine.store(self.address(target), self.value(source),
                           self.reg(source)[1], release)

    def do_stlr(self, source, target):
        self.do_str(source, target, True)

    def do_cmp(self, left, *right):
        self.machine.compare("cmp", self.value(left), self.value(*right),
                             self.reg(left)[1])

    def do_tst(self, left, right):
        self.machine.compare("test", self.value(left), self.value(right),
                             self.reg(left)[1])

    def do_b(self, target):
        self.machine.jump(int(target, 16))

    def do_b_eq(self, target, name="eq"):
        self.machine.branch(CONDITIONS[name], int(target, 16))

    def do_b_ne(self, target):
        self.do_b_eq(target, "ne")

    def do_b_cs(self, target):
        self.do_b_eq(target, "cs")

    def do_b_cc(self, target):
        self.do_b_eq(target, "cc")

    def do_cbz(self, source, target, name="eq"):
        self.machine.compare("cmp", self.value(source), Sum(),
                             self.reg(source)[1])
        self.machine.branch(CONDITIONS[name], int(target, 16))

    def do_cbnz(self, source, target):
        self.do_cbz(source, target, "ne")


PROCESSORS = {"x86_64": X86, "aarch64": Arm}


# ----------------------------------- walk -----------------------------------


class Inputs(dict):
    """Registers: what has not been set came in."""

    def __missing__(self, name):
        return Sum({"in:" + name: 1})


class Walk:
    """Follows a sequence from where its descriptor is published."""

    def __init__(self, arch, insns, descriptor, shift):
        self.insns = insns
        self.descriptor, self.shift = descriptor, shift
        self.processor = PROCESSORS[arch](self)
        self.regs = Inputs()
        self.lines = []
        self.flags = None
        self.inside = False
        self.gates = set()
        self.block_stores = []
        self.waiting = collections.defaultdict(list)  # states, by label

    def run(self, retry, start, end):
        self.start, self.end = start, end
        heads = self.find_loops()
        at, live = retry, True
        while at < end:
            self.insn = insn = self.insns.get(at)
            if insn is None:
                raise Fault("%#x is not the start of an instruction" % at)
            if at == start:
                self.inside = True
                self.lines.append("start")
            if at in self.waiting:
                self.merge(self.waiting.pop(at) + [self.regs] * live)
                self.lines.append("out")
            elif not live:
                raise Fault("%#x is never reached" % at)
            if at in heads:
                self.enter_loop(heads[at])
            self.jumped = False
            self.processor.step(insn)
            at, live = insn.next, not self.jumped
        if at != end or self.waiting or not self.inside:
            raise Fault("start or length is not at an instruction")

    def find_loops(self):
        heads = {}
        for insn in self.insns.values():
            target = target_of(insn)
            if target and self.start <= target <= insn.at < self.end:
                heads[target] = insn.at
        return heads

    def enter_loop(self, last):
        """What the loop writes may be anything."""
        old = Inputs(self.regs)
        at = self.insn.at
        changed = set()
        while at <= last:
            changed.add(self.processor.written(self.insns[at]))
            at = self.insns[at].next
        changed.discard(None)
        self.lines.append(("loop", {name: old[name] for name in changed}))
        for name in changed:
            self.regs[name] = Sum({"loop:" + name: 1})

    def merge(self, states):
        names = set().union(*states)
        self.regs = Inputs()
        for name in names:
            values = [state[name] for state in states]
            same = all(value == values[0] for value in values)
            self.regs[name] = values[0] if same else Sum({"join:" + name: 1})

    # Steps.

    def set(self, name, value):
        self.regs[name] = value

    def address(self, value):
        """The text of an address, the block's by its name; is it that?"""
        gates = [term for term, n in value.terms.items()
                 if term.startswith("mem[") and n == 1]
        if value.terms.get("id") != 1 << self.shift or len(gates) != 1:
            return value.text(), False
        self.gates.add(gates[0])
        rest = {term: n for term, n in value.terms.items()
                if term not in ("id", gates[0])}
        return Sum({**rest, "block": 1}, value.constant).text(), True

    def load(self, address, n_bytes, signed):
        text, _ = self.address(address)
        if not self.inside:
            name = "early[%s]" % text
        elif signed and n_bytes == 4:
            name = "id"
            self.lines.append("id = [%s]" % text)
        elif all(term.startswith("in:") for term in address.terms):
            name = "mem%s[%s]" % ("" if n_bytes == 8 else 32, text)
        else:
            name = "[%s]%s" % (text, "" if n_bytes == 8 else ".%d" % n_bytes)
        return Sum({name: 1})

    def store(self, address, value, n_bytes, release):
        text, in_block = self.address(address)
        if in_block:
            self.block_stores.append(self.insn.at)
        is_descriptor = value == Sum(constant=self.descriptor)
        self.lines.append("[%s] = %s%s%s" % (
            text, "descriptor" if is_descriptor else value.text(),
            "" if n_bytes == 8 else " in 32 bits", ", release" * release))

    def compare(self, kind, left, right, n_bytes):
        self.flags = kind, left.text(), right.text(), n_bytes

    def branch(self, condition, target):
        if self.flags is None:
            raise ValueError
        kind, left, right, n_bytes = self.flags
        if self.start <= target <= self.insn.at or self.insn.at < self.start:
            raise Fault("a conditional branch back")
        if target < self.end and target > self.insn.at:
            where = "break"
            self.waiting[target].append(Inputs(self.regs))
        else:
            where = "leave"
        self.lines.append((where, condition, kind, left, right, n_bytes))

    def jump(self, target):
        if not self.start <= target <= self.insn.at:
            raise Fault("a jump forward")
        self.jumped = True
        self.lines.append(("again", Inputs(self.regs)))

    # Into words.

    def words(self):
        """The lines, with letters for what came in, in order of appearance."""
        names = {}
        n_named = collections.Counter()

        def name(found):
            raw = found[0]
            if raw not in names:
                group = "ijkl" if raw.startswith("loop:") else "abcdefgh"
                letter = (group + "?" * 9)[min(n_named[group], 9)]
                names[raw] = letter.upper() if raw[0] == "m" else letter
                n_named[group] += 1
            return names[raw]

        def rename(text):
            for gate in self.gates:
                text = text.replace(gate, "gate")
            return re.sub(r"mem(?:32)?\[[^]]*\]|(?:in|loop):\w+", name, text)

        lines = [rename(line if isinstance(line, str) else self.condition(*line))
                 if line[0] not in ("loop", "again") else line
                 for line in self.lines]
        loops = sorted((letter, raw[5:]) for raw, letter in names.items()
                       if raw.startswith("loop:"))
        return [line if isinstance(line, str) else "%s %s" % (
            line[0], ", ".join("%s = %s" % (letter, rename(line[1][raw].text()))
                               for letter, raw in loops)) for line in lines]

    def condition(self, where, condition, kind, left, right, n_bytes):
        for gate in self.gates:
            left, right = left.replace(gate, "gate"), right.replace(gate, "gate")
        if condition in ("==", "!=") and rank(left)[0] > rank(right)[0]:
            left, right = right, left
        if kind == "test":
            left, right = "%s & %s" % (left, right), "0"
        return "%s if %s %s %s%s" % (where, left, condition, right,
                                     "" if n_bytes == 8 else " in 32 bits")
