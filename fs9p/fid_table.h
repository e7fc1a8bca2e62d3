// The fids of a session.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "fs9p/node_table.h"

namespace hv {

// A name that the client gave to a node, perhaps with an open file. Loop thread.
struct Fid {
  enum class Kind : uint8_t { kPath, kFile, kDirectory, kXattrRead, kXattrWrite };

  Kind kind = Kind::kPath;
  uint32_t uid = 0;  // owner of what is made through it
  NodeRef node;
  // Open files and directories.
  HandleRef open;
  bool writable = false;
  bool synchronous = false;         // O_SYNC or O_DSYNC: a write waits for the disk
  uint64_t directory_position = 0;  // where the next getdents() reads
  // Extended attributes.
  std::string xattr_name;
  int xattr_flags = 0;
  uint64_t xattr_size = 0;  // promised by Txattrcreate
  std::vector<uint8_t> xattr;
};

// A hash table with a limit. Loop thread.
class FidTable {
 public:
  // Fids of one session at most; ENFILE beyond. A kernel that caches names holds one for each.
  static constexpr size_t kMaxFids = 256 * 1024;

  Fid* find(uint32_t number) {
    const auto found = fids_.find(number);
    return found == fids_.end() ? nullptr : &found->second;
  }
  bool full() const { return fids_.size() >= kMaxFids; }
  // The number must be free, the table not full.
  Fid& add(uint32_t number) { return fids_[number]; }
  void remove(uint32_t number) { fids_.erase(number); }
  void clear() { fids_.clear(); }
  size_t size() const { return fids_.size(); }

 private:
  // Numbers are the guest's choice: they may not all fall into one bucket.
  struct Hash {
    size_t operator()(uint32_t number) const {
      static const uintptr_t key = reinterpret_cast<uintptr_t>(&key) >> 4;  // where we were loaded
      return (number ^ key) * 0x9e3779b97f4a7c15 >> 16;
    }
  };
  std::unordered_map<uint32_t, Fid, Hash> fids_;
};

}  // namespace hv
