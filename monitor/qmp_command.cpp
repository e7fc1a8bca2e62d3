#include "monitor/qmp_command.h"

namespace hv {
namespace {

Json empty_object() {
  return Json::object();
}

QmpResult qmp_capabilities(QmpCall& call) {
  if (call.negotiated)
    return qmp_error("CommandNotFound",
                     "Capabilities negotiation is already complete, command ignored");
  if (call.arguments.contains("enable")) {
    for (size_t i = 0; i < call.arguments["enable"].size(); ++i) {
      const Json& capability = call.arguments["enable"][i];
      if (!capability.is_string())
        return qmp_error("GenericError",
                         "Invalid parameter type for 'enable[{}]', expected: string", i);
      // The greeting offers none.
      return qmp_error("GenericError", "Capability {} is not available",
                       capability.get<std::string>());
    }
  }
  call.negotiated = true;
  return empty_object();
}

QmpResult query_version(QmpCall&) {
  return qmp_version();
}

QmpResult query_commands(QmpCall&) {
  Json list = Json::array();
  for (const QmpCommand& command : qmp_commands()) list.push_back({{"name", command.name}});
  return list;
}

QmpResult query_name(QmpCall& call) {
  Json reply = empty_object();
  if (!call.context.name.empty()) reply["name"] = call.context.name;
  return reply;
}

QmpResult query_uuid(QmpCall& call) {
  return Json{{"UUID", call.context.uuid}};
}

QmpResult query_kvm(QmpCall&) {
  return Json{{"enabled", false}, {"present", false}};
}

QmpResult query_target(QmpCall&) {
  return Json{{"arch", "riscv64"}};
}

QmpResult query_status(QmpCall& call) {
  const RunState state = call.context.vm.state();
  return Json{{"status", run_state_name(state)}, {"running", state == RunState::kRunning}};
}

QmpResult query_cpus_fast(QmpCall& call) {
  Json list = Json::array();
  VcpuSet& vcpus = call.context.vm.machine().vcpus();
  for (unsigned i = 0; i < vcpus.count(); ++i) {
    list.push_back({{"thread-id", vcpus.at(i).thread_id()},
                    {"props", {{"core-id", i}}},
                    {"qom-path", fmt::format("/machine/soc0/harts[{}]", i)},
                    {"cpu-index", i},
                    {"target", "riscv64"}});
  }
  return list;
}

QmpResult query_iothreads(QmpCall& call) {
  Json list = Json::array();
  for (const auto& thread : call.context.iothreads()) {
    list.push_back({{"id", thread.id},
                    {"thread-id", thread.thread_id},
                    {"poll-max-ns", thread.poll_max_ns},
                    {"poll-grow", 0},
                    {"poll-shrink", 0},
                    {"aio-max-batch", 0}});
  }
  return list;
}

QmpResult query_chardev(QmpCall& call) {
  Json list = Json::array();
  for (const auto& chardev : call.context.chardevs()) {
    list.push_back({{"label", chardev.label},
                    {"filename", chardev.filename},
                    {"frontend-open", chardev.frontend_open}});
  }
  return list;
}

QmpResult reply_of(const Result<>& result) {
  if (!result) return qmp_error("GenericError", "{}", result.error().message);
  return empty_object();
}

QmpResult query_balloon(QmpCall& call) {
  Balloon* balloon = call.context.vm.machine().balloon();
  if (!balloon) return qmp_error("DeviceNotActive", "No balloon device has been activated");
  return Json{{"actual", balloon->actual()}};
}

QmpResult balloon(QmpCall& call) {
  Balloon* balloon = call.context.vm.machine().balloon();
  if (!balloon) return qmp_error("DeviceNotActive", "No balloon device has been activated");
  const auto bytes = call.arguments["value"].get<int64_t>();
  if (bytes <= 0) return qmp_error("GenericError", "Parameter 'target' expects a size");
  balloon->set_target(static_cast<uint64_t>(bytes));
  return empty_object();
}

// There is no object tree; what clients read in it of the balloon is served.
constexpr std::string_view kStatNames[] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",  "stat-oom-kills",        "stat-alloc-stalls",
    "stat-async-scans",  "stat-direct-scans", "stat-async-reclaims",   "stat-direct-reclaims",
};
static_assert(std::size(kStatNames) == Balloon::kStatCount);
constexpr std::string_view kIntervalProperty = "guest-stats-polling-interval";

std::expected<Balloon*, QmpError> find_object(QmpCall& call) {
  const auto path = call.arguments["path"].get<std::string>();
  constexpr std::string_view kHome = "/machine/peripheral/";
  VirtMachine& machine = call.context.vm.machine();
  for (const VirtMachine::DeviceInfo& device : machine.devices())
    if (!device.id.empty() && path == fmt::format("{}{}", kHome, device.id) &&
        device.type == "virtio-balloon-device")
      return machine.balloon();
  return qmp_error("DeviceNotFound", "Device '{}' not found", path);
}

QmpResult no_property(std::string_view name) {
  return qmp_error("GenericError", "Property 'virtio-balloon-device.{}' not found", name);
}

QmpResult qom_get(QmpCall& call) {
  const auto object = find_object(call);
  if (!object) return std::unexpected(object.error());
  const auto name = call.arguments["property"].get<std::string>();
  if (name == kIntervalProperty) return Json((*object)->stats_interval());
  if (name != "guest-stats") return no_property(name);
  const Balloon::Stats stats = (*object)->stats();
  Json values = empty_object();
  for (unsigned i = 0; i < Balloon::kStatCount; ++i)
    values[std::string(kStatNames[i])] = stats.values[i];
  return Json{{"stats", values}, {"last-update", stats.last_update}};
}

QmpResult qom_set(QmpCall& call) {
  const auto object = find_object(call);
  if (!object) return std::unexpected(object.error());
  const auto name = call.arguments["property"].get<std::string>();
  if (name != kIntervalProperty) return no_property(name);
  const Json& value = call.arguments["value"];
  if (!value.is_number_integer())
    return qmp_error("GenericError", "Invalid parameter type for '{}', expected: integer", name);
  const auto seconds = value.get<int64_t>();
  if (seconds < 0) return qmp_error("GenericError", "timer value must be greater than zero");
  if (seconds > UINT32_MAX) return qmp_error("GenericError", "timer value is too big");
  (*object)->set_stats_interval(static_cast<uint32_t>(seconds));
  return empty_object();
}

QmpResult stop(QmpCall& call) {
  call.context.vm.stop();
  return empty_object();
}
QmpResult cont(QmpCall& call) {
  return reply_of(call.context.vm.cont());
}
QmpResult system_reset(QmpCall& call) {
  return reply_of(call.context.vm.system_reset());
}
QmpResult system_powerdown(QmpCall& call) {
  call.context.vm.system_powerdown();
  return empty_object();
}
QmpResult quit(QmpCall& call) {
  call.context.vm.quit(ShutdownCause::kHostQuit, 0);
  return empty_object();
}

constexpr QmpCommand kCommands[] = {
#define COMMAND(handler, name, arguments) {name, arguments, handler},
#include "monitor/commands.inc"
#undef COMMAND
};

}  // namespace

Json qmp_version() {
  return {{"qemu", {{"micro", kQemuMicro}, {"minor", kQemuMinor}, {"major", kQemuMajor}}},
          {"package", "hartvisor " HV_VERSION}};
}

std::span<const QmpCommand> qmp_commands() {
  return kCommands;
}

}  // namespace hv
