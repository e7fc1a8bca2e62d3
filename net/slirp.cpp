// -netdev user: the host's sockets as a network, by libslirp.
#include <arpa/inet.h>
#include <libslirp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>

#include "io/clock.h"
#include "io/log.h"
#include "net/checksum.h"
#include "net/frame.h"
#include "net/guest_forward.h"
#include "net/netdev_types.h"
#include "net/tcp_frames.h"
#include "net/user_options.h"

namespace hv {

namespace {

// libslirp takes segments of this length from the guest and, once raise_mss() has offered it, gives
// them. Its own limits are 65521 for a packet and 32768 for a segment.
constexpr size_t kSlirpMtu = 65521;
constexpr uint16_t kSegment = 32000;

// Frames that wait for room in the guest. What comes by TCP is bounded by the guest's windows and
// by not reading sockets meanwhile; this bounds the rest.
constexpr size_t kMaxQueued = 4096;
constexpr size_t kMaxQueuedBytes = 4 << 20;

// Its clock and its resolver's cache are shared by all instances, whatever thread they are on.
std::mutex& library() {
  static std::mutex mutex;
  return mutex;
}

bool has_known_holes(const char* version) {
  int major = 0, minor = 0, micro = 0;
  if (std::sscanf(version, "%d.%d.%d", &major, &minor, &micro) < 2) return false;
  return std::tuple(major, minor, micro) < std::tuple(4, 9, 2);
}

void warn_of_holes_once() {
  static bool told = false;
  if (std::exchange(told, true) || !has_known_holes(slirp_version_string())) return;
  warn(fmt::format(
      "-netdev user: libslirp {} has known holes that a hostile guest can use (CVE-2026-9539 and "
      "others), unless the distribution has mended it; use 4.9.2 or later",
      slirp_version_string()));
}

uint32_t to_epoll(int events) {
  uint32_t bits = 0;
  if (events & SLIRP_POLL_IN) bits |= EPOLLIN;
  if (events & SLIRP_POLL_OUT) bits |= EPOLLOUT;
  // Not SLIRP_POLL_PRI: io_uring reports EPOLLPRI with any data that comes. Urgent data is read in
  // line then, which is what libslirp's sockets ask for.
  return bits;
}

int from_epoll(uint32_t bits) {
  int events = 0;
  if (bits & EPOLLIN) events |= SLIRP_POLL_IN;
  if (bits & EPOLLOUT) events |= SLIRP_POLL_OUT;
  if (bits & EPOLLERR) events |= SLIRP_POLL_ERR;
  if (bits & EPOLLHUP) events |= SLIRP_POLL_HUP;
  return events;
}

// libslirp asks to be called around a poll(2) of its sockets. Here each of its sockets has a watch
// on the loop, kept from one call to the next; a watch costs a system call only when what it waits
// for changes, and not even then on io_uring.
//
// It believes in a link of 64 KiB, so that the guest's segmentation offloads pass through it whole;
// what it sends is cut or marked to suit the guest's link of kLinkMtu (net/tcp_frames.h).
class SlirpEndpoint final : public NetEndpoint {
 public:
  static EndpointResult create(const NetdevContext& context, UserNetOptions options);
  ~SlirpEndpoint() override;

  const Traits& traits() const override { return traits_; }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void transmit_done(unsigned pair) override;
  void receive_ready(unsigned pair) override;
  void set_receive_offloads(const NetOffloads& offloads) override { offloads_ = offloads; }

 private:
  struct Watch {
    std::unique_ptr<FdWatch> watch;
    uint32_t wanted = 0;
    uint32_t round = 0;  // of the fill that asked for it
    int revents = 0;
  };
  struct SlirpTimer {
    SlirpEndpoint* owner;
    SlirpTimerId id;
    void* opaque;
    int64_t deadline_ns = 0;  // 0: not armed
    std::unique_ptr<Timer> timer;
  };
  struct Forward {
    in_addr address;
    uint16_t port;
    std::unique_ptr<GuestForward> bridge;
  };
  struct Queued {
    VnetHeader header;
    std::vector<uint8_t> bytes;
  };

  explicit SlirpEndpoint(UserNetOptions options) : options_(std::move(options)) {}
  static SlirpEndpoint& self(void* opaque) { return *static_cast<SlirpEndpoint*>(opaque); }
  static const SlirpCb kCallbacks;

