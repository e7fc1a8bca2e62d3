// The back ends that options name by id: IO threads, character devices, disks, entropy sources.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/options.h"
#include "block/disk.h"
#include "hw/device.h"
#include "main-loop/chardev.h"
#include "main-loop/event_loop.h"
#include "main-loop/io_thread.h"
#include "monitor/qmp_server.h"

namespace hv {

// Main thread. Everything is opened in create(), so that a bad option fails before the machine is
// made. Destroyed after the machine and the monitors.
class HostBackends final : public Backends {
 public:
  // The IO thread that is always there.
  static constexpr const char* kDefaultIoThread = "io0";

  // Chardevs of control monitors live on `main_loop`, the others on the default IO thread.
  static Result<std::unique_ptr<HostBackends>> create(const Options& options, EventLoop& main_loop,
                                                      const CharEscapes& escapes);
  // Writes out what the chardevs hold, restores the terminal, ends the IO threads.
  ~HostBackends();

  // --- Backends
  Result<std::unique_ptr<Disk>> claim_drive(const std::string& id) override;
  Result<std::unique_ptr<LocalFs>> claim_fsdev(const std::string& id) override;
  Result<std::unique_ptr<NetEndpoint>> claim_netdev(const std::string& id) override;
  Result<CharBackend*> claim_chardev(const std::string& id) override;
  Result<EventLoop*> io_loop(const std::string& iothread_id) override;
  Result<std::string> rng_source(const std::string& object_id) override;

  // For -mon; no device gets a chardev that is named there.
  Result<CharBackend*> claim_monitor_chardev(const std::string& id);
  // Once the machine is made: says which -netdev no device has claimed.
  void warn_of_unused() const;

  // --- query-iothreads (those of -object only, as QEMU) and query-chardev
  std::vector<MonitorContext::IoThreadInfo> iothread_infos() const;
  std::vector<MonitorContext::ChardevInfo> chardev_infos() const;

 private:
  struct Thread {
    std::unique_ptr<IoThread> thread;
    int64_t poll_max_ns;
    bool by_user;  // -object iothread
  };
  struct Chardev {
    std::unique_ptr<CharBackend> backend;
    std::string description;
    bool is_monitor;  // and no monitor has claimed it yet
    bool claimed = false;
  };
  struct Drive {
    std::unique_ptr<Disk> disk;  // nullptr once claimed
  };

  struct Netdev {
    std::unique_ptr<NetEndpoint> endpoint;  // nullptr once claimed
  };

  explicit HostBackends(EventLoop& main_loop) : main_loop_(main_loop) {}
  Result<> start_io_threads(const Options& options);
  Result<> add_io_thread(const std::string& id, int64_t poll_max_ns, bool by_user);
  Result<> open_chardevs(const Options& options, const CharEscapes& escapes);
  Result<> open_drives(const Options& options);
  Result<> open_file_systems(const Options& options);
  Result<> open_netdevs(const Options& options);

  EventLoop& main_loop_;
  std::map<std::string, Thread> threads_;
  std::map<std::string, Chardev> chardevs_;
  std::map<std::string, Drive> drives_;
  std::map<std::string, std::unique_ptr<LocalFs>> file_systems_;  // nullptr once claimed
  std::map<std::string, Netdev> netdevs_;
  std::map<std::string, std::string> rng_files_;
};

}  // namespace hv
