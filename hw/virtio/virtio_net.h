// virtio-net: a network card (virtio 1.2, section 5.1).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "hw/device_type.h"
#include "hw/virtio/net_filter.h"
#include "hw/virtio/net_rx_queue.h"
#include "hw/virtio/virtio_device.h"
#include "net/endpoint.h"

namespace hv {

// Queues of pair N are 2N (to the guest) and 2N + 1 (from it); the control queue is behind the last
// pair that the driver may use.
//
// - To the guest: buffers stay in the ring until frames come. The endpoint reads straight into them
//   where it can; what came in one burst is shown with one interrupt.
// - From the guest: frames go to the endpoint out of guest memory. One that it has no room for
//   stays where it is, and so do those behind it, until there is room.
class VirtioNetDevice final : public VirtioDevice, private NetClient {
 public:
  struct Config {
    std::string netdev;
    std::string mac;
    std::string iothread;
    uint16_t rx_queue_size = 256;
    uint16_t tx_queue_size = 256;
    uint16_t host_mtu = 0;
    bool mq = false;
    bool csum = true;
    bool guest_csum = true;
    bool gso = true;
    bool host_tso4 = true;
    bool host_tso6 = true;
    bool host_ecn = true;
    bool guest_tso4 = true;
    bool guest_tso6 = true;
    bool guest_ecn = true;
    bool mrg_rxbuf = true;
    bool status = true;
    bool ctrl_vq = true;
    bool ctrl_rx = true;
    bool ctrl_rx_extra = true;
    bool ctrl_vlan = true;
    bool ctrl_mac_addr = true;
    bool ctrl_guest_offloads = true;
    bool guest_announce = true;
    bool event_idx = true;
    bool indirect_desc = true;
  };
  static constexpr auto kProps = std::make_tuple(
      Prop{"netdev", &Config::netdev, "id of the -netdev behind this device"},
      Prop{"mac", &Config::mac, "address; the first free one from 52:54:00:12:34:56 on if empty"},
      Prop{"iothread", &Config::iothread, "id of the -object iothread that serves it"},
      Prop{"rx_queue_size", &Config::rx_queue_size,
           "entries of a queue to the guest, a power of two", 64, 1024},
      Prop{"tx_queue_size", &Config::tx_queue_size,
           "entries of a queue from the guest, a power of two", 64, 1024},
      Prop{"host_mtu", &Config::host_mtu, "MTU that the guest is told; 0: none", 0, 65535},
      Prop{"mq", &Config::mq, "offer all queue pairs of the netdev"},
      Prop{"csum", &Config::csum, "offer CSUM, if the netdev can"},
      Prop{"guest_csum", &Config::guest_csum, "offer GUEST_CSUM, if the netdev can"},
      Prop{"gso", &Config::gso, "offer HOST_TSO4, HOST_TSO6 and HOST_ECN at all"},
      Prop{"host_tso4", &Config::host_tso4, "offer HOST_TSO4, if the netdev can"},
      Prop{"host_tso6", &Config::host_tso6, "offer HOST_TSO6, if the netdev can"},
      Prop{"host_ecn", &Config::host_ecn, "offer HOST_ECN, if the netdev can"},
      Prop{"guest_tso4", &Config::guest_tso4, "offer GUEST_TSO4, if the netdev can"},
      Prop{"guest_tso6", &Config::guest_tso6, "offer GUEST_TSO6, if the netdev can"},
      Prop{"guest_ecn", &Config::guest_ecn, "offer GUEST_ECN, if the netdev can"},
      Prop{"mrg_rxbuf", &Config::mrg_rxbuf, "offer MRG_RXBUF"},
      Prop{"status", &Config::status, "offer STATUS, the state of the link"},
      Prop{"ctrl_vq", &Config::ctrl_vq, "offer CTRL_VQ, which those below need"},
      Prop{"ctrl_rx", &Config::ctrl_rx, "offer CTRL_RX"},
      Prop{"ctrl_rx_extra", &Config::ctrl_rx_extra, "offer CTRL_RX_EXTRA"},
      Prop{"ctrl_vlan", &Config::ctrl_vlan, "offer CTRL_VLAN"},
      Prop{"ctrl_mac_addr", &Config::ctrl_mac_addr, "offer CTRL_MAC_ADDR"},
      Prop{"ctrl_guest_offloads", &Config::ctrl_guest_offloads, "offer CTRL_GUEST_OFFLOADS"},
      Prop{"guest_announce", &Config::guest_announce, "offer GUEST_ANNOUNCE"},
      Prop{"event_idx", &Config::event_idx, "offer VIRTIO_F_EVENT_IDX"},
      Prop{"indirect_desc", &Config::indirect_desc, "offer VIRTIO_F_INDIRECT_DESC"});
  static constexpr DeviceTypeNames kType{
      "virtio-net-device", {"virtio-net"}, "Network", "network card over virtio"};
  static Result<std::unique_ptr<VirtioDevice>> create(const VirtioContext& context,
                                                      const Config& config);
  ~VirtioNetDevice() override;

