// GSources on a loop.
#include <glib.h>
#include <sys/epoll.h>

#include <vector>

#include "io/unique_fd.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

namespace {

using Callback = std::function<bool()>;

gboolean call(gpointer data) {
  return (*static_cast<Callback*>(data))() ? TRUE : FALSE;
}

gboolean call_for_fd(GIOChannel*, GIOCondition, gpointer data) {
  return call(data);
}

guint add_source(GMainContext* context, GSource* source, Callback& callback) {
  g_source_set_callback(source, call, &callback, nullptr);
  const guint id = g_source_attach(source, context);
  g_source_unref(source);
  return id;
}

// Readable descriptor, as libslirp and GIO watch theirs.
GSource* watch(GMainContext* context, int fd, Callback& callback) {
  GIOChannel* channel = g_io_channel_unix_new(fd);
  GSource* source = g_io_create_watch(channel, G_IO_IN);
  g_io_channel_unref(channel);
  g_source_set_callback(source, G_SOURCE_FUNC(call_for_fd), &callback, nullptr);
  g_source_attach(source, context);
  return source;
}

}  // namespace

TEMPLATE_TEST_CASE("idle and timeout sources run on the loop", "[loop][glib]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  GMainContext* context = loop->glib_context();
  CHECK(loop->glib_context() == context);
  int idles = 0, timeouts = 0;
  Callback idle = [&] { return ++idles < 3; };
  Callback timeout = [&] { return ++timeouts < 2; };
  add_source(context, g_idle_source_new(), idle);
  add_source(context, g_timeout_source_new(2), timeout);
  while (timeouts < 2) loop->run_once(-1);
  CHECK(idles == 3);
  CHECK_FALSE(loop->run_once(0));
}

TEMPLATE_TEST_CASE("GLib's descriptors are watched together with the loop's own", "[loop][glib]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd theirs(eventfd(0, EFD_NONBLOCK)), ours(eventfd(0, EFD_NONBLOCK));
  int their_calls = 0, our_calls = 0, ticks = 0;
  Callback callback = [&] {
    drain_eventfd(theirs.get());
    their_calls++;
    return true;
  };
  GSource* source = watch(loop->glib_context(), theirs.get(), callback);
  auto own = loop->watch_fd(ours.get(), EPOLLIN, [&](uint32_t) {
    drain_eventfd(ours.get());
    our_calls++;
  });
  auto timer = loop->make_timer([&] { ticks++; });
  loop->run_once(0);
  for (int i = 1; i <= 20; i++) {
    signal_eventfd(theirs.get());
    signal_eventfd(ours.get());
    timer->arm_in(1000);
    while (their_calls < i || our_calls < i || ticks < i) REQUIRE(loop->run_once(-1));
  }
  CHECK_FALSE(loop->run_once(0));
  g_source_destroy(source);
  g_source_unref(source);
  signal_eventfd(theirs.get());
  CHECK_FALSE(loop->run_once(0));
}

TEMPLATE_TEST_CASE("an idle loop with a GLib context sleeps", "[loop][glib]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event(eventfd(0, EFD_NONBLOCK));
  Callback callback = [] { return true; };
  GSource* source = watch(loop->glib_context(), event.get(), callback);
  bool fired = false;
  auto timer = loop->make_timer([&] { fired = true; });
  loop->run_once(0);
  timer->arm_in(20'000'000);
  int rounds = 0;
  while (!fired) {
    loop->run_once(-1);
    rounds++;
  }
  // A wait may end a little before the timer is due, more than once on a busy host; without waits
  // there are thousands.
  CHECK(rounds <= 20);
  g_source_destroy(source);
  g_source_unref(source);
}

// A library closes its socket and the next one gets the same number: GLib does not tell.
TEMPLATE_TEST_CASE("a source's descriptor may be closed and its number used again", "[loop][glib]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event(eventfd(0, EFD_NONBLOCK));
  const int number = event.get();
  int calls = 0;
  Callback callback = [&] {
    drain_eventfd(number);
    calls++;
    return true;
  };
  for (int i = 1; i <= 5; i++) {
    GSource* source = watch(loop->glib_context(), number, callback);
    signal_eventfd(number);
    while (calls < i) loop->run_once(-1);
    g_source_destroy(source);
    g_source_unref(source);
    event.reset();
    event.reset(eventfd(0, EFD_NONBLOCK));
    REQUIRE(event.get() == number);
  }
}

TEMPLATE_TEST_CASE("GLib sources and posts wake a sleeping loop from other threads", "[loop][glib]",
                   OnUring, OnEpoll) {
  RunningLoop<TestType> running;
  GMainContext* context = nullptr;
  running.loop().run_on_loop([&] { context = running.loop().glib_context(); });
  std::atomic<int> calls{0};
  Callback callback = [&] {
    calls++;
    calls.notify_one();
    return false;
  };
  for (int i = 0; i < 100; i++) {
    add_source(context, g_idle_source_new(), callback);
    calls.wait(i);
    bool posted = false;
    running.loop().run_on_loop([&] { posted = true; });
    REQUIRE(posted);
  }
  CHECK(calls == 100);
}
