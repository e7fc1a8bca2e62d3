// -netdev tap: an interface of the host.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "io/log.h"
#include "io/unique_fd.h"
#include "net/frame.h"
#include "net/netdev_types.h"

extern char** environ;

namespace hv {

namespace {

constexpr uint32_t kIn = EPOLLIN, kOut = EPOLLOUT;
constexpr unsigned kMaxQueues = 64;
// Frames that one turn of the loop reads from a queue.
constexpr unsigned kBurst = 64;
// Pieces of one frame; the host's limit for a scatter-gather call.
constexpr size_t kMaxPieces = IOV_MAX;

struct TapOptions {
  std::string ifname;
  std::string script = "/etc/qemu-ifup", downscript = "/etc/qemu-ifdown";
  std::vector<int> fds;  // inherited
  unsigned queues = 1;
  bool vnet_header = true;
  std::optional<uint64_t> sndbuf;
};

Result<> run_script(const std::string& key, const std::string& path, const std::string& ifname) {
  if (path.empty() || path == "no") return {};
  std::string program = path, argument = ifname;
  char* const arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  if (const int error = posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments, environ))
    return fail_errno(error, "{}={}: cannot be run ({}=no runs none)", key, path, key);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return fail("{}={}: it failed with status {}", key, path, status);
  return {};
}

class TapEndpoint final : public NetEndpoint {
 public:
  TapEndpoint(TapOptions options, std::vector<UniqueFd> fds, bool vnet_header);
  ~TapEndpoint() override;

  const Traits& traits() const override { return traits_; }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void receive_ready(unsigned pair) override;
  void set_receive_offloads(const NetOffloads& offloads) override;
  void set_active_pairs(unsigned count) override;
  bool link_up() const override { return !gone_; }

 private:
  struct Queue {
    UniqueFd fd;
    std::unique_ptr<FdWatch> watch;
    bool enabled = true;        // for the kernel
    bool may_read = true;       // the guest had room
    bool may_write = true;      // the host had
    unsigned lone_turns = 0;    // in a row: of one frame
    std::vector<uint8_t> kept;  // a frame that the guest had no room for
    VnetHeader kept_header;
  };
  enum class Read { kFrame, kNothing, kNoRoom };

  void update(Queue& queue);
  void fired(unsigned pair, uint32_t bits);
  void read_burst(unsigned pair);
  Read read_frame(unsigned pair);
  void lost(int error);
  void tell_lost();

