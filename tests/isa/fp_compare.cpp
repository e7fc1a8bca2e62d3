// Compares cpu/fpu.h with the results that fp_oracle.c wrote.
//
// fp_compare RESULTS [--zfa] [--record]
//   --zfa     the results are those of Zfa's operations
//   --record  prints a sample as rows for tests/unit/cpu/fp_expected.inc
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>

#include "cpu/fpu.h"
#include "cpu/fpu_half.h"
#include "cpu/fpu_zfa.h"
#include "tests/isa/fp_cases.h"

using namespace hv;

namespace {

uint64_t compared = 0, different = 0;

class Comparer {
 public:
  Comparer(const char* results, bool record)
      : results_(results, std::ios::binary), record_(record) {}

  // Runs the cases of one variant; `fn` takes hart, operands and rm.
  template <class Fn>
  void run(const char* name, FpSource source, FpRandom& random, unsigned frm, unsigned rm,
           Fn&& fn) {
    hart_.frm = static_cast<uint8_t>(frm);
    const fp::Session session(hart_);
    for (unsigned i = 0; i < FP_CASES; ++i) {
      const FpCase c = fp_case(&random, source, i);
      FpResult expected{};
      results_.read(reinterpret_cast<char*>(&expected), sizeof(expected));
      hart_.fflags = 0;
      const uint64_t value = fn(hart_, c.operands);
      fp::collect_flags(hart_);
      check(name, frm, rm, c, value, expected);
    }
  }

  // The constants.
  template <class Fn>
  void run_numbers(const char* name, Fn&& fn) {
    for (uint64_t number = 0; number < 32; ++number) {
      FpResult expected{};
      results_.read(reinterpret_cast<char*>(&expected), sizeof(expected));
      hart_.fflags = 0;
      check(name, 0, 0, {{number}}, fn(hart_, number), expected);
    }
  }

  // As run() for each rounding variant.
  template <class Fn>
  void run_rounded(const char* name, FpSource source, FpRandom& random, Fn&& fn) {
    for (unsigned variant = 0; variant < FP_VARIANTS; ++variant) {
      const unsigned rm = variant < 5 ? variant : unsigned{fp::kDynamic};
      run(name, source, random, fp_variant_frm(variant), rm,
          [&](Hart& hart, const uint64_t* o) { return fn(hart, o, rm); });
    }
  }

  bool at_end() {
    results_.peek();
    return results_.eof();
  }
  bool good() const { return results_.good(); }

 private:
  static constexpr unsigned kRecordEvery = 3571, kShown = 40;

  void check(const char* name, unsigned frm, unsigned rm, const FpCase& c, uint64_t value,
             const FpResult& expected) {
    ++compared;
    if (record_ && compared % kRecordEvery == 0) {
      fmt::print("FP_EXPECTED({}, {}, {}, 0x{:x}, 0x{:x}, 0x{:x}, 0x{:x}, 0x{:x})\n", name, frm, rm,
                 c.operands[0], c.operands[1], c.operands[2], expected.value, expected.flags);
    }
    if (value == expected.value && hart_.fflags == expected.flags) return;
    if (++different <= kShown)
      fmt::print("{} frm={} rm={} {:#x} {:#x} {:#x}: ours {:#x} flags {:#x}, oracle {:#x} {:#x}\n",
                 name, frm, rm, c.operands[0], c.operands[1], c.operands[2], value, hart_.fflags,
                 expected.value, expected.flags);
  }

  std::ifstream results_;
  bool record_;
  Hart hart_;
};

}  // namespace

#define ROUNDED(source, function, ...)                                                             \
  comparer.run_rounded(#function, source, random, [](Hart& hart, const uint64_t* o, unsigned rm) { \
    return fp::function(hart, __VA_ARGS__, rm);                                                    \
  });
#define PLAIN(source, function, ...)            \
  comparer.run(#function, source, random, 0, 0, \
               [](Hart& hart, const uint64_t* o) { return fp::function(hart, __VA_ARGS__); });
