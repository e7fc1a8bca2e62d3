// -object filter-dump: what passes an endpoint, as a file that tcpdump and tshark read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/result.h"
#include "io/unique_fd.h"
#include "net/endpoint.h"

namespace hv {

// Stands between a device and its endpoint. Frames are written as they pass, in the file format of
// libpcap (draft-ietf-opsawg-pcap), without their offload headers: a frame under segmentation
// offload is one long frame. A file that cannot be written any more ends the dump, not the network.
class FilterDump final : public NetEndpoint, private NetClient {
 public:
  struct Options {
    std::string file;
    uint32_t max_length = 65536;  // of a frame, in bytes
    bool from_guest = true, to_guest = true;
  };
  static Result<std::unique_ptr<FilterDump>> create(const Options& options,
                                                    std::unique_ptr<NetEndpoint> endpoint);

  const Traits& traits() const override { return endpoint_->traits(); }
  void attach(EventLoop& loop, NetClient& client) override;
  void detach() override;
  bool transmit(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  void transmit_forget(unsigned pair) override {
    refused_[pair] = false;
    endpoint_->transmit_forget(pair);
  }
  void transmit_done(unsigned pair) override { endpoint_->transmit_done(pair); }
  void receive_ready(unsigned pair) override { endpoint_->receive_ready(pair); }
  void set_receive_offloads(const NetOffloads& offloads) override {
    endpoint_->set_receive_offloads(offloads);
  }
  void set_active_pairs(unsigned count) override { endpoint_->set_active_pairs(count); }
  bool link_up() const override { return endpoint_->link_up(); }

 private:
  FilterDump(const Options& options, UniqueFd file, std::unique_ptr<NetEndpoint> endpoint)
      : options_(options),
        file_(std::move(file)),
        endpoint_(std::move(endpoint)),
        refused_(endpoint_->traits().pairs) {}

  bool receive(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  std::span<const iovec> receive_space(unsigned pair) override;
  void received(unsigned pair, const VnetHeader& header, size_t length) override;
  void receive_done(unsigned pair) override { client_->receive_done(pair); }
  void transmit_ready(unsigned pair) override { client_->transmit_ready(pair); }
  void link_changed() override { client_->link_changed(); }

  void write(std::span<const iovec> frame, size_t length);

  const Options options_;
  UniqueFd file_;
  const std::unique_ptr<NetEndpoint> endpoint_;
  std::vector<bool> refused_;  // by pair: the last frame from the guest waits
  NetClient* client_ = nullptr;
  std::span<const iovec> space_;
  std::vector<iovec> record_;
};

}  // namespace hv
