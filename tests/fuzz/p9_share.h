// A share beside a file that must stay out of reach, put back after each input of a fuzzer.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace hv {

// "share" with a link to each thing outside, and "secret" beside it. On tmpfs, for it is made anew
// thousands of times a second; the directory itself stays, so that one server can hold it open.
class P9Share {
 public:
  static constexpr std::string_view kCanary = "CANARY-outside-the-share-0123456789";

  P9Share() {
    if (!make("/dev/shm") && !make("/tmp")) std::abort();
    const int secret = open((top_ + "/secret").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    if (write(secret, kCanary.data(), kCanary.size()) != ssize_t{kCanary.size()}) std::abort();
    close(secret);
    share_ = open(path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (share_ < 0) std::abort();
    outside_ = look_outside();
  }
  ~P9Share() {
    empty(share_);
    close(share_);
    std::filesystem::remove_all(top_);
  }
  std::string path() const { return top_ + "/share"; }

  // As it was at first.
  void restore() {
    empty(share_);
    drop_attributes();
    if (fchown(share_, geteuid(), getegid()) != 0 || fchmod(share_, 0755) != 0) std::abort();
    const int file = openat(share_, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    const bool made = write(file, "text", 4) == 4 && close(file) == 0 &&
                      mkdirat(share_, "d", 0755) == 0 && mkdirat(share_, "d/e", 0755) == 0 &&
                      symlinkat("../secret", share_, "s") == 0 &&
                      symlinkat("..", share_, "u") == 0 && symlinkat("/", share_, "d/r") == 0 &&
                      mkfifoat(share_, "p", 0600) == 0;
    if (!made) std::abort();
  }
  // Nothing outside was changed: its inode would say so, whatever it was.
  void check() const {
    if (look_outside() != outside_) std::abort();
  }

 private:
  struct Outside {
    int64_t secret_s, secret_ns, top_s, top_ns;
    bool operator==(const Outside&) const = default;
  };

  bool make(const std::string& where) {
    top_ = where + "/hartvisor-fuzz-9p-XXXXXX";
    if (!mkdtemp(top_.data())) return false;
    if (mkdir(path().c_str(), 0755) == 0 &&
        setxattr(path().c_str(), "user.virtfs.uid", "", 0, 0) == 0)
      return true;
    std::filesystem::remove_all(top_);
    return false;
  }
  Outside look_outside() const {
    struct stat secret{}, top{};
    if (lstat((top_ + "/secret").c_str(), &secret) != 0 || lstat(top_.c_str(), &top) != 0)
      std::abort();
    return {secret.st_ctim.tv_sec, secret.st_ctim.tv_nsec, top.st_ctim.tv_sec, top.st_ctim.tv_nsec};
  }
  void drop_attributes() const {
    char names[4096];
    const ssize_t size = flistxattr(share_, names, sizeof names);
    for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(strlen(names + at)) + 1)
      fremovexattr(share_, names + at);
  }
  // Takes the descriptor of a directory; entries whose modes are in the way included.
  static void empty(int directory) {
    if (fchmod(directory, 0700) != 0) std::abort();
    DIR* entries = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!entries) std::abort();
    while (const dirent* entry = readdir(entries)) {
      const char* name = entry->d_name;
      if (std::string_view(name) == "." || std::string_view(name) == "..") continue;
      if (entry->d_type != DT_DIR) {
        if (unlinkat(directory, name, 0) != 0) std::abort();
        continue;
      }
      if (unlinkat(directory, name, AT_REMOVEDIR) == 0) continue;
      fchmodat(directory, name, 0700, 0);
      const int below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      empty(below);
      close(below);
      if (unlinkat(directory, name, AT_REMOVEDIR) != 0) std::abort();
    }
    closedir(entries);
  }

  std::string top_;
  int share_ = -1;
  Outside outside_{};
};

}  // namespace hv
