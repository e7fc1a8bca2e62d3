#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/image_file.h"
#include "disk_rig.h"

using namespace hv;

namespace {

constexpr uint64_t kMiB = 1 << 20;

std::string refusal(const DiskOptions& options) {
  auto disk = open_disk(options);
  return disk ? "" : disk.error().message;
}

std::string refusal(const std::string& path) {
  DiskOptions options;
  options.filename = path;
  return refusal(options);
}

// Opens the image in another process; what it was refused with, or "".
std::string refusal_elsewhere(const DiskOptions& options) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string message = refusal(options);
    const bool sent =
        ::write(ends[1], message.data(), message.size()) == static_cast<ssize_t>(message.size());
    _exit(sent ? 0 : 1);
  }
  close(ends[1]);
  std::string message(1000, '\0');
  const ssize_t size = ::read(ends[0], message.data(), message.size());
  close(ends[0]);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  message.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return message;
}

}  // namespace

TEST_CASE("What is no disk image is refused with a line that names it") {
  using Catch::Contains;
  CHECK_THAT(refusal("/nonexistent/disk"), Contains("/nonexistent/disk") && Contains("No such"));
  CHECK_THAT(refusal("/var/tmp"), Contains("/var/tmp") && Contains("directory"));
  CHECK_THAT(refusal("/dev/null"), Contains("/dev/null") && Contains("neither"));
  CHECK_THAT(refusal(""), Contains("file="));
  TemporaryImage odd(1000);
  CHECK_THAT(refusal(odd.path()), Contains(odd.path()) && Contains("512"));
  TemporaryImage empty(0);
  CHECK_THAT(refusal(empty.path()), Contains("empty"));
  TemporaryImage good(4096);
  DiskOptions options = image_options(good);
  options.format = "qcow2";
  CHECK_THAT(refusal(options), Contains("qcow2"));
}

// Of the file systems that are everywhere, tmpfs takes O_DIRECT (Linux 6.6) and does not tell how.
TEST_CASE("O_DIRECT keeps sectors of 512 bytes where the host can, also when it does not tell") {
  std::string path = "/dev/shm/hv-direct-XXXXXX";
  const UniqueFd fd(mkstemp(path.data()));
  if (!fd.valid() || ftruncate(fd.get(), kMiB + 512) != 0 ||
      fcntl(fd.get(), F_SETFL, O_DIRECT) != 0) {
    WARN("there is no O_DIRECT on /dev/shm");
  } else {
    DiskOptions options;
    options.filename = path;
    options.format = "raw";
    options.direct = true;
    const auto file = open_image_file(options);
    REQUIRE(file);
    CHECK(file->block_size == 512);
  }
  unlink(path.c_str());
}

TEST_CASE("Files that begin as another format does are refused unless format=raw says otherwise") {
  using Catch::Contains;
  // Signatures as the formats' own descriptions give them.
  const std::vector<std::pair<std::string, std::vector<uint8_t>>> cases = {
      {"qcow2", {'Q', 'F', 'I', 0xfb}},
      {"vmdk", {'K', 'D', 'M', 'V'}},
      {"vhdx", {'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'}},
      {"VHD", {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'}},
      {"luks", {'L', 'U', 'K', 'S', 0xba, 0xbe}},
  };
  for (const auto& [name, magic] : cases) {
    TemporaryImage image(65536);
    image.write(0, magic);
    CHECK_THAT(refusal(image.path()),
               Contains(image.path()) && Contains(name) && Contains("format=raw"));
    CHECK(refusal(image_options(image)) == "");
  }
  TemporaryImage vdi(65536);
  vdi.write(0x40, {0x7f, 0x10, 0xda, 0xbe});
  CHECK_THAT(refusal(vdi.path()), Contains("vdi"));
  TemporaryImage raw(65536);
  raw.write(0, random_bytes(65536, 1));
  CHECK(refusal(raw.path()) == "");
}

TEST_CASE("A writer keeps every other process off, readers share") {
  using Catch::Contains;
  TemporaryImage image(kMiB);
  DiskOptions writer = image_options(image);
  DiskOptions reader = writer;
  reader.read_only = true;
  {
    auto disk = open_disk(writer);
    REQUIRE(disk);
    CHECK_THAT(refusal_elsewhere(writer), Contains(image.path()) && Contains("locked"));
    CHECK_THAT(refusal_elsewhere(reader), Contains(image.path()) && Contains("locked"));
    DiskOptions unlocked = writer;
    unlocked.locking = false;
    CHECK(refusal_elsewhere(unlocked) == "");
  }
  {
    auto disk = open_disk(reader);
    REQUIRE(disk);
    CHECK(refusal_elsewhere(reader) == "");
    CHECK_THAT(refusal_elsewhere(writer), Contains("locked"));
  }
  CHECK(refusal_elsewhere(writer) == "");
}

TEST_CASE("share-rw lets two writers in when both ask for it") {
  TemporaryImage image(kMiB);
  DiskOptions sharing = image_options(image);
  sharing.share_rw = true;
  DiskOptions alone = image_options(image);
  auto disk = open_disk(sharing);
  REQUIRE(disk);
  CHECK(refusal_elsewhere(sharing) == "");
  CHECK(refusal_elsewhere(alone) != "");
}

TEST_CASE("lock_later leaves the image free until lock()") {
  TemporaryImage image(kMiB);
  DiskOptions later = image_options(image);
  later.lock_later = true;
  auto disk = open_disk(later);
  REQUIRE(disk);
  CHECK(refusal_elsewhere(image_options(image)) == "");
  REQUIRE((*disk)->lock(true));
  DiskOptions sharing = image_options(image);
  sharing.share_rw = true;
  CHECK(refusal_elsewhere(sharing) == "");
  REQUIRE((*disk)->lock(false));
  CHECK(refusal_elsewhere(sharing) != "");
}

TEST_CASE("snapshot=on reads its image, so a writer elsewhere is kept off and readers are not") {
  TemporaryImage image(kMiB);
  DiskOptions snapshot = image_options(image);
  snapshot.snapshot = true;
  auto disk = open_disk(snapshot);
  REQUIRE(disk);
  CHECK(refusal_elsewhere(snapshot) == "");
  CHECK(refusal_elsewhere(image_options(image)) != "");
}
