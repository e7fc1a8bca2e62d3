// stdio and pty chardevs on real terminals, files and pipes.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include <cstdlib>

#include "io/sanitizer.h"
#include "main-loop/char_backends.h"
#include "main-loop/escape_keys.h"
#include "main-loop/terminal_mode.h"
#include "tests/unit/main-loop/chardev_test.h"

using namespace hv;

namespace {

// A terminal whose other end the test holds.
struct Terminal {
  Terminal() {
    master.reset(posix_openpt(O_RDWR | O_NOCTTY));
    REQUIRE(master.valid());
    REQUIRE(grantpt(master.get()) == 0);
    REQUIRE(unlockpt(master.get()) == 0);
    slave.reset(open(ptsname(master.get()), O_RDWR | O_NOCTTY));
    REQUIRE(slave.valid());
    before = mode();
  }
  termios mode() const {
    termios result{};
    tcgetattr(slave.get(), &result);
    return result;
  }
  UniqueFd master, slave;
  termios before{};
};

bool same_mode(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag;
}

struct StdioFixture {
  std::unique_ptr<IoThread> thread = std::move(*IoThread::create("io"));
  Terminal terminal;
  RecordingFrontend frontend;
  std::atomic<int> quits{0};
  CharEscapes escapes{.key = 1, .quit = [this] {
                        quits++;
                        quits.notify_one();
                      }};

  std::unique_ptr<CharBackend> make(const std::string& text, bool with_keys) {
    KeyValues options = chardev_options(text);
    options.take("backend");
    const CharContext context{
        .loop = thread->loop(), .label = "a", .escapes = with_keys ? &escapes : nullptr};
    auto backend = create_stdio(context, options, terminal.slave.get(), terminal.slave.get());
    if (!backend) FAIL(backend.error().message);
    return std::move(*backend);
  }
};

}  // namespace

TEST_CASE("stdio makes the terminal raw and restores it", "[chardev][stdio]") {
  StdioFixture f;
  const int flags = fcntl(f.terminal.slave.get(), F_GETFL);
  auto backend = f.make("stdio,signal=off", true);
  backend->set_frontend(&f.frontend);
  termios raw = f.terminal.mode();
  CHECK((raw.c_lflag & (ICANON | ECHO | ISIG)) == 0);
  CHECK((raw.c_oflag & OPOST) != 0);
  put(f.terminal.master.get(), "\x03ls\r");
  f.frontend.wait_for("<opened>\x03ls\r");
  write_all(*backend, "out");
  CHECK(read_exactly(f.terminal.master.get(), 3) == "out");
  // The shell's descriptor is as it was.
  CHECK(fcntl(f.terminal.slave.get(), F_GETFL) == flags);
  backend->drain(1000);
  CHECK(same_mode(f.terminal.mode(), f.terminal.before));
  backend->set_frontend(nullptr);
}

TEST_CASE("stdio without keys keeps signals and gives C-a to the guest", "[chardev][stdio]") {
  StdioFixture f;
  auto backend = f.make("stdio", false);
  backend->set_frontend(&f.frontend);
  CHECK((f.terminal.mode().c_lflag & ISIG) != 0);
  put(f.terminal.master.get(), "\x01x");
  f.frontend.wait_for("<opened>\x01x");
  backend.reset();
  CHECK(same_mode(f.terminal.mode(), f.terminal.before));
}

TEST_CASE("the escape keys act, and work when the guest does not read", "[chardev][stdio]") {
  StdioFixture f;
  auto backend = f.make("stdio,signal=off", true);
  backend->set_frontend(&f.frontend);
  put(f.terminal.master.get(),
      "a\x01\x01"
      "b\x01"
      "b\x01zc");
  f.frontend.wait_for(
      "<opened>a\x01"
      "b<break>c");

  put(f.terminal.master.get(), "\x01h");
  const std::string help =
      "\r\nC-a h    show this help\r\nC-a x    quit\r\nC-a b    send a break\r\n"
      "C-a C-a  send C-a\r\n";
  // Output processing puts a \r in front of each \n.
  std::string expected;
  for (const char c : help) expected += c == '\n' ? "\r\n" : std::string(1, c);
  CHECK(read_exactly(f.terminal.master.get(), expected.size()) == expected);

  f.frontend.set_room(0);
  put(f.terminal.master.get(), "typed ahead\x01x");
  f.quits.wait(0);
  CHECK(f.quits == 1);
  f.frontend.set_room(SIZE_MAX);
  backend->accept_input();
  f.frontend.wait_for(
      "<opened>a\x01"
      "b<break>ctyped ahead");
  const std::string goodbye = "\r\r\nhartvisor: terminated\r\r\n";
  CHECK(read_exactly(f.terminal.master.get(), goodbye.size()) == goodbye);
  backend->set_frontend(nullptr);
}

TEST_CASE("-echr moves the escape key", "[chardev][stdio]") {
  StdioFixture f;
  f.escapes.key = 0x14;
  auto backend = f.make("stdio,signal=off", true);
  backend->set_frontend(&f.frontend);
  put(f.terminal.master.get(), "\x01x\x14\x14");
  f.frontend.wait_for("<opened>\x01x\x14");
  CHECK(f.quits == 0);
  put(f.terminal.master.get(), "\x14x");
  f.quits.wait(0);
  CHECK(EscapeKeys(0x14).help().find("C-t C-t  send C-t") != std::string::npos);
  backend->set_frontend(nullptr);
}

