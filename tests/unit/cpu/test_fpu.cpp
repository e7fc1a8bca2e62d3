#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <variant>

#include "cpu/fpu.h"
#include "cpu/fpu_half.h"
#include "cpu/fpu_zfa.h"

using namespace hv;

namespace {

constexpr uint64_t kBox = 0xffffffff00000000;
constexpr uint64_t kNanS = kBox | 0x7fc00000, kNanD = 0x7ff8000000000000;

constexpr uint64_t s(float value) {
  return kBox | std::bit_cast<uint32_t>(value);
}
constexpr uint64_t d(double value) {
  return std::bit_cast<uint64_t>(value);
}

using Unary = uint64_t (*)(Hart&, uint64_t);
using UnaryRounded = uint64_t (*)(Hart&, uint64_t, unsigned);
using Binary = uint64_t (*)(Hart&, uint64_t, uint64_t);
using BinaryRounded = uint64_t (*)(Hart&, uint64_t, uint64_t, unsigned);
using TernaryRounded = uint64_t (*)(Hart&, uint64_t, uint64_t, uint64_t, unsigned);

struct Expected {
  const char* name;
  std::variant<Unary, UnaryRounded, Binary, BinaryRounded, TernaryRounded> function;
  uint8_t frm;
  unsigned rm;
  uint64_t a, b, c;
  uint64_t value;
  unsigned flags;
};

// Results of qemu-riscv64 (run_fp_oracle.py --record).
const Expected kExpected[] = {
#define FP_EXPECTED(function, frm, rm, a, b, c, value, flags) \
  {#function, fp::function, frm, rm, a, b, c, value, flags},
#include "tests/unit/cpu/fp_expected.inc"
#undef FP_EXPECTED
};

// Calls an operation with as many of the operands as it takes.
uint64_t call(const Expected& e, Hart& hart) {
  struct Visitor {
    const Expected& e;
    Hart& hart;
    uint64_t operator()(Unary f) { return f(hart, e.a); }
    uint64_t operator()(UnaryRounded f) { return f(hart, e.a, e.rm); }
    uint64_t operator()(Binary f) { return f(hart, e.a, e.b); }
    uint64_t operator()(BinaryRounded f) { return f(hart, e.a, e.b, e.rm); }
    uint64_t operator()(TernaryRounded f) { return f(hart, e.a, e.b, e.c, e.rm); }
  };
  return std::visit(Visitor{e, hart}, e.function);
}

}  // namespace

TEST_CASE("results and flags are those that QEMU gave") {
  Hart hart;
  for (const Expected& e : kExpected) {
    CAPTURE(e.name, e.frm, e.rm, e.a, e.b, e.c);
    hart.fflags = 0;
    hart.frm = e.frm;
    uint64_t value;
    {
      const fp::Session session(hart);
      value = call(e, hart);
    }
    CHECK(value == e.value);
    CHECK(hart.fflags == e.flags);
  }
}

TEST_CASE("flags stay with the host until they are collected and add up") {
  Hart hart;
  const fp::Session session(hart);
  fp::fdiv_d(hart, d(1), d(3), fp::kDynamic);
  CHECK(hart.fflags == 0);
  fp::collect_flags(hart);
  CHECK(hart.fflags == fp::kInexact);
  fp::fdiv_d(hart, d(1), d(0), fp::kDynamic);
  fp::collect_flags(hart);
  CHECK(hart.fflags == (fp::kInexact | fp::kDivideByZero));
  hart.fflags = 0;
  fp::collect_flags(hart);
  CHECK(hart.fflags == 0);
}

TEST_CASE("frm_changed loads the rounding mode and keeps gathered flags") {
  Hart hart;
  const fp::Session session(hart);
  const uint64_t nearest = fp::fdiv_d(hart, d(1), d(3), fp::kDynamic);
  hart.frm = fp::kUp;
  fp::frm_changed(hart);
  CHECK(fp::fdiv_d(hart, d(1), d(3), fp::kDynamic) == nearest + 1);
  // A static mode does not stay.
  CHECK(fp::fdiv_d(hart, d(1), d(3), fp::kNearestEven) == nearest);
  CHECK(fp::fdiv_d(hart, d(1), d(3), fp::kNearestMaxMagnitude) == nearest);
  CHECK(fp::fdiv_d(hart, d(1), d(3), fp::kDynamic) == nearest + 1);
  fp::collect_flags(hart);
  CHECK(hart.fflags == fp::kInexact);
}

TEST_CASE("Session gives the thread back as it was, HostScope in between as well") {
  const uint32_t before = fp::host::read_control();
  Hart hart;
  hart.frm = fp::kTowardZero;
  {
    const fp::Session session(hart);
    fp::fdiv_s(hart, s(1), s(0), fp::kDynamic);
    {
      const fp::HostScope scope;
      CHECK(fp::host::read_control() == fp::host::kDefault);
      fp::host::div(1.0, 3.0);
    }
  }
  CHECK(hart.fflags == fp::kDivideByZero);
  CHECK((fp::host::read_control() & ~fp::host::kSticky) == (before & ~fp::host::kSticky));
}

TEST_CASE("rounding_ok refuses reserved modes, static and dynamic") {
  Hart hart;
  for (const unsigned rm : {0u, 1u, 2u, 3u, 4u, 7u}) CHECK(fp::rounding_ok(hart, rm));
  CHECK_FALSE(fp::rounding_ok(hart, 5));
  CHECK_FALSE(fp::rounding_ok(hart, 6));
  for (const uint8_t frm : {5, 6, 7}) {
    hart.frm = frm;
    CHECK_FALSE(fp::rounding_ok(hart, fp::kDynamic));
    CHECK(fp::rounding_ok(hart, fp::kNearestEven));
  }
}

TEST_CASE("a single without NaN box counts as the canonical NaN") {
  Hart hart;
  const fp::Session session(hart);
  CHECK(fp::fadd_s(hart, 0x3f800000, s(1), fp::kDynamic) == kNanS);
  CHECK(fp::fmin_s(hart, 0x3f800000, s(2)) == s(2));
  CHECK(fp::fsgnj_s(hart, 0x3f800000, s(-1)) == (kNanS | 0x80000000));
  CHECK(fp::fclass_s(hart, 0x3f800000) == 1 << 9);
  fp::collect_flags(hart);
  CHECK(hart.fflags == 0);
}

TEST_CASE("a half needs ones in all 48 bits above it, else it counts as the canonical NaN") {
  constexpr uint64_t kBoxH = 0xffffffffffff0000, kNanH = kBoxH | 0x7e00;
  Hart hart;
  for (const uint64_t one : {uint64_t{0x3c00}, kBox | 0x3c00, kBoxH << 1 | 0x3c00}) {
    CHECK(fp::fadd_h(hart, one, kBoxH | 0x3c00, fp::kDynamic) == kNanH);
    CHECK(fp::fmax_h(hart, one, kBoxH | 0xbc00) == (kBoxH | 0xbc00));
    CHECK(fp::fsgnjn_h(hart, one, kBoxH) == (kNanH | 0x8000));
    CHECK(fp::fclass_h(hart, one) == 1 << 9);
    CHECK(fp::fcvt_s_h(hart, one, fp::kDynamic) == kNanS);
    CHECK(fp::flt_h(hart, kBoxH, kBoxH | 0x3c00) == 1);
  }
  CHECK(hart.fflags == 0);
  CHECK(fp::flt_h(hart, kBoxH, 0x3c00) == 0);
  CHECK(hart.fflags == fp::kInvalid);
}

TEST_CASE("every half goes to single and double and back") {
  Hart hart;
  for (uint64_t bits = 0; bits < 0x10000; ++bits) {
    const bool nan = (bits & 0x7fff) > 0x7c00;
    const uint64_t half = bits | 0xffffffffffff0000, expected = nan ? 0xffffffffffff7e00 : half;
    const uint64_t single = fp::fcvt_s_h(hart, half, fp::kDynamic);
    const uint64_t wide = fp::fcvt_d_h(hart, half, fp::kDynamic);
    if (fp::fcvt_h_s(hart, single, fp::kUp) != expected) CHECK(half == single);
    if (fp::fcvt_h_d(hart, wide, fp::kDown) != expected) CHECK(half == wide);
    if (!nan && (bits & 0x7c00) != 0 && (bits & 0x7c00) != 0x7c00) {
      const auto magnitude = static_cast<double>(0x400 | (bits & 0x3ff));
      const double value = std::ldexp(magnitude, static_cast<int>(bits >> 10 & 0x1f) - 25);
      if (wide != d(bits & 0x8000 ? -value : value)) CHECK(half == wide);
    }
  }
  CHECK(hart.fflags == fp::kInvalid);
}

// The values of the specification's table, chapter 23.
TEST_CASE("fli loads the constants of the specification") {
  Hart hart;
  for (const auto& [number, value] : {std::pair{0u, -1.0},
                                      {2u, 1.0 / 65536},
                                      {3u, 1.0 / 32768},
                                      {4u, 1.0 / 256},
                                      {5u, 1.0 / 128},
                                      {9u, 0.3125},
                                      {11u, 0.4375},
                                      {15u, 0.875},
                                      {16u, 1.0},
                                      {19u, 1.75},
                                      {22u, 3.0},
                                      {26u, 128.0},
                                      {28u, 32768.0},
                                      {29u, 65536.0},
                                      {30u, INFINITY}}) {
    CHECK(fp::fli_d(hart, number) == d(value));
    CHECK(fp::fli_s(hart, number) == s(static_cast<float>(value)));
    CHECK(fp::fli_h(hart, number) == fp::fcvt_h_d(hart, d(value), 0));
  }
  CHECK(fp::fli_d(hart, 1) == 0x0010000000000000);
  CHECK(fp::fli_s(hart, 1) == (kBox | 0x00800000));
  CHECK(fp::fli_h(hart, 1) == 0xffffffffffff0400);
  CHECK(fp::fli_d(hart, 31) == kNanD);
  CHECK(fp::fli_s(hart, 31) == kNanS);
  CHECK(fp::fli_h(hart, 31) == 0xffffffffffff7e00);
}

TEST_CASE("fround and froundnx give what libm gives") {
  const auto libm = [](double value, unsigned rm) {
    switch (rm) {
      case fp::kNearestEven:
        return roundeven(value);
      case fp::kTowardZero:
        return std::trunc(value);
      case fp::kDown:
        return std::floor(value);
      case fp::kUp:
        return std::ceil(value);
      default:
        return std::round(value);
    }
  };
  std::mt19937_64 random(5);
  for (int i = 0; i < 20000; ++i) {
    // Exponents from below a half to beyond the last fraction.
    const uint64_t bits = (random() & 0x800fffffffffffff) | (1020 + random() % 60) << 52;
    const auto wide = std::bit_cast<double>(i % 3 == 0 ? bits & ~0ull << 50 : bits);
    const auto single = static_cast<float>(wide);
    for (unsigned rm = 0; rm <= fp::kNearestMaxMagnitude; ++rm) {
      Hart hart;
      hart.frm = static_cast<uint8_t>(rm);
      CAPTURE(rm, wide);
      if (fp::fround_d(hart, d(wide), rm) != d(libm(wide, rm))) CHECK(false);
      if (fp::fround_s(hart, s(single), 7) != s(static_cast<float>(libm(single, rm)))) CHECK(false);
      CHECK(hart.fflags == 0);
      fp::froundnx_d(hart, d(wide), 7);
      if (hart.fflags != (libm(wide, rm) == wide ? 0 : fp::kInexact)) CHECK(false);
      const uint64_t half = fp::fcvt_h_d(hart, d(wide), 0);
      const auto value = std::bit_cast<double>(fp::fcvt_d_h(hart, half, 0));
      const uint64_t expected = fp::fcvt_h_d(hart, d(libm(value, rm)), 0);
      hart.fflags = 0;
      if (fp::froundnx_h(hart, half, rm) != expected) CHECK(false);
      if (hart.fflags != (libm(value, rm) == value ? 0 : fp::kInexact)) CHECK(false);
    }
  }
}

TEST_CASE("fround keeps the sign of zero, quiets NaNs, and only a signalling NaN is invalid") {
  Hart hart;
  for (const double value : {0.0, -0.0, static_cast<double>(INFINITY), -1e300})
    CHECK(fp::froundnx_d(hart, d(value), fp::kUp) == d(value));
  CHECK(fp::fround_d(hart, d(-0.25), fp::kUp) == d(-0.0));
  CHECK(fp::fround_d(hart, 0xfff8000000000001, 0) == kNanD);
  CHECK(hart.fflags == 0);
  CHECK(fp::froundnx_d(hart, 0x7ff0000000000001, 0) == kNanD);
  CHECK(hart.fflags == fp::kInvalid);
}

TEST_CASE("fcvtmod.w.d is the truncated value modulo 2^32 with the flags of fcvt.w.d") {
  std::mt19937_64 random(6);
  Hart hart;
  const fp::Session session(hart);
  const auto modulo = [](double value) -> uint64_t {
    if (!std::isfinite(value)) return 0;
    const fp::HostScope scope;
    const auto rest = static_cast<int64_t>(std::fmod(std::trunc(value), 0x1p32));
    return static_cast<uint64_t>(int64_t{static_cast<int32_t>(rest)});
  };
  for (int i = 0; i < 20000; ++i) {
    uint64_t bits = (random() & 0x800fffffffffffff) | (1020 + random() % 70) << 52;
    if (i % 8 == 0) bits = random();
    hart.fflags = 0;
    const uint64_t value = fp::fcvtmod_w_d(hart, bits);
    const uint8_t flags = hart.fflags;
    hart.fflags = 0;
    fp::fcvt_w_d(hart, bits, fp::kTowardZero);
    fp::collect_flags(hart);
    CAPTURE(bits);
    if (value != modulo(std::bit_cast<double>(bits)) || flags != hart.fflags) CHECK(false);
  }
  CHECK(fp::fcvtmod_w_d(hart, d(INFINITY)) == 0);
  CHECK(fp::fcvtmod_w_d(hart, kNanD) == 0);
  CHECK(fp::fcvtmod_w_d(hart, d(2147483648.0)) == 0xffffffff80000000);
}

TEST_CASE("fminm, fmaxm give NaN for a NaN; fleq, fltq are quiet") {
  constexpr uint64_t kSignallingS = kBox | 0x7f800001;
  Hart hart;
  CHECK(fp::fminm_d(hart, d(0.0), d(-0.0)) == d(-0.0));
  CHECK(fp::fmaxm_d(hart, d(-0.0), d(0.0)) == d(0.0));
  CHECK(fp::fminm_s(hart, s(1), kNanS | 0x80000001) == kNanS);
  CHECK(fp::fmaxm_s(hart, 0x3f800000, s(1)) == kNanS);
  CHECK(fp::fleq_s(hart, s(1), kNanS) == 0);
  CHECK(fp::fltq_d(hart, kNanD, d(1)) == 0);
  CHECK(fp::fleq_d(hart, d(0.0), d(-0.0)) == 1);
  CHECK(fp::fltq_d(hart, d(-0.0), d(0.0)) == 0);
  CHECK(hart.fflags == 0);
  CHECK(fp::fminm_s(hart, kSignallingS, s(1)) == kNanS);
  CHECK(hart.fflags == fp::kInvalid);
  hart.fflags = 0;
  CHECK(fp::fltq_s(hart, s(1), kSignallingS) == 0);
  CHECK(hart.fflags == fp::kInvalid);
}

// Unprivileged specification 20.6: invalid even when the addend is a quiet NaN.
TEST_CASE("inf * 0 + quiet NaN is invalid in every rounding mode") {
  Hart hart;
  for (const unsigned rm : {0u, 1u, 2u, 3u, 4u, 7u}) {
    hart.fflags = 0;
    const fp::Session session(hart);
    CHECK(fp::fmadd_d(hart, d(INFINITY), d(0), kNanD, rm) == kNanD);
    fp::collect_flags(hart);
    CHECK(hart.fflags == fp::kInvalid);
  }
}

// Two implementations that share nothing: SSE instructions and integers. The integer one serves
// hosts without FMA3.
TEST_CASE("host arithmetic and integer arithmetic agree") {
  std::mt19937_64 random(7);
  const auto value = [&] {
    const uint64_t bits = random();
    switch (random() % 4) {
      case 0:
        return bits;
      case 1:
        return bits & 0x800fffffffffffff;
      default:
        return (bits & 0x800fffffffffffff) | (1023 - 2 + random() % 5) << 52;
    }
  };
  Hart hart;
  for (unsigned mode = 0; mode < 4; ++mode) {
    hart.frm = static_cast<uint8_t>(mode);
    const fp::Session session(hart);
    for (int i = 0; i < 20000; ++i) {
      const uint64_t a = value(), b = value(), c = value();
      const auto same = [&](uint64_t bits, fp::soft::Outcome outcome) {
        fp::collect_flags(hart);
        const bool equal = bits == outcome.bits && hart.fflags == outcome.flags;
        hart.fflags = 0;
        return equal;
      };
      CAPTURE(mode, a, b, c);
      const auto& k = fp::soft::kDouble;
      const bool sum = same(fp::fadd_d(hart, a, b, 7), fp::soft::add(k, a, b, mode));
      const bool product = same(fp::fmul_d(hart, a, b, 7), fp::soft::mul(k, a, b, mode));
      const bool quotient = same(fp::fdiv_d(hart, a, b, 7), fp::soft::div(k, a, b, mode));
      const bool root = same(fp::fsqrt_d(hart, a, 7), fp::soft::sqrt(k, a, mode));
      const bool fused = same(fp::fmadd_d(hart, a, b, c, 7), fp::soft::fma(k, a, b, c, mode));
      if (!(sum && product && quotient && root && fused)) {
        CHECK(sum);
        CHECK(product);
        CHECK(quotient);
        CHECK(root);
        CHECK(fused);
      }
    }
  }
}
