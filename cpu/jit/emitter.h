// The code of one path: registers, exits, slow ways. Used by the compiler only.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/hart.h"
#include "cpu/jit/compiler.h"
#include "cpu/jit/native.h"
#include "cpu/jit/probe_groups.h"
#include "cpu/jit/trace.h"

namespace hv::jit {

namespace x86 = asmjit::x86;

// Host registers with one meaning in all compiled code. rax, rcx and rdx are free between
// instructions.
inline constexpr x86::Gp kHart = x86::rbp, kRetired = x86::rbx, kTlb = x86::r12;
inline constexpr std::array<x86::Gp, 9> kPool = {x86::rsi, x86::rdi, x86::r8,  x86::r9, x86::r10,
                                                 x86::r11, x86::r13, x86::r14, x86::r15};

// For f registers; xmm0 and xmm1 are free between instructions.
inline constexpr unsigned kFloatPool = 14;
inline x86::Xmm float_register(unsigned index) {
  return x86::xmm(index + 2);
}

// Pieces shared by all code of a hart. Calls leave every register alone but rax, rcx and rdx, and
// ZF set after an exception.
struct Stubs {
  const void* leave;     // rax pc, rcx NativeExit, rdx detail
  const void* unlinked;  // rdx NativeLink: leaves for its place
  const void* request;   // rdx NativeLink: the same, because of a request
  const void* far;       // rax pc: goes on in the code for it
  const void* returned;  // the same, if that is where the latest call wants to come back
  const void* called;    // rax pc to come back to, rdx NativeLink for it; returns
  // rdx NativePoint: leaves there, registers as it says.
  const void* exception;
  const void* interpret;
  struct Calls {
    const void* op;  // rax OpHelper, rdx DecodedOp
    // rax address, rcx helper; loads give rax, stores take rdx.
    const void* load;
    const void* store;
    const void* system;  // rax SystemHelper, rdx NativeSystem; ZF set: leave for hart.pc
  };
  Calls calls;
  Calls float_calls;  // these keep the xmm registers too
};

struct HostFeatures {
  bool bmi1, bmi2, lzcnt, popcnt, fma, pclmulqdq, sse4_1, f16c, aesni;
};

static_assert(std::is_standard_layout_v<Hart>);
static_assert(std::tuple_size_v<decltype(Hart::native_addresses)> == kGroupSlots);
// kHart points into the hart, so that the offsets of x1 to x31 are single bytes.
inline constexpr int32_t kHartBias = 136;
static_assert(offsetof(Hart, x) == 0);
#define HV_HART_OFFSET(member) (static_cast<int32_t>(offsetof(Hart, member)) - kHartBias)

// A register's place in a mask; the sink has none.
constexpr uint32_t bit(unsigned reg) {
  return reg < 32 ? 1u << reg : 0;
}
inline uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

class Emitter {
 public:
  Emitter(x86::Assembler& assembler, const Stubs& stubs, const HostFeatures& features,
          const GuestMemory& memory, const Trace& trace, NativeTrace& out);
  void emit();

 private:
  struct Exit {
    asmjit::Label label;
    uint32_t dirty, float_dirty;
    enum class Kind : uint8_t { kPlace, kInterpret, kException } kind;
    int32_t page_offset;  // kPlace, kInterpret
    uint32_t retired;
    const NativePoint* point;  // kInterpret, kException
  };
  struct SlowAccess {
    asmjit::Label slow, back;
    const TraceOp* op;
    asmjit::Label exception;
    // For a member of a probe group: it needs a probe of its own; whether rs1 is in its host
    // register.
    asmjit::Label missed;
    bool address_loaded = false;
    // It cannot miss.
    bool found = false;
  };

