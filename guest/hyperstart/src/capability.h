// Linux capabilities by name, applied to the calling process.
#pragma once

#include <stdbool.h>

#include "error.h"

// Number of "CAP_NET_ADMIN" (or "NET_ADMIN"), -1 if unknown.
int capability_number(const char *name);
// Drops what is not in the bounding set. Before the change of user. all: keeps everything.
int capability_bound(const Hyperstart__V1__Capabilities *capabilities, bool all, struct error *error);
// Sets the process's own sets. After the change of user, with PR_SET_KEEPCAPS in effect.
int capability_apply(const Hyperstart__V1__Capabilities *capabilities, bool all, struct error *error);
