// A, Zacas and Zabha: host atomics, as in cpu/semantics_memory.h. What the host has no instruction
// for is a loop of compare-and-swap.
#include <optional>

#include "cpu/jit/emitter.h"

namespace hv::jit {

// As emit_probe(), for an aligned access at rs1; afterwards rcx is the host's address.
void Emitter::probe_atomic(const TraceOp& op, unsigned size, bool store, asmjit::Label slow) {
  const x86::Gp address = source(op.fields.rs1, x86::rax);
  a_.mov(x86::rdx, address);
  a_.and_(x86::rdx, static_cast<int32_t>(kPageMask | (size - 1)));
  probe_tag(address, store, slow);
  a_.add(x86::rcx, address);
}

namespace {

enum class Amo { kSwap, kAdd, kXor, kAnd, kOr, kMin, kMax, kMinu, kMaxu, kCas };
struct AmoKind {
  Amo amo;
  unsigned size;
};

std::optional<AmoKind> amo_of(Op kind) {
  switch (kind) {
#define HV_SIZE(suffix, size)         \
  case Op::amoswap_##suffix:          \
    return AmoKind{Amo::kSwap, size}; \
  case Op::amoadd_##suffix:           \
    return AmoKind{Amo::kAdd, size};  \
  case Op::amoxor_##suffix:           \
    return AmoKind{Amo::kXor, size};  \
  case Op::amoand_##suffix:           \
    return AmoKind{Amo::kAnd, size};  \
  case Op::amoor_##suffix:            \
    return AmoKind{Amo::kOr, size};   \
  case Op::amomin_##suffix:           \
    return AmoKind{Amo::kMin, size};  \
  case Op::amomax_##suffix:           \
    return AmoKind{Amo::kMax, size};  \
  case Op::amominu_##suffix:          \
    return AmoKind{Amo::kMinu, size}; \
  case Op::amomaxu_##suffix:          \
    return AmoKind{Amo::kMaxu, size}; \
  case Op::amocas_##suffix:           \
    return AmoKind{Amo::kCas, size};
    HV_SIZE(b, 1)
    HV_SIZE(h, 2)
    HV_SIZE(w, 4)
    HV_SIZE(d, 8)
#undef HV_SIZE
    default:
      return std::nullopt;
  }
}

x86::Gp sized(x86::Gp reg, unsigned size) {
  switch (size) {
    case 1:
      return reg.r8();
    case 2:
      return reg.r16();
    case 4:
      return reg.r32();
    default:
      return reg.r64();
  }
}

}  // namespace

bool Emitter::emit_atomic(const TraceOp& op) {
  switch (op.kind) {
    case Op::lr_w:
    case Op::sc_w:
      emit_reserved(op, 4);
      return true;
    case Op::lr_d:
    case Op::sc_d:
      emit_reserved(op, 8);
      return true;
    case Op::amocas_q:
      emit_pair_swap(op);
      return true;
    default:
      return emit_update(op);
  }
}

bool Emitter::emit_update(const TraceOp& op) {
  const std::optional<AmoKind> kind = amo_of(op.kind);
  if (!kind) return false;
  const auto [amo, size] = *kind;
  const unsigned rd = op.fields.rd, rs2 = op.fields.rs2;
  SlowOp slow{a_.newLabel(), a_.newLabel(), &op, 0, {}};
  // Loads registers before the way divides.
  if (assigned(rs2)) source(rs2, x86::rdx);
  if (amo == Amo::kCas && assigned(rd)) source(rd, x86::rax);
  probe_atomic(op, size, true, slow.slow);
  slow.dirty = dirty_;
  slow.exception = exception_at(op);
  const x86::Mem memory = x86::ptr(x86::rcx, 0, size);
  const x86::Gp value = sized(x86::rdx, size);
  const auto load_operand = [&] {
    const x86::Gp operand = source(rs2, x86::rdx);
    if (operand != x86::rdx) a_.mov(x86::rdx, operand);
  };
  x86::Gp old = x86::rax;
  if (amo == Amo::kSwap) {
    load_operand();
    a_.xchg(memory, value);
    old = x86::rdx;
  } else if (amo == Amo::kAdd) {
    load_operand();
    a_.lock().xadd(memory, value);
    old = x86::rdx;
  } else if (amo == Amo::kCas) {
    load_operand();
    // x0 as rd is the sink, but compares as 0.
    const x86::Gp expected = source(rd < 32 ? rd : 0, x86::rax);
    if (expected != x86::rax) a_.mov(x86::rax, expected);
    a_.lock().cmpxchg(memory, value);
  } else if (rd >= 32 && (amo == Amo::kXor || amo == Amo::kAnd || amo == Amo::kOr)) {
    load_operand();
    if (amo == Amo::kXor)
      a_.lock().xor_(memory, value);
    else if (amo == Amo::kAnd)
      a_.lock().and_(memory, value);
    else
      a_.lock().or_(memory, value);
  } else {
    const asmjit::Label again = a_.newLabel();
    a_.mov(sized(x86::rax, size), memory);
    a_.bind(again);
    load_operand();
    emit_amo_result(op, size);
    a_.lock().cmpxchg(memory, value);
    a_.jne(again);
  }
  if (rd < 32) {
    if (size == 8)
      a_.mov(target(rd), old);
    else if (size == 4)
      a_.movsxd(target(rd), old.r32());
    else
      a_.movsx(target(rd), sized(old, size));
  }
  a_.bind(slow.back);
  slow_ops_.push_back(slow);
  written(rd);
  return true;
}

// From the old value in rax and the operand in rdx to what rdx is to store.
void Emitter::emit_amo_result(const TraceOp& op, unsigned size) {
  const Amo amo = amo_of(op.kind)->amo;
  switch (amo) {
    case Amo::kXor:
      a_.xor_(x86::rdx, x86::rax);
      return;
    case Amo::kAnd:
      a_.and_(x86::rdx, x86::rax);
      return;
    case Amo::kOr:
      a_.or_(x86::rdx, x86::rax);
      return;
    default:
      break;
  }
  a_.cmp(sized(x86::rax, size), sized(x86::rdx, size));
  if (amo == Amo::kMin)
    a_.cmovl(x86::rdx, x86::rax);
  else if (amo == Amo::kMax)
    a_.cmovg(x86::rdx, x86::rax);
  else if (amo == Amo::kMinu)
    a_.cmovb(x86::rdx, x86::rax);
  else
    a_.cmova(x86::rdx, x86::rax);
}

// The host's instruction has its operands in registers of other meanings, so the guest's go by
// memory.
void Emitter::emit_pair_swap(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs2 = op.fields.rs2;
  SlowOp slow{a_.newLabel(), a_.newLabel(), &op, 0, {}};
  uint32_t operands = 0;
  for (const unsigned first : {rd, rs2}) operands |= bit(first) | bit(first + 1);
  store_registers(dirty_ & operands);
  probe_atomic(op, 16, true, slow.slow);
  slow.dirty = dirty_;
  slow.exception = exception_at(op);
  const auto pair = [&](unsigned first, x86::Gp low, x86::Gp high) {
    // The pair that begins with x0 is 0.
    if (first == 0 || first >= 32) {
      a_.xor_(low.r32(), low.r32());
      a_.xor_(high.r32(), high.r32());
    } else {
      a_.mov(low, guest(first));
      a_.mov(high, guest(first + 1));
    }
  };
  a_.push(x86::rbx);
  a_.push(x86::rsi);
  a_.mov(x86::rsi, x86::rcx);
  pair(rd, x86::rax, x86::rdx);
  pair(rs2, x86::rbx, x86::rcx);
  a_.lock().cmpxchg16b(x86::xmmword_ptr(x86::rsi));
  a_.pop(x86::rsi);
  a_.pop(x86::rbx);
  if (rd < 32) {
    a_.mov(guest(rd), x86::rax);
    a_.mov(guest(rd + 1), x86::rdx);
  }
  a_.bind(slow.back);
  slow_ops_.push_back(slow);
  if (rd >= 32) return;
  for (const unsigned reg : {rd, rd + 1})
    if (assigned(reg)) {
      a_.mov(host(reg), guest(reg));
      loaded_ |= bit(reg);
    }
}

// The reservation is a physical address, a size and the value that LR saw.
void Emitter::emit_reserved(const TraceOp& op, unsigned size) {
  const bool load = op.kind == Op::lr_w || op.kind == Op::lr_d;
  const bool word = size == 4;
  const auto reservation = [&](int32_t offset) { return x86::qword_ptr(kHart, offset); };
  const x86::Mem address = reservation(HV_HART_OFFSET(reservation_address));
  const x86::Mem seen = reservation(HV_HART_OFFSET(reservation_value));
  const x86::Mem width = x86::byte_ptr(kHart, HV_HART_OFFSET(reservation_size));
  const x86::Mem memory = word ? x86::dword_ptr(x86::rcx) : x86::qword_ptr(x86::rcx);
  SlowOp slow{a_.newLabel(), a_.newLabel(), &op, 0, {}};
  if (!load && assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  probe_atomic(op, size, !load, slow.slow);
  slow.dirty = dirty_;
  slow.exception = exception_at(op);
  // Physical = host + a constant.
  const uint64_t to_physical = memory_.base() - reinterpret_cast<uint64_t>(memory_.data());
  if (load) {
    if (word)
      a_.movsxd(x86::rdx, memory);
    else
      a_.mov(x86::rdx, memory);
    a_.mov(x86::rax, to_physical);
    a_.add(x86::rax, x86::rcx);
    a_.mov(address, x86::rax);
    a_.mov(seen, x86::rdx);
    a_.mov(width, size);
    if (op.fields.rd < 32) a_.mov(target(op.fields.rd), x86::rdx);
  } else {
    const asmjit::Label failed = a_.newLabel(), done = a_.newLabel();
    a_.mov(x86::rax, to_physical);
    a_.add(x86::rax, x86::rcx);
    a_.cmp(x86::rax, address);
    a_.mov(address, -1);
    a_.jne(failed);
    a_.cmp(width, size);
    a_.jne(failed);
    const x86::Gp operand = source(op.fields.rs2, x86::rdx);
    a_.mov(x86::rax, seen);
    a_.lock().cmpxchg(memory, word ? operand.r32() : operand);
    a_.jne(failed);
    a_.xor_(x86::eax, x86::eax);
    a_.jmp(done);
    a_.bind(failed);
    a_.mov(x86::eax, 1);
    a_.bind(done);
    if (op.fields.rd < 32 && target(op.fields.rd) != x86::rax)
      a_.mov(target(op.fields.rd), x86::rax);
  }
  a_.bind(slow.back);
  slow_ops_.push_back(slow);
  written(op.fields.rd);
}

}  // namespace hv::jit
