#include "app/application.h"

#include <signal.h>
#include <sys/prctl.h>

#include <filesystem>
#include <fstream>

#include "app/backends.h"
#include "app/daemonize.h"
#include "app/pid_file.h"
#include "cpu/jit/perf_files.h"
#include "io/log.h"
#include "io/thread_safety.h"
#include "main-loop/signal_watch.h"

namespace hv {
namespace {

// "terminating on signal 15 from pid 4711 (kill)", as QEMU says it.
void report_signal(int signal, int sender_pid) {
  std::string text = fmt::format("terminating on signal {}", signal);
  if (sender_pid > 0) {
    std::string command = "unknown process";
    std::ifstream file(fmt::format("/proc/{}/comm", sender_pid));
    std::getline(file, command);
    text += fmt::format(" from pid {} ({})", sender_pid, command);
  }
  report(text);
}

// A daemon leaves its working directory; what is opened or removed later must not depend on it.
void make_absolute(std::string& path) {
  std::error_code error;
  if (path.empty() || path == "none" || path == "default") return;
  if (const auto absolute = std::filesystem::absolute(path, error); !error) path = absolute;
}

void make_absolute(KeyValues& options, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    auto path = options.take(key);
    if (!path) continue;
    if (*path != "no" || !key.ends_with("script")) make_absolute(*path);
    options.add(key, *path);
  }
}

// Members are destroyed from the last to the first: monitors, machine, back ends, run state, loop.
class Application {
 public:
  explicit Application(Options options) : options_(std::move(options)) {}

  Result<int> run() {
    HV_TRY(set_up());
    if (!options_.machine.dumpdtb.empty()) return 0;
    loop_->run();
    return vm_->exit_status().value_or(0);
  }

  ~Application() {
    for (auto& monitor : monitors_) monitor->flush();
    monitors_.clear();
    if (vm_) vm_->set_machine(nullptr);
  }

 private:
  Result<> set_up() {
    set_message_timestamps(options_.message_timestamps);
    if (!options_.log_file.empty()) HV_TRY(log_set_file(options_.log_file));
    if (!options_.log_items.empty()) HV_TRY(log_set_items(options_.log_items));
    if (!options_.process_name.empty()) prctl(PR_SET_NAME, options_.process_name.c_str());
    std::optional<Daemon> daemon;
    if (options_.daemonize) {
      HV_TRY_ASSIGN(daemon, Daemon::start());
      VirtConfig& board = options_.machine;
      for (std::string* path : {&board.kernel, &board.initrd, &board.dtb, &board.bios})
        make_absolute(*path);
      for (KeyValues& chardev : options_.chardevs) make_absolute(chardev, {"path"});
      for (KeyValues& netdev : options_.netdevs)
        make_absolute(netdev,
                      {"addr.path", "local.path", "remote.path", "script", "downscript", "tftp"});
    }
    HV_TRY(set_up_loop());
    HV_TRY(set_up_machine());
    if (!options_.machine.dumpdtb.empty()) return {};
    HV_TRY(set_up_monitors());
    if (!options_.pidfile.empty()) {
      HV_TRY_ASSIGN(pid_file_, PidFile::create(options_.pidfile));
    }
    if (daemon) HV_TRY(daemon->finish());
    return vm_->launch();
  }

  Result<> set_up_loop() {
    current_role = Role::kMain;
    ::signal(SIGPIPE, SIG_IGN);
    HV_TRY_ASSIGN(loop_, EventLoop::create("main"));
    HV_TRY_ASSIGN(signals_, SignalWatch::create(*loop_, {SIGINT, SIGTERM, SIGHUP},
                                                [this](int signal, int sender_pid) {
                                                  report_signal(signal, sender_pid);
                                                  vm_->quit(ShutdownCause::kHostSignal, 0);
                                                }));
    vm_ = std::make_unique<Vm>(*loop_, options_.run);
    vm_->set_on_exit([this] { loop_->quit(); });
    return {};
  }

  Result<> set_up_machine() {
    CharEscapes escapes;
    escapes.key = options_.escape_key;
    escapes.quit = [this] { vm_->request_shutdown(ShutdownCause::kHostUi, 0); };
    HV_TRY_ASSIGN(backends_, HostBackends::create(options_, *loop_, escapes));
    VirtConfig& board = options_.machine;
    if (!options_.serial.empty()) {
      HV_TRY_ASSIGN(board.serial0, claim_chardev("-serial", options_.serial));
    }
    if (options_.perf_map) {
      HV_TRY_ASSIGN(auto map, PerfMap::create());
      board.jit->listeners.push_back(std::move(map));
    }
    if (options_.jit_dump) {
      HV_TRY_ASSIGN(auto dump, JitDump::create());
      board.jit->listeners.push_back(std::move(dump));
    }
    HV_TRY_ASSIGN(auto machine, VirtMachine::create(board, *backends_, *loop_, *vm_));
    vm_->set_machine(std::move(machine));
    backends_->warn_of_unused();
    return {};
  }

  Result<> set_up_monitors() {
    if (options_.monitors.empty()) return {};
    monitor_context_.reset(new MonitorContext{*vm_, options_.name, options_.uuid,
                                              [this] { return backends_->iothread_infos(); },
                                              [this] { return backends_->chardev_infos(); }});
    for (const MonitorOptions& monitor : options_.monitors) {
      HV_TRY_ASSIGN(CharBackend * backend, claim_monitor_chardev(monitor.chardev));
      monitors_.push_back(QmpServer::create(*monitor_context_, *backend, monitor.pretty));
    }
    return {};
  }

  Result<CharBackend*> claim_monitor_chardev(const std::string& id) {
    const auto backend = backends_->claim_monitor_chardev(id);
    if (!backend) return fail("-mon: {}", backend.error().message);
    return *backend;
  }
  Result<CharBackend*> claim_chardev(std::string_view option, const std::string& id) {
    const auto backend = backends_->claim_chardev(id);
    if (!backend) return fail("{}: {}", option, backend.error().message);
    return *backend;
  }

  Options options_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<SignalWatch> signals_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<HostBackends> backends_;
  std::unique_ptr<MonitorContext> monitor_context_;
  std::vector<std::unique_ptr<QmpServer>> monitors_;
  std::unique_ptr<PidFile> pid_file_;
};

}  // namespace

Result<int> run_application(Options options) {
  Application application(std::move(options));
  return application.run();
}

}  // namespace hv
