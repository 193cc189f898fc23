// The guest's clock and random pool: what a clone must not share with its template.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

char *clock_source_name(void); // to be freed; "" if unknown
// High-resolution timers are active and no processor keeps a periodic tick.
bool clock_is_tickless(void);
uint64_t clock_realtime_ns(void);
uint64_t clock_monotonic_ns(void);
int clock_set(uint64_t realtime_ns, struct error *error);
// Credits the bytes to the random pool in full and reseeds it at once.
int entropy_add(const uint8_t *data, size_t length, struct error *error);
