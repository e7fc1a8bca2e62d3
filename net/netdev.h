// Back ends of -netdev by type.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/char_backend.h"
#include "io/key_values.h"
#include "io/result.h"
#include "net/endpoint.h"

namespace hv {

struct NetdevContext {
  // The chardev of guestfwd=...-chardev:ID.
  std::function<Result<CharBackend*>(const std::string& id)> claim_chardev;
};

// -netdev TYPE,id=ID,... with the type under `type`. Opens what it names on the host. Main thread.
// Fails with one line that names option, id and key.
Result<std::unique_ptr<NetEndpoint>> create_netdev(KeyValues options, const NetdevContext& context);

// Text of "-netdev help".
std::string netdev_help();

}  // namespace hv
