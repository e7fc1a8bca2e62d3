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

}  // namespace hv