  const TapOptions options_;
  const bool vnet_header_;
  Traits traits_;
  std::vector<Queue> queues_;
  NetClient* client_ = nullptr;
  bool gone_ = false;
  std::unique_ptr<BottomHalf> telling_;  // transmit() may find out, and must not call the client
  std::vector<iovec> pieces_;
  std::vector<uint8_t> overflow_;  // behind the guest's buffers
};

TapEndpoint::TapEndpoint(TapOptions options, std::vector<UniqueFd> fds, bool vnet_header)
    : options_(std::move(options)), vnet_header_(vnet_header), overflow_(kMaxFrame) {
  traits_.pairs = static_cast<unsigned>(fds.size());
  if (vnet_header_) {
    traits_.transmit = {.checksum = true, .tso4 = true, .tso6 = true, .ecn = true};
    const auto takes = [&](unsigned bits) { return ioctl(fds[0].get(), TUNSETOFFLOAD, bits) == 0; };
    traits_.receive.checksum = takes(TUN_F_CSUM);
    traits_.receive.tso4 = takes(TUN_F_CSUM | TUN_F_TSO4);
    traits_.receive.tso6 = takes(TUN_F_CSUM | TUN_F_TSO6);
    traits_.receive.ecn = takes(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
    takes(0);
  }
  for (UniqueFd& fd : fds) queues_.emplace_back().fd = std::move(fd);
}

TapEndpoint::~TapEndpoint() {
  queues_.clear();
  if (options_.fds.empty() && !gone_)
    if (const auto done = run_script("downscript", options_.downscript, options_.ifname); !done)
      warn(fmt::format("-netdev tap: {}", done.error().message));
}

void TapEndpoint::attach(EventLoop& loop, NetClient& client) {
  client_ = &client;
  telling_ = loop.make_bottom_half([this] { tell_lost(); });
  for (unsigned pair = 0; pair < queues_.size(); ++pair) {
    Queue& queue = queues_[pair];
    queue.watch =
        loop.watch_fd(queue.fd.get(), 0, [this, pair](uint32_t bits) { fired(pair, bits); });
    update(queue);
  }
  set_active_pairs(1);
}

void TapEndpoint::detach() {
  for (Queue& queue : queues_) queue.watch.reset();
  telling_.reset();
  client_ = nullptr;
}

void TapEndpoint::update(Queue& queue) {
  uint32_t events = (queue.may_read ? kIn : 0) | (queue.may_write ? 0 : kOut);
  // The end of an interface wakes only those who wait for input.
  if (events == kOut) events |= kIn | uint32_t{EPOLLET};
  queue.watch->set_events(queue.enabled && !gone_ ? events : 0);
}

// The interface was taken away.
void TapEndpoint::lost(int error) {
  if (std::exchange(gone_, true)) return;
  warn(fmt::format("-netdev tap: interface {} is gone: {}", options_.ifname, strerror(error)));
  for (Queue& queue : queues_) update(queue);
  telling_->schedule();
}

void TapEndpoint::tell_lost() {
  client_->link_changed();
  // Frames that wait for room are dropped, as those that will follow.
  for (unsigned pair = 0; pair < queues_.size(); ++pair)
    if (!std::exchange(queues_[pair].may_write, true)) client_->transmit_ready(pair);
}

void TapEndpoint::fired(unsigned pair, uint32_t bits) {
  Queue& queue = queues_[pair];
  // A read that would show it waits for the guest.
  ifreq request{};
  if (bits & ~kOut && !queue.may_read && ioctl(queue.fd.get(), TUNGETIFF, &request) != 0)
    return lost(errno);
  if (bits & EPOLLOUT && !queue.may_write) {
    queue.may_write = true;
    update(queue);
    client_->transmit_ready(pair);
  }
  if (bits & ~uint32_t{EPOLLOUT} && queue.may_read) read_burst(pair);
}

// Reads on while there may be more. That there is none costs a call to find out, so after turns
// with one frame each it is mostly left to the loop, which has to ask anyway.
void TapEndpoint::read_burst(unsigned pair) {
  constexpr unsigned kProbe = 4;
  Queue& queue = queues_[pair];
  const bool probes = queue.lone_turns % kProbe == 0;
  unsigned frames = 0;
  Read result = Read::kFrame;
  while (frames < (probes ? kBurst : 1) && result == Read::kFrame && !gone_) {
    result = read_frame(pair);
    if (result == Read::kFrame) ++frames;
  }
  queue.lone_turns = frames > 1 ? 0 : queue.lone_turns + 1;
  client_->receive_done(pair);
  if (result == Read::kNoRoom) {
    queue.may_read = false;
    update(queue);
  }
}

TapEndpoint::Read TapEndpoint::read_frame(unsigned pair) {
  Queue& queue = queues_[pair];
  if (!queue.kept.empty()) {
    const iovec piece{queue.kept.data(), queue.kept.size()};
    if (!client_->receive(pair, queue.kept_header, {&piece, 1})) return Read::kNoRoom;
    queue.kept.clear();
  }
  const std::span<const iovec> space = client_->receive_space(pair);
  if (space.empty()) return Read::kNoRoom;
  VnetHeader header;
  pieces_.clear();
  if (vnet_header_) pieces_.push_back({&header, sizeof header});
  size_t room = 0;
  for (const iovec& piece : space) {
    if (pieces_.size() == kMaxPieces - 1) break;
    pieces_.push_back(piece);
    room += piece.iov_len;
  }
  pieces_.push_back({overflow_.data(), overflow_.size()});
  const ssize_t size = readv(queue.fd.get(), pieces_.data(), static_cast<int>(pieces_.size()));
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) lost(errno);
    return Read::kNothing;
  }
  const size_t prefix = vnet_header_ ? sizeof header : 0;
  if (static_cast<size_t>(size) < prefix + kEthernetHeader) return Read::kFrame;
  const size_t length = static_cast<size_t>(size) - prefix;
  if (length <= room) {
    client_->received(pair, header, length);
    return Read::kFrame;
  }
  queue.kept.resize(length);
  copy_frame(space, queue.kept.data(), room);
  std::memcpy(queue.kept.data() + room, overflow_.data(), length - room);
  queue.kept_header = header;
  const iovec piece{queue.kept.data(), length};
  if (!client_->receive(pair, header, {&piece, 1})) return Read::kNoRoom;
  queue.kept.clear();
  return Read::kFrame;
}

