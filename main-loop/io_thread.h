// A named host thread that runs one EventLoop (-object iothread).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "main-loop/event_loop.h"

namespace hv {

// The thread starts in create() and ends in stop() or the destructor, after the functions posted so
// far. It takes no signals but those of its own faults. Main thread; loop() as EventLoop says.
class IoThread {
 public:
  // First upper bound of busy polling (poll-max-ns of -object iothread), in ns.
  static constexpr int64_t kPollMaxNs = 32768;

  // Fails with one line that names the id.
  static Result<std::unique_ptr<IoThread>> create(const std::string& id,
                                                  WaitKind kind = WaitKind::kAuto);
  ~IoThread();
  // Ends the thread. The loop stays and is the caller's thread's from then on, so that what lives
  // on it can be taken down.
  void stop();
  EventLoop& loop() { return *loop_; }
  const std::string& id() const { return id_; }
  int thread_id() const { return tid_; }  // host tid, for query-iothreads

 private:
  IoThread() = default;
  std::string id_;
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
  int tid_ = 0;
};

}  // namespace hv
