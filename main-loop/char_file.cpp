// Output into a file; a pair of named pipes.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "main-loop/char_backends.h"
#include "main-loop/char_stream.h"

namespace hv {
namespace {

class FileChar final : public CharStream {
 public:
  FileChar(const CharContext& context, std::string path)
      : CharStream(context.loop, context.escapes), path_(std::move(path)) {}
  ~FileChar() override {
    stop([] {});
  }

  void start(UniqueFd input, UniqueFd output) {
    loop().run_on_loop([&] { open_stream(std::move(input), std::move(output)); });
  }

 private:
  bool on_output_error(int error) override { return tell_output_error(path_, error); }

  std::string path_;
};

constexpr int kOpenFlags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

}  // namespace

CharResult create_file(const CharContext& context, KeyValues& options) {
  const auto path = options.take("path");
  HV_TRY_ASSIGN(const auto append, options.take_bool("append"));
  if (!path || path->empty()) return fail("path= is missing: the file to write");
  const int how = O_WRONLY | O_CREAT | (append.value_or(false) ? O_APPEND : O_TRUNC);
  UniqueFd file(open(path->c_str(), how | kOpenFlags, 0666));
  if (!file.valid()) return fail_errno(errno, "cannot open {}", *path);
  auto backend = std::make_unique<FileChar>(context, *path);
  backend->start(UniqueFd(), std::move(file));
  return backend;
}

// PATH.in is read and PATH.out is written; if there is no such pair, PATH is both. Opened for both
// directions, so that a pipe whose other end comes and goes has neither end nor error.
CharResult create_pipe(const CharContext& context, KeyValues& options) {
  const auto path = options.take("path");
  if (!path || path->empty()) return fail("path= is missing: the name of the pipe");
  UniqueFd input(open((*path + ".in").c_str(), O_RDWR | kOpenFlags));
  UniqueFd output(open((*path + ".out").c_str(), O_RDWR | kOpenFlags));
  if (!input.valid() || !output.valid()) {
    input.reset(open(path->c_str(), O_RDWR | kOpenFlags));
    if (!input.valid()) return fail_errno(errno, "cannot open {0}.in and {0}.out, nor {0}", *path);
    output.reset(fcntl(input.get(), F_DUPFD_CLOEXEC, 3));
  }
  auto backend = std::make_unique<FileChar>(context, *path);
  backend->start(std::move(input), std::move(output));
  return backend;
}

}  // namespace hv
