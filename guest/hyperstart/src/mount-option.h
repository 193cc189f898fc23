// Mount options as text: what is a flag becomes one, the rest is data of the file system.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct mount_option {
  unsigned long flags; // MS_*
  uint64_t attributes; // the same as MOUNT_ATTR_*
  char data[1024];     // the others, joined by commas
};

int mount_options_parse(char *const *options, size_t count, struct mount_option *result, struct error *error);
// A comma separated list, changed in place.
int mount_options_split(char *list, struct mount_option *result, struct error *error);
