#include "monitor/qmp_events.h"

#include <time.h>

#include <cerrno>
#include <system_error>

namespace hv {
namespace {

// QEMU's names of its ShutdownCause.
std::string_view reason_name(ShutdownCause cause) {
  switch (cause) {
    case ShutdownCause::kGuestShutdown:
      return "guest-shutdown";
    case ShutdownCause::kGuestReset:
      return "guest-reset";
    case ShutdownCause::kGuestPanic:
      return "guest-panic";
    case ShutdownCause::kHostQuit:
      return "host-qmp-quit";
    case ShutdownCause::kHostReset:
      return "host-qmp-system-reset";
    case ShutdownCause::kHostSignal:
      return "host-signal";
    case ShutdownCause::kHostUi:
      return "host-ui";
  }
  return "host-error";
}

bool is_by_guest(ShutdownCause cause) {
  return cause == ShutdownCause::kGuestShutdown || cause == ShutdownCause::kGuestReset ||
         cause == ShutdownCause::kGuestPanic;
}

}  // namespace

Json qmp_event(std::string_view name, const Json& data) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  Json event{{"timestamp", {{"seconds", now.tv_sec}, {"microseconds", now.tv_nsec / 1000}}},
             {"event", name}};
  if (!data.is_null()) event["data"] = data;
  return event;
}

Json shutdown_data(ShutdownCause cause) {
  return {{"guest", is_by_guest(cause)}, {"reason", reason_name(cause)}};
}

Json reset_data(bool by_guest) {
  return {
      {"guest", by_guest},
      {"reason", reason_name(by_guest ? ShutdownCause::kGuestReset : ShutdownCause::kHostReset)}};
}

Json disk_error_data(const DiskError& error) {
  const char* action = "report";
  if (error.action == DiskError::Action::kIgnore) action = "ignore";
  if (error.action == DiskError::Action::kStop) action = "stop";
  return {{"device", error.drive},
          {"node-name", error.drive},
          {"operation", error.write ? "write" : "read"},
          {"action", action},
          {"nospace", error.error == ENOSPC},
          {"reason", std::generic_category().message(error.error)}};
}

}  // namespace hv
