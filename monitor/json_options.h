// The JSON forms of -device, -object, -blockdev and -netdev.
#pragma once

#include <string_view>

#include "io/key_values.h"
#include "io/result.h"

namespace hv {

// Flattens an object into the shape of "key=value,...": nested keys are joined with dots, list
// items are numbered from 0, true and false become on and off. Fails with a line that names
// `option`.
Result<KeyValues> key_values_from_json(std::string_view option, std::string_view text);

}  // namespace hv
