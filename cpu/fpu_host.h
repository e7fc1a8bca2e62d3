// The host's scalar SSE instructions with its rounding control and sticky flags.
//
// Everything here is volatile assembly on purpose. To the compiler a floating-point expression is a
// pure function of its operands: it may fold it, merge two equal ones, or move it across the
// instructions that load and store MXCSR, and then rounding or flags are lost. Volatile assembly
// statements are neither removed nor reordered against each other.
#pragma once

#ifndef __x86_64__
#error "cpu/fpu_host.h: this host needs a floating-point seam of its own"
#endif

#include <cstdint>
#include <type_traits>

namespace hv::fp::host {

inline constexpr uint32_t kSticky = 0x3f;  // MXCSR: exception flags
inline constexpr uint32_t kRoundingControl = 3u << 13;
inline constexpr uint32_t kDefault = 0x1f80;  // all masked, nearest even

inline uint32_t read_control() {
  uint32_t value;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value;
}
inline void write_control(uint32_t value) {
  asm volatile("ldmxcsr %0" : : "m"(value));
}

// Set once before main(): the CPU has FMA3.
extern const bool kHasFma;

#define HV_HOST_BINARY(name, instruction)                       \
  template <class T>                                            \
  inline T name(T a, T b) {                                     \
    if constexpr (std::is_same_v<T, float>)                     \
      asm volatile(instruction "ss %1, %0" : "+x"(a) : "x"(b)); \
    else                                                        \
      asm volatile(instruction "sd %1, %0" : "+x"(a) : "x"(b)); \
    return a;                                                   \
  }
HV_HOST_BINARY(add, "add")
HV_HOST_BINARY(sub, "sub")
HV_HOST_BINARY(mul, "mul")
HV_HOST_BINARY(div, "div")
#undef HV_HOST_BINARY

template <class T>
inline T sqrt(T a) {
  T root{};
  if constexpr (std::is_same_v<T, float>)
    asm volatile("sqrtss %1, %0" : "+x"(root) : "x"(a));
  else
    asm volatile("sqrtsd %1, %0" : "+x"(root) : "x"(a));
  return root;
}

// a * b + c. Only when kHasFma.
template <class T>
inline T fma(T a, T b, T c) {
  if constexpr (std::is_same_v<T, float>)
    asm volatile("vfmadd213ss %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
  else
    asm volatile("vfmadd213sd %2, %1, %0" : "+x"(a) : "x"(b), "x"(c));
  return a;
}

// Quiet: only a signalling NaN is invalid.
template <class T>
inline bool equal(T a, T b) {
  bool equal, ordered;
  if constexpr (std::is_same_v<T, float>)
    asm volatile("ucomiss %3, %2" : "=@cce"(equal), "=@ccnp"(ordered) : "x"(a), "x"(b));
  else
    asm volatile("ucomisd %3, %2" : "=@cce"(equal), "=@ccnp"(ordered) : "x"(a), "x"(b));
  return equal && ordered;
}
// Signalling: every NaN is invalid. Operands are exchanged: "above" is false when unordered.
template <class T>
inline bool less(T a, T b) {
  bool above;
  if constexpr (std::is_same_v<T, float>)
    asm volatile("comiss %2, %1" : "=@cca"(above) : "x"(b), "x"(a));
  else
    asm volatile("comisd %2, %1" : "=@cca"(above) : "x"(b), "x"(a));
  return above;
}
template <class T>
inline bool less_equal(T a, T b) {
  bool above_or_equal;
  if constexpr (std::is_same_v<T, float>)
    asm volatile("comiss %2, %1" : "=@ccae"(above_or_equal) : "x"(b), "x"(a));
  else
    asm volatile("comisd %2, %1" : "=@ccae"(above_or_equal) : "x"(b), "x"(a));
  return above_or_equal;
}

// To int32_t or int64_t; the smallest integer with the invalid flag when out of range. With
// kTruncate towards zero, else by rounding control.
template <bool kTruncate, class I, class T>
inline I to_integer(T a) {
  I value;
#define HV_HOST_CONVERT(instruction) asm volatile(instruction " %1, %0" : "=r"(value) : "x"(a))
  if constexpr (std::is_same_v<T, float>) {
    if constexpr (kTruncate)
      HV_HOST_CONVERT("cvttss2si");
    else
      HV_HOST_CONVERT("cvtss2si");
  } else {
    if constexpr (kTruncate)
      HV_HOST_CONVERT("cvttsd2si");
    else
      HV_HOST_CONVERT("cvtsd2si");
  }
#undef HV_HOST_CONVERT
  return value;
}

template <class T>
inline T from_integer(int64_t a) {
  T value{};
  if constexpr (std::is_same_v<T, float>)
    asm volatile("cvtsi2ssq %1, %0" : "+x"(value) : "r"(a));
  else
    asm volatile("cvtsi2sdq %1, %0" : "+x"(value) : "r"(a));
  return value;
}

inline float narrow(double a) {
  float value{};
  asm volatile("cvtsd2ss %1, %0" : "+x"(value) : "x"(a));
  return value;
}
inline double widen(float a) {
  double value{};
  asm volatile("cvtss2sd %1, %0" : "+x"(value) : "x"(a));
  return value;
}

}  // namespace hv::fp::host
