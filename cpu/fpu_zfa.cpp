#include "cpu/fpu_zfa.h"

#include "cpu/isa/fli.h"

namespace hv::fp {
namespace detail {

template <class T>
uint64_t load_immediate(unsigned index) {
  constexpr const soft::Kind& kKind = Traits<T>::kKind;
  if (index == isa::kFliSmallestNormal)
    return box_bits<T>(static_cast<BitsOf<T>>(1ull << (kKind.precision - 1)));
  // All are exact but 2^16, which is infinity as a half.
  const auto value = std::bit_cast<uint64_t>(isa::kFliValues[index]);
  return box_bits<T>(
      static_cast<BitsOf<T>>(soft::convert(soft::kDouble, kKind, value, kNearestEven).bits));
}

template <class T>
uint64_t min_max_nan(Hart& hart, uint64_t a, uint64_t b, bool want_max) {
  const uint64_t number = min_max<T>(hart, a, b, want_max);
  const bool nan = is_nan<T>(unbox_bits<T>(a)) || is_nan<T>(unbox_bits<T>(b));
  return nan ? box_bits<T>(Traits<T>::kNan) : number;
}

template <class T>
uint64_t round_to_integral(Hart& hart, uint64_t a, unsigned rm, bool inexact) {
  soft::Outcome outcome =
      soft::round_to_integral(Traits<T>::kKind, unbox_bits<T>(a), resolve(hart, rm));
  if (!inexact) outcome.flags &= ~kInexact;
  return keep_boxed<T>(hart, outcome);
}

#define HV_INSTANTIATE(T)                                            \
  template uint64_t load_immediate<T>(unsigned);                     \
  template uint64_t min_max_nan<T>(Hart&, uint64_t, uint64_t, bool); \
  template uint64_t round_to_integral<T>(Hart&, uint64_t, unsigned, bool);
HV_INSTANTIATE(Half)
HV_INSTANTIATE(float)
HV_INSTANTIATE(double)
#undef HV_INSTANTIATE

}  // namespace detail

uint64_t fcvtmod_w_d(Hart& hart, uint64_t a) {
  return detail::keep(hart, soft::to_integer_modulo(soft::kDouble, a));
}

}  // namespace hv::fp
