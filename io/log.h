// Diagnostics: -d items and warnings for a person.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "io/result.h"

namespace hv {

// The items of -d; names as QEMU spells them.
enum LogItem : uint32_t {
  kLogInAsm = 1u << 0,        // in_asm: guest code when it is first decoded
  kLogInt = 1u << 1,          // int: traps and interrupts taken
  kLogGuestErrors = 1u << 2,  // guest_errors: invalid operations by the guest
  kLogUnimp = 1u << 3,        // unimp: use of something hartvisor does not have
  kLogOp = 1u << 4,           // op: guest code as it is compiled
  kLogOutAsm = 1u << 5,       // out_asm: what it is compiled to
};

namespace log_internal {
extern std::atomic<uint32_t> enabled_items;
void write(std::string_view text);
}  // namespace log_internal

// Sets the enabled items from "-d int,guest_errors" ("help" is handled by the caller).
Result<> log_set_items(std::string_view comma_separated);
// -D FILE: where log lines go (default stderr).
Result<> log_set_file(const std::string& path);
// One line per item name with its meaning, for "-d help".
std::string log_items_help();

// Thread-safe: one relaxed load.
inline bool log_enabled(LogItem item) {
  return log_internal::enabled_items.load(std::memory_order_relaxed) & item;
}

// Writes one line (a newline is added) if the item is enabled. Any thread.
template <class... Args>
void log(LogItem item, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(item)) [[unlikely]]
    log_internal::write(fmt::format(format, std::forward<Args>(args)...));
}

// "hartvisor: ..." on stderr, always. Any thread. Not for what a guest can repeat at will.
void report(std::string_view text);
// "hartvisor: warning: ...", likewise.
void warn(std::string_view text);
// -msg timestamp=on: report() and warn() begin with the time (UTC). Before other threads start.
void set_message_timestamps(bool on);

}  // namespace hv
