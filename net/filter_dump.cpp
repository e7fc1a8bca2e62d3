#include "net/filter_dump.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "io/log.h"
#include "net/frame.h"

namespace hv {

namespace {

struct FileHeader {
  uint32_t magic = 0xa1b2c3d4;  // microseconds, in this machine's byte order
  uint16_t major = 2, minor = 4;
  uint32_t reserved[2] = {};
  uint32_t max_length = 0;
  uint32_t link_type = 1;  // Ethernet
};

struct RecordHeader {
  uint32_t seconds, microseconds;
  uint32_t kept, length;
};

}  // namespace

Result<std::unique_ptr<FilterDump>> FilterDump::create(const Options& options,
                                                       std::unique_ptr<NetEndpoint> endpoint) {
  UniqueFd file(open(options.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return fail_errno(errno, "file={}", options.file);
  FileHeader header;
  header.max_length = options.max_length;
  if (::write(file.get(), &header, sizeof header) != static_cast<ssize_t>(sizeof header))
    return fail_errno(errno, "file={}: cannot write", options.file);
  return std::unique_ptr<FilterDump>(new FilterDump(options, std::move(file), std::move(endpoint)));
}

void FilterDump::attach(EventLoop& loop, NetClient& client) {
  client_ = &client;
  endpoint_->attach(loop, *this);
}

void FilterDump::detach() {
  endpoint_->detach();
  client_ = nullptr;
}

void FilterDump::write(std::span<const iovec> frame, size_t length) {
  if (!file_.valid()) return;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  RecordHeader header{static_cast<uint32_t>(now.tv_sec), static_cast<uint32_t>(now.tv_nsec / 1000),
                      static_cast<uint32_t>(std::min<size_t>(length, options_.max_length)),
                      static_cast<uint32_t>(length)};
  record_.assign(1, {&header, sizeof header});
  std::vector<uint8_t> gathered;
  if (frame.size() < IOV_MAX) {
    size_t left = header.kept;
    for (iovec piece : frame) {
      if (left == 0) break;
      piece.iov_len = std::min(piece.iov_len, left);
      left -= piece.iov_len;
      record_.push_back(piece);
    }
  } else {  // with the record's header there would be more pieces than the call takes
    gathered.resize(header.kept);
    copy_frame(frame, gathered.data(), gathered.size());
    record_.push_back({gathered.data(), gathered.size()});
  }
  const auto size = static_cast<ssize_t>(sizeof header + header.kept);
  if (writev(file_.get(), record_.data(), static_cast<int>(record_.size())) == size) return;
  warn(fmt::format("-object filter-dump: {}: cannot write: {}; the dump ends here", options_.file,
                   strerror(errno)));
  file_.reset();
}

bool FilterDump::transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) {
  // Before it goes, so that an answer does not come first; but once, however often it is refused.
  if (options_.from_guest && !refused_[pair]) write(frame, frame_length(frame));
  refused_[pair] = !endpoint_->transmit(pair, header, frame);
  return !refused_[pair];
}

bool FilterDump::receive(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) {
  if (!client_->receive(pair, header, frame)) return false;
  if (options_.to_guest) write(frame, frame_length(frame));
  return true;
}

std::span<const iovec> FilterDump::receive_space(unsigned pair) {
  space_ = client_->receive_space(pair);
  return space_;
}

void FilterDump::received(unsigned pair, const VnetHeader& header, size_t length) {
  if (options_.to_guest) write(space_, length);
  client_->received(pair, header, length);
}

}  // namespace hv
