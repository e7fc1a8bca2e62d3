// What compiled code is shown to as it is made.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hv {

class CodeListener {
 public:
  virtual ~CodeListener() = default;
  // Any thread, one at a time, and before the code first runs at `address`. A name may come again,
  // and so may an address, when what was there is gone.
  virtual void code_made(const std::string& name, const void* address,
                         std::span<const uint8_t> code) = 0;
};

}  // namespace hv
