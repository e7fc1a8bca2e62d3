#include "app/pid_file.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

namespace hv {

TEST_CASE("Pid file: holds our id, refuses a second holder, goes away") {
  char directory[] = "/tmp/hv-pid-XXXXXX";
  REQUIRE(mkdtemp(directory));
  const std::string path = std::string(directory) + "/pid";
  {
    const auto file = PidFile::create(path);
    REQUIRE(file);
    int pid = 0;
    std::ifstream(path) >> pid;
    CHECK(pid == getpid());
    const auto second = PidFile::create(path);
    REQUIRE_FALSE(second);
    CHECK(second.error().message.find(path) != std::string::npos);
  }
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_FALSE(PidFile::create(std::string(directory) + "/no/pid"));
  std::filesystem::remove_all(directory);
}

TEST_CASE("A pid file that is not ours any more stays, and a device is refused") {
  char directory[] = "/tmp/hartvisor-test-XXXXXX";
  REQUIRE(mkdtemp(directory));
  const std::string path = std::string(directory) + "/pid", other = path + ".other";
  {
    const auto file = PidFile::create(path);
    REQUIRE(file);
    std::ofstream(other) << "1\n";
    std::filesystem::rename(other, path);
  }
  CHECK(std::filesystem::exists(path));
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/null", path);
  CHECK_FALSE(PidFile::create(path));
  CHECK(std::filesystem::exists("/dev/null"));
  std::filesystem::remove_all(directory);
}

}  // namespace hv
