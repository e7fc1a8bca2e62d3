// The QMP monitor: -qmp and -mon mode=control.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hw/machine/vm.h"
#include "io/char_backend.h"

namespace hv {

// What commands can ask about besides the machine. Outlives the servers; main thread.
struct MonitorContext {
  struct IoThreadInfo {
    std::string id;
    int thread_id;        // host tid
    int64_t poll_max_ns;  // bound of busy polling
  };
  struct ChardevInfo {
    std::string label;     // id
    std::string filename;  // where it goes: "pty:/dev/pts/3", "unix:/path,server=on"
    bool frontend_open;
  };

  Vm& vm;
  std::string name;  // -name; empty: none
  std::string uuid;  // -uuid in the 8-4-4-4-12 form
  std::function<std::vector<IoThreadInfo>()> iothreads;
  std::function<std::vector<ChardevInfo>()> chardevs;
};

// QEMU's version that this monitor's replies follow, and our own as its package.
inline constexpr int kQemuMajor = 10, kQemuMinor = 0, kQemuMicro = 0;

// QEMU's wire format on a character back end whose loop is the main loop (docs: QMP specification).
// Everything runs on the main thread. One client at a time: the back end's.
//
// A client that does not read: replies wait here, and no further commands are read from it until
// they have gone; events beyond kMaxPending bytes are dropped.
class QmpServer {
 public:
  static constexpr size_t kMaxPending = size_t{1} << 20;

  // Takes the back end's front-end place until it is destroyed.
  static std::unique_ptr<QmpServer> create(MonitorContext& context, CharBackend& backend,
                                           bool pretty);
  virtual ~QmpServer() = default;

  // Before the process ends: hands what is still queued to the back end, as far as it takes it.
  virtual void flush() = 0;
};

}  // namespace hv
