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