  // An op whose usual way is inline; its helper does the rest.
  struct SlowOp {
    asmjit::Label slow, back;
    const TraceOp* op;
    uint32_t dirty;
    asmjit::Label exception;
  };
  const ProbeGroup& group_of(const TraceOp& op) const {
    return trace_.groups[static_cast<size_t>(op.group)];
  }
  bool emit_atomic(const TraceOp& op);
  bool emit_update(const TraceOp& op);
  void emit_amo_result(const TraceOp& op, unsigned size);
  void emit_pair_swap(const TraceOp& op);
  void emit_reserved(const TraceOp& op, unsigned size);
  void probe_tag(x86::Gp address, bool store, asmjit::Label slow);
  void probe_atomic(const TraceOp& op, unsigned size, bool store, asmjit::Label slow);
  void call_helper(const TraceOp& op);
  void assign_registers();
  bool emit_op(const TraceOp& op);
  void emit_constant(const TraceOp& op);
  void emit_load(const TraceOp& op);
  void emit_store(const TraceOp& op);
  void emit_probe(x86::Gp base, int32_t offset, unsigned size, bool store, asmjit::Label slow);
  // Where a load or store finds its bytes: behind a probe of its own or its group's. Sets up
  // `slow`.
  x86::Mem emit_address(const TraceOp& op, SlowAccess& slow);
  void emit_transfer(const TraceOp& op, x86::Mem memory);
  void emit_missed(const SlowAccess& access);
  void emit_float_transfer(const TraceOp& op, x86::Mem memory);
  void emit_helper(const TraceOp& op);
  void emit_system(const TraceOp& op);
  void call_system(const TraceOp& op, uint32_t index);
  void emit_status(const TraceOp& op);
  void emit_wait(const TraceOp& op);
  void emit_leaves();
  void emit_branch(const TraceOp& op, bool last);
  void emit_jalr(const TraceOp& op);
  void note_call(const TraceOp& op);
  bool emit_immediate(const TraceOp& op);
  bool emit_register(const TraceOp& op);
  bool emit_divide(const TraceOp& op);
  bool emit_bits(const TraceOp& op);
  bool emit_rotate(const TraceOp& op);
  bool emit_pack(const TraceOp& op);
  void emit_permute(const x86::Gp& d, const x86::Gp& s, const x86::Gp& t);
  bool emit_hash(const TraceOp& op);
  bool emit_aes(const TraceOp& op);
  bool emit_aes_key(const TraceOp& op);
  // What is rarely run: emitted behind the path. It finds no registers but by the host's.
  void out_of_line(std::function<void()> code) { out_of_line_.push_back(std::move(code)); }
  void emit_out_of_line();
  // What goes to `slow` comes back at `back` with the row's body run and rd in target(rd), or in
  // its f register. To be called where all f registers are as before the instruction.
  void body_out_of_line(const TraceOp& op, asmjit::Label slow, asmjit::Label back);
  // --- cpu/jit/emitter_float.cpp
  struct NanFix {
    asmjit::Label nan, back;
    x86::Xmm value;
    bool single;
  };
  bool emit_float(const TraceOp& op);
  void assign_float_registers();
  void check_float(const TraceOp& op, bool changes);
  bool emit_float_access(const TraceOp& op);
  bool emit_float_arithmetic(const TraceOp& op, bool single);
  bool emit_float_fma(const TraceOp& op, bool single);
  bool emit_float_sign(const TraceOp& op, bool single);
  bool emit_float_compare(const TraceOp& op, bool single);
  bool emit_float_minmax(const TraceOp& op, bool single);
  bool emit_float_class(const TraceOp& op, bool single);
  bool emit_float_immediate(const TraceOp& op, bool single);
  bool emit_float_round(const TraceOp& op, bool single);
  void emit_float_control(const TraceOp& op);
  bool emit_float_modulo(const TraceOp& op);
  bool emit_float_convert(const TraceOp& op);
  bool emit_from_integer(const TraceOp& op);
  bool emit_to_integer(const TraceOp& op);
  void emit_round(x86::Xmm a, unsigned rm, bool single, bool inexact);
  void begin_rounding(const TraceOp& op);
  void end_rounding(const TraceOp& op);
  // --- cpu/jit/emitter_half.cpp
  x86::Xmm half_bits(const TraceOp& op, unsigned reg, x86::Xmm scratch);
  x86::Xmm operand(const TraceOp& op, unsigned reg, bool single, x86::Xmm scratch);
  void round_to_half();
  bool emit_half_bits(const TraceOp& op);
  bool emit_half_convert(const TraceOp& op);
  // The value of an f register; a single is checked for its NaN box.
  x86::Xmm float_source(const TraceOp& op, unsigned reg, bool single, x86::Xmm scratch);
  void float_written(unsigned reg, x86::Xmm value, bool single);
  // Makes the NaN of an arithmetic result the canonical one.
  void canonical(x86::Xmm value, bool single);
  void store_float_registers(uint32_t mask);
  x86::Mem guest_float(unsigned reg) const {
    return x86::qword_ptr(kHart, HV_HART_OFFSET(f) + static_cast<int32_t>(reg) * 8);
  }
  bool float_assigned(unsigned reg) const { return float_host_[reg & 31] >= 0; }
  x86::Xmm float_host(unsigned reg) const {
    return float_register(static_cast<unsigned>(float_host_[reg & 31]));
  }
  asmjit::Label interpret_at(const TraceOp& op);
  const Stubs::Calls& calls() const { return uses_float_ ? stubs_.float_calls : stubs_.calls; }
  void emit_slow_accesses();
  void emit_exits();
  // Ends the code for a page offset (outside of the page: another page).
  void leave_for(int32_t page_offset, uint32_t retired);
  // For the pc in rax.
  void leave_far(uint32_t retired);
  asmjit::Label exit_to(int32_t page_offset, uint32_t retired);
  asmjit::Label exception_at(const TraceOp& op);
  const NativePoint* point_of(const TraceOp& op);
  const NativeLink& link_to(int32_t page_offset);
  void store_registers(uint32_t mask);
  void add_retired(uint32_t count);
  void load_page(x86::Gp to, int32_t page_offset);