TEST_CASE("input that ends is not the end of output", "[chardev][stdio]") {
  StdioFixture f;
  TempDir dir;
  UniqueFd(open((dir / "in").c_str(), O_WRONLY | O_CREAT, 0600)).reset();
  UniqueFd writer(open((dir / "in").c_str(), O_WRONLY));
  put(writer.get(), "script");
  UniqueFd input(open((dir / "in").c_str(), O_RDONLY));
  UniqueFd output(open((dir / "out").c_str(), O_RDWR | O_CREAT, 0600));
  KeyValues options;
  const CharContext context{.loop = f.thread->loop(), .label = "a", .escapes = nullptr};
  auto backend = std::move(*create_stdio(context, options, input.get(), output.get()));
  backend->set_frontend(&f.frontend);
  f.frontend.wait_for("<opened>script");
  write_all(*backend, "result");
  backend->drain(10'000);
  char buffer[16] = {};
  CHECK(pread(output.get(), buffer, sizeof buffer, 0) == 6);
  CHECK(std::string(buffer) == "result");
  CHECK(f.frontend.received() == "<opened>script");
  backend->set_frontend(nullptr);
}

TEST_CASE("stdio serves one character device", "[chardev][stdio]") {
  StdioFixture f;
  auto backend = f.make("stdio", false);
  CHECK(chardev_error(f.thread->loop(), "stdio,id=b") ==
        "-chardev stdio,id=b: stdio is in use already; it can be used by one character device");
}

// The child is made raw and ends as the cases say; the terminal must be as before.
TEST_CASE("the terminal is restored when the process ends", "[chardev][stdio]") {
  Terminal terminal;
  const int ending = GENERATE(0, SIGABRT, SIGTERM, SIGINT);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int signal : {SIGABRT, SIGTERM, SIGINT}) ::signal(signal, SIG_DFL);
    enter_raw_mode(terminal.slave.get(), false);
    const bool raw = !same_mode(terminal.mode(), terminal.before);
    if (!raw) _exit(99);
    if (ending == 0) {
      leave_raw_mode();
      _exit(0);
    }
    raise(ending);
    _exit(98);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (ending == 0) {
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  } else {
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == ending));
  }
  CHECK(same_mode(terminal.mode(), terminal.before));
}

// The thread sanitizer runs handlers late, at the next call that blocks: raise() comes back at
// once.
#ifndef HV_THREAD_SANITIZER
TEST_CASE("the terminal is restored while the process is stopped", "[chardev][stdio]") {
  Terminal terminal;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    setpgid(0, 0);  // in the test's own group, which may be an orphaned one, SIGTSTP does nothing
    for (const int signal : {SIGTSTP, SIGCONT}) ::signal(signal, SIG_DFL);
    enter_raw_mode(terminal.slave.get(), true);
    for (int times = 0; times < 2; times++) {
      if (same_mode(terminal.mode(), terminal.before)) _exit(99);
      raise(SIGTSTP);
    }
    _exit(same_mode(terminal.mode(), terminal.before) ? 98 : 0);
  }
  int status = 0;
  for (int times = 0; times < 2; times++) {
    REQUIRE(waitpid(child, &status, WUNTRACED) == child);
    REQUIRE(WIFSTOPPED(status));
    CHECK(same_mode(terminal.mode(), terminal.before));
    kill(child, SIGCONT);
  }
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
#endif

TEST_CASE("a pty says where it is and serves one opener after another", "[chardev][pty]") {
  auto thread = std::move(*IoThread::create("io"));
  RecordingFrontend frontend;

  // Catch what it prints.
  std::fflush(stdout);
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  UniqueFd real_stdout(dup(1));
  dup2(writer.get(), 1);
  auto created = create_chardev(thread->loop(), chardev_options("pty,id=con"), {});
  dup2(real_stdout.get(), 1);
  writer.reset();
  REQUIRE(created);
  const std::string line = read_exactly(reader.get(), 1000);
  const std::string before = "char device redirected to ", after = " (label con)\n";
  REQUIRE(line.starts_with(before));
  REQUIRE(line.ends_with(after));
  const std::string path = line.substr(before.size(), line.size() - before.size() - after.size());

  auto backend = std::move(*created);
  backend->set_frontend(&frontend);
  std::string expected;
  for (const std::string word : {"one", "two"}) {
    UniqueFd terminal(open(path.c_str(), O_RDWR | O_NOCTTY));
    REQUIRE(terminal.valid());
    expected += "<opened>";
    frontend.wait_for(expected);
    put(terminal.get(), word);
    expected += word;
    frontend.wait_for(expected);
    write_all(*backend, "\nraw\x03");
    CHECK(read_exactly(terminal.get(), 5) == "\nraw\x03");
    terminal.reset();
    expected += "<closed>";
    frontend.wait_for(expected);
  }
  backend->set_frontend(nullptr);
}