  std::string_view type_name() const override { return kType.name; }
  uint16_t queue_max_size(unsigned queue) const override;
  void read_config(uint32_t offset, std::span<uint8_t> to) override;
  void reset_config() override;

 protected:
  bool handle_queue(unsigned index) override;
  void on_start(uint64_t features) override;
  void on_stop() override;
  void on_attach() override;
  void on_detach() override;

 private:
  struct TxQueue {
    DescriptorChain chain;
    VnetHeader header;
    bool waiting = false;  // the endpoint had no room for `chain`
  };

  VirtioNetDevice(const VirtioContext& context, const Config& config, EventLoop& loop,
                  std::unique_ptr<NetEndpoint> endpoint, const MacAddress& mac);

  static unsigned rx_index(unsigned pair) { return 2 * pair; }
  static unsigned tx_index(unsigned pair) { return 2 * pair + 1; }

  // NetClient (virtio_net_rx.cpp)
  bool receive(unsigned pair, const VnetHeader& header, std::span<const iovec> frame) override;
  std::span<const iovec> receive_space(unsigned pair) override;
  void received(unsigned pair, const VnetHeader& header, size_t length) override;
  void receive_done(unsigned pair) override;
  void transmit_ready(unsigned pair) override;
  void link_changed() override;

  bool handle_rx(unsigned pair);
  bool make_room(unsigned pair, size_t length);
  bool passes_filter(std::span<const iovec> frame) const;

  // virtio_net_tx.cpp
  bool handle_tx(unsigned pair);
  bool transmit(unsigned pair, TxQueue& tx);

  // virtio_net_control.cpp
  bool handle_control();
  bool run_command(uint8_t group, uint8_t command, std::span<const uint8_t> data);
  bool set_rx_mode(uint8_t command, std::span<const uint8_t> data);
  bool set_mac(uint8_t command, std::span<const uint8_t> data);
  bool set_vlan(uint8_t command, std::span<const uint8_t> data);
  bool set_pairs(std::span<const uint8_t> data);
  bool set_guest_offloads(std::span<const uint8_t> data);
  void apply_guest_offloads(uint64_t features);

  void restart_waiting();

  const Config config_;
  const std::unique_ptr<NetEndpoint> endpoint_;
  const unsigned max_pairs_;
  const uint64_t power_on_mac_;
  std::atomic<uint64_t> mac_;        // configuration space
  std::atomic<uint16_t> status_{0};  // likewise
  uint64_t negotiated_ = 0;
  unsigned control_index_ = 0;
  unsigned active_pairs_ = 1;
  bool header_is_valid_ = false;  // the driver may ask for offloads
  NetFilter filter_;
  std::vector<NetRxQueue> rx_;
  std::vector<TxQueue> tx_;
};

}  // namespace hv