#define DO_F_I(f) comparer.run_numbers(#f, fp::f);
#define DO_HHH_RM(f) ROUNDED(FP_HALF, f, o[0], o[1])
#define DO_HHHH_RM(f) ROUNDED(FP_HALF, f, o[0], o[1], o[2])
#define DO_HH_RM(f) ROUNDED(FP_HALF, f, o[0])
#define DO_HS_RM(f) ROUNDED(FP_SINGLE, f, o[0])
#define DO_HD_RM(f) ROUNDED(FP_DOUBLE, f, o[0])
#define DO_XH_RM(f) ROUNDED(FP_HALF, f, o[0])
#define DO_HX_RM(f) ROUNDED(FP_INTEGER, f, o[0])
#define DO_HHH(f) PLAIN(FP_HALF, f, o[0], o[1])
#define DO_XHH(f) PLAIN(FP_HALF, f, o[0], o[1])
#define DO_XH(f) PLAIN(FP_HALF, f, o[0])
#define DO_SH(f) PLAIN(FP_HALF, f, o[0], 0)
#define DO_DH(f) PLAIN(FP_HALF, f, o[0], 0)
#define DO_SSS_RM(f) ROUNDED(FP_SINGLE, f, o[0], o[1])
#define DO_DDD_RM(f) ROUNDED(FP_DOUBLE, f, o[0], o[1])
#define DO_SSSS_RM(f) ROUNDED(FP_SINGLE, f, o[0], o[1], o[2])
#define DO_DDDD_RM(f) ROUNDED(FP_DOUBLE, f, o[0], o[1], o[2])
#define DO_SS_RM(f) ROUNDED(FP_SINGLE, f, o[0])
#define DO_DD_RM(f) ROUNDED(FP_DOUBLE, f, o[0])
#define DO_SD_RM(f) ROUNDED(FP_DOUBLE, f, o[0])
#define DO_XS_RM(f) ROUNDED(FP_SINGLE, f, o[0])
#define DO_XD_RM(f) ROUNDED(FP_DOUBLE, f, o[0])
#define DO_SX_RM(f) ROUNDED(FP_INTEGER, f, o[0])
#define DO_DX_RM(f) ROUNDED(FP_INTEGER, f, o[0])
#define DO_SSS(f) PLAIN(FP_SINGLE, f, o[0], o[1])
#define DO_DDD(f) PLAIN(FP_DOUBLE, f, o[0], o[1])
#define DO_XSS(f) PLAIN(FP_SINGLE, f, o[0], o[1])
#define DO_XDD(f) PLAIN(FP_DOUBLE, f, o[0], o[1])
#define DO_XS(f) PLAIN(FP_SINGLE, f, o[0])
#define DO_XD(f) PLAIN(FP_DOUBLE, f, o[0])
#define DO_DX(f) PLAIN(FP_INTEGER, f, o[0], 0)
#define DO_DS(f) PLAIN(FP_SINGLE, f, o[0], 0)

int main(int argc, char** argv) {
  bool record = false, zfa = false, wrong = argc < 2;
  for (int i = 2; i < argc; ++i) {
    const bool is_record = std::strcmp(argv[i], "--record") == 0;
    const bool is_zfa = std::strcmp(argv[i], "--zfa") == 0;
    record |= is_record;
    zfa |= is_zfa;
    wrong |= !is_record && !is_zfa;
  }
  if (wrong) {
    std::cerr << "usage: fp_compare RESULTS [--zfa] [--record]\n";
    return 2;
  }
  Comparer comparer(argv[1], record);
#define FP_OP(function, mnemonic, shape)       \
  {                                            \
    [[maybe_unused]] FpRandom random{FP_SEED}; \
    DO_##shape(function)                       \
  }
  if (zfa) {
#include "tests/isa/fp_zfa_ops.inc"
  } else {
#define FP_OP(function, mnemonic, shape) \
  {                                      \
    FpRandom random{FP_SEED};            \
    DO_##shape(function)                 \
  }
#include "tests/isa/fp_ops.inc"
  }
  if (!comparer.good() || !comparer.at_end()) {
    std::cerr << "the results are not those of these cases\n";
    return 1;
  }
  if (!record) fmt::print("{} results compared, {} different\n", compared, different);
  return different == 0 ? 0 : 1;
}
