#include "cpu/fpu_half.h"

namespace hv::fp {
namespace {

using detail::keep_boxed;
using detail::resolve;

uint64_t bits(uint64_t reg) {
  return detail::unbox_bits<Half>(reg);
}

uint64_t fused(Hart& hart, uint64_t product_sign, uint64_t a, uint64_t b, uint64_t addend_sign,
               uint64_t c, unsigned rm) {
  return keep_boxed<Half>(hart, soft::fma(soft::kHalf, bits(a) ^ product_sign, bits(b),
                                          bits(c) ^ addend_sign, resolve(hart, rm)));
}

uint64_t to_integer(Hart& hart, uint64_t a, unsigned rm, bool is_signed, unsigned width) {
  return detail::keep(hart,
                      soft::to_integer(soft::kHalf, bits(a), resolve(hart, rm), is_signed, width));
}

uint64_t from_unsigned(Hart& hart, uint64_t i, unsigned rm) {
  return keep_boxed<Half>(hart, soft::from_integer(soft::kHalf, false, i, resolve(hart, rm)));
}
uint64_t from_signed(Hart& hart, int64_t i, unsigned rm) {
  const auto value = static_cast<uint64_t>(i);
  return keep_boxed<Half>(
      hart, soft::from_integer(soft::kHalf, i < 0, i < 0 ? 0 - value : value, resolve(hart, rm)));
}

template <class From, class To>
uint64_t convert(Hart& hart, uint64_t a, unsigned rm) {
  using namespace detail;
  return keep_boxed<To>(hart, soft::convert(Traits<From>::kKind, Traits<To>::kKind,
                                            unbox_bits<From>(a), resolve(hart, rm)));
}

constexpr uint64_t kSign = detail::Traits<Half>::kSign;

}  // namespace

uint64_t fadd_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm) {
  return keep_boxed<Half>(hart, soft::add(soft::kHalf, bits(a), bits(b), resolve(hart, rm)));
}
uint64_t fsub_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm) {
  return keep_boxed<Half>(hart, soft::sub(soft::kHalf, bits(a), bits(b), resolve(hart, rm)));
}
uint64_t fmul_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm) {
  return keep_boxed<Half>(hart, soft::mul(soft::kHalf, bits(a), bits(b), resolve(hart, rm)));
}
uint64_t fdiv_h(Hart& hart, uint64_t a, uint64_t b, unsigned rm) {
  return keep_boxed<Half>(hart, soft::div(soft::kHalf, bits(a), bits(b), resolve(hart, rm)));
}
uint64_t fsqrt_h(Hart& hart, uint64_t a, unsigned rm) {
  return keep_boxed<Half>(hart, soft::sqrt(soft::kHalf, bits(a), resolve(hart, rm)));
}
uint64_t fmadd_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm) {
  return fused(hart, 0, a, b, 0, c, rm);
}
uint64_t fmsub_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm) {
  return fused(hart, 0, a, b, kSign, c, rm);
}
uint64_t fnmsub_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm) {
  return fused(hart, kSign, a, b, 0, c, rm);
}
uint64_t fnmadd_h(Hart& hart, uint64_t a, uint64_t b, uint64_t c, unsigned rm) {
  return fused(hart, kSign, a, b, kSign, c, rm);
}

uint64_t fcvt_w_h(Hart& hart, uint64_t a, unsigned rm) {
  return to_integer(hart, a, rm, true, 32);
}
uint64_t fcvt_wu_h(Hart& hart, uint64_t a, unsigned rm) {
  return to_integer(hart, a, rm, false, 32);
}
uint64_t fcvt_l_h(Hart& hart, uint64_t a, unsigned rm) {
  return to_integer(hart, a, rm, true, 64);
}
uint64_t fcvt_lu_h(Hart& hart, uint64_t a, unsigned rm) {
  return to_integer(hart, a, rm, false, 64);
}
uint64_t fcvt_h_w(Hart& hart, uint64_t i, unsigned rm) {
  return from_signed(hart, static_cast<int32_t>(i), rm);
}
uint64_t fcvt_h_wu(Hart& hart, uint64_t i, unsigned rm) {
  return from_unsigned(hart, static_cast<uint32_t>(i), rm);
}
uint64_t fcvt_h_l(Hart& hart, uint64_t i, unsigned rm) {
  return from_signed(hart, static_cast<int64_t>(i), rm);
}
uint64_t fcvt_h_lu(Hart& hart, uint64_t i, unsigned rm) {
  return from_unsigned(hart, i, rm);
}

uint64_t fcvt_h_s(Hart& hart, uint64_t a, unsigned rm) {
  return convert<float, Half>(hart, a, rm);
}
uint64_t fcvt_h_d(Hart& hart, uint64_t a, unsigned rm) {
  return convert<double, Half>(hart, a, rm);
}
uint64_t fcvt_s_h(Hart& hart, uint64_t a, unsigned rm) {
  return convert<Half, float>(hart, a, rm);
}
uint64_t fcvt_d_h(Hart& hart, uint64_t a, unsigned rm) {
  return convert<Half, double>(hart, a, rm);
}

}  // namespace hv::fp