void TapEndpoint::receive_ready(unsigned pair) {
  Queue& queue = queues_[pair];
  if (gone_) return;
  if (!queue.kept.empty()) {
    const iovec piece{queue.kept.data(), queue.kept.size()};
    if (!client_->receive(pair, queue.kept_header, {&piece, 1})) return;
    queue.kept.clear();
  }
  queue.may_read = true;
  update(queue);
}

bool TapEndpoint::transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) {
  Queue& queue = queues_[pair];
  if (gone_ || !queue.enabled) return true;
  pieces_.clear();
  if (vnet_header_) pieces_.push_back({const_cast<VnetHeader*>(&header), sizeof header});
  if (pieces_.size() + frame.size() > kMaxPieces) return true;
  pieces_.insert(pieces_.end(), frame.begin(), frame.end());
  if (writev(queue.fd.get(), pieces_.data(), static_cast<int>(pieces_.size())) >= 0) return true;
  if (errno == EAGAIN) {
    queue.may_write = false;
    update(queue);
    return false;
  }
  // EIO: the interface is down. EINVAL: the guest's header makes no sense.
  if (errno == EBADFD || errno == ENODEV) lost(errno);
  return true;
}

void TapEndpoint::set_receive_offloads(const NetOffloads& offloads) {
  if (!vnet_header_) return;
  unsigned bits = 0;
  if (offloads.checksum) bits |= TUN_F_CSUM;
  if (offloads.tso4) bits |= TUN_F_TSO4;
  if (offloads.tso6) bits |= TUN_F_TSO6;
  if (offloads.ecn && bits & (TUN_F_TSO4 | TUN_F_TSO6)) bits |= TUN_F_TSO_ECN;
  ioctl(queues_[0].fd.get(), TUNSETOFFLOAD, bits);
}

void TapEndpoint::set_active_pairs(unsigned count) {
  if (queues_.size() == 1) return;
  for (unsigned pair = 0; pair < queues_.size(); ++pair) {
    Queue& queue = queues_[pair];
    const bool enable = pair < count;
    if (queue.enabled == enable) continue;
    ifreq request{};
    request.ifr_flags = enable ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    // Descriptors of another's making may not allow it; frames that come there are then dropped.
    ioctl(queue.fd.get(), TUNSETQUEUE, &request);
    queue.enabled = enable;
    if (queue.watch) update(queue);
  }
}

// --- options

Result<std::vector<int>> parse_fds(const std::string& text) {
  std::vector<int> fds;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(':', at), text.size());
    const auto fd = parse_number(std::string_view(text).substr(at, end - at));
    if (!fd || *fd > INT_MAX) return fail("fds={}: they are numbers with ':' between", text);
    fds.push_back(static_cast<int>(*fd));
    at = end + 1;
  }
  return fds;
}

