// Whole 9P frames, through codec and server, onto a directory: what lies outside of it is neither
// read nor changed, and every frame is answered once.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs9p/server.h"
#include "fuzz_input.h"

namespace {

constexpr std::string_view kCanary = "CANARY-outside-the-share-0123456789";

struct Frame final : hv::P9Frame {
  std::vector<uint8_t> in, out;
  std::vector<iovec> in_pieces, out_pieces;
  int times = 0;

  void cut(std::vector<uint8_t>& bytes, size_t part, std::vector<iovec>& to) {
    for (size_t at = 0; at < bytes.size(); at += part)
      to.push_back({bytes.data() + at, std::min(part, bytes.size() - at)});
  }
  void finish(size_t part) {
    cut(in, part, in_pieces);
    cut(out, part * 5, out_pieces);
    request = in_pieces;
    reply = out_pieces;
  }
  void replied(uint32_t length) override {
    if (++times != 1 || length > out.size()) std::abort();
    const std::string_view text(reinterpret_cast<const char*>(out.data()), length);
    if (text.find(kCanary) != text.npos) std::abort();
  }
};

struct Client final : hv::P9Client {
  unsigned under_way = 0;
  void begin_request() override { ++under_way; }
  void end_request() override {
    if (under_way-- == 0) std::abort();
  }
};

// A share with a link to each thing outside, one for all inputs; emptied in between.
struct Place {
  std::string top = "/tmp/hartvisor-fuzz-9p-XXXXXX";
  std::string share, secret;
  Place() {
    if (!mkdtemp(top.data())) std::abort();
    share = top + "/share";
    secret = top + "/secret";
    std::ofstream(secret) << kCanary;
    chmod(secret.c_str(), 0640);
  }
  ~Place() { std::filesystem::remove_all(top); }
  void fill() const {
    std::filesystem::remove_all(share);
    std::filesystem::create_directories(share + "/d/e");
    std::ofstream(share + "/f") << "text";
    const bool made = symlink("../secret", (share + "/s").c_str()) == 0 &&
                      symlink("..", (share + "/u").c_str()) == 0 &&
                      symlink("/", (share + "/d/r").c_str()) == 0 &&
                      mkfifo((share + "/p").c_str(), 0600) == 0;
    if (!made) std::abort();
  }
  void check() const {
    struct stat info{};
    std::ifstream file(secret);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text != kCanary || lstat(secret.c_str(), &info) != 0 || info.st_nlink != 1 ||
        (info.st_mode & 07777) != 0640)
      std::abort();
    unsigned entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(top)) ++entries;
    if (entries != 2) std::abort();
  }
};

constexpr const char* kNames[] = {"f",
                                  "d",
                                  "e",
                                  "s",
                                  "u",
                                  "r",
                                  "p",
                                  "new",
                                  "x",
                                  "..",
                                  "secret",
                                  "../secret",
                                  ".virtfs_metadata",
                                  "",
                                  ".",
                                  "user.a"};

// Fields as the message has them, small numbers and known names more often than not.
struct Filler {
  hv::FuzzInput& input;
  template <class T>
  void operator()(const char*, T& field) {
    using namespace hv::p9;
    if constexpr (std::is_integral_v<T>) {
      const uint8_t choice = input.take<uint8_t>();
      field = choice < 200 ? static_cast<T>(choice % 8) : input.take<T>();
    } else if constexpr (std::is_same_v<T, Text>) {
      field = kNames[input.take<uint8_t>() % std::size(kNames)];
    } else if constexpr (std::is_same_v<T, Name>) {
      field.text = kNames[input.take<uint8_t>() % std::size(kNames)];
    } else if constexpr (std::is_same_v<T, Names>) {
      field.count = input.take<uint8_t>() % 5;
      for (auto& item : field.items) item = kNames[input.take<uint8_t>() % std::size(kNames)];
    }
  }
};

template <class Message>
void fill(hv::FuzzInput& input, std::vector<uint8_t>& frame, uint16_t tag) {
  Message message;
  visit_fields(message, Filler{input});
  hv::p9::encode(frame, tag, message);
}

void make_frame(hv::FuzzInput& input, std::vector<uint8_t>& frame) {
  const uint8_t choice = input.take<uint8_t>();
  const uint16_t tag = choice % 16;
  switch (input.take<uint8_t>() & 0x7f) {
    using namespace hv::p9;
#define FIELD(type, name)
#define REPLY(name, id, fields)
#define REQUEST(name, id, fields)  \
  case id:                         \
    fill<name>(input, frame, tag); \
    break;
#include "fs9p/messages.inc"
    default:
      break;
  }
  // Any bytes behind it, with or without a size that says so.
  const auto more = input.bytes(input.take<uint8_t>() % 64);
  frame.insert(frame.end(), more.begin(), more.end());
  if (choice < 200 && frame.size() >= 4) {
    const auto size = static_cast<uint32_t>(frame.size());
    std::memcpy(frame.data(), &size, sizeof size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place place;
  static const auto loop = *hv::EventLoop::create("fuzz", hv::WaitKind::kEpoll);
  hv::FuzzInput input(data, size);
  place.fill();
  hv::FsOptions options;
  options.path = place.share;
  const uint8_t mode = input.take<uint8_t>();
  options.security = static_cast<hv::SecurityModel>(mode % 4);
  options.read_only = mode & 64;
  auto budget = std::make_shared<hv::FdBudget>(40);
  auto fs = hv::LocalFs::create(options, budget);
  if (!fs) std::abort();
  Client client;
  {
    hv::P9Server server(std::move(*fs), client);
    server.attach(*loop);
    std::vector<std::unique_ptr<Frame>> frames;
    const auto send = [&](std::vector<uint8_t> bytes, size_t room) {
      auto frame = std::make_unique<Frame>();
      frame->in = std::move(bytes);
      frame->out.resize(room);
      frame->finish(1 + mode % 29u);
      if (server.submit(*frame)) frames.push_back(std::move(frame));
    };
    std::vector<uint8_t> frame;
    hv::p9::encode(frame, 0, hv::p9::Tversion{65536, "9P2000.L"});
    send(frame, 100);
    hv::p9::encode(frame, 0, hv::p9::Tattach{0, ~0u, "u", "", 7});
    send(frame, 100);
    for (unsigned i = 0; i < 40 && !input.empty(); ++i) {
      frame.clear();
      make_frame(input, frame);
      send(frame, mode & 32 ? input.take<uint8_t>() : 4096);
      if (mode & 16) loop->run_once(0);
    }
    while (client.under_way) loop->run_once();
    for (const auto& sent : frames)
      if (sent->times != 1) std::abort();
    server.reset();
    server.detach();
  }
  if (budget->used() != 0) std::abort();
  place.check();
  return 0;
}
