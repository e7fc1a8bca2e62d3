// Whether a hart's thread executes or rests, and how others wake it: private to cpu/vcpu*.cpp.
#pragma once

#include <atomic>
#include <cstdint>

#include "io/futex.h"

namespace hv {

// One word that says what the hart's thread is doing, and on which it sleeps.
//
//   kExecuting --begin_rest--> kResting --alert (others)--> kResting|kAlerted --end_rest-->
//   kExecuting
//
// No wake-up is lost. A waker first publishes its reason (a request bit, the pause flag, a
// completion), then calls alert(), which reads the word. The hart first stores kResting, then
// reads the reasons, then sleeps while the word is still kResting. All four are seq_cst: either the
// hart sees the reason, or the waker sees kResting and changes the word, so that the futex does not
// sleep or is woken.
//
// The same order lets others rely on a resting hart without waking it (stop the world, remote
// fences): they publish, then see it rest; it stores kExecuting, then reads what was published.
//
// kMidInstruction marks a rest inside an instruction (an SBI call that waits for other harts): as
// good as any rest for remote fences, but the hart is not parked.
class RestWord {
 public:
  static constexpr uint32_t kExecuting = 0, kResting = 1, kAlerted = 2, kMidInstruction = 4;

  // The hart's thread. After begin_rest() look at the reasons to go on, then sleep().
  void begin_rest(bool mid_instruction = false) {
    word_.store(kResting | (mid_instruction ? kMidInstruction : 0));
  }
  void end_rest() { word_.store(kExecuting); }
  void sleep(int64_t deadline_ns = kNoDeadline, bool mid_instruction = false) {
    futex_wait(word_, kResting | (mid_instruction ? kMidInstruction : 0), deadline_ns);
  }

  // Any thread. A syscall only if the hart rests. True if it sleeps no longer because of this.
  bool alert() {
    uint32_t state = word_.load();
    while ((state & (kResting | kAlerted)) == kResting) {
      if (word_.compare_exchange_weak(state, state | kAlerted)) {
        futex_wake_all_soon(word_);
        return true;
      }
    }
    return false;
  }
  bool resting() const { return word_.load() & kResting; }
  bool parked() const { return (word_.load() & (kResting | kMidInstruction)) == kResting; }

 private:
  // Threads begin at rest.
  std::atomic<uint32_t> word_{kResting};
};

}  // namespace hv
