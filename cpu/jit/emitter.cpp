#include "cpu/jit/emitter.h"

#include <algorithm>
#include <bit>

#include "cpu/jit/helpers.h"
#include "cpu/tlb.h"

namespace hv::jit {
namespace {

constexpr uint32_t bit(unsigned reg) {
  return reg < 32 ? 1u << reg : 0;
}

bool in_page(int32_t offset) {
  return offset >= 0 && offset < static_cast<int32_t>(GuestMemory::kPageSize);
}

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

// Which of an op's fields name x registers. A helper reads and writes what it likes: emit_helper.
struct Use {
  bool rs1 = false, rs2 = false, rd = false;
};
Use use_of(Op kind) {
  if (op_has(kind, op_flags::kBranch)) return {true, true, false};
  switch (kind) {
    case Op::lui:
    case Op::auipc:
    case Op::jal:
      return {false, false, true};
    case Op::jalr:
      return {true, false, true};
    case Op::sb:
    case Op::sh:
    case Op::sw:
    case Op::sd:
      return {true, true, false};
    case Op::fld:
    case Op::flw:
    case Op::fsd:
    case Op::fsw:
      return {true, false, false};
    default:
      return {true, true, true};
  }
}

}  // namespace

Emitter::Emitter(x86::Assembler& assembler, const Stubs& stubs, const HostFeatures& features,
                 const GuestMemory& memory, const Trace& trace, const NativePlace* places,
                 NativeTrace& out)
    : a_(assembler),
      stubs_(stubs),
      features_(features),
      memory_(memory),
      trace_(trace),
      places_(places),
      out_(out) {}

// The registers that the path names most often get the host's.
void Emitter::assign_registers() {
  std::array<unsigned, 33> uses{};
  for (const TraceOp& op : trace_.ops) {
    const Use use = use_of(op.kind);
    if (op_has(op.kind, op_flags::kFp) && op.kind != Op::fld && op.kind != Op::fsd &&
        op.kind != Op::flw && op.kind != Op::fsw)
      continue;
    if (use.rs1) ++uses[std::min<unsigned>(op.fields.rs1, 32)];
    if (use.rs2 && op.kind != Op::addi) ++uses[std::min<unsigned>(op.fields.rs2, 32)];
    if (use.rd) ++uses[std::min<unsigned>(op.fields.rd, 32)];
  }
  host_.fill(-1);
  std::array<unsigned, 31> order;
  for (unsigned i = 0; i < order.size(); ++i) order[i] = i + 1;
  std::ranges::sort(order, [&](unsigned a, unsigned b) {
    return uses[a] != uses[b] ? uses[a] > uses[b] : a < b;
  });
  for (size_t i = 0; i < kPool.size() && uses[order[i]] > 0; ++i)
    host_[order[i]] = static_cast<int8_t>(i);
}

void Emitter::emit() {
  assign_registers();
  assign_float_registers();
  asmjit::Label top = a_.newLabel();
  if (trace_.loops) {
    // Whatever an iteration may leave in registers, the next finds there.
    uint32_t changed = 0;
    for (const TraceOp& op : trace_.ops)
      if (use_of(op.kind).rd) changed |= bit(op.fields.rd);
    for (unsigned reg = 1; reg < 32; ++reg) {
      if (!assigned(reg)) continue;
      a_.mov(host(reg), guest(reg));
      loaded_ |= bit(reg);
      if (changed & bit(reg)) dirty_ |= bit(reg);
    }
    for (unsigned reg = 0; reg < 32; ++reg) {
      if (!float_assigned(reg)) continue;
      a_.movsd(float_host(reg), guest_float(reg));
      float_loaded_ |= bit(reg);
      float_dirty_ |= bit(reg);
    }
    a_.bind(top);
  }
  const uint32_t dirty_at_top = dirty_, float_dirty_at_top = float_dirty_;
  const auto count = static_cast<uint32_t>(trace_.ops.size());
  bool ended = false;
  for (index_ = 0; index_ < count; ++index_) {
    const TraceOp& op = trace_.ops[index_];
    const bool last = index_ + 1 == count && !trace_.loops;
    if (op_has(op.kind, op_flags::kBranch)) {
      emit_branch(op, last);
      ended = last;
    } else if (op.kind == Op::jal) {
      if (op.fields.rd < 32) {
        load_page(target(op.fields.rd), op.page_offset + op.length);
        written(op.fields.rd);
      }
      if (last) leave_for(op.page_offset + op.fields.imm, count);
      ended = last;
    } else if (op.kind == Op::jalr) {
      emit_jalr(op);
      ended = true;
    } else if (!emit_op(op)) {
      emit_helper(op);
    }
  }
  if (trace_.loops) {
    add_retired(count);
    a_.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
    a_.je(top);
    store_registers(dirty_ | dirty_at_top);
    store_float_registers(float_dirty_ | float_dirty_at_top);
    a_.mov(x86::rdx, address_of(link_to(trace_.ops.front().page_offset)));
    a_.jmp(address_of(stubs_.request));
  } else if (!ended) {
    const TraceOp& op = trace_.ops.back();
    leave_for(op.page_offset + op.length, count);
  }
  emit_slow_accesses();
  emit_nan_fixes();
  emit_exits();
}

bool Emitter::emit_op(const TraceOp& op) {
  switch (op.kind) {
    case Op::lb:
    case Op::lh:
    case Op::lw:
    case Op::ld:
    case Op::lbu:
    case Op::lhu:
    case Op::lwu:
      emit_load(op);
      return true;
    case Op::sb:
    case Op::sh:
    case Op::sw:
    case Op::sd:
      emit_store(op);
      return true;
    case Op::auipc:
      if (op.fields.rd < 32) {
        load_page(target(op.fields.rd), op.page_offset + op.fields.imm);
        written(op.fields.rd);
      }
      return true;
    case Op::fence: {
      // As guest_fence(): only earlier writes before later reads cost something.
      const auto sets = static_cast<uint32_t>(op.fields.imm) >> 20;
      if ((sets >> 8 & 15) != 8 && (sets & 5u << 4) && (sets & 10))
        a_.lock().or_(x86::dword_ptr(x86::rsp), 0);
      return true;
    }
    default:
      break;
  }
  if (op_has(op.kind, op_flags::kFp)) return emit_float(op);
  if (emit_atomic(op)) return true;
  // What follows only computes.
  if (emit_immediate(op) || emit_register(op) || emit_bits(op)) return true;
  return false;
}

x86::Gp Emitter::source(unsigned reg, x86::Gp scratch) {
  if (reg == 0) {
    a_.xor_(scratch.r32(), scratch.r32());
    return scratch;
  }
  if (!assigned(reg)) {
    a_.mov(scratch, guest(reg));
    return scratch;
  }
  if (!(loaded_ & bit(reg))) {
    a_.mov(host(reg), guest(reg));
    loaded_ |= bit(reg);
  }
  return host(reg);
}

void Emitter::written(unsigned reg) {
  if (reg >= 32) return;
  if (assigned(reg)) {
    loaded_ |= bit(reg);
    dirty_ |= bit(reg);
  } else {
    a_.mov(guest(reg), x86::rax);
  }
}

void Emitter::store_registers(uint32_t mask) {
  for (unsigned reg = 1; reg < 32; ++reg)
    if (mask & bit(reg)) a_.mov(guest(reg), host(reg));
}

void Emitter::add_retired(uint32_t count) {
  if (count) a_.add(kRetired, count);
}

void Emitter::load_page(x86::Gp to, int32_t page_offset) {
  a_.mov(to, x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)));
  if (page_offset) a_.add(to, page_offset);
}

