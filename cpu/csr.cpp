#include "cpu/csr.h"

#include <array>

#include "cpu/csr_access.h"
#include "cpu/system_ops.h"
#include "cpu/trap.h"

namespace hv {
namespace {

template <uint64_t CsrState::* Field>
uint64_t read_field(Hart& hart, unsigned) {
  return hart.csr.*Field;
}

template <uint64_t CsrState::* Field, uint64_t Mask>
void write_field(Hart& hart, unsigned, uint64_t value, uint64_t) {
  hart.csr.*Field = (hart.csr.*Field & ~Mask) | (value & Mask);
}

// A range is one row in the source and one per number here.
struct Rows {
  std::array<CsrRow, 256> rows{};
  size_t count = 1;  // row 0 stands for "no such CSR"
  std::array<uint8_t, 4096> index{};

  constexpr void add(const CsrRow& row) {
    if (index[row.number]) throw "a CSR number has two rows";
    index[row.number] = static_cast<uint8_t>(count);
    rows[count++] = row;
  }
  constexpr Rows() {
#define CSR(number, name, exists, guard, read, write) \
  add({number, #name, -1, exists, guard, read, write});
#define CSR_FIELD(number, name, exists, guard, field, mask)            \
  add({number, #name, -1, exists, guard, read_field<&CsrState::field>, \
       write_field<&CsrState::field, mask>});
#define CSR_RANGE(first, last, step, name, first_index, exists, guard, read, write)                \
  for (unsigned number = first; number <= last; number += step)                                    \
    add({static_cast<uint16_t>(number), #name, static_cast<int16_t>(first_index + number - first), \
         exists, guard, read, write});
#include "cpu/isa/csr.inc"
#undef CSR_RANGE
#undef CSR_FIELD
#undef CSR
  }
};

constexpr Rows kRows;

constexpr bool read_only(unsigned csr) {
  return (csr >> 10 & 3) == 3;
}

constexpr unsigned lowest_privilege(unsigned csr) {
  return csr >> 8 & 3;
}

// Between runs of the engine fflags and frm are exact in the hart, and the host's floating-point
// state belongs to somebody else.
constexpr bool is_float_control(unsigned csr) {
  return csr >= kFflags && csr <= kFcsr;
}

const CsrRow* find_for(const Hart& hart, unsigned csr) {
  const CsrRow* row = find_csr(csr);
  return row && row->exists(hart, csr) ? row : nullptr;
}

}  // namespace

const CsrRow* find_csr(unsigned number) {
  const uint8_t index = number < kRows.index.size() ? kRows.index[number] : 0;
  return index ? &kRows.rows[index] : nullptr;
}

std::string csr_name(unsigned number) {
  const CsrRow* row = find_csr(number);
  if (!row) return fmt::format("{:#x}", number);
  return row->name_index < 0 ? row->name : fmt::format("{}{}", row->name, row->name_index);
}

SysResult exec_csr(Hart& hart, CsrAccess access, unsigned csr, unsigned rd, uint64_t operand,
                   bool read, bool write, uint32_t instruction) {
  const CsrRow* row = find_for(hart, csr);
  if (!row || static_cast<unsigned>(hart.priv) < lowest_privilege(csr) ||
      (write && read_only(csr)) || !row->guard(hart, csr, hart.priv)) {
    hart.raise(Cause::kIllegalInstruction, instruction);
    return SysResult::kException;
  }
  // Set and clear need the old value even with rd = x0.
  const uint64_t old = read || access != CsrAccess::kReadWrite ? row->read(hart, csr) : 0;
  if (write) {
    switch (access) {
      case CsrAccess::kReadWrite:
        row->write(hart, csr, operand, ~0ull);
        break;
      case CsrAccess::kReadSet:
        row->write(hart, csr, old | operand, operand);
        break;
      case CsrAccess::kReadClear:
        row->write(hart, csr, old & ~operand, operand);
        break;
    }
  }
  if (read) hart.x[rd] = old;
  return SysResult::kNext;
}

bool debug_read_csr(Hart& hart, unsigned csr, uint64_t& value) {
  const CsrRow* row = find_for(hart, csr);
  if (!row) return false;
  if (is_float_control(csr)) {
    const uint64_t fcsr = hart.fflags | uint64_t{hart.frm} << 5;
    value = csr == kFflags ? hart.fflags : csr == kFrm ? hart.frm : fcsr;
    return true;
  }
  value = row->read(hart, csr);
  return true;
}

bool debug_write_csr(Hart& hart, unsigned csr, uint64_t value) {
  const CsrRow* row = find_for(hart, csr);
  if (!row || read_only(csr)) return false;
  if (is_float_control(csr)) {
    if (csr != kFrm) hart.fflags = value & 31;
    if (csr != kFflags) hart.frm = (csr == kFrm ? value : value >> 5) & 7;
    return true;
  }
  row->write(hart, csr, value, ~0ull);
  return true;
}

}  // namespace hv
