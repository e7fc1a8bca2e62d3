// Handlers: the process, logging and help.
#include "app/help.h"
#include "app/option_handlers.h"
#include "io/log.h"

namespace hv::option_handlers {

Result<> name(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-name", value, "guest"));
  if (auto guest = values.take("guest")) options.name = *guest;
  if (auto process = values.take("process")) options.process_name = *process;
  HV_TRY_ASSIGN(const auto debug_threads, values.take_bool("debug-threads"));
  if (debug_threads && !*debug_threads)
    return fail("-name: debug-threads=off is not supported; threads always carry names");
  return values.expect_empty("guest, process, debug-threads");
}

Result<> pidfile(Options& options, const std::string& value) {
  if (value.empty()) return fail("-pidfile: names no file");
  options.pidfile = value;
  return {};
}
Result<> daemonize(Options& options, const std::string&) {
  options.daemonize = true;
  return {};
}
Result<> no_reboot(Options& options, const std::string&) {
  options.run.no_reboot = true;
  return {};
}
Result<> no_shutdown(Options& options, const std::string&) {
  options.run.no_shutdown = true;
  return {};
}
Result<> stopped(Options& options, const std::string&) {
  options.run.start_paused = true;
  return {};
}
// No configuration file is ever read.
Result<> no_user_config(Options&, const std::string&) {
  return {};
}

Result<> message(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-msg", value));
  HV_TRY_ASSIGN(const auto timestamp, values.take_bool("timestamp"));
  if (timestamp) options.message_timestamps = *timestamp;
  return values.expect_empty("timestamp");
}

Result<> log_items(Options& options, const std::string& value) {
  if (value == "help" || value == "?")
    options.print_and_exit = log_items_help();
  else
    options.log_items += (options.log_items.empty() ? "" : ",") + value;
  return {};
}
Result<> log_file(Options& options, const std::string& value) {
  if (value.empty()) return fail("-D: names no file");
  options.log_file = value;
  return {};
}

Result<> perf_map(Options& options, const std::string&) {
  options.perf_map = true;
  return {};
}
Result<> jit_dump(Options& options, const std::string&) {
  options.jit_dump = true;
  return {};
}

Result<> help(Options& options, const std::string&) {
  options.print_and_exit = help_text(options.program);
  return {};
}
Result<> version(Options& options, const std::string&) {
  options.print_and_exit = version_text(options.program);
  return {};
}

}  // namespace hv::option_handlers
