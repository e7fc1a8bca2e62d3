// Rows that a stream does not contain, and why.
#pragma once

#include <string_view>

namespace hv::test {

// The oracle in question: QEMU's major version, and the mode the stream runs in.
struct Oracle {
  unsigned version = 0;
  bool supervisor = false;
};

struct Exclusion {
  std::string_view id;
  bool (*applies)(const Oracle&);
  std::string_view reason;
};

namespace exclusion_rules {
inline bool always(const Oracle&) {
  return true;
}
inline bool in_user_mode(const Oracle& oracle) {
  return !oracle.supervisor;
}
inline bool before_10(const Oracle& oracle) {
  return oracle.version < 10;
}
inline bool in_user_mode_before_10(const Oracle& oracle) {
  return in_user_mode(oracle) && before_10(oracle);
}
}  // namespace exclusion_rules

inline constexpr Exclusion kExclusions[] = {
    {"wfi", exclusion_rules::always, "may wait for ever"},
    {"wrs_nto", exclusion_rules::always, "may wait for ever"},
    {"wrs_sto", exclusion_rules::always, "needs a reservation, which QEMU keeps differently"},
    {"sret", exclusion_rules::always, "goes where sepc says; mret, always illegal here, is in"},
    {"c_addi16sp", exclusion_rules::always, "moves the base x2; made as a pair that restores it"},
    {"ctzw", exclusion_rules::before_10, "QEMU 7.2 counts beyond bit 31"},
    {"ebreak", exclusion_rules::before_10, "QEMU 7.2 leaves mtval 0"},
    {"c_ebreak", exclusion_rules::before_10, "QEMU 7.2 leaves mtval 0"},
    {"sinval_vma", exclusion_rules::in_user_mode_before_10, "QEMU 7.2 leaves mtval 0"},
    {"sfence_w_inval", exclusion_rules::in_user_mode, "QEMU does not find it illegal"},
    {"sfence_inval_ir", exclusion_rules::in_user_mode, "QEMU does not find it illegal"},
};

// QEMU 7.2 reports an AMO that faults as a load.
inline bool atomics_may_fault(const Oracle& oracle) {
  return !exclusion_rules::before_10(oracle);
}

// QEMU 10 lets an amocas with rd = x0 change the zero of the instructions behind it.
inline bool needs_destination(std::string_view id) {
  return id.starts_with("amocas");
}

}  // namespace hv::test
