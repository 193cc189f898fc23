// Names the host gives to things. They become names of files, so their alphabet is closed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

// 1-128 characters of A-Za-z0-9_.-, not beginning with a dot.
bool identifier_is_valid(const char *text);
int identifier_check(const char *what, const char *text, struct error *error);
// Tells whether two requests have the same content (FNV-1a over the packed message).
uint64_t fingerprint_of(const ProtobufCMessage *message);
