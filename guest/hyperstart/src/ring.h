// A byte queue that grows up to a limit and gives its memory back when empty.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring {
  uint8_t *data;
  size_t capacity;
  size_t head; // first byte
  size_t length;
};

// Free space as at most two pieces, at least min(wanted, limit - length) bytes in total.
int ring_space(struct ring *ring, size_t wanted, size_t limit, struct iovec pieces[2]);
void ring_added(struct ring *ring, size_t length);
void ring_append(struct ring *ring, const uint8_t *data, size_t length);
// The bytes from offset on as at most two pieces.
int ring_content(const struct ring *ring, size_t offset, size_t length, struct iovec pieces[2]);
void ring_drop(struct ring *ring, size_t length);
void ring_clear(struct ring *ring);