Result<TapOptions> take_tap_options(KeyValues& options) {
  TapOptions result;
  HV_TRY_ASSIGN(const auto vhost, options.take_bool("vhost"));
  if (vhost.value_or(false))
    return fail("vhost=on: not supported (frames are moved by this process); leave it out");
  for (const std::string_view key : {"vhostfd", "vhostfds", "vhostforce", "helper", "br"})
    if (options.get(key)) return fail("{}=: not supported", key);
  const auto fd = options.take("fd"), fds = options.take("fds");
  const auto ifname = options.take("ifname");
  const auto script = options.take("script"), downscript = options.take("downscript");
  HV_TRY_ASSIGN(const auto queues, options.take_number("queues"));
  HV_TRY_ASSIGN(const auto vnet_header, options.take_bool("vnet_hdr"));
  HV_TRY_ASSIGN(result.sndbuf, options.take_size("sndbuf"));
  HV_TRY(options.expect_empty(
      "ifname, fd, fds, queues, script, downscript, vnet_hdr, vhost, sndbuf, poll-us"));
  if (fd && fds) return fail("fd and fds are two ways to say one thing");
  if (fd || fds) {
    if (ifname || script || downscript || queues || vnet_header)
      return fail("fd and fds leave nothing to ifname, script, downscript, queues and vnet_hdr");
    HV_TRY_ASSIGN(result.fds, parse_fds(fd ? *fd : *fds));
  }
  result.ifname = ifname.value_or("");
  if (result.ifname.size() >= IFNAMSIZ)
    return fail("ifname={}: it has at most {} characters", result.ifname, IFNAMSIZ - 1);
  if (script) result.script = *script;
  if (downscript) result.downscript = *downscript;
  if (queues && (*queues < 1 || *queues > kMaxQueues))
    return fail("queues={}: use 1 to {}", *queues, kMaxQueues);
  result.queues = static_cast<unsigned>(queues.value_or(1));
  result.vnet_header = vnet_header.value_or(true);
  return result;
}

// Opens one queue of the interface; `name` receives what the host calls it.
Result<UniqueFd> open_queue(const TapOptions& options, std::string& name) {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "cannot open /dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (options.vnet_header) request.ifr_flags |= IFF_VNET_HDR;
  if (options.queues > 1) request.ifr_flags |= static_cast<short>(IFF_MULTI_QUEUE);
  std::strncpy(request.ifr_name, name.empty() ? "tap%d" : name.c_str(), IFNAMSIZ - 1);
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
    return fail_errno(errno, "ifname={}: cannot become the other end of this interface", name);
  name = request.ifr_name;
  return fd;
}

// The interface's name, and whether frames carry headers.
Result<bool> adopt_fd(int number, UniqueFd& fd, std::string& name) {
  struct stat info{};
  if (fstat(number, &info) != 0) return fail_errno(errno, "fd={}", number);
  ifreq request{};
  if (ioctl(number, TUNGETIFF, &request) != 0 || !(request.ifr_flags & IFF_TAP))
    return fail("fd={}: it is not a tap interface", number);
  fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK);
  fcntl(number, F_SETFD, FD_CLOEXEC);
  fd.reset(number);
  name = request.ifr_name;
  return (request.ifr_flags & IFF_VNET_HDR) != 0;
}

}  // namespace

EndpointResult create_tap(const NetdevContext&, KeyValues& options) {
  HV_TRY_ASSIGN(TapOptions settings, take_tap_options(options));
  std::vector<UniqueFd> fds;
  bool vnet_header = settings.vnet_header;
  for (size_t i = 0; i < settings.fds.size(); ++i) {
    HV_TRY_ASSIGN(const bool has, adopt_fd(settings.fds[i], fds.emplace_back(), settings.ifname));
    if (i > 0 && has != vnet_header)
      return fail("fds=: vnet_hdr is on for some and off for others");
    vnet_header = has;
  }
  while (settings.fds.empty() && fds.size() < settings.queues) {
    HV_TRY_ASSIGN(auto fd, open_queue(settings, settings.ifname));
    fds.push_back(std::move(fd));
  }
  for (const UniqueFd& fd : fds) {
    int size = sizeof(VnetHeader);
    if (vnet_header && ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0)
      return fail_errno(errno, "vnet_hdr=on: the host does not take headers of {} bytes", size);
    int sndbuf = static_cast<int>(std::min<uint64_t>(settings.sndbuf.value_or(INT_MAX), INT_MAX));
    if (ioctl(fd.get(), TUNSETSNDBUF, &sndbuf) != 0 && settings.sndbuf)
      return fail_errno(errno, "sndbuf={}", *settings.sndbuf);
  }
  if (settings.fds.empty()) HV_TRY(run_script("script", settings.script, settings.ifname));
  return std::make_unique<TapEndpoint>(std::move(settings), std::move(fds), vnet_header);
}

}  // namespace hv
