// What is known of the values that the registers of a path hold: a number for each value, the same
// for equal ones, and facts. Used by cpu/jit/optimize.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "cpu/isa/format.h"
#include "cpu/jit/trace.h"

namespace hv::jit {

// The x registers that an op names; bit 0 is x0, which nothing changes.
struct Registers {
  uint32_t reads, writes;
};
Registers registers_of(const TraceOp& op);
Format format_of(Op kind);
inline bool accesses_csr(Op kind) {
  return format_of(kind) == Format::kCsr || format_of(kind) == Format::kCsrI;
}
// Which of the fields are x registers that the op reads.
bool reads_rs1(Op kind);
bool reads_rs2(Op kind);
// It makes rd of rs1, rs2 and imm, and does nothing else.
bool is_pure(Op kind);

struct Value {
  // Values are equal when base and offset are: the value is what `base` stands for, plus `offset`.
  uint32_t base;
  uint64_t offset = 0;
  // It is the sign extension, the zero extension of that many low bits.
  unsigned signed_bits = 64, unsigned_bits = 64;

  // What stands for 0, and for the address of the path's page.
  static constexpr uint32_t kZero = 0, kPage = 1;
  bool constant() const { return base == kZero; }
  bool operator==(const Value& other) const { return base == other.base && offset == other.offset; }
};
Value constant_value(uint64_t bits);

// The registers' values at one place of a path; at its beginning each has one of its own.
class Values {
 public:
  Values();
  const Value& of(unsigned reg) const { return registers_[reg & 31].value; }
  // What stood in `reg` at the beginning.
  static uint32_t initial(unsigned reg) { return Value::kPage + reg; }

  // What a pure op, auipc or jal gives.
  Value result(const TraceOp& op);
  // Goes on behind the op.
  void pass(const TraceOp& op);
  // The register that has held this value for longest.
  std::optional<unsigned> holder(const Value& value) const;
  // The register that has held for longest what differs from the value by a constant.
  std::optional<unsigned> relative(const Value& value) const;
  // When `reg` was written: later is more.
  uint32_t age(unsigned reg) const { return registers_[reg].written; }

 private:
  Value fresh(unsigned signed_bits = 64, unsigned unsigned_bits = 64);
  Value computed(const TraceOp& op, const Value& a, const Value& b);
  void set(unsigned reg, const Value& value);

  struct Register {
    Value value{Value::kZero};
    uint32_t written = 0;
  };
  std::array<Register, 32> registers_;
  uint32_t next_base_, clock_ = 0;
};

}  // namespace hv::jit
