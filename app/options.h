// What the command line asks for, parsed and checked as far as that goes without touching the host.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "block/disk.h"
#include "block/throttle.h"
#include "fs9p/local_fs.h"
#include "hw/machine/virt.h"
#include "hw/machine/vm.h"
#include "io/key_values.h"
#include "io/result.h"

namespace hv {

// -object, by type.
struct ObjectOptions {
  struct IoThread {
    std::string id;
    int64_t poll_max_ns;
  };
  struct Rng {
    std::string id;
    std::string filename;
  };
  struct Ram {
    std::string id;
    uint64_t size;
  };
  struct Throttle {
    std::string id;
    ThrottleConfig config;
  };
  std::vector<Throttle> throttles;
  struct Dump {  // filter-dump
    std::string id, netdev, file;
    uint32_t max_length = 65536;
    bool from_guest = true, to_guest = true;
  };
  std::vector<Dump> dumps;
  std::vector<IoThread> iothreads;
  std::vector<Rng> rngs;
  std::vector<Ram> rams;
};

// Upper bound of an IO thread's busy polling when poll-max-ns does not say; QEMU's default.
inline constexpr int64_t kDefaultPollMaxNs = 32768;

// A control monitor: -qmp, -qmp-pretty, -mon.
struct MonitorOptions {
  std::string chardev;  // id
  bool pretty = false;
};

// One disk that devices can name: from -drive, or a node of -blockdev.
struct DriveOptions {
  std::string id;
  DiskOptions disk;
};

struct Options {
  std::string program;  // base name we were started under

  // The board, but for serial0, which is made from `serial`.
  VirtConfig machine;
  std::string memory_backend;  // -M memory-backend=ID
  bool memory_given = false;   // -m was there
  Vm::Options run;

  std::vector<KeyValues> drive_options;     // -drive, as given
  std::vector<KeyValues> blockdev_options;  // -blockdev, as given
  bool snapshot = false;                    // -snapshot
  std::vector<DriveOptions> drives;         // what both come to
  std::vector<FsOptions> file_systems;      // -fsdev, -virtfs
  std::vector<KeyValues> nics;              // -nic, as given
  std::vector<KeyValues> netdevs;           // -netdev, and those that -nic stands for
  ObjectOptions objects;
  std::vector<KeyValues> chardevs;  // -chardev and those that -serial and -qmp stand for
  std::vector<MonitorOptions> monitors;
  std::vector<std::string> serials;  // -serial values, in order
  std::string serial;                // id of the serial port's chardev, "" = none
  uint8_t escape_key = 0x01;         // -echr

  bool nographic = false;
  bool display_none = false;
  bool no_defaults = false;
  bool monitor_none = false;  // -monitor none
  // -accel and -M accel=, first choice first.
  std::vector<std::string> accelerators;
  bool single_thread = false;  // tcg,thread=single
  JitOptions jit{.background = true};
  bool perf_map = false, jit_dump = false;

  std::string name;          // -name guest=
  std::string process_name;  // -name process=
  std::string uuid = "00000000-0000-0000-0000-000000000000";
  std::string pidfile;
  bool daemonize = false;
  std::string log_items, log_file;
  bool message_timestamps = false;

  // Set by -help, -version and every "help" value: print this and exit with status 0.
  std::optional<std::string> print_and_exit;
};

// `arguments` without the program's name; `program` is its base name, which decides how -version
// and -help introduce themselves. Fails with one line that names the option.
Result<Options> parse_options(std::string_view program, std::span<const std::string> arguments);

}  // namespace hv
