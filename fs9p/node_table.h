// The objects of a share that fids stand for.
#pragma once

#include <sys/stat.h>

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs9p/local_fs.h"

namespace hv {

class NodeTable;

// An entry of a directory, shared by all fids that were walked to it. It needs no descriptor as
// long as it is only looked at; one is opened for a directory that things are looked up in, and
// given up again when there are too many. A rename through the share moves the node along; one by
// the host under a node without a descriptor is not noticed, and the node then means what has that
// name now.
//
// Loop thread, as its table.
struct Node : std::enable_shared_from_this<Node> {
  explicit Node(NodeTable& table) : table(table) {}
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  NodeTable& table;
  std::shared_ptr<Node> parent;  // none: the root, or unlinked
  std::string name;
  HandleRef handle;
  dev_t device = 0;  // identity when it was walked to
  ino_t inode = 0;
  std::vector<std::weak_ptr<const Handle>> opens;  // open files
  std::list<Node*>::iterator recent;               // valid while in_recent
  bool in_recent = false;
};
using NodeRef = std::shared_ptr<Node>;

// All nodes of a share by directory and name. Loop thread.
class NodeTable {
 public:
  explicit NodeTable(const LocalFs& fs);
  ~NodeTable();

  const NodeRef& root() const { return root_; }
  // The node of what stat() found under that name, an old one if it is still the same object.
  NodeRef find(const NodeRef& parent, std::string_view name, const struct stat& info);
  // A descriptor of a directory; null with a negative errno value in `error`.
  HandleRef directory(const NodeRef& node, int& error);
  // What system calls about the node need; false with a negative errno value in `error`.
  bool place(const NodeRef& node, Place& place, int& error);
  // A descriptor that was opened on the way.
  void keep(Node& node, HandleRef handle);
  // The share did these things.
  void renamed(const NodeRef& from, std::string_view old_name, const NodeRef& to,
               std::string_view new_name);
  void removed(const NodeRef& parent, std::string_view name);
  // Closes descriptors that can be opened again, some that were not used for the longest time.
  // False when there are none.
  bool reclaim();

 private:
  friend struct Node;
  struct Key {
    const Node* parent;
    std::string_view name;  // of the node itself
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      return std::hash<std::string_view>()(key.name) ^
             (reinterpret_cast<size_t>(key.parent) * 0x9e3779b97f4a7c15);
    }
  };
  void detach(Node& node);
  void touch(Node& node);

  const LocalFs& fs_;
  std::unordered_map<Key, Node*, Hash> nodes_;
  std::list<Node*> recent_;  // nodes with a descriptor that can be opened again, latest first
  NodeRef root_;
};

}  // namespace hv
