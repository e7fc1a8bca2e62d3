// Notifiers and bottom halves: merging, races, lost wake-ups, life times.
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

TEMPLATE_TEST_CASE("sets merge until the callback has run", "[loop][notifier]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  EventNotifier notifier;
  int calls = 0;
  notifier.set();
  loop->attach(notifier, [&] { calls++; });
  CHECK(loop->run_once(0));
  CHECK(calls == 1);
  notifier.set();
  notifier.set();
  CHECK(notifier.is_set());
  CHECK(loop->run_once(0));
  CHECK(calls == 2);
  CHECK_FALSE(notifier.is_set());
  notifier.set();
  CHECK(notifier.test_and_clear());
  CHECK_FALSE(loop->run_once(0));
  CHECK(calls == 2);
  loop->detach(notifier);
  notifier.set();
  CHECK_FALSE(loop->run_once(0));
  CHECK(notifier.is_set());
}

TEMPLATE_TEST_CASE("notifiers run in the order they were set", "[loop][notifier]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  EventNotifier notifiers[5];
  std::vector<int> order;
  for (int i = 0; i < 5; i++) loop->attach(notifiers[i], [&, i] { order.push_back(i); });
  for (const int i : {3, 1, 4, 0, 2}) notifiers[i].set();
  loop->run_once(0);
  CHECK(order == std::vector{3, 1, 4, 0, 2});
  for (EventNotifier& notifier : notifiers) loop->detach(notifier);
}

TEMPLATE_TEST_CASE("a notifier may go while it is queued, and in its callback", "[loop][notifier]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  auto queued = std::make_optional<EventNotifier>();
  int calls = 0;
  loop->attach(*queued, [&] { calls += 100; });
  queued->set();
  loop->detach(*queued);
  queued.reset();
  // Takes over the slot that is still on the queue.
  auto next = std::make_optional<EventNotifier>();
  loop->attach(*next, [&, canary = std::vector{42}] {
    calls++;
    loop->detach(*next);
    next.reset();
    CHECK(canary == std::vector{42});
  });
  CHECK_FALSE(loop->run_once(0));
  next->set();
  CHECK(loop->run_once(0));
  CHECK(calls == 1);
}

// Each thread sets its notifier and waits until the loop has seen that very set; the loop sleeps in
// between as often as it can. A lost wake-up leaves both sides waiting for ever.
TEMPLATE_TEST_CASE("no wake-up is lost when every set finds a sleeping loop", "[loop][notifier]",
                   OnUring, OnEpoll) {
  RunningLoop<TestType> running;
  constexpr unsigned kThreads = 3;
  constexpr unsigned kSets = 10'000;
  struct Side {
    EventNotifier notifier;
    std::atomic<unsigned> sent{0};
    std::atomic<unsigned> seen{0};
  };
  std::vector<Side> sides(kThreads);
  running.loop().run_on_loop([&] {
    for (Side& side : sides)
      running.loop().attach(side.notifier, [&side] {
        side.seen.store(side.sent.load(std::memory_order_relaxed), std::memory_order_release);
        side.seen.notify_one();
      });
  });
  std::vector<std::thread> threads;
  for (Side& side : sides) {
    threads.emplace_back([&side] {
      for (unsigned i = 1; i <= kSets; i++) {
        side.sent.store(i, std::memory_order_relaxed);
        side.notifier.set();
        for (unsigned seen = side.seen.load(); seen != i; seen = side.seen.load())
          side.seen.wait(seen);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Side& side : sides) CHECK(side.seen == kSets);
  running.loop().run_on_loop([&] {
    for (Side& side : sides) running.loop().detach(side.notifier);
  });
}

// Millions of sets without waiting: what was written before the last set() is always seen.
TEMPLATE_TEST_CASE("the last set of a storm is seen", "[loop][notifier]", OnUring, OnEpoll) {
  RunningLoop<TestType> running;
  constexpr unsigned kThreads = 4;
  constexpr unsigned kSets = 500'000;
  struct Side {
    EventNotifier notifier;
    std::atomic<unsigned> sent{0};
    std::atomic<unsigned> seen{0};
  };
  std::vector<Side> sides(kThreads);
  running.loop().run_on_loop([&] {
    for (Side& side : sides)
      running.loop().attach(side.notifier, [&side] {
        side.seen.store(side.sent.load(std::memory_order_relaxed));
        side.seen.notify_one();
      });
  });
  std::vector<std::thread> threads;
  for (Side& side : sides) {
    threads.emplace_back([&side] {
      for (unsigned i = 1; i <= kSets; i++) {
        side.sent.store(i, std::memory_order_relaxed);
        side.notifier.set();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Side& side : sides)
    for (unsigned seen = side.seen.load(); seen != kSets; seen = side.seen.load())
      side.seen.wait(seen);
  running.loop().run_on_loop([&] {
    for (Side& side : sides) running.loop().detach(side.notifier);
  });
}

TEMPLATE_TEST_CASE("set races with attach and detach", "[loop][notifier]", OnUring, OnEpoll) {
  RunningLoop<TestType> running;
  EventLoop& loop = running.loop();
  EventNotifier racing, neighbour;
  std::atomic<bool> stop{false};
  std::atomic<unsigned> calls{0};
  int strays = 0;
  loop.run_on_loop([&] { loop.attach(neighbour, [&] { strays++; }); });
  std::vector<std::thread> setters;
  for (int i = 0; i < 2; i++)
    setters.emplace_back([&] {
      while (!stop) racing.set();
    });
  for (int i = 0; i < 5000; i++) {
    loop.run_on_loop([&] { loop.attach(racing, [&] { calls++; }); });
    loop.run_on_loop([&] {
      loop.detach(racing);
      // Other notifiers use the slot in turn; a late set must not run them.
      loop.detach(neighbour);
      loop.attach(neighbour, [&] { strays++; });
    });
  }
  stop = true;
  for (std::thread& setter : setters) setter.join();
  // A set that no callback has consumed fires with the next attach.
  racing.set();
  const unsigned before = calls;
  loop.run_on_loop([&] { loop.attach(racing, [&] { calls++; }); });
  while (calls == before) std::this_thread::yield();
  loop.run_on_loop([&] {
    loop.detach(racing);
    loop.detach(neighbour);
  });
  CHECK(strays == 0);
}

TEMPLATE_TEST_CASE("bottom halves coalesce and may destroy themselves", "[loop][notifier]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  int calls = 0;
  auto counting = loop->make_bottom_half([&] { calls++; });
  counting->schedule();
  counting->schedule();
  loop->run_once(0);
  CHECK_FALSE(loop->run_once(0));
  CHECK(calls == 1);

  std::unique_ptr<BottomHalf> again = loop->make_bottom_half([&] {
    if (++calls < 5) again->schedule();
  });
  again->schedule();
  loop->run_once(0);
  CHECK(calls == 2);  // what a callback schedules runs in the next round
  while (loop->run_once(0)) continue;
  CHECK(calls == 5);

  std::unique_ptr<BottomHalf> last = loop->make_bottom_half([&] {
    last.reset();
    counting.reset();
    calls++;
  });
  last->schedule();
  counting->schedule();
  while (loop->run_once(0)) continue;
  CHECK(calls == 6);
}