// --- computation

bool Emitter::emit_immediate(const TraceOp& op) {
  const int32_t imm = op.fields.imm;
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1;
  switch (op.kind) {
    case Op::lui:
    case Op::addi:
    case Op::slti:
    case Op::sltiu:
    case Op::xori:
    case Op::ori:
    case Op::andi:
    case Op::slli:
    case Op::srli:
    case Op::srai:
    case Op::addiw:
    case Op::slliw:
    case Op::srliw:
    case Op::sraiw:
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  if (op.kind == Op::lui || (rs1 == 0 && (op.kind == Op::addi || op.kind == Op::addiw))) {
    if (imm == 0)
      a_.xor_(d.r32(), d.r32());
    else
      a_.mov(d, imm);
    written(rd);
    return true;
  }
  const x86::Gp s = source(rs1, x86::rcx);
  const auto move = [&] {
    if (d != s) a_.mov(d, s);
  };
  const auto shift = static_cast<unsigned>(imm);
  switch (op.kind) {
    case Op::addi:
      if (d != s && imm != 0) {
        a_.lea(d, x86::ptr(s, imm));
      } else {
        move();
        if (imm) a_.add(d, imm);
      }
      break;
    case Op::addiw:
      if (imm == 0) {
        a_.movsxd(d, s.r32());
      } else if (d == s) {
        a_.add(d.r32(), imm);
        a_.movsxd(d, d.r32());
      } else {
        a_.lea(d.r32(), x86::ptr(s, imm));
        a_.movsxd(d, d.r32());
      }
      break;
    case Op::slti:
    case Op::sltiu:
      a_.cmp(s, imm);
      if (op.kind == Op::slti)
        a_.setl(x86::al);
      else
        a_.setb(x86::al);
      a_.movzx(d.r32(), x86::al);
      break;
    case Op::xori:
      move();
      if (imm == -1)
        a_.not_(d);
      else
        a_.xor_(d, imm);
      break;
    case Op::ori:
      move();
      a_.or_(d, imm);
      break;
    case Op::andi:
      if (imm == 255) {
        a_.movzx(d.r32(), s.r8());
      } else if (imm >= 0) {
        if (d != s) a_.mov(d.r32(), s.r32());
        a_.and_(d.r32(), imm);
      } else {
        move();
        a_.and_(d, imm);
      }
      break;
    case Op::slli:
      move();
      a_.shl(d, shift & 63);
      break;
    case Op::srli:
      move();
      a_.shr(d, shift & 63);
      break;
    case Op::srai:
      move();
      a_.sar(d, shift & 63);
      break;
    case Op::slliw:
    case Op::srliw:
    case Op::sraiw:
      if (d != s) a_.mov(d.r32(), s.r32());
      if (op.kind == Op::slliw)
        a_.shl(d.r32(), shift & 31);
      else if (op.kind == Op::srliw)
        a_.shr(d.r32(), shift & 31);
      else
        a_.sar(d.r32(), shift & 31);
      a_.movsxd(d, d.r32());
      break;
    default:
      break;
  }
  written(rd);
  return true;
}

bool Emitter::emit_register(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  enum { kSum, kOther } shape = kOther;
  switch (op.kind) {
    case Op::add:
    case Op::addw:
      shape = kSum;
      break;
    case Op::sub:
    case Op::sll:
    case Op::slt:
    case Op::sltu:
    case Op::xor_:
    case Op::srl:
    case Op::sra:
    case Op::or_:
    case Op::and_:
    case Op::subw:
    case Op::sllw:
    case Op::srlw:
    case Op::sraw:
    case Op::mul:
    case Op::mulw:
    case Op::mulh:
    case Op::mulhu:
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  if (shape == kSum && (rs1 == 0 || rs2 == 0)) {
    const x86::Gp s = source(rs1 == 0 ? rs2 : rs1, x86::rcx);
    if (op.kind == Op::addw)
      a_.movsxd(d, s.r32());
    else if (d != s)
      a_.mov(d, s);
    written(rd);
    return true;
  }
  const x86::Gp s = source(rs1, x86::rax), t = source(rs2, x86::rcx);
  // Where the first operand may be overwritten although the second is still needed.
  const x86::Gp w = d == t && d != s ? x86::rax : d;
  const auto move = [&] {
    if (w != s) a_.mov(w, s);
  };
  const auto shift = [&](auto by_bmi2, auto by_cl, bool word) {
    if (features_.bmi2) {
      if (word)
        by_bmi2(d.r32(), s.r32(), t.r32());
      else
        by_bmi2(d, s, t);
    } else {
      if (t != x86::rcx) a_.mov(x86::ecx, t.r32());
      move();
      by_cl(word ? w.r32() : w);
      if (w != d) a_.mov(d, w);
    }
    if (word) a_.movsxd(d, d.r32());
  };
  bool moved = false;  // the result is in d
  switch (op.kind) {
    case Op::add:
      if (d == s)
        a_.add(d, t);
      else if (d == t)
        a_.add(d, s);
      else
        a_.lea(d, x86::ptr(s, t));
      moved = true;
      break;
    case Op::addw:
      if (d == s)
        a_.add(d.r32(), t.r32());
      else if (d == t)
        a_.add(d.r32(), s.r32());
      else
        a_.lea(d.r32(), x86::ptr(s, t));
      a_.movsxd(d, d.r32());
      moved = true;
      break;
    case Op::sub:
      move();
      a_.sub(w, t);
      break;
    case Op::subw:
      move();
      a_.sub(w.r32(), t.r32());
      a_.movsxd(d, w.r32());
      moved = true;
      break;
    case Op::xor_:
      move();
      a_.xor_(w, t);
      break;
    case Op::or_:
      move();
      a_.or_(w, t);
      break;
    case Op::and_:
      move();
      a_.and_(w, t);
      break;
    case Op::slt:
    case Op::sltu:
      a_.cmp(s, t);
      if (op.kind == Op::slt)
        a_.setl(x86::al);
      else
        a_.setb(x86::al);
      a_.movzx(d.r32(), x86::al);
      moved = true;
      break;
    case Op::sll:
    case Op::sllw:
      shift([&](auto x, auto y, auto z) { a_.shlx(x, y, z); }, [&](auto x) { a_.shl(x, x86::cl); },
            op.kind == Op::sllw);
      moved = true;
      break;
    case Op::srl:
    case Op::srlw:
      shift([&](auto x, auto y, auto z) { a_.shrx(x, y, z); }, [&](auto x) { a_.shr(x, x86::cl); },
            op.kind == Op::srlw);
      moved = true;
      break;
    case Op::sra:
    case Op::sraw:
      shift([&](auto x, auto y, auto z) { a_.sarx(x, y, z); }, [&](auto x) { a_.sar(x, x86::cl); },
            op.kind == Op::sraw);
      moved = true;
      break;
    case Op::mul:
      move();
      a_.imul(w, t);
      break;
    case Op::mulw:
      move();
      a_.imul(w.r32(), t.r32());
      a_.movsxd(d, w.r32());
      moved = true;
      break;
    case Op::mulh:
    case Op::mulhu:
      if (s != x86::rax) a_.mov(x86::rax, s);
      if (op.kind == Op::mulh)
        a_.imul(t);
      else
        a_.mul(t);
      a_.mov(d, x86::rdx);
      moved = true;
      break;
    default:
      break;
  }
  if (!moved && w != d) a_.mov(d, w);
  written(rd);
  return true;
}

bool Emitter::emit_bits(const TraceOp& op) {
  const unsigned rd = op.fields.rd, rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  unsigned scale = 0;
  switch (op.kind) {
    case Op::add_uw:
      scale = 1;
      break;
    case Op::sh1add:
    case Op::sh1add_uw:
      scale = 2;
      break;
    case Op::sh2add:
    case Op::sh2add_uw:
      scale = 4;
      break;
    case Op::sh3add:
    case Op::sh3add_uw:
      scale = 8;
      break;
    case Op::andn:
    case Op::orn:
    case Op::xnor:
    case Op::min:
    case Op::minu:
    case Op::max:
    case Op::maxu:
    case Op::sext_b:
    case Op::sext_h:
    case Op::zext_h:
    case Op::rev8:
    case Op::rori:
    case Op::slli_uw:
    case Op::bseti:
    case Op::bclri:
    case Op::binvi:
    case Op::bexti:
    case Op::czero_eqz:
    case Op::czero_nez:
      break;
    case Op::clz:
    case Op::ctz:
    case Op::clzw:
    case Op::ctzw:
      if (!features_.lzcnt || !features_.bmi1) return false;
      break;
    case Op::cpop:
    case Op::cpopw:
      if (!features_.popcnt) return false;
      break;
    default:
      return false;
  }
  if (rd >= 32) return true;
  const x86::Gp d = target(rd);
  const x86::Gp s = source(rs1, x86::rax);
  const auto at = static_cast<unsigned>(op.fields.imm) & 63;
  if (scale) {
    const x86::Gp t = source(rs2, x86::rcx);
    const bool word = op.kind == Op::add_uw || op.kind == Op::sh1add_uw ||
                      op.kind == Op::sh2add_uw || op.kind == Op::sh3add_uw;
    x86::Gp index = s;
    if (word) {
      a_.mov(x86::eax, s.r32());
      index = x86::rax;
    }
    a_.lea(d, x86::ptr(t, index, static_cast<uint32_t>(std::countr_zero(scale))));
    written(rd);
    return true;
  }
  switch (op.kind) {
    case Op::andn:
    case Op::orn: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.not_(x86::rdx);
      if (op.kind == Op::andn)
        a_.and_(x86::rdx, s);
      else
        a_.or_(x86::rdx, s);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::xnor: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.xor_(x86::rdx, s);
      a_.not_(x86::rdx);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::min:
    case Op::minu:
    case Op::max:
    case Op::maxu: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, t);
      a_.cmp(s, t);
      if (op.kind == Op::min)
        a_.cmovl(x86::rdx, s);
      else if (op.kind == Op::minu)
        a_.cmovb(x86::rdx, s);
      else if (op.kind == Op::max)
        a_.cmovg(x86::rdx, s);
      else
        a_.cmova(x86::rdx, s);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::czero_eqz:
    case Op::czero_nez: {
      const x86::Gp t = source(rs2, x86::rcx);
      a_.mov(x86::rdx, s);
      a_.xor_(x86::eax, x86::eax);
      a_.test(t, t);
      if (op.kind == Op::czero_eqz)
        a_.cmovz(x86::rdx, x86::rax);
      else
        a_.cmovnz(x86::rdx, x86::rax);
      a_.mov(d, x86::rdx);
      break;
    }
    case Op::sext_b:
      a_.movsx(d, s.r8());
      break;
    case Op::sext_h:
      a_.movsx(d, s.r16());
      break;
    case Op::zext_h:
      a_.movzx(d.r32(), s.r16());
      break;
    case Op::rev8:
      if (d != s) a_.mov(d, s);
      a_.bswap(d);
      break;
    case Op::rori:
      if (d != s) a_.mov(d, s);
      a_.ror(d, at);
      break;
    case Op::slli_uw:
      a_.mov(d.r32(), s.r32());
      a_.shl(d, at);
      break;
    case Op::bseti:
      if (d != s) a_.mov(d, s);
      a_.bts(d, at);
      break;
    case Op::bclri:
      if (d != s) a_.mov(d, s);
      a_.btr(d, at);
      break;
    case Op::binvi:
      if (d != s) a_.mov(d, s);
      a_.btc(d, at);
      break;
    case Op::bexti:
      if (d != s) a_.mov(d, s);
      a_.shr(d, at);
      a_.and_(d.r32(), 1);
      break;
    case Op::clz:
      a_.lzcnt(d, s);
      break;
    case Op::ctz:
      a_.tzcnt(d, s);
      break;
    case Op::clzw:
      a_.lzcnt(d.r32(), s.r32());
      break;
    case Op::ctzw:
      a_.tzcnt(d.r32(), s.r32());
      break;
    case Op::cpop:
      a_.popcnt(d, s);
      break;
    case Op::cpopw:
      a_.popcnt(d.r32(), s.r32());
      break;
    default:
      break;
  }
  written(rd);
  return true;
}

void Emitter::call_helper(const TraceOp& op) {
  auto operand = std::make_unique<DecodedOp>(op.fields);
  a_.mov(x86::rax, address_of(reinterpret_cast<const void*>(op_helper(op.kind))));
  a_.mov(x86::rdx, address_of(operand.get()));
  out_.operands.push_back(std::move(operand));
  a_.call(address_of(calls().op));
}

// The row's body, on the hart's registers in memory.
void Emitter::emit_helper(const TraceOp& op) {
  store_registers(dirty_);
  store_float_registers(float_dirty_);
  dirty_ = float_dirty_ = 0;
  call_helper(op);
  a_.jz(exception_at(op));
  // amocas.q writes a pair; whether rd is an x register or an f register does not matter.
  for (const unsigned reg : {unsigned{op.fields.rd}, op.fields.rd + 1u})
    if (reg < 32 && assigned(reg) && (loaded_ & bit(reg))) a_.mov(host(reg), guest(reg));
  const unsigned reg = op.fields.rd & 31;
  if (op_has(op.kind, op_flags::kFp) && float_assigned(reg) && (float_loaded_ & bit(reg)))
    a_.movsd(float_host(reg), guest_float(reg));
  boxed_ &= ~bit(reg);
}

// --- memory

unsigned Emitter::access_size(Op kind) {
  switch (kind) {
    case Op::lb:
    case Op::lbu:
    case Op::sb:
      return 1;
    case Op::lh:
    case Op::lhu:
    case Op::sh:
      return 2;
    case Op::lw:
    case Op::lwu:
    case Op::sw:
    case Op::flw:
    case Op::fsw:
      return 4;
    default:
      return 8;
  }
}

// Leaves the guest's address in rax and what to add to it in rcx; uses rdx.
void Emitter::emit_probe(const TraceOp& op, unsigned size, bool store, asmjit::Label slow) {
  const int32_t imm = op.fields.imm;
  if (op.fields.rs1 == 0) {
    a_.mov(x86::rax, imm);
  } else {
    const x86::Gp base = source(op.fields.rs1, x86::rax);
    if (imm)
      a_.lea(x86::rax, x86::ptr(base, imm));
    else if (base != x86::rax)
      a_.mov(x86::rax, base);
  }
  static_assert(sizeof(TlbEntry) == 32 && GuestMemory::kPageSize == 4096);
  a_.mov(x86::ecx, x86::eax);
  a_.shr(x86::ecx, 12 - 5);
  a_.and_(x86::ecx, static_cast<uint32_t>((kTlbEntries - 1) * sizeof(TlbEntry)));
  // The page of the last byte: a misaligned access inside a page is a hit too.
  if (size == 1)
    a_.mov(x86::rdx, x86::rax);
  else
    a_.lea(x86::rdx, x86::ptr(x86::rax, static_cast<int32_t>(size - 1)));
  a_.and_(x86::rdx, static_cast<int32_t>(kPageMask));
  const auto tag =
      static_cast<int32_t>(store ? offsetof(TlbEntry, write_tag) : offsetof(TlbEntry, read_tag));
  a_.cmp(x86::rdx, x86::qword_ptr(kTlb, x86::rcx, 0, tag));
  a_.jne(slow);
  a_.mov(x86::rcx,
         x86::qword_ptr(kTlb, x86::rcx, 0, static_cast<int32_t>(offsetof(TlbEntry, addend))));
}

void Emitter::emit_load(const TraceOp& op) {
  SlowAccess slow{a_.newLabel(), a_.newLabel(), &op, {}};
  emit_probe(op, access_size(op.kind), false, slow.slow);
  slow.exception = exception_at(op);
  const x86::Gp d = target(op.fields.rd);
  if (op.fields.rd < 32) {
    switch (op.kind) {
      case Op::lb:
        a_.movsx(d, x86::byte_ptr(x86::rax, x86::rcx));
        break;
      case Op::lh:
        a_.movsx(d, x86::word_ptr(x86::rax, x86::rcx));
        break;
      case Op::lw:
        a_.movsxd(d, x86::dword_ptr(x86::rax, x86::rcx));
        break;
      case Op::lbu:
        a_.movzx(d.r32(), x86::byte_ptr(x86::rax, x86::rcx));
        break;
      case Op::lhu:
        a_.movzx(d.r32(), x86::word_ptr(x86::rax, x86::rcx));
        break;
      case Op::lwu:
        a_.mov(d.r32(), x86::dword_ptr(x86::rax, x86::rcx));
        break;
      default:
        a_.mov(d, x86::qword_ptr(x86::rax, x86::rcx));
        break;
    }
  }
  a_.bind(slow.back);
  slow_.push_back(slow);
  written(op.fields.rd);
}

void Emitter::emit_store(const TraceOp& op) {
  const unsigned size = access_size(op.kind);
  SlowAccess slow{a_.newLabel(), a_.newLabel(), &op, {}};
  // Before the probe, for it may load a register.
  if (op.fields.rs2 != 0 && assigned(op.fields.rs2)) source(op.fields.rs2, x86::rdx);
  emit_probe(op, size, true, slow.slow);
  slow.exception = exception_at(op);
  const x86::Gp value = source(op.fields.rs2, x86::rdx);
  switch (size) {
    case 1:
      a_.mov(x86::byte_ptr(x86::rax, x86::rcx), value.r8());
      break;
    case 2:
      a_.mov(x86::word_ptr(x86::rax, x86::rcx), value.r16());
      break;
    case 4:
      a_.mov(x86::dword_ptr(x86::rax, x86::rcx), value.r32());
      break;
    default:
      a_.mov(x86::qword_ptr(x86::rax, x86::rcx), value);
      break;
  }
  a_.bind(slow.back);
  slow_.push_back(slow);
}

void Emitter::emit_slow_accesses() {
  for (const SlowOp& slow : slow_ops_) {
    const TraceOp& op = *slow.op;
    a_.bind(slow.slow);
    store_registers(slow.dirty);
    call_helper(op);
    a_.jz(slow.exception);
    if (op.fields.rd < 32) a_.mov(target(op.fields.rd), guest(op.fields.rd));
    a_.jmp(slow.back);
  }
  for (const SlowAccess& slow : slow_) {
    const TraceOp& op = *slow.op;
    a_.bind(slow.slow);
    if (op_has(op.kind, op_flags::kWrites)) {
      if (op.kind == Op::fsd || op.kind == Op::fsw) {
        if (float_assigned(op.fields.rs2))
          a_.movq(x86::rdx, float_host(op.fields.rs2));
        else
          a_.mov(x86::rdx, guest_float(op.fields.rs2));
      } else if (op.fields.rs2 == 0)
        a_.xor_(x86::edx, x86::edx);
      else if (assigned(op.fields.rs2))
        a_.mov(x86::rdx, host(op.fields.rs2));
      else
        a_.mov(x86::rdx, guest(op.fields.rs2));
      a_.mov(x86::rcx,
             address_of(reinterpret_cast<const void*>(store_helper(access_size(op.kind)))));
      a_.call(address_of(calls().store));
      a_.jz(slow.exception);
    } else {
      a_.mov(x86::rcx, address_of(reinterpret_cast<const void*>(load_helper(op.kind))));
      a_.call(address_of(calls().load));
      a_.jz(slow.exception);
      if (!op_has(op.kind, op_flags::kFp) && assigned(op.fields.rd))
        a_.mov(host(op.fields.rd), x86::rax);
    }
    a_.jmp(slow.back);
  }
}

// --- control flow

void Emitter::emit_branch(const TraceOp& op, bool last) {
  const unsigned rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  if (rs2 == 0) {
    const x86::Gp s = source(rs1, x86::rax);
    a_.test(s, s);
  } else {
    const x86::Gp s = source(rs1, x86::rax), t = source(rs2, x86::rcx);
    a_.cmp(s, t);
  }
  x86::CondCode taken = x86::CondCode::kEqual;
  switch (op.kind) {
    case Op::beq:
      taken = x86::CondCode::kEqual;
      break;
    case Op::bne:
      taken = x86::CondCode::kNotEqual;
      break;
    case Op::blt:
      taken = x86::CondCode::kSignedLT;
      break;
    case Op::bge:
      taken = x86::CondCode::kSignedGE;
      break;
    case Op::bltu:
      taken = x86::CondCode::kUnsignedLT;
      break;
    default:
      taken = x86::CondCode::kUnsignedGE;
      break;
  }
  const int32_t target_offset = op.page_offset + op.fields.imm;
  const int32_t next_offset = op.page_offset + op.length;
  if (!last && op.taken) {
    a_.j(x86::negateCond(taken), exit_to(next_offset, index_ + 1));
  } else {
    a_.j(taken, exit_to(target_offset, index_ + 1));
    if (last) leave_for(next_offset, index_ + 1);
  }
}

void Emitter::emit_jalr(const TraceOp& op) {
  const x86::Gp base = source(op.fields.rs1, x86::rcx);
  a_.lea(x86::rcx, x86::ptr(base, op.fields.imm));
  a_.and_(x86::rcx, -2);
  if (op.fields.rd < 32) {
    load_page(target(op.fields.rd), op.page_offset + op.length);
    written(op.fields.rd);
  }
  a_.mov(x86::rax, x86::rcx);
  store_registers(dirty_);
  store_float_registers(float_dirty_);
  leave_far(index_ + 1);
}

void Emitter::leave_for(int32_t page_offset, uint32_t retired) {
  store_registers(dirty_);
  store_float_registers(float_dirty_);
  if (!in_page(page_offset)) {
    load_page(x86::rax, page_offset);
    leave_far(retired);
    return;
  }
  add_retired(retired);
  a_.mov(x86::rdx, address_of(link_to(page_offset)));
  a_.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
  a_.jne(address_of(stubs_.request));
  static_assert(offsetof(NativeLink, target) == 0);
  a_.jmp(x86::qword_ptr(x86::rdx));
}

void Emitter::leave_far(uint32_t retired) {
  static_assert(sizeof(NativePlace) == 32);
  add_retired(retired);
  asmjit::Label miss = a_.newLabel();
  // native_place_index()
  a_.mov(x86::ecx, x86::eax);
  a_.mov(x86::edx, x86::eax);
  a_.shr(x86::ecx, 1);
  a_.shr(x86::edx, 12);
  a_.xor_(x86::ecx, x86::edx);
  a_.and_(x86::ecx, static_cast<uint32_t>(kNativePlaces - 1));
  a_.shl(x86::ecx, 5);
  a_.mov(x86::rdx, address_of(places_));
  a_.add(x86::rcx, x86::rdx);
  a_.cmp(x86::rax, x86::qword_ptr(x86::rcx));
  a_.jne(miss);
  a_.mov(x86::rdx, x86::qword_ptr(kHart, HV_HART_OFFSET(fetch_generation)));
  a_.cmp(x86::rdx, x86::qword_ptr(x86::rcx, offsetof(NativePlace, context)));
  a_.jne(miss);
  a_.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
  a_.jne(miss);
  a_.and_(x86::rax, static_cast<int32_t>(kPageMask));
  a_.mov(x86::qword_ptr(kHart, HV_HART_OFFSET(native_page)), x86::rax);
  a_.jmp(x86::qword_ptr(x86::rcx, offsetof(NativePlace, code)));
  a_.bind(miss);
  a_.xor_(x86::edx, x86::edx);
  a_.mov(x86::ecx, static_cast<uint32_t>(NativeExit::kPlace));
  a_.jmp(address_of(stubs_.leave));
}

asmjit::Label Emitter::exit_to(int32_t page_offset, uint32_t retired) {
  exits_.push_back(
      {a_.newLabel(), dirty_, float_dirty_, Exit::Kind::kPlace, page_offset, retired, nullptr});
  return exits_.back().label;
}

asmjit::Label Emitter::exception_at(const TraceOp& op) {
  exits_.push_back({a_.newLabel(), dirty_, float_dirty_, Exit::Kind::kException, op.page_offset,
                    index_, point_of(op)});
  return exits_.back().label;
}

asmjit::Label Emitter::interpret_at(const TraceOp& op) {
  exits_.push_back({a_.newLabel(), dirty_, float_dirty_, Exit::Kind::kInterpret, op.page_offset,
                    index_, nullptr});
  return exits_.back().label;
}

const NativePoint* Emitter::point_of(const TraceOp& op) {
  out_.points.push_back(std::make_unique<NativePoint>(
      NativePoint{op.page_offset, static_cast<uint16_t>(index_), op.word}));
  return out_.points.back().get();
}

const NativeLink* Emitter::link_to(int32_t page_offset) {
  out_.links.push_back(std::make_unique<NativeLink>(
      NativeLink{stubs_.unlinked, static_cast<uint16_t>(page_offset)}));
  return out_.links.back().get();
}

void Emitter::emit_exits() {
  for (const Exit& exit : exits_) {
    a_.bind(exit.label);
    dirty_ = exit.dirty;
    float_dirty_ = exit.float_dirty;
    if (exit.kind == Exit::Kind::kPlace) {
      leave_for(exit.page_offset, exit.retired);
      continue;
    }
    store_registers(dirty_);
    store_float_registers(float_dirty_);
    add_retired(exit.retired);
    load_page(x86::rax, exit.page_offset);
    a_.mov(x86::rdx, address_of(exit.point));
    const NativeExit why =
        exit.kind == Exit::Kind::kInterpret ? NativeExit::kInterpret : NativeExit::kException;
    a_.mov(x86::ecx, static_cast<uint32_t>(why));
    a_.jmp(address_of(stubs_.leave));
  }
}

}  // namespace hv::jit
