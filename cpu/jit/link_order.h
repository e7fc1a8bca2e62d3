// Links, told to ThreadSanitizer.
//
// Compiled code loads NativeLink::code and jumps there. On the host that is an acquire, so what the
// path behind the link refers to is seen whole; but the sanitizer does not see compiled code, and
// would call each use of it a race. In its builds the one who sets a link and the functions that
// may run behind one say so, at the price of what one order for all links hides; in others these do
// nothing.
#pragma once

#include <atomic>

#include "io/sanitizer.h"

namespace hv {

#ifdef HV_THREAD_SANITIZER
inline std::atomic<unsigned> link_order{0};
#endif

// Before a link is set. Any thread.
inline void link_is_set() {
#ifdef HV_THREAD_SANITIZER
  link_order.fetch_add(1, std::memory_order_release);
#endif
}

// Compiled code has called, or come back. On the hart's thread.
inline void link_was_followed() {
#ifdef HV_THREAD_SANITIZER
  (void)link_order.load(std::memory_order_acquire);
#endif
}

}  // namespace hv
