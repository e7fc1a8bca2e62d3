#include "cpu/jit/emitter.h"

#include <algorithm>

#include "cpu/jit/helpers.h"
#include "cpu/jit/stubs.h"
#include "cpu/jit/trace_log.h"
#include "cpu/jit/values.h"

namespace hv::jit {
namespace {

bool in_page(int32_t offset) {
  return offset >= 0 && offset < static_cast<int32_t>(GuestMemory::kPageSize);
}

// What calls use (unprivileged specification, table of return-address hints).
bool is_link_register(unsigned reg) {
  return reg == 1 || reg == 5;
}

// Which of an op's fields name x registers. A helper reads and writes what it likes: emit_helper.
struct Use {
  bool rs1 = false, rs2 = false, rd = false;
};
Use use_of(const TraceOp& op) {
  if (op_has(op.kind, op_flags::kBranch)) return {true, true, false};
  if (op.form == TraceOp::Form::kConstant) return {false, false, true};
  // The others read memory.
  if (accesses_csr(op.kind))
    return {format_of(op.kind) == Format::kCsr && (is_float_control(op) || is_status(op)), false,
            true};
  switch (op.kind) {
    case Op::lui:
    case Op::auipc:
    case Op::jal:
      return {false, false, true};
    case Op::jalr:
      return {true, false, true};
    case Op::ecall:
    case Op::sret:
    case Op::mret:
    case Op::sfence_vma:
    case Op::sinval_vma:
    case Op::sfence_w_inval:
    case Op::sfence_inval_ir:
    case Op::wrs_nto:
    case Op::wrs_sto:
      return {};
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
                 const GuestMemory& memory, const Trace& trace, NativeTrace& out)
    : a_(assembler),
      stubs_(stubs),
      features_(features),
      memory_(memory),
      trace_(trace),
      out_(out) {}

// What the path names most often gets the host's registers.
void Emitter::assign_registers() {
  std::array<unsigned, 33> uses{};
  for (const TraceOp& op : trace_.ops) {
    if (op.form == TraceOp::Form::kNothing) continue;
    const Use use = use_of(op);
    if (op_has(op.kind, op_flags::kFp) && op.kind != Op::fld && op.kind != Op::fsd &&
        op.kind != Op::flw && op.kind != Op::fsw)
      continue;
    // The others of a probe group have its address from the first, but in a strip.
    if (use.rs1 && (op.group < 0 || op.probes || group_of(op).step))
      ++uses[std::min<unsigned>(op.fields.rs1, 32)];
    if (use.rs2) ++uses[std::min<unsigned>(op.fields.rs2, 32)];
    if (use.rd) ++uses[std::min<unsigned>(op.fields.rd, 32)];
  }
  // Registers by their numbers, then the slots of probe groups.
  constexpr unsigned kRegisters = 32;
  std::array<unsigned, kRegisters + kGroupSlots> order, named{};
  std::copy(uses.begin(), uses.begin() + kRegisters, named.begin());
  named[0] = 0;
  for (const TraceOp& op : trace_.ops)
    if (op.group >= 0 && (!op.probes || group_of(op).step)) ++named[kRegisters + group_of(op).slot];
  for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](unsigned a, unsigned b) {
    return named[a] != named[b] ? named[a] > named[b] : a < b;
  });
  host_.fill(-1);
  slot_host_.fill(-1);
  for (size_t i = 0; i < kPool.size() && named[order[i]] > 0; ++i) {
    if (order[i] < kRegisters)
      host_[order[i]] = static_cast<int8_t>(i);
    else
      slot_host_[order[i] - kRegisters] = static_cast<int8_t>(i);
  }
}

uint32_t Emitter::changed_registers() const {
  uint32_t changed = 0;
  for (const TraceOp& op : trace_.ops)
    if (use_of(op).rd) changed |= bit(op.fields.rd);
  return changed;
}

void Emitter::emit() {
  assign_registers();
  assign_float_registers();
  if (trace_.loops) {
    emit_loop();
  } else {
    emit_ops();
    const TraceOp& last = trace_.ops.back();
    if (!op_has(last.kind, op_flags::kBranch) && last.kind != Op::jal && last.kind != Op::jalr)
      leave_for(last.page_offset + last.length, static_cast<uint32_t>(trace_.ops.size()));
  }
  emit_slow_accesses();
  emit_out_of_line();
  emit_exits();
  emit_leaves();
  out_.host = host_;
  out_.float_host = float_host_;
}

void Emitter::emit_ops() {
  const auto count = static_cast<uint32_t>(trace_.ops.size());
  for (index_ = 0; index_ < count; ++index_) {
    const TraceOp& op = trace_.ops[index_];
    const bool last = index_ + 1 == count && !trace_.loops;
    if (a_.hasEmitterFlag(asmjit::EmitterFlags::kLogComments)) [[unlikely]]
      a_.comment(to_text(trace_, op).c_str());
    if (op.form == TraceOp::Form::kNothing) continue;
    if (op_has(op.kind, op_flags::kBranch)) {
      emit_branch(op, last);
    } else if (op.kind == Op::jal) {
      if (op.fields.rd < 32) {
        load_page(target(op.fields.rd), op.page_offset + op.length);
        written(op.fields.rd);
      }
      note_call(op);
      if (last) leave_for(op.page_offset + op.fields.imm, count);
    } else if (op.kind == Op::jalr) {
      emit_jalr(op);
    } else if (is_float_control(op)) {
      emit_float_control(op);
    } else if (is_status(op)) {
      emit_status(op);
    } else if (runs_system_code(op)) {
      emit_system(op);
    } else if (!emit_op(op)) {
      emit_helper(op);
    }
  }
}

bool Emitter::emit_op(const TraceOp& op) {
  if (op.form == TraceOp::Form::kConstant) {
    emit_constant(op);
    return true;
  }
  if (is_access(op.kind) && !op_has(op.kind, op_flags::kFp)) {
    if (op_has(op.kind, op_flags::kWrites))
      emit_store(op);
    else
      emit_load(op);
    return true;
  }
  switch (op.kind) {
    case Op::add_uw:
      if (op.fields.rs2 != 0) break;
      if (op.fields.rd < 32) {
        const x86::Gp s = source(op.fields.rs1, x86::rax);
        a_.mov(target(op.fields.rd).r32(), s.r32());
        written(op.fields.rd);
      }
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
  return emit_immediate(op) || emit_register(op) || emit_divide(op) || emit_bits(op) ||
         emit_rotate(op) || emit_pack(op) || emit_hash(op) || emit_aes(op);
}

void Emitter::emit_constant(const TraceOp& op) {
  const x86::Gp d = target(op.fields.rd);
  if (op.constant == 0)
    a_.xor_(d.r32(), d.r32());
  else if (op.constant <= UINT32_MAX)
    a_.mov(d.r32(), op.constant);
  else
    a_.mov(d, op.constant);
  written(op.fields.rd);
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

void Emitter::call_helper(const TraceOp& op) {
  DecodedOp& operand = out_.operands.add();
  operand = op.fields;
  a_.mov(x86::rax, address_of(reinterpret_cast<const void*>(op_helper(op.kind))));
  a_.mov(x86::rdx, address_of(&operand));
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

// --- control flow

void Emitter::emit_branch(const TraceOp& op, bool last) {
  const unsigned rs1 = op.fields.rs1, rs2 = op.fields.rs2;
  if (op.form == TraceOp::Form::kConstant) {
    a_.cmp(source(rs1, x86::rax), static_cast<int64_t>(op.constant));
  } else if (rs2 == 0) {
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
  note_call(op);
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
  add_retired(index_ + 1);
  const bool returns = op.fields.rd >= 32 && is_link_register(op.fields.rs1);
  if (returns)
    a_.jmp(address_of(stubs_.returned));
  else
    emit_far(a_, stubs_.leave);
}

// A place to come back to, if it is in the page.
void Emitter::note_call(const TraceOp& op) {
  const int32_t back = op.page_offset + op.length;
  if (!is_link_register(op.fields.rd) || !in_page(back)) return;
  load_page(x86::rax, back);
  a_.mov(x86::rdx, address_of(&link_to(back)));
  a_.call(address_of(stubs_.called));
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
  const NativeLink& link = link_to(page_offset);
  a_.mov(x86::rdx, address_of(&link));
  a_.cmp(x86::dword_ptr(kHart, HV_HART_OFFSET(requests)), 0);
  a_.jne(address_of(stubs_.request));
  static_assert(offsetof(NativeLink, code) == 0);
  a_.jmp(x86::qword_ptr(x86::rdx));
}

void Emitter::leave_far(uint32_t retired) {
  add_retired(retired);
  emit_far(a_, stubs_.leave);
}

asmjit::Label Emitter::exit_to(int32_t page_offset, uint32_t retired) {
  exits_.push_back(
      {a_.newLabel(), dirty_, float_dirty_, Exit::Kind::kPlace, page_offset, retired, nullptr});
  return exits_.back().label;
}

asmjit::Label Emitter::exception_at(const TraceOp& op) {
  exits_.push_back({a_.newLabel(), 0, 0, Exit::Kind::kException, 0, 0, point_of(op)});
  return exits_.back().label;
}

asmjit::Label Emitter::interpret_at(const TraceOp& op) {
  exits_.push_back({a_.newLabel(), 0, 0, Exit::Kind::kInterpret, 0, 0, point_of(op)});
  return exits_.back().label;
}

const NativePoint* Emitter::point_of(const TraceOp& op) {
  NativePoint& point = out_.points.add();
  point = {.trace = &out_,
           .dirty = dirty_,
           .float_dirty = float_dirty_,
           .word = op.word,
           .index = static_cast<uint16_t>(index_),
           .page_offset = op.page_offset};
  return &point;
}

const NativeLink& Emitter::link_to(int32_t page_offset) {
  NativeLink& link = out_.links.add();
  link.code = stubs_.unlinked;
  link.page_offset = static_cast<uint16_t>(page_offset);
  link.from = &out_;
  return link;
}

void Emitter::emit_exits() {
  for (const Exit& exit : exits_) {
    a_.bind(exit.label);
    if (exit.kind == Exit::Kind::kPlace) {
      dirty_ = exit.dirty;
      float_dirty_ = exit.float_dirty;
      leave_for(exit.page_offset, exit.retired);
      continue;
    }
    a_.mov(x86::rdx, address_of(exit.point));
    a_.jmp(address_of(exit.kind == Exit::Kind::kInterpret ? stubs_.interpret : stubs_.exception));
  }
}

}  // namespace hv::jit
