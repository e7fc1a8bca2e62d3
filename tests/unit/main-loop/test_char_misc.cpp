// File, pipe, null and ringbuf chardevs; option text.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "main-loop/output_queue.h"
#include "tests/unit/main-loop/chardev_test.h"

using namespace hv;

namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string show(const KeyValues& options) {
  std::string text;
  for (const auto& [key, value] : options.items()) text += key + "=" + value + ";";
  return text;
}

std::string serial(const std::string& value) {
  auto options = serial_to_chardev_options(value);
  return options ? show(*options) : "error: " + options.error().message;
}

}  // namespace

TEST_CASE("file truncates, or appends when told to, and writes all", "[chardev][file]") {
  auto thread = std::move(*IoThread::create("io"));
  TempDir dir;
  const std::string path = dir / "log";
  const std::string big(1 << 20, 'x');
  {
    auto backend = make_chardev(thread->loop(), "file,id=a,path=" + path);
    write_all(*backend, "old");
    backend->drain(10'000);
    CHECK(contents(path) == "old");
  }
  {
    auto backend = make_chardev(thread->loop(), "file,id=a,path=" + path);
    write_all(*backend, big);
    backend->drain(10'000);
    CHECK(contents(path) == big);
  }
  {
    auto backend = make_chardev(thread->loop(), "file,id=a,append=on,path=" + path);
    write_all(*backend, "tail");
    backend->drain(10'000);
    CHECK(contents(path) == big + "tail");
  }
  CHECK(chardev_error(thread->loop(), "file,id=a,path=/nonexistent/log") ==
        "-chardev file,id=a: cannot open /nonexistent/log: No such file or directory");
  CHECK(chardev_error(thread->loop(), "file,id=a") ==
        "-chardev file,id=a: path= is missing: the file to write");
  // A wrong option leaves the file alone.
  CHECK(chardev_error(thread->loop(), "file,id=a,apend=on,path=" + path) ==
        "-chardev file,id=a: there is no key 'apend' (there are: path, append, mux)");
  CHECK(contents(path).size() == big.size() + 4);
}

TEST_CASE("a full disk loses output, and no more than that", "[chardev][file]") {
  auto thread = std::move(*IoThread::create("io"));
  TempDir dir;
  if (mount("none", (dir / "").c_str(), "tmpfs", 0, "size=64k") != 0) {
    WARN("skipped: mounting is not allowed here");
    return;
  }
  const std::string path = dir / "log";
  RecordingFrontend frontend;
  auto backend = make_chardev(thread->loop(), "file,id=a,path=" + path);
  backend->set_frontend(&frontend);
  const std::string big(1 << 20, 'x');
  write_all(*backend, big);  // goes on, whatever becomes of it
  backend->drain(10'000);
  CHECK(contents(path) == big.substr(0, 64 << 10));
  thread->loop().run_on_loop([&] {
    const iovec piece{const_cast<char*>(big.data()), big.size()};
    CHECK(backend->write_pieces({&piece, 1}) == big.size());
  });
  REQUIRE(truncate(path.c_str(), 0) == 0);
  write_all(*backend, "after");
  backend->drain(10'000);
  CHECK(contents(path).ends_with("after"));
  backend.reset();
  umount((dir / "").c_str());
}

TEST_CASE("a pair of pipes, or one for both", "[chardev][pipe]") {
  auto thread = std::move(*IoThread::create("io"));
  TempDir dir;
  RecordingFrontend frontend;
  CHECK(chardev_error(thread->loop(), "pipe,id=a,path=" + dir / "p")
            .ends_with("No such file or directory"));
  REQUIRE(mkfifo((dir / "p.in").c_str(), 0600) == 0);
  REQUIRE(mkfifo((dir / "p.out").c_str(), 0600) == 0);
  auto backend = make_chardev(thread->loop(), "pipe,id=a,path=" + dir / "p");
  backend->set_frontend(&frontend);
  for (const std::string word : {"one", "two"}) {
    // Openers come and go without the device noticing.
    UniqueFd input(open((dir / "p.in").c_str(), O_WRONLY));
    put(input.get(), word);
    UniqueFd output(open((dir / "p.out").c_str(), O_RDONLY));
    write_all(*backend, "reply");
    CHECK(read_exactly(output.get(), 5) == "reply");
  }
  frontend.wait_for("<opened>onetwo");
  backend->set_frontend(nullptr);
}

TEST_CASE("ringbuf keeps the newest bytes, null nothing", "[chardev]") {
  auto loop = std::move(*EventLoop::create("test"));
  auto ring = make_chardev(*loop, "ringbuf,id=a,size=8");
  const auto text = [&](size_t max) {
    const auto bytes = ringbuf_read(*ring, max);
    REQUIRE(bytes);
    return std::string(bytes->begin(), bytes->end());
  };
  CHECK(text(10).empty());
  CHECK(ring->write(as_bytes("abc")) == 3);
  CHECK(text(2) == "ab");
  CHECK(ring->write(as_bytes("0123456789")) == 10);
  CHECK(text(100) == "23456789");
  CHECK(chardev_error(*loop, "ringbuf,id=a,size=1000") ==
        "-chardev ringbuf,id=a: size=1000: it must be a power of two, at most 1G");
  CHECK(chardev_error(*loop, "ringbuf,id=a,size=0").find("power of two") != std::string::npos);

  auto null = make_chardev(*loop, "null,id=b");
  CHECK(null->write(as_bytes(std::string(1 << 20, 'x'))) == 1 << 20);
  CHECK_FALSE(ringbuf_read(*null, 1));
}

TEST_CASE("wrong kinds and keys give one line", "[chardev]") {
  auto loop = std::move(*EventLoop::create("test"));
  CHECK(chardev_error(*loop, "bogus,id=a") ==
        "-chardev bogus,id=a: there is no such back end (file, null, pipe, pty, ringbuf, socket, "
        "stdio)");
  CHECK(chardev_error(*loop, "null,id=a,size=1").find("there is no key 'size'") !=
        std::string::npos);
  CHECK(chardev_error(*loop, "pty,id=a,mux=maybe").find("mux") != std::string::npos);
}

// What QEMU's documentation says that -serial values stand for.
TEST_CASE("-serial values become -chardev options", "[chardev]") {
  CHECK(serial("stdio") == "backend=stdio;");
  CHECK(serial("mon:stdio") == "backend=stdio;signal=off;mux=on;");
  CHECK(serial("pty") == "backend=pty;");
  CHECK(serial("null") == "backend=null;");
  CHECK(serial("file:/tmp/a,b") == "backend=file;path=/tmp/a,b;");
  CHECK(serial("pipe:/tmp/p") == "backend=pipe;path=/tmp/p;");
  CHECK(serial("unix:/tmp/s,server=on,wait=off") ==
        "backend=socket;path=/tmp/s;server=on;wait=off;");
  CHECK(serial("unix:/tmp/s,server,nowait") == "backend=socket;path=/tmp/s;server=on;wait=off;");
  CHECK(serial("tcp:localhost:4444,server=on") ==
        "backend=socket;host=localhost;port=4444;server=on;");
  CHECK(serial("tcp::4444") == "backend=socket;host=;port=4444;");
  CHECK(serial("tcp:[::1]:4444") == "backend=socket;host=::1;port=4444;");
  CHECK(serial("tcp:localhost") == "error: tcp:localhost: it must be tcp:HOST:PORT");
  CHECK(serial("unix:") == "error: unix: the address is missing");
  CHECK(serial("file:") == "error: file:: the path is missing");
  CHECK(serial("telnet:localhost:1").starts_with("error: 'telnet:localhost:1' is not a"));
  CHECK(serial("").starts_with("error: '' is not a"));
}

TEST_CASE("the output queue is bounded and remembers who met the bound", "[chardev]") {
  OutputQueue queue;
  const std::string block(OutputQueue::kLimit + 5, 'x');
  CHECK(queue.push(as_bytes(block)) == block.size());  // closed: taken and forgotten
  CHECK(queue.empty());
  queue.open();
  CHECK(queue.push(as_bytes(block)) == OutputQueue::kLimit);
  CHECK(queue.room() == 0);
  CHECK(queue.push(as_bytes("y")) == 0);
  CHECK_FALSE(queue.take_room_again());
  CHECK(queue.front().size() == OutputQueue::kLimit);
  queue.consume(1);
  CHECK(queue.room() == 1);
  CHECK_FALSE(queue.take_room_again());
  CHECK(queue.push(as_bytes("yz")) == 1);
  queue.consume(OutputQueue::kLimit - 1);
  CHECK(queue.take_room_again());
  CHECK_FALSE(queue.take_room_again());
  REQUIRE(queue.front().size() == 1);
  CHECK(queue.front()[0] == 'y');
  queue.close();
  CHECK(queue.empty());
}
