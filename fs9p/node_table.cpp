#include "fs9p/node_table.h"

#include <cerrno>

namespace hv {

static constexpr unsigned kReclaimBatch = 64;

// Chains of parents end one by one, however deep a guest made them.
Node::~Node() {
  if (parent) {
    const auto found = table.nodes_.find({parent.get(), name});
    if (found != table.nodes_.end() && found->second == this) table.nodes_.erase(found);
  }
  if (in_recent) table.recent_.erase(recent);
  NodeRef up = std::move(parent);
  while (up && up.use_count() == 1) {
    // The parent leaves the table before it loses its own parent, by which it is found.
    if (up->parent) {
      const auto found = table.nodes_.find({up->parent.get(), up->name});
      if (found != table.nodes_.end() && found->second == up.get()) table.nodes_.erase(found);
    }
    NodeRef next = std::move(up->parent);
    up = std::move(next);
  }
}

NodeTable::NodeTable(const LocalFs& fs) : fs_(fs), root_(std::make_shared<Node>(*this)) {
  root_->handle = fs.root();
}

NodeTable::~NodeTable() = default;

void NodeTable::detach(Node& node) {
  const auto found = nodes_.find({node.parent.get(), node.name});
  if (found != nodes_.end() && found->second == &node) nodes_.erase(found);
  if (node.in_recent) recent_.erase(node.recent);
  node.in_recent = false;
}

void NodeTable::touch(Node& node) {
  if (!node.handle || !node.parent) return;
  if (node.in_recent)
    recent_.splice(recent_.begin(), recent_, node.recent);
  else
    node.recent = recent_.insert(recent_.begin(), &node);
  node.in_recent = true;
}

NodeRef NodeTable::find(const NodeRef& parent, std::string_view name, const struct stat& info) {
  const auto found = nodes_.find({parent.get(), name});
  if (found != nodes_.end()) {
    Node& old = *found->second;
    if (old.device == info.st_dev && old.inode == info.st_ino) return old.shared_from_this();
    // The host put another object there.
    nodes_.erase(found);
  }
  auto node = std::make_shared<Node>(*this);
  node->parent = parent;
  node->name = name;
  node->device = info.st_dev;
  node->inode = info.st_ino;
  nodes_[{parent.get(), node->name}] = node.get();
  return node;
}

void NodeTable::keep(Node& node, HandleRef handle) {
  if (node.handle) return;
  node.handle = std::move(handle);
  touch(node);
}

HandleRef NodeTable::directory(const NodeRef& node, int& error) {
  if (node->handle) {
    touch(*node);
    return node->handle;
  }
  // Up to one that is open, then down again.
  std::vector<Node*> closed;
  Node* at = node.get();
  for (; !at->handle; at = at->parent.get()) {
    closed.push_back(at);
    if (!at->parent) {
      error = -ENOENT;
      return nullptr;
    }
  }
  for (; !closed.empty(); closed.pop_back()) {
    Node& next = *closed.back();
    HandleRef opened = fs_.open_directory(*at->handle, next.name, error);
    if (!opened && error == -EMFILE && reclaim())
      opened = fs_.open_directory(*at->handle, next.name, error);
    if (!opened) return nullptr;
    keep(next, std::move(opened));
    at = &next;
  }
  return node->handle;
}

bool NodeTable::place(const NodeRef& node, Place& place, int& error) {
  place.self = node->handle;
  place.name = node->name;
  place.parent = nullptr;
  if (node->parent) place.parent = directory(node->parent, error);
  if (place.parent || place.self) return true;
  if (!node->parent) error = -ENOENT;
  return false;
}

// Fids of what is gone go on with what is open of it.
void NodeTable::removed(const NodeRef& parent, std::string_view name) {
  const auto found = nodes_.find({parent.get(), name});
  if (found == nodes_.end()) return;
  Node& node = *found->second;
  if (!node.handle)
    for (const auto& open : node.opens)
      if ((node.handle = open.lock())) break;
  detach(node);
  node.parent = nullptr;
}

void NodeTable::renamed(const NodeRef& from, std::string_view old_name, const NodeRef& to,
                        std::string_view new_name) {
  const auto found = nodes_.find({from.get(), old_name});
  Node* const node = found == nodes_.end() ? nullptr : found->second;
  const auto target = nodes_.find({to.get(), new_name});
  // Two names of one file: rename(2) does nothing.
  if (node && target != nodes_.end() && target->second->inode == node->inode &&
      target->second->device == node->device)
    return;
  removed(to, new_name);
  if (!node) return;
  nodes_.erase(nodes_.find({from.get(), old_name}));
  const NodeRef old_parent = std::exchange(node->parent, to);
  node->name = new_name;
  nodes_[{to.get(), node->name}] = node;
}

bool NodeTable::reclaim() {
  unsigned closed = 0;
  for (auto it = recent_.end(); it != recent_.begin() && closed < kReclaimBatch;) {
    Node& node = **--it;
    // A descriptor in use by a system call under way would not close now.
    if (node.handle.use_count() > 1) continue;
    node.handle = nullptr;
    node.in_recent = false;
    it = recent_.erase(it);
    ++closed;
  }
  return closed > 0;
}

}  // namespace hv
