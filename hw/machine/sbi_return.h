// What a supervisor call returns.
#pragma once

#include <cstdint>

namespace hv {

// SBI specification 3.0, chapter 3 (Binary Encoding).
enum class SbiError : int64_t {
  kSuccess = 0,
  kFailed = -1,
  kNotSupported = -2,
  kInvalidParam = -3,
  kInvalidAddress = -5,
  kAlreadyAvailable = -6,
  kAlreadyStarted = -7,
  kAlreadyStopped = -8,
  kNoSharedMemory = -9,
  kBadRange = -11,
};

// a0 and a1.
struct SbiReturn {
  SbiError error = SbiError::kSuccess;
  uint64_t value = 0;
};

}  // namespace hv
