// Feature bits and constants of virtio-net (virtio 1.2, section 5.1.3).
#pragma once

#include <cstdint>

namespace hv::net_feature {

inline constexpr uint64_t kCsum = 1ull << 0;
inline constexpr uint64_t kGuestCsum = 1ull << 1;
inline constexpr uint64_t kCtrlGuestOffloads = 1ull << 2;
inline constexpr uint64_t kMtu = 1ull << 3;
inline constexpr uint64_t kMac = 1ull << 5;
inline constexpr uint64_t kGuestTso4 = 1ull << 7;
inline constexpr uint64_t kGuestTso6 = 1ull << 8;
inline constexpr uint64_t kGuestEcn = 1ull << 9;
inline constexpr uint64_t kHostTso4 = 1ull << 11;
inline constexpr uint64_t kHostTso6 = 1ull << 12;
inline constexpr uint64_t kHostEcn = 1ull << 13;
inline constexpr uint64_t kMrgRxbuf = 1ull << 15;
inline constexpr uint64_t kStatus = 1ull << 16;
inline constexpr uint64_t kCtrlVq = 1ull << 17;
inline constexpr uint64_t kCtrlRx = 1ull << 18;
inline constexpr uint64_t kCtrlVlan = 1ull << 19;
inline constexpr uint64_t kCtrlRxExtra = 1ull << 20;
inline constexpr uint64_t kGuestAnnounce = 1ull << 21;
inline constexpr uint64_t kMq = 1ull << 22;
inline constexpr uint64_t kCtrlMacAddr = 1ull << 23;

// What CTRL_GUEST_OFFLOADS may switch.
inline constexpr uint64_t kGuestOffloads = kGuestCsum | kGuestTso4 | kGuestTso6 | kGuestEcn;

// The configuration space's status field (section 5.1.4).
inline constexpr uint16_t kLinkUp = 1;
inline constexpr uint16_t kAnnounce = 2;

}  // namespace hv::net_feature
