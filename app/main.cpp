#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "app/application.h"
#include "app/options.h"
#include "io/log.h"

namespace {

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// A standard stream that we were started without would become the next file that is opened, and
// messages or -daemonize would end in the event loop or in a disk image.
void open_standard_streams() {
  int fd = -1;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

int fail(const hv::Error& error) {
  hv::report(error.message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  const std::string program = argc > 0 ? base_name(argv[0]) : "hartvisor";
  const std::vector<std::string> arguments(argv + (argc > 0), argv + argc);
  auto options = hv::parse_options(program, arguments);
  if (!options) return fail(options.error());
  if (options->print_and_exit) {
    fmt::print("{}", *options->print_and_exit);
    return 0;
  }
  const auto status = hv::run_application(std::move(*options));
  return status ? *status : fail(status.error());
}
