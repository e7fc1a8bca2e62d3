#include "cpu/jit/helpers.h"

#include <array>
#include <bit>
#include <type_traits>

#include "cpu/jit/link_order.h"
#include "cpu/semantics.h"
#include "cpu/trap.h"

namespace hv {
namespace {

template <class T>
bool load(Hart* hart, uint64_t address, uint64_t* value) {
  T narrow;
  if (!load_memory<T>(*hart, address, narrow)) return false;
  *value = semantics::extend(narrow);
  return true;
}

template <class T>
bool store(Hart* hart, uint64_t address, uint64_t value) {
  return store_memory<T>(*hart, address, static_cast<T>(value));
}

using SystemBody = SysResult (*)(Hart&, const DecodedOp&, uint32_t word);

template <SystemBody body>
bool run_system(Hart* hart, const NativeSystem* system, uint64_t retired) {
  link_was_followed();
  const uint64_t context = hart->fetch_generation;
  hart->pc = hart->native_page + system->page_offset;
  hart->instret += retired + system->index;
  switch (body(*hart, system->fields, system->word)) {
    case SysResult::kNext:
      ++hart->instret;
      hart->pc += system->length;
      return hart->fetch_generation == context &&
             hart->requests.load(std::memory_order_relaxed) == 0;
    case SysResult::kException:
      take_exception(*hart);
      return false;
    default:
      ++hart->instret;
      return false;
  }
}

constexpr std::array<OpHelper, static_cast<size_t>(Op::kCount)> kHelpers = {
    nullptr,
#define INSN(id, pattern, format, ext, flags)                    \
  static_cast<OpHelper>([](auto* hart, const auto* op) -> bool { \
    if constexpr (requires { semantics::id(*hart, *op); } &&     \
                  !op_has(Op::id, op_flags::kEndsBlock)) {       \
      link_was_followed();                                       \
      using Outcome = decltype(semantics::id(*hart, *op));       \
      if constexpr (std::is_same_v<Outcome, bool>)               \
        return semantics::id(*hart, *op);                        \
      else                                                       \
        return semantics::id(*hart, *op), true;                  \
    } else {                                                     \
      return false;                                              \
    }                                                            \
  }),
#define FORM(id, base, pattern, format, ext, flags)
#include "cpu/isa/all.inc"
};

}  // namespace

OpHelper op_helper(Op kind) {
  return kHelpers[static_cast<size_t>(kind)];
}

uint64_t leave_at(Hart* hart, const NativePoint* point, const NativeRegisters* registers,
                  uint64_t retired) {
  link_was_followed();
  const NativeTrace& trace = *point->trace;
  for (uint32_t left = point->dirty; left; left &= left - 1) {
    const auto reg = static_cast<size_t>(std::countr_zero(left));
    hart->x[reg] = registers->x[trace.host[reg]];
  }
  for (uint32_t left = point->float_dirty; left; left &= left - 1) {
    const auto reg = static_cast<size_t>(std::countr_zero(left));
    hart->f[reg] = registers->f[trace.float_host[reg]];
  }
  hart->instret += retired + point->index;
  return hart->native_page + point->page_offset;
}

SystemHelper system_helper(Op kind) {
  switch (kind) {
#define HV_SYSTEM_HELPER(id) \
  case Op::id:               \
    return run_system<semantics::id>;
    HV_SYSTEM_HELPER(csrrw)
    HV_SYSTEM_HELPER(csrrs)
    HV_SYSTEM_HELPER(csrrc)
    HV_SYSTEM_HELPER(csrrwi)
    HV_SYSTEM_HELPER(csrrsi)
    HV_SYSTEM_HELPER(csrrci)
    HV_SYSTEM_HELPER(ecall)
    HV_SYSTEM_HELPER(sret)
    HV_SYSTEM_HELPER(mret)
    HV_SYSTEM_HELPER(sfence_vma)
    HV_SYSTEM_HELPER(sinval_vma)
    HV_SYSTEM_HELPER(sfence_w_inval)
    HV_SYSTEM_HELPER(sfence_inval_ir)
#undef HV_SYSTEM_HELPER
    default:
      return nullptr;
  }
}

OpHelper wait_helper(Op kind) {
  switch (kind) {
    case Op::wrs_nto:
      return [](Hart* hart, const DecodedOp*) { return wrs_ends_soon(*hart, WaitLimit::kNone); };
    case Op::wrs_sto:
      return [](Hart* hart, const DecodedOp*) { return wrs_ends_soon(*hart, WaitLimit::kShort); };
    default:
      return nullptr;
  }
}

LoadHelper load_helper(Op kind) {
  switch (kind) {
    case Op::lb:
      return load<int8_t>;
    case Op::lh:
      return load<int16_t>;
    case Op::lw:
      return load<int32_t>;
    case Op::lbu:
      return load<uint8_t>;
    case Op::lhu:
    case Op::flh:
      return load<uint16_t>;
    case Op::lwu:
    case Op::flw:
      return load<uint32_t>;
    default:
      return load<uint64_t>;
  }
}

StoreHelper store_helper(unsigned size) {
  switch (size) {
    case 1:
      return store<uint8_t>;
    case 2:
      return store<uint16_t>;
    case 4:
      return store<uint32_t>;
    default:
      return store<uint64_t>;
  }
}

}  // namespace hv
