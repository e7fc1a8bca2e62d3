// Busy polling.
#include <string>

#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

namespace {

// Writes down the calls, merging runs of poll(); finds work when `work` is up.
struct Recorder final : PollHandler {
  unsigned poll() override {
    if (calls.empty() || calls.back() != 'p') calls += 'p';
    if (on_poll) on_poll();
    if (work == 0) return false;
    work--;
    return true;
  }
  void poll_begin() override { calls += '('; }
  bool poll_end() override {
    calls += ')';
    if (!late_work) return false;
    late_work = false;
    work++;
    return true;
  }
  std::string calls;
  int work = 0;
  bool late_work = false;
  std::function<void()> on_poll;
};

// The window starts at 0 and opens after a wait that polling would have shortened.
void open_window(EventLoop& loop, Recorder& handler) {
  auto timer = loop.make_timer([] {});
  handler.calls.clear();
  while (handler.calls.empty()) {
    timer->arm_in(1'000'000);
    loop.run_once(-1);
  }
  handler.calls.clear();
}

constexpr int64_t kMaxNs = 60'000'000'000;  // so that a slow machine stays below it

}  // namespace

TEMPLATE_TEST_CASE("nothing is polled unless a window is set", "[loop][poll]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder handler;
  loop->add_poll_handler(handler);
  auto timer = loop->make_timer([] {});
  for (int i = 0; i < 10; i++) {
    timer->arm_in(100'000);
    loop->run_once(-1);
  }
  CHECK(handler.calls.empty());
  loop->remove_poll_handler(handler);
}

TEMPLATE_TEST_CASE("work found by polling ends the window without a sleep", "[loop][poll]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder handler;
  loop->set_poll_max_ns(kMaxNs);
  loop->add_poll_handler(handler);
  open_window(*loop, handler);
  handler.work = 1;
  CHECK(loop->run_once(-1));
  CHECK(handler.calls == "(p)");
  CHECK(handler.work == 0);
  loop->remove_poll_handler(handler);
  handler.calls.clear();
  CHECK_FALSE(loop->run_once(0));
  CHECK(handler.calls.empty());
}

TEMPLATE_TEST_CASE("work that comes while notifications go on is polled once more", "[loop][poll]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder handler;
  loop->set_poll_max_ns(kMaxNs);
  loop->add_poll_handler(handler);
  open_window(*loop, handler);
  handler.late_work = true;
  CHECK(loop->run_once(-1));
  CHECK(handler.calls == "(p)p");
  CHECK(handler.work == 0);
  loop->remove_poll_handler(handler);
}

TEMPLATE_TEST_CASE("a notifier set during the window ends it", "[loop][poll]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder handler;
  EventNotifier notifier;
  bool called = false;
  loop->attach(notifier, [&] { called = true; });
  loop->set_poll_max_ns(kMaxNs);
  loop->add_poll_handler(handler);
  open_window(*loop, handler);
  handler.on_poll = [&] { notifier.set(); };
  CHECK(loop->run_once(-1));
  CHECK(called);
  CHECK(handler.calls == "(p)");
  loop->remove_poll_handler(handler);
  loop->detach(notifier);
}

TEMPLATE_TEST_CASE("the window closes when polling does not pay", "[loop][poll]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder handler;
  loop->set_poll_max_ns(kMaxNs);
  loop->add_poll_handler(handler);
  open_window(*loop, handler);
  loop->set_poll_max_ns(1);  // every wait is longer than that
  auto timer = loop->make_timer([] {});
  for (int i = 0; i < 3; i++) {
    timer->arm_in(1'000'000);
    loop->run_once(-1);
  }
  handler.calls.clear();
  timer->arm_in(1'000'000);
  loop->run_once(-1);
  CHECK(handler.calls.empty());
  loop->remove_poll_handler(handler);
}

TEMPLATE_TEST_CASE("a poll handler may remove itself and others", "[loop][poll]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  Recorder first, second;
  loop->set_poll_max_ns(kMaxNs);
  loop->add_poll_handler(first);
  loop->add_poll_handler(second);
  open_window(*loop, first);
  second.calls.clear();
  first.on_poll = [&] {
    loop->remove_poll_handler(first);
    loop->remove_poll_handler(second);
  };
  first.work = 1;
  CHECK(loop->run_once(-1));
  CHECK(first.calls == "(p");
  CHECK(second.calls == "(");
  auto timer = loop->make_timer([] {});
  timer->arm_in(0);
  loop->run_once(-1);
  CHECK(first.calls == "(p");
}
