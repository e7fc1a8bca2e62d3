// A GMainContext iterated by an event loop. Internal to main-loop; loop thread.
#pragma once

#include <glib.h>

#include <vector>

#include "main-loop/loop_backend.h"

namespace hv {

// One round of the loop calls prepare(), waits, and calls check() and dispatch(). The descriptors
// of the GSources are watched only in between: sources come, go and close descriptors as they like,
// and GLib does not say when.
class GlibBridge {
 public:
  GlibBridge();
  ~GlibBridge();
  GMainContext* context() { return context_; }

  // Watches the sources' descriptors; the time until the first wants to run, -1 for none.
  int64_t prepare(LoopBackend& backend);
  // Right after the wait: takes the descriptors' events out of backend.ready.
  void check(LoopBackend& backend);
  // True if a source ran.
  bool dispatch();

 private:
  GMainContext* context_;
  gint priority_ = 0;
  bool ready_ = false;
  std::vector<GPollFD> poll_fds_;
  std::vector<FdRecord> records_;  // same order
};

}  // namespace hv
