// The pod as a whole: identity, time, network, pod-wide files.
#pragma once

#include <stdbool.h>

bool sandbox_is_configured(void);
