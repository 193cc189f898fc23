#include "ring.h"

#include <string.h>

#include "memory.h"

#define CAPACITY_FIRST 4096u

static void ring_grow(struct ring *ring, size_t capacity) {
  uint8_t *data = memory_alloc(capacity);
  struct iovec pieces[2];
  size_t at = 0;
  int count = ring_content(ring, 0, ring->length, pieces);
  for (int index = 0; index < count; index++) {
    memcpy(data + at, pieces[index].iov_base, pieces[index].iov_len);
    at += pieces[index].iov_len;
  }
  free(ring->data);
  ring->data = data;
  ring->capacity = capacity;
  ring->head = 0;
}

static int split(const struct ring *ring, size_t from, size_t length, struct iovec pieces[2]) {
  if (length == 0) return 0;
  size_t first = ring->capacity - from;
  if (first >= length) {
    pieces[0] = (struct iovec){ring->data + from, length};
    return 1;
  }
  pieces[0] = (struct iovec){ring->data + from, first};
  pieces[1] = (struct iovec){ring->data, length - first};
  return 2;
}

int ring_space(struct ring *ring, size_t wanted, size_t limit, struct iovec pieces[2]) {
  size_t allowed = limit > ring->length ? limit - ring->length : 0;
  if (wanted > allowed) wanted = allowed;
  size_t needed = ring->length + wanted;
  size_t capacity = ring->capacity == 0 ? CAPACITY_FIRST : ring->capacity;
  while (capacity < needed) capacity *= 2;
  if (capacity != ring->capacity) ring_grow(ring, capacity);
  size_t space = ring->capacity - ring->length;
  return split(ring, (ring->head + ring->length) % ring->capacity, space < allowed ? space : allowed, pieces);
}

void ring_added(struct ring *ring, size_t length) {
  ring->length += length;
}

void ring_append(struct ring *ring, const uint8_t *data, size_t length) {
  struct iovec pieces[2];
  int count = ring_space(ring, length, ring->length + length, pieces);
  for (int index = 0; index < count; index++) {
    memcpy(pieces[index].iov_base, data, pieces[index].iov_len);
    data += pieces[index].iov_len;
  }
  ring->length += length;
}

int ring_content(const struct ring *ring, size_t offset, size_t length, struct iovec pieces[2]) {
  if (ring->length <= offset) return 0;
  size_t have = ring->length - offset;
  return split(ring, (ring->head + offset) % ring->capacity, length < have ? length : have, pieces);
}

void ring_drop(struct ring *ring, size_t length) {
  ring->length -= length;
  if (ring->length == 0) {
    ring_clear(ring);
    return;
  }
  ring->head = (ring->head + length) % ring->capacity;
}

void ring_clear(struct ring *ring) {
  free(ring->data);
  *ring = (struct ring){0};
}
