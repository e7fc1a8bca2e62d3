#include "hw/misc/test_finisher.h"

#include "io/log.h"

namespace hv {
namespace {

constexpr uint16_t kFail = 0x3333;
constexpr uint16_t kPass = 0x5555;
constexpr uint16_t kReset = 0x7777;

}  // namespace

void TestFinisher::describe_fdt(FdtNode& node) const {
  node.prop_strings("compatible", {"sifive,test1", "sifive,test0", "syscon"});
}

uint64_t TestFinisher::mmio_read(uint64_t, unsigned) {
  return 0;
}

void TestFinisher::mmio_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == 0) {
    const auto status = static_cast<uint16_t>(value);
    const auto code = size >= 4 ? static_cast<uint16_t>(value >> 16) : uint16_t{0};
    switch (status) {
      case kPass:
        control_.request_shutdown(ShutdownCause::kGuestShutdown, code);
        return;
      case kFail:
        control_.request_shutdown(ShutdownCause::kGuestPanic, code);
        return;
      case kReset:
        control_.request_reset(true);
        return;
    }
  }
  log(kLogGuestErrors, "test finisher: write of {:#x} to offset {:#x} means nothing", value,
      offset);
}

}  // namespace hv
