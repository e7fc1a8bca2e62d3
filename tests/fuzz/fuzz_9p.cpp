// Whole 9P frames, through codec and server, onto a directory: what lies outside of it is neither
// read nor changed, and every frame is answered once.
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "fs9p/server.h"
#include "p9_frames.h"
#include "p9_share.h"

namespace {

using namespace hv;

struct Frame final : P9Frame {
  std::vector<uint8_t> in, out;
  std::vector<iovec> in_pieces, out_pieces;
  int times = 0;

  static void cut(std::vector<uint8_t>& bytes, size_t part, std::vector<iovec>& to) {
    to.reserve(bytes.size() / part + 1);
    for (size_t at = 0; at < bytes.size(); at += part)
      to.push_back({bytes.data() + at, std::min(part, bytes.size() - at)});
  }
  void finish(size_t part) {
    cut(in, part, in_pieces);
    cut(out, part * 20, out_pieces);
    request = in_pieces;
    reply = out_pieces;
  }
  void replied(uint32_t length) override {
    if (++times != 1 || length > out.size()) std::abort();
    const std::string_view text(reinterpret_cast<const char*>(out.data()), length);
    if (text.find(P9Share::kCanary) != text.npos) std::abort();
  }
};

// A server on the share, for all inputs: an input's end is a driver's reset to it.
class Client final : public P9Client {
 public:
  Client(const P9Share& share, EventLoop& loop, uint8_t mode) : loop_(loop) {
    FsOptions options;
    options.path = share.path();
    options.security = static_cast<SecurityModel>(mode % 4);
    options.read_only = mode & 4;
    auto fs = LocalFs::create(options, budget_);
    if (!fs) std::abort();
    server_.emplace(std::move(*fs), *this);
    server_->attach(loop);
  }
  ~Client() { server_->detach(); }
  void begin_request() override { ++under_way_; }
  void end_request() override {
    if (under_way_-- == 0) std::abort();
  }

  bool submit(Frame& frame) { return server_->submit(frame); }
  void wait() {
    while (under_way_) loop_.run_once();
  }
  void reset() {
    server_->reset();
    if (server_->fid_count() != 0 || budget_->used() != kRootFds) std::abort();
  }

 private:
  static constexpr unsigned kRootFds = 1;
  static constexpr unsigned kFds = 8;  // few enough for inputs to use them up
  EventLoop& loop_;
  const std::shared_ptr<FdBudget> budget_ = std::make_shared<FdBudget>(kFds);
  std::optional<P9Server> server_;
  unsigned under_way_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static P9Share share;
  static const auto loop = *EventLoop::create("fuzz", WaitKind::kEpoll);
  static std::array<std::unique_ptr<Client>, 8> clients;
  FuzzInput input(data, size);
  share.restore();
  const uint8_t mode = input.take<uint8_t>();
  auto& client = clients[mode % clients.size()];
  if (!client) client = std::make_unique<Client>(share, *loop, mode % clients.size());
  std::vector<std::unique_ptr<Frame>> frames;
  const auto send = [&](std::vector<uint8_t> bytes, size_t room) {
    auto frame = std::make_unique<Frame>();
    frame->in = std::move(bytes);
    frame->out.resize(room);
    frame->finish(1 + mode % 29u);
    if (client->submit(*frame)) frames.push_back(std::move(frame));
  };
  std::vector<uint8_t> frame;
  p9::encode(frame, 0, p9::Tversion{65536, "9P2000.L"});
  send(frame, 100);
  p9::encode(frame, 0, p9::Tattach{0, ~0u, "u", "", 7});
  send(frame, 100);
  for (unsigned i = 0; i < 40 && !input.empty(); ++i) {
    make_p9_frame(input, frame);
    send(frame, mode & 32 ? input.take<uint8_t>() : 4096);
    // One at a time, or all at once.
    if (mode & 16) client->wait();
  }
  client->wait();
  for (const auto& sent : frames)
    if (sent->times != 1) std::abort();
  client->reset();
  share.check();
  return 0;
}
