#include "io/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <ctime>

namespace hv {
namespace {

struct Item {
  std::string_view name;
  LogItem item;
  std::string_view help;
};
constexpr std::array kItems{
    Item{"in_asm", kLogInAsm, "guest code when it is first decoded"},
    Item{"int", kLogInt, "exceptions and interrupts taken"},
    Item{"guest_errors", kLogGuestErrors, "invalid operations by the guest"},
    Item{"op", kLogOp, "guest code as it is compiled, path by path"},
    Item{"out_asm", kLogOutAsm, "the host code that is made of it"},
    Item{"unimp", kLogUnimp, "guest use of what hartvisor does not have"},
};

std::atomic<int> log_fd{STDERR_FILENO};
bool message_timestamps = false;

// One write() per line keeps lines of several threads whole.
void write_line(int fd, std::string line) {
  line += '\n';
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd, line.data() + done, line.size() - done);
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

}  // namespace

namespace log_internal {
std::atomic<uint32_t> enabled_items{0};
void write(std::string_view text) {
  write_line(log_fd.load(std::memory_order_relaxed), std::string(text));
}
}  // namespace log_internal

Result<> log_set_items(std::string_view list) {
  uint32_t items = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view name = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    bool known = false;
    for (const Item& item : kItems) {
      if (item.name == name) {
        items |= item.item;
        known = true;
      }
    }
    if (!known) return fail("-d {}: no such log item; '-d help' lists them", name);
  }
  log_internal::enabled_items.store(items, std::memory_order_relaxed);
  return {};
}

Result<> log_set_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return fail_errno(errno, "-D {}: cannot open the log file", path);
  const int old = log_fd.exchange(fd);
  if (old != STDERR_FILENO) ::close(old);
  return {};
}

std::string log_items_help() {
  std::string text = "Log items (comma separated):\n";
  for (const Item& item : kItems) text += fmt::format("{:<14} {}\n", item.name, item.help);
  return text;
}

void report(std::string_view text) {
  std::string prefix;
  if (message_timestamps) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    char date[32];
    std::strftime(date, sizeof date, "%FT%T", &utc);
    prefix = fmt::format("{}.{:06}Z ", date, now.tv_nsec / 1000);
  }
  write_line(STDERR_FILENO, fmt::format("{}hartvisor: {}", prefix, text));
}

void warn(std::string_view text) {
  report(fmt::format("warning: {}", text));
}

void set_message_timestamps(bool on) {
  message_timestamps = on;
}

}  // namespace hv