  x86::Mem guest(unsigned reg) const {
    return x86::qword_ptr(kHart, HV_HART_OFFSET(x) + static_cast<int32_t>(reg) * 8);
  }
  bool assigned(unsigned reg) const { return reg < 32 && host_[reg] >= 0; }
  x86::Gp host(unsigned reg) const { return kPool[static_cast<size_t>(host_[reg])]; }
  // A probe group's slot.
  bool slot_assigned(unsigned slot) const { return slot_host_[slot] >= 0; }
  x86::Gp slot_host(unsigned slot) const { return kPool[static_cast<size_t>(slot_host_[slot])]; }
  x86::Mem slot_memory(unsigned slot) const {
    return x86::qword_ptr(kHart, HV_HART_OFFSET(native_addresses) + static_cast<int32_t>(slot) * 8);
  }
  void clear_slot(unsigned slot);
  void emit_ops();
  // --- cpu/jit/emitter_loop.cpp
  void emit_loop();
  void load_for_loop();
  void begin_strip(asmjit::Label top, asmjit::Label strip);
  const ProbeGroup* stepping_group() const;
  uint32_t changed_registers() const;
  // The register's value: in its host register, or loaded to `scratch`.
  x86::Gp source(unsigned reg, x86::Gp scratch);
  // Where a result is to be computed: the host register of rd, or rax.
  x86::Gp target(unsigned reg) const { return assigned(reg) ? host(reg) : x86::Gp(x86::rax); }
  // The result in target(reg) is the guest's.
  void written(unsigned reg);

  x86::Assembler& a_;
  const Stubs& stubs_;
  const HostFeatures& features_;
  const GuestMemory& memory_;
  const Trace& trace_;
  NativeTrace& out_;
  uint32_t index_ = 0;  // of the op being emitted
  std::array<int8_t, 32> host_{};
  std::array<int8_t, kGroupSlots> slot_host_{};
  uint32_t loaded_ = 0, dirty_ = 0;
  std::vector<Exit> exits_;
  // From system instructions after which execution goes on elsewhere.
  std::vector<asmjit::Label> leaves_;
  std::vector<SlowAccess> slow_;
  std::vector<SlowOp> slow_ops_;
  // For a loop's second copy: groups that stay are found, and those that step have in their slots
  // what leads from the guest's addresses to the host's.
  bool in_strip_ = false;
  std::array<int8_t, 32> float_host_{};
  uint32_t float_loaded_ = 0, float_dirty_ = 0;
  // What the path writes.
  uint32_t float_changed_ = 0;
  // f registers that hold a boxed single.
  uint32_t boxed_ = 0;
  bool uses_float_ = false;
  // Seen to hold on the way: FS is not off and frm is a mode of the host's; FS is dirty.
  bool float_checked_ = false, float_marked_ = false;
  std::vector<NanFix> nan_fixes_;
  std::vector<std::function<void()>> out_of_line_;
};

}  // namespace hv::jit