  Result<> start();
  Result<> add_forwards(const NetdevContext& context);
  int add_poll(int fd, int events);
  Watch& watch_of(int fd);
  void drop_watch(int fd);
  void fired(int fd, uint32_t bits);
  void poll_sockets();
  void pump_forwards();
  void refresh();
  void arm(SlirpTimer& timer);
  void send_to_guest(const uint8_t* bytes, size_t length);
  void offer(const VnetHeader& header, std::span<const iovec> frame);

  const UserNetOptions options_;
  Traits traits_{.transmit = {.checksum = true, .tso4 = true, .tso6 = true},
                 .receive = {.checksum = true, .tso4 = true, .tso6 = true}};
  Slirp* slirp_ = nullptr;
  EventLoop* loop_ = nullptr;
  NetClient* client_ = nullptr;
  NetOffloads offloads_;
  std::vector<std::unique_ptr<Watch>> watches_;  // by descriptor
  std::vector<int> watched_;                     // those that there are
  uint32_t round_ = 0;
  std::vector<std::unique_ptr<SlirpTimer>> timers_;
  std::unique_ptr<Timer> timeout_;
  std::vector<Forward> forwards_;
  std::vector<uint8_t> frame_;  // what the guest sends, in one piece
  bool resolving_ = false;      // the burst may have an answer that frames in libslirp wait for
  std::deque<Queued> queue_;    // for the guest
  size_t queued_bytes_ = 0;
};

const SlirpCb SlirpEndpoint::kCallbacks = {
    .send_packet = [](const void* bytes, size_t length, void* opaque) -> ssize_t {
      self(opaque).send_to_guest(static_cast<const uint8_t*>(bytes), length);
      return static_cast<ssize_t>(length);
    },
    .guest_error = [](const char* message, void*) { log(kLogGuestErrors, "slirp: {}", message); },
    .clock_get_ns = [](void*) { return monotonic_now_ns(); },
    .timer_new = nullptr,
    .timer_free =
        [](void* timer, void* opaque) {
          std::erase_if(self(opaque).timers_,
                        [timer](const auto& each) { return each.get() == timer; });
        },
    .timer_mod =
        [](void* timer, int64_t expire_ms, void* opaque) {
          auto& armed = *static_cast<SlirpTimer*>(timer);
          armed.deadline_ns = expire_ms * 1'000'000;
          self(opaque).arm(armed);
        },
    .register_poll_fd = [](int, void*) {},
    .unregister_poll_fd = [](int fd, void* opaque) { self(opaque).drop_watch(fd); },
    .notify = [](void*) {},  // refresh() follows each call of libslirp
    .init_completed = nullptr,
    .timer_new_opaque = [](SlirpTimerId id, void* cb_opaque, void* opaque) -> void* {
      SlirpEndpoint& endpoint = self(opaque);
      endpoint.timers_.push_back(std::make_unique<SlirpTimer>(&endpoint, id, cb_opaque));
      SlirpTimer& timer = *endpoint.timers_.back();
      if (endpoint.loop_) endpoint.arm(timer);
      return &timer;
    },
};

EndpointResult SlirpEndpoint::create(const NetdevContext& context, UserNetOptions options) {
  std::unique_ptr<SlirpEndpoint> endpoint(new SlirpEndpoint(std::move(options)));
  const std::lock_guard lock(library());
  HV_TRY(endpoint->start());
  HV_TRY(endpoint->add_forwards(context));
  return endpoint;
}

Result<> SlirpEndpoint::start() {
  const auto text = [](const std::string& value) {
    return value.empty() ? nullptr : value.c_str();
  };
  std::vector<const char*> search;
  for (const std::string& domain : options_.dns_search) search.push_back(domain.c_str());
  search.push_back(nullptr);
  SlirpConfig config{};
  config.version = 4;
  config.restricted = options_.restricted;
  config.in_enabled = options_.ipv4;
  config.vnetwork = options_.network;
  config.vnetmask = options_.mask;
  config.vhost = options_.host;
  config.in6_enabled = options_.ipv6;
  config.vprefix_addr6 = options_.prefix6;
  config.vprefix_len = options_.prefix_length;
  config.vhost6 = options_.host6;
  config.vhostname = text(options_.hostname);
  config.tftp_server_name = text(options_.tftp_server_name);
  config.tftp_path = text(options_.tftp);
  config.bootfile = text(options_.bootfile);
  config.vdhcp_start = options_.dhcp_start;
  config.vnameserver = options_.dns;
  config.vnameserver6 = options_.dns6;
  config.vdnssearch = search.size() > 1 ? search.data() : nullptr;
  config.vdomainname = text(options_.domainname);
  config.if_mtu = config.if_mru = kSlirpMtu;
  slirp_ = slirp_new(&config, &kCallbacks, this);
  if (!slirp_) return fail("libslirp refuses these options");
  return {};
}

Result<> SlirpEndpoint::add_forwards(const NetdevContext& context) {
  for (const auto& forward : options_.host_forwards) {
    if (slirp_add_hostfwd(slirp_, forward.udp, forward.host_address, forward.host_port,
                          forward.guest_address, forward.guest_port) != 0)
      return fail_errno(errno, "hostfwd={}: cannot listen there", forward.text);
  }
  for (const auto& forward : options_.guest_forwards) {
    in_addr address = forward.address;
    if (!forward.command.empty()) {
      if (slirp_add_exec(slirp_, forward.command.c_str(), &address, forward.port) != 0)
        return fail("guestfwd={}: the address lies outside net= or is taken", forward.text);
      continue;
    }
    HV_TRY_ASSIGN(CharBackend * backend, context.claim_chardev(forward.chardev));
    auto bridge = std::make_unique<GuestForward>(*backend);
    const auto write = [](const void* bytes, size_t length, void* opaque) -> ssize_t {
      return static_cast<ssize_t>(
          static_cast<GuestForward*>(opaque)->write({static_cast<const uint8_t*>(bytes), length}));
    };
    if (slirp_add_guestfwd(slirp_, write, bridge.get(), &address, forward.port) != 0)
      return fail("guestfwd={}: the address lies outside net= or is taken", forward.text);
    forwards_.push_back({forward.address, forward.port, std::move(bridge)});
  }
  return {};
}

SlirpEndpoint::~SlirpEndpoint() {
  const std::lock_guard lock(library());
  if (slirp_) slirp_cleanup(slirp_);
}

void SlirpEndpoint::attach(EventLoop& loop, NetClient& client) {
  loop_ = &loop;
  client_ = &client;
  timeout_ = loop.make_timer([this] { poll_sockets(); });
  const std::lock_guard lock(library());
  for (auto& timer : timers_) arm(*timer);
  for (auto& forward : forwards_) forward.bridge->attach(loop, [this] { poll_sockets(); });
  refresh();
}

void SlirpEndpoint::detach() {
  for (auto& forward : forwards_) forward.bridge->detach();
  watches_.clear();
  watched_.clear();
  for (auto& timer : timers_) timer->timer.reset();
  timeout_.reset();
  queue_.clear();
  queued_bytes_ = 0;
  loop_ = nullptr;
  client_ = nullptr;
}

void SlirpEndpoint::arm(SlirpTimer& timer) {
  if (!loop_) return;
  if (!timer.timer)
    timer.timer = loop_->make_timer([this, &timer] {
      const std::lock_guard lock(library());
      timer.deadline_ns = 0;
      slirp_handle_timer(slirp_, timer.id, timer.opaque);
      client_->receive_done(0);
      refresh();
    });
  if (timer.deadline_ns != 0) timer.timer->arm_at(timer.deadline_ns);
}

// --- sockets

int SlirpEndpoint::add_poll(int fd, int events) {
  const auto index = static_cast<size_t>(fd);
  if (index >= watches_.size()) watches_.resize(index + 1);
  if (!watches_[index]) {
    watches_[index] = std::make_unique<Watch>();
    watches_[index]->watch = loop_->watch_fd(fd, 0, [this, fd](uint32_t bits) { fired(fd, bits); });
    watched_.push_back(fd);
  }
  watches_[index]->wanted = to_epoll(events);
  watches_[index]->round = round_;
  return fd;
}

void SlirpEndpoint::drop_watch(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= watches_.size() || !watches_[index]) return;
  watches_[index].reset();
  std::erase(watched_, fd);
}

void SlirpEndpoint::fired(int fd, uint32_t bits) {
  watches_[static_cast<size_t>(fd)]->revents = from_epoll(bits);
  poll_sockets();
  if (const auto& watch = watches_[static_cast<size_t>(fd)]) watch->revents = 0;
}

void SlirpEndpoint::poll_sockets() {
  const std::lock_guard lock(library());
  pump_forwards();
  slirp_pollfds_poll(
      slirp_, 0,
      [](int index, void* opaque) {
        const auto& watch = self(opaque).watches_[static_cast<size_t>(index)];
        return watch ? watch->revents : 0;
      },
      this);
  client_->receive_done(0);
  refresh();
}

void SlirpEndpoint::pump_forwards() {
  for (const Forward& forward : forwards_) {
    const size_t room = slirp_socket_can_recv(slirp_, forward.address, forward.port);
    const auto bytes = forward.bridge->take(room);
    if (!bytes.empty())
      slirp_socket_recv(slirp_, forward.address, forward.port, bytes.data(),
                        static_cast<int>(bytes.size()));
  }
}

// Brings watches and timeout to what libslirp waits for now.
void SlirpEndpoint::refresh() {
  // What it says for want of anything to wait for.
  constexpr uint32_t kIdleMs = 1000;
  ++round_;
  uint32_t timeout_ms = UINT32_MAX;
  slirp_pollfds_fill(
      slirp_, &timeout_ms,
      [](int fd, int events, void* opaque) { return self(opaque).add_poll(fd, events); }, this);
  for (const int fd : watched_) {
    Watch& watch = *watches_[static_cast<size_t>(fd)];
    uint32_t events = watch.round == round_ ? watch.wanted : 0;
    // The guest has no room for what a read would bring.
    if (!queue_.empty()) events &= EPOLLOUT;
    watch.watch->set_events(events);
  }
  if (timeout_ms < kIdleMs)
    timeout_->arm_in(int64_t{timeout_ms} * 1'000'000);
  else
    timeout_->cancel();
}

// --- frames

bool SlirpEndpoint::transmit(unsigned, const VnetHeader& header, std::span<const iovec> frame) {
  frame_.resize(kMaxFrame);
  const std::span<uint8_t> bytes(frame_.data(), copy_frame(frame, frame_.data(), kMaxFrame));
  if (header.flags & VnetHeader::kNeedsCsum && !complete_checksum(header, bytes)) return true;
  if (!strip_urgent(bytes)) return true;
  if (offloads_.tso4 || offloads_.tso6) raise_mss(bytes, kSegment);
  // ARP, or IPv6 neighbour discovery.
  resolving_ |= (bytes[12] == 0x08 && bytes[13] == 0x06) ||
                (bytes[12] == 0x86 && bytes.size() > 20 && bytes[20] == IPPROTO_ICMPV6);
  const std::lock_guard lock(library());
  slirp_input(slirp_, bytes.data(), static_cast<int>(bytes.size()));
  return true;
}

void SlirpEndpoint::transmit_done(unsigned) {
  if (std::exchange(resolving_, false)) return poll_sockets();
  const std::lock_guard lock(library());
  pump_forwards();
  client_->receive_done(0);
  refresh();
}

void SlirpEndpoint::send_to_guest(const uint8_t* bytes, size_t length) {
  if (!client_) return;
  constexpr size_t kHead = 128;  // more than all headers
  const size_t link_limit = kEthernetHeader + kLinkMtu;
  uint8_t head[kHead];
  const size_t head_length = std::min(length, kHead);
  std::memcpy(head, bytes, head_length);
  VnetHeader header;
  const bool ipv6 = head[12] == 0x86;
  if (length > link_limit) {
    const bool may = ipv6 ? offloads_.tso6 : offloads_.tso4;
    if (!may || !describe_long_segment({head, head_length}, length, header)) {
      for (auto& fragment : fragment_ipv4({bytes, length})) {
        const iovec piece{fragment.data(), fragment.size()};
        offer({}, {&piece, 1});
      }
      return;
    }
  } else if (offloads_.checksum && find_transport({head, head_length})) {
    header.flags = VnetHeader::kDataValid;  // libslirp has just computed it
  }
  const iovec pieces[] = {{head, head_length},
                          {const_cast<uint8_t*>(bytes) + head_length, length - head_length}};
  offer(header, {pieces, length > head_length ? 2u : 1u});
}

void SlirpEndpoint::offer(const VnetHeader& header, std::span<const iovec> frame) {
  if (queue_.empty() && client_->receive(0, header, frame)) return;
  if (queue_.size() >= kMaxQueued || queued_bytes_ >= kMaxQueuedBytes) return;
  queue_.push_back({header, gather_frame(frame)});
  queued_bytes_ += queue_.back().bytes.size();
}

void SlirpEndpoint::receive_ready(unsigned) {
  const bool waited = !queue_.empty();
  while (!queue_.empty()) {
    Queued& first = queue_.front();
    const iovec piece{first.bytes.data(), first.bytes.size()};
    if (!client_->receive(0, first.header, {&piece, 1})) return;
    queued_bytes_ -= first.bytes.size();
    queue_.pop_front();
  }
  if (!waited) return;
  const std::lock_guard lock(library());
  refresh();
}

}  // namespace

EndpointResult create_user_net(const NetdevContext& context, KeyValues& options) {
  HV_TRY_ASSIGN(auto settings, take_user_options(options));
  warn_of_holes_once();
  return SlirpEndpoint::create(context, std::move(settings));
}

}  // namespace hv
